//! What is known of each endpoint, and who is called by which number.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Endpoint;
use super::ask::{Heard, wall_us};
use super::events::Events;

/// Members of a cluster that has just been made have told nobody their names. Numbers wait for them so long.
const NAMES_AFTER: Duration = Duration::from_secs(10);

/// Members that get numbers, whatever answers at an endpoint.
const MEMBERS_MAX: usize = 256;

/// One endpoint.
pub(super) struct Place {
    pub(super) endpoint: Endpoint,
    /// The member that answered there last.
    pub(super) member: Option<String>,
    /// The last answer, or why there is none; nothing before the first.
    pub(super) last: Option<Result<Heard, String>>,
    /// What it said when it last said something.
    pub(super) known: Option<Value>,
    /// When that was.
    pub(super) heard_at: Option<Instant>,
}

impl Place {
    pub(super) fn is_up(&self) -> bool {
        matches!(self.last, Some(Ok(_)))
    }
}

/// Everything that is known.
pub(super) struct Book {
    started: Instant,
    started_us: u64,
    pub(super) places: Vec<Place>,
    /// The page's number of each member, by its id. Never given to another one.
    pub(super) numbers: BTreeMap<String, u64>,
    pub(super) events: Events,
}

impl Book {
    pub(super) fn new() -> Self {
        let started_us = wall_us();
        let events = Events::new(started_us);
        Self { started: Instant::now(), started_us, places: Vec::new(), numbers: BTreeMap::new(), events }
    }

    /// Now, by the wall clock at the start and a clock that does not jump; in microseconds since 1970.
    pub(super) fn now_us(&self) -> u64 {
        self.started_us + u64::try_from(self.started.elapsed().as_micros()).unwrap_or_default()
    }

    /// Since the start, in nanoseconds.
    pub(super) fn at(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or_default()
    }

    pub(super) fn add(&mut self, endpoint: Endpoint) -> usize {
        self.places.push(Place { endpoint, member: None, last: None, known: None, heard_at: None });
        self.places.len() - 1
    }

    /// An endpoint answered, or did not, to what was asked at that time.
    pub(super) fn hear(&mut self, place: usize, begun_us: u64, heard: Result<Heard, String>) {
        let now_us = self.now_us();
        let Some(known) = self.places.get_mut(place) else { return };
        let was_up = known.last.as_ref().map(Result::is_ok);
        match &heard {
            Ok(heard) => {
                let member = heard.state["member"].as_str().unwrap_or_default().to_owned();
                self.number(&heard.state);
                let known = &mut self.places[place];
                known.member = Some(member.clone());
                known.known = Some(heard.state.clone());
                known.heard_at = Some(Instant::now());
                if was_up == Some(false) {
                    self.events.reachable(&member, now_us, None);
                }
                match &heard.trace {
                    Some(page) => self.events.take(&member, page, heard.ahead_us, begun_us),
                    None => self.events.silent(&member),
                }
            }
            Err(reason) => {
                if let Some(member) = known.member.clone() {
                    self.events.silent(&member);
                    if was_up == Some(true) {
                        self.events.reachable(&member, now_us, Some(reason));
                    }
                }
            }
        }
        self.places[place].last = Some(heard);
        // Without numbers nobody could tell whose they are.
        if !self.numbers.is_empty() {
            self.events.settle(&self.numbers);
        }
    }

    /// Gives numbers to members that have none, in the order of their names, so that it does not depend on who answers
    /// first.
    fn number(&mut self, state: &Value) {
        let names: BTreeMap<&str, &str> = list(&state["members"])
            .filter_map(|member| Some((member["id"].as_str()?, member["name"].as_str().unwrap_or_default())))
            .collect();
        let is_named =
            |id: &Value| names.get(id.as_str().unwrap_or_default()).is_some_and(|name| !name.is_empty());
        if self.started.elapsed() < NAMES_AFTER && !list(&state["voters"]).all(is_named) {
            return;
        }
        let lists = ["voters", "outgoing", "learners"].into_iter().flat_map(|name| list(&state[name]));
        let mut new: Vec<&str> = lists.chain([&state["member"]]).filter_map(Value::as_str).collect();
        new.retain(|id| !self.numbers.contains_key(*id));
        new.sort_by_key(|id| (names.get(id).copied().unwrap_or_default(), *id));
        new.dedup();
        new.truncate(MEMBERS_MAX.saturating_sub(self.numbers.len()));
        for id in new {
            let number = self.numbers.values().max().unwrap_or(&0) + 1;
            self.numbers.insert(id.to_owned(), number);
        }
    }

    /// Members that others name and no endpoint leads to, with where they say that they are; they are asked from now on.
    pub(super) fn unknown_members(&mut self, places_max: usize) -> Vec<(usize, Endpoint)> {
        // An endpoint that was given and has not answered yet may turn out to be any of them.
        if self.places.iter().any(|place| place.last.is_none()) {
            return Vec::new();
        }
        let mut found: Vec<Endpoint> = Vec::new();
        let states = self.places.iter().filter_map(|place| place.known.as_ref());
        for member in states.flat_map(|state| list(&state["members"])) {
            let (Some(id), Some(url)) = (member["id"].as_str(), member["client_urls"][0].as_str()) else {
                continue;
            };
            let Ok(endpoint) = Endpoint::parse(url) else { continue };
            let is_known = |place: &Place| place.endpoint == endpoint || place.member.as_deref() == Some(id);
            if !self.places.iter().any(is_known) && !found.contains(&endpoint) {
                found.push(endpoint);
            }
        }
        found.truncate(places_max.saturating_sub(self.places.len()));
        found.into_iter().map(|endpoint| (self.add(endpoint.clone()), endpoint)).collect()
    }
}

/// The elements of a list; none if it is none.
pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
