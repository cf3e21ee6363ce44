//! The members' traces, put into one order and into one numbering.
//!
//! Each member's events come in pages, by its own clock. An event is let out once every member that answers has said all
//! that it knew up to that time, so that what is let out is never overtaken by what comes later.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::book::list;

/// Events that are kept for pages that ask.
const KEPT_MAX: usize = 8192;
/// Numbers of a member's events that are remembered as causes, and messages that are remembered as sent.
const REMEMBERED_MAX: usize = 8192;
/// Members whose traces are followed.
const MEMBERS_MAX: usize = 64;
/// Events that wait for slower members.
const WAITING_MAX: usize = 16_384;
/// Fields that hold a member's number.
const NODES: [&str; 6] = ["node", "from", "to", "leader", "vote", "peer"];

/// The merged trace.
pub(super) struct Events {
    started_us: u64,
    sources: BTreeMap<String, Source>,
    waiting: Vec<Waiting>,
    kept: VecDeque<Value>,
    last: u64,
    last_at: u64,
    /// What was sent, by everything that it says, and the number of its event.
    sent: Remembered<String>,
}

/// One member's trace.
#[derive(Default)]
struct Source {
    started_at_us: u64,
    members: BTreeMap<u64, String>,
    /// The numbers here of its events.
    ids: Remembered<u64>,
    /// It has told all that happened before this; nothing while it does not answer.
    told_until_us: Option<u64>,
}

struct Waiting {
    at_us: u64,
    member: String,
    event: Value,
}

/// Numbers of events by a key, the oldest of which are forgotten.
struct Remembered<K> {
    numbers: BTreeMap<K, u64>,
    order: VecDeque<K>,
}

impl<K: Ord + Clone> Default for Remembered<K> {
    fn default() -> Self {
        Self { numbers: BTreeMap::new(), order: VecDeque::new() }
    }
}

impl<K: Ord + Clone> Remembered<K> {
    fn note(&mut self, key: K, number: u64) {
        if self.numbers.insert(key.clone(), number).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.numbers.remove(&oldest);
        }
    }

    fn number(&self, key: &K) -> u64 {
        self.numbers.get(key).copied().unwrap_or_default()
    }
}

impl Events {
    pub(super) fn new(started_us: u64) -> Self {
        Self {
            started_us,
            sources: BTreeMap::new(),
            waiting: Vec::new(),
            kept: VecDeque::new(),
            last: 0,
            last_at: 0,
            sent: Remembered::default(),
        }
    }

    /// A page of a member's trace, which was asked for at that time. Its clock is ahead by so much.
    pub(super) fn take(&mut self, member: &str, page: &Value, ahead_us: i64, begun_us: u64) {
        if self.sources.len() >= MEMBERS_MAX && !self.sources.contains_key(member) {
            return;
        }
        let source = self.sources.entry(member.to_owned()).or_default();
        let started_at_us = page["started_at_us"].as_u64().unwrap_or_default();
        if started_at_us != source.started_at_us {
            // Another life, which numbers its events anew.
            *source = Source { started_at_us, ..Source::default() };
        }
        for (number, id) in page["members"].as_object().into_iter().flatten() {
            if let (Ok(number), Some(id)) = (number.parse(), id.as_str())
                && source.members.len() < MEMBERS_MAX
            {
                source.members.insert(number, id.to_owned());
            }
        }
        // A full page ends before the member has told everything.
        let is_full = list(&page["events"]).count() >= super::ask::EVENTS;
        let mut told_until_us = begun_us;
        for event in list(&page["events"]).filter(|event| is_plain(event)) {
            let since_us = event["at"].as_u64().unwrap_or_default() / 1000;
            let at_us =
                started_at_us.saturating_add(since_us).saturating_add_signed(ahead_us.saturating_neg());
            if is_full {
                told_until_us = at_us;
            }
            self.waiting.push(Waiting { at_us, member: member.to_owned(), event: event.clone() });
        }
        source.told_until_us = Some(told_until_us);
    }

    /// A member does not answer, or has no trace: nobody waits for what it would say.
    pub(super) fn silent(&mut self, member: &str) {
        if let Some(source) = self.sources.get_mut(member) {
            source.told_until_us = None;
        }
    }

    /// A member's endpoint answers again, or does not any more and why.
    pub(super) fn reachable(&mut self, member: &str, now_us: u64, why_not: Option<&str>) {
        let event = match why_not {
            None => json!({ "kind": "reachable" }),
            Some(why) => json!({ "kind": "unreachable", "why": why }),
        };
        self.waiting.push(Waiting { at_us: now_us, member: member.to_owned(), event });
    }

    /// Lets out what nobody will overtake.
    pub(super) fn settle(&mut self, numbers: &BTreeMap<String, u64>) {
        let told = self.sources.values().filter_map(|source| source.told_until_us).min();
        // With so many waiting, order matters less than their number.
        let until = told.filter(|_| self.waiting.len() <= WAITING_MAX).unwrap_or(u64::MAX);
        let mut ready: Vec<Waiting> = self.waiting.extract_if(.., |waiting| waiting.at_us <= until).collect();
        // Stable: what a member said of one moment stays in its order.
        ready.sort_by_key(|waiting| waiting.at_us);
        for waiting in ready {
            self.let_out(waiting, numbers);
        }
        let excess = self.kept.len().saturating_sub(KEPT_MAX);
        self.kept.drain(..excess);
    }

    fn let_out(&mut self, waiting: Waiting, numbers: &BTreeMap<String, u64>) {
        let Waiting { at_us, member, mut event } = waiting;
        // One that has no trace of its own may still be reachable or not.
        let mut none = Source::default();
        let source = self.sources.get_mut(&member).unwrap_or(&mut none);
        let own_id = event["id"].as_u64().unwrap_or_default();
        let kind = event["kind"].as_str().unwrap_or_default().to_owned();
        let Some(fields) = event.as_object_mut() else { return };
        if matches!(kind.as_str(), "world" | "member") {
            return;
        }
        for name in NODES {
            if let Some(number) = fields.get(name).and_then(Value::as_u64) {
                let id = source.members.get(&number);
                fields.insert(
                    name.into(),
                    id.and_then(|id| numbers.get(id)).copied().unwrap_or_default().into(),
                );
            }
        }
        if matches!(kind.as_str(), "reachable" | "unreachable") {
            fields.insert("node".into(), numbers.get(&member).copied().unwrap_or_default().into());
        }
        let mut cause = source.ids.number(&fields.get("cause").and_then(Value::as_u64).unwrap_or_default());
        let number = self.last + 1;
        let says = |fields: &serde_json::Map<String, Value>| {
            let is_of_message = |name: &str| !matches!(name, "id" | "at" | "cause" | "kind");
            let says = fields.iter().filter(|(name, _)| is_of_message(name));
            Value::Object(says.map(|(name, value)| (name.clone(), value.clone())).collect()).to_string()
        };
        match kind.as_str() {
            "sent" => self.sent.note(says(fields), number),
            // The same message, as the other member's trace has it.
            "arrived" => cause = self.sent.number(&says(fields)),
            _ => {}
        }
        source.ids.note(own_id, number);
        self.last = number;
        self.last_at = self.last_at.max(at_us.saturating_sub(self.started_us).saturating_mul(1000));
        fields.insert("id".into(), number.into());
        fields.insert("at".into(), self.last_at.into());
        fields.insert("cause".into(), cause.into());
        self.kept.push_back(event);
    }

    /// At most so many events after that one, and the last of them.
    pub(super) fn after(&self, after: u64, limit: usize) -> (Vec<Value>, u64) {
        let first = self.last - self.kept.len() as u64 + 1;
        let skip = usize::try_from(after.saturating_add(1).saturating_sub(first)).unwrap_or(usize::MAX);
        let events: Vec<Value> = self.kept.iter().skip(skip).take(limit).cloned().collect();
        let last = events.last().and_then(|event| event["id"].as_u64()).unwrap_or(after.min(self.last));
        (events, last)
    }

    /// The last event that was let out.
    pub(super) fn last(&self) -> u64 {
        self.last
    }
}

/// Whether an event is what a member would write. What else answers at an endpoint is not to fill the memory.
fn is_plain(event: &Value) -> bool {
    let is_plain_field = |value: &Value| match value {
        Value::Number(_) | Value::Bool(_) | Value::Null => true,
        Value::String(text) => text.len() <= 512,
        Value::Array(pair) => pair.len() <= 2 && pair.iter().all(Value::is_number),
        Value::Object(_) => false,
    };
    event.as_object().is_some_and(|fields| fields.len() <= 24 && fields.values().all(is_plain_field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(started_at_us: u64, events: &[Value]) -> Value {
        json!({ "started_at_us": started_at_us, "members": { "1": "a", "2": "b" }, "events": events })
    }

    fn numbers() -> BTreeMap<String, u64> {
        [("a".to_owned(), 10), ("b".to_owned(), 20)].into()
    }

    #[test]
    fn events_are_let_out_in_the_order_of_time_and_an_arrival_finds_what_was_sent() {
        let mut events = Events::new(1000);
        let sent = json!({"id": 5, "at": 50_000, "cause": 4, "kind": "sent", "from": 1, "to": 2, "term": 1, "message": "vote"});
        let timer = json!({"id": 4, "at": 40_000, "cause": 0, "kind": "timer", "node": 1});
        let arrived = json!({"id": 9, "at": 0, "cause": 0, "kind": "arrived", "from": 1, "to": 2, "term": 1, "message": "vote"});
        // The second member began later, so its clock of the trace is another.
        events.take("b", &page(1070, &[arrived]), 0, 1100);
        events.take("a", &page(1000, &[timer, sent]), 0, 1060);
        events.settle(&numbers());
        // What a says after 1060 may still come before b's arrival at 1070.
        assert_eq!(events.after(0, 9).0.len(), 2);
        events.take("a", &page(1000, &[]), 0, 1100);
        events.settle(&numbers());
        let (all, last) = events.after(0, 9);
        let of = |name: &str| all.iter().map(|event| event[name].clone()).collect::<Vec<_>>();
        assert_eq!(of("kind"), ["timer", "sent", "arrived"]);
        assert_eq!((of("id"), last), (vec![json!(1), json!(2), json!(3)], 3));
        assert_eq!(of("cause"), [json!(0), json!(1), json!(2)]);
        assert_eq!(of("at"), [json!(40_000), json!(50_000), json!(70_000)]);
        assert_eq!((&all[2]["from"], &all[2]["to"]), (&json!(10), &json!(20)));
        assert_eq!(events.after(2, 9).0.len(), 1);
        assert_eq!(events.after(99, 9), (vec![], 3));
    }

    #[test]
    fn a_clock_that_is_ahead_is_set_back_and_who_is_silent_is_not_waited_for() {
        let mut events = Events::new(1000);
        let commit = |id: u64, at: u64| json!({"id": id, "at": at, "cause": 0, "kind": "commit", "node": 1, "index": id});
        events.take("a", &page(9000, &[commit(1, 20_000)]), 8000, 1030);
        events.take("b", &page(1000, &[commit(1, 10_000)]), 0, 1015);
        events.settle(&numbers());
        assert_eq!(events.after(0, 9).0.len(), 1);
        events.silent("b");
        events.reachable("b", 1025, Some("connection refused"));
        events.settle(&numbers());
        let (all, _) = events.after(0, 9);
        assert_eq!(
            all.iter().map(|event| event["at"].as_u64().unwrap()).collect::<Vec<_>>(),
            [10_000, 20_000, 25_000]
        );
        assert_eq!(
            (&all[2]["kind"], &all[2]["node"], &all[2]["why"]),
            (&json!("unreachable"), &json!(20), &json!("connection refused"))
        );
        // A process that was started anew counts from 1 again, and its causes are its own.
        events.take("b", &page(2000, &[commit(1, 0)]), 0, 2100);
        events.take("a", &page(9000, &[]), 8000, 2100);
        events.settle(&numbers());
        assert_eq!(events.after(3, 9).0[0]["id"], 4);
    }

    #[test]
    fn nonsense_is_passed_over() {
        let mut events = Events::new(1000);
        let timer =
            json!({"id": u64::MAX, "at": u64::MAX, "cause": u64::MAX, "kind": "timer", "node": u64::MAX});
        let long = json!({"id": 1, "at": 0, "cause": 0, "kind": "x".repeat(1000)});
        let deep = json!({"id": 2, "at": 0, "cause": 0, "kind": {"a": 1}});
        events.take("a", &page(u64::MAX, &[timer, long, deep, json!(5), json!(null)]), i64::MIN, u64::MAX);
        events.take("b", &json!({"events": {}, "members": []}), i64::MAX, 0);
        events.silent("b");
        events.settle(&numbers());
        let (all, _) = events.after(0, 9);
        assert_eq!(all.len(), 1);
        assert_eq!(
            (&all[0]["kind"], &all[0]["node"], &all[0]["cause"]),
            (&json!("timer"), &json!(0), &json!(0))
        );
        for member in 0..1000 {
            events.take(&member.to_string(), &page(1, &[]), 0, 1);
        }
        assert_eq!(events.sources.len(), MEMBERS_MAX);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut events = Events::new(0);
        for round in 0..10 {
            let burst: Vec<Value> = (0..999_u64)
                .map(
                    |id| json!({"id": round * 999 + id + 1, "at": 0, "cause": 0, "kind": "timer", "node": 1}),
                )
                .collect();
            events.take("a", &page(1, &burst), 0, 10);
            events.settle(&numbers());
        }
        assert_eq!((events.kept.len(), events.last()), (KEPT_MAX, 9990));
        assert_eq!(events.after(0, 1).1, 9990 - KEPT_MAX as u64 + 1);
    }
}
