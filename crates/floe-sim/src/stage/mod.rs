//! A world on a stage: driven from outside, one event at a time, with what a viewer does to it, and looked at.
//!
//! It is the world of the sweeps, with its hosts and its checker; only its plan may be a [`Script`] instead of a draw,
//! and beside the schedule there are the viewer's [`Act`]s. What happens is a pure function of the setup and of the acts
//! with their times. So time goes backwards by starting again, and a history that is stepped through, sought in, or
//! run in pieces is the same history.
//!
//! Within a moment events come before acts: an act at a time finds done what was due by then.

mod act;
mod backstage;
mod client;
mod json;
mod many;
mod scene;
mod script;
mod view;
mod watch;
mod words;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

pub use act::{Act, Change, DiskMode, Write};
pub use script::{Reads, Script, StageError};

pub(crate) use backstage::Backstage;
pub(crate) use many::SLEEP;
pub(crate) use watch::Watcher;

use scene::{Part, Scene};

use crate::check::{Checked, Invariant, Violation, broken};
use crate::clock::{Moment, SECOND};
use crate::groups::GroupsWorld;
use crate::mutant::Mutant;
use crate::plan::Plan;
use crate::run::Options;
use crate::trace::{Sink, Trace};
use crate::world::World;

/// How long a world on a stage may last.
pub const LONGEST: Moment = Moment(600 * SECOND);
/// How many lines its trace may have.
pub const MOST_EVENTS: u64 = 200_000;
/// How many acts it may see.
pub const MOST_ACTS: usize = 1_000;

/// Why nothing happens any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A rule is broken.
    Violated,
    /// The world of a seed came to its end, and all its rules hold.
    Over,
    /// It lasts too long, or its trace is too long.
    Limit,
}

/// A world that is driven and looked at.
pub struct Stage {
    plan: Plan,
    timeouts: backstage::Timeouts,
    mutant: Option<Mutant>,
    /// Whether the plan was drawn from a seed, and ends as a sweep's does.
    is_drawn: bool,
    acts: Vec<(Moment, Act)>,
    /// How many of the acts are done.
    done: usize,
    scene: Scene,
    lines: Rc<RefCell<Vec<String>>>,
    /// Events handled and acts done.
    advances: u64,
    /// The advances that wrote into the trace, and how many of them are the beginning.
    loud: Vec<(u64, Moment)>,
    opening: usize,
    part: Part,
    violation: Option<Violation>,
    /// Why the last act was not done.
    refused: Option<&'static str>,
}

impl Stage {
    /// A world as a script has it.
    pub fn scripted(script: &Script, acts: Vec<(Moment, Act)>) -> Result<Self, StageError> {
        let plan = script.plan()?;
        Self::open(plan, script.timeouts(), script.mutant, false, acts)
    }

    /// The world of a seed, with all that befalls it.
    pub fn drawn(seed: u64, options: &Options, acts: Vec<(Moment, Act)>) -> Result<Self, StageError> {
        let mut restrictions = options.restrictions.clone();
        if let Some(mutant) = options.mutant {
            mutant.needs(&mut restrictions);
            restrictions.groups = Some(1);
        }
        if restrictions.graph.is_some() {
            return Err(StageError::Setup(
                "worlds of a graph are not shown: `floe sim` runs them".to_owned(),
            ));
        }
        let plan = Plan::draw(seed, &restrictions);
        Self::open(plan, backstage::Timeouts::default(), options.mutant, true, acts)
    }

    fn open(
        plan: Plan,
        timeouts: backstage::Timeouts,
        mutant: Option<Mutant>,
        is_drawn: bool,
        mut acts: Vec<(Moment, Act)>,
    ) -> Result<Self, StageError> {
        if acts.len() > MOST_ACTS {
            return Err(StageError::TooLong(format!("a world sees {MOST_ACTS} actions at most")));
        }
        acts.sort_by_key(|(at, _)| *at);
        for (number, (at, act)) in acts.iter().enumerate() {
            if *at > LONGEST {
                return Err(StageError::TooLong(format!("action {} lies beyond ten minutes", number + 1)));
            }
            act.check(plan.nodes().count() as u64)?;
        }
        let lines = Rc::new(RefCell::new(Vec::new()));
        let scene = build(&plan, mutant, &timeouts, &lines);
        let mut stage = Self {
            plan,
            timeouts,
            mutant,
            is_drawn,
            acts,
            done: 0,
            scene,
            lines,
            advances: 0,
            loud: Vec::new(),
            opening: 0,
            part: Part::Chaos,
            violation: None,
            refused: None,
        };
        stage.begin();
        Ok(stage)
    }

    /// Starts again from nothing.
    fn restart(&mut self) {
        self.lines.borrow_mut().clear();
        self.scene = build(&self.plan, self.mutant, &self.timeouts, &self.lines);
        (self.done, self.advances, self.opening) = (0, 0, 0);
        self.loud.clear();
        (self.part, self.violation) = (Part::Chaos, None);
        self.begin();
    }

    fn begin(&mut self) {
        let begun = self.guard(Scene::begin);
        self.settle(begun);
        // The start of a process is an event like any other, and acts at that moment come after it.
        while self.scene.next_due() == Some(Moment(0)) && self.violation.is_none() {
            self.advance(Some(Moment(0)));
        }
        self.opening = self.loud.len();
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        self.scene.now()
    }

    /// All acts, done or to come.
    pub fn acts(&self) -> &[(Moment, Act)] {
        &self.acts
    }

    /// How many of them are done.
    pub fn acts_done(&self) -> usize {
        self.done
    }

    /// The rule that is broken.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Why nothing happens any more, if so.
    pub fn end(&self) -> Option<End> {
        let is_too_long = self.scene.trace().events() >= MOST_EVENTS || self.now() >= LONGEST;
        match self.violation {
            Some(_) => Some(End::Violated),
            None if self.part == Part::Over => Some(End::Over),
            None => is_too_long.then_some(End::Limit),
        }
    }

    /// How many lines the trace has.
    pub fn events(&self) -> u64 {
        self.scene.trace().events()
    }

    /// The lines of the trace after an event, so many at most.
    pub fn with_lines<T>(&self, after: u64, limit: usize, read: impl FnOnce(&[String]) -> T) -> T {
        let lines = self.lines.borrow();
        let first = usize::try_from(after).unwrap_or(usize::MAX).min(lines.len());
        let last = first.saturating_add(limit).min(lines.len());
        read(&lines[first..last])
    }

    /// Goes to a moment, forwards or back. After a violation time stands still.
    pub fn seek(&mut self, at: Moment) {
        let at = at.min(LONGEST);
        if at < self.now() {
            self.restart();
        }
        while self.advance(Some(at)) {}
        if self.end().is_none() {
            self.scene.set_now(self.now().max(at));
        }
    }

    /// Goes on until something more is in the trace. Lines that one event writes come together.
    pub fn step(&mut self) {
        let loud = self.loud.len();
        while self.loud.len() == loud && self.advance(None) {}
    }

    /// Goes back to where the trace had so many steps less.
    pub fn step_back(&mut self, count: u64) {
        let is_there = self.loud.last() == Some(&(self.advances, self.now()));
        let steps = self.loud.len().saturating_sub(usize::from(is_there));
        let more = usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX);
        let steps = if count == 0 { self.loud.len() } else { steps.saturating_sub(more) };
        self.restart();
        while self.loud.len() < steps && self.advance(None) {}
    }

    /// Does something now, and forgets all acts that were to come.
    pub fn act(&mut self, act: Act) -> Result<(), StageError> {
        if self.end().is_some() {
            return Err(StageError::Refused("nothing happens any more: go back first".to_owned()));
        }
        if self.done >= MOST_ACTS {
            return Err(StageError::TooLong(format!("a world sees {MOST_ACTS} actions at most")));
        }
        act.check(self.plan.nodes().count() as u64)?;
        let later = self.acts.split_off(self.done);
        let now = self.now();
        // As it would be found by somebody who comes here with this act on the list.
        while self.advance(Some(now)) {}
        self.acts.push((now, act));
        self.refused = None;
        self.advance(Some(now));
        if let Some(reason) = self.refused {
            self.acts.pop();
            self.acts.extend(later);
            self.done -= 1;
            return Err(StageError::Refused(reason.to_owned()));
        }
        while self.advance(Some(now)) {}
        Ok(())
    }

    /// Does the next thing, if one is due until then. Returns whether there was one.
    fn advance(&mut self, until: Option<Moment>) -> bool {
        if self.end().is_some() {
            return false;
        }
        let event = self.scene.next_due();
        let act = self.acts.get(self.done).map(|(at, _)| *at);
        let is_event = event.is_some_and(|event| act.is_none_or(|act| event <= act));
        let Some(due) = (if is_event { event } else { act }) else { return false };
        if due > until.unwrap_or(LONGEST) {
            return false;
        }
        if self.is_drawn && self.end_part(due) {
            return true;
        }
        let before = self.scene.trace().events();
        let happened = if is_event {
            self.guard(Scene::step)
        } else {
            let act = self.acts[self.done].1.clone();
            self.done += 1;
            self.scene.set_now(due);
            let refused = &mut self.refused;
            guard(&mut self.scene, |scene| {
                *refused = scene.do_act(&act)?;
                Ok(())
            })
        };
        self.settle(happened);
        self.advances += 1;
        if self.scene.trace().events() > before {
            self.loud.push((self.advances, self.now()));
        }
        true
    }

    /// Between two events a part of a seed's world may be over, with what must be true then.
    fn end_part(&mut self, due: Moment) -> bool {
        let Some(ends) = self.scene.ends(self.part).filter(|ends| *ends < due) else { return false };
        self.scene.set_now(self.now().max(ends));
        let (part, is_touched) = (self.part, self.done > 0);
        let mut next = Part::Over;
        let holds = self.guard(|scene| {
            next = scene.end_part(part, is_touched)?;
            Ok(())
        });
        self.part = next;
        self.settle(holds);
        true
    }

    fn guard(&mut self, run: impl FnOnce(&mut Scene) -> Checked) -> Checked {
        guard(&mut self.scene, run)
    }

    /// Keeps the violation, and makes sure that it is the last line of the trace.
    fn settle(&mut self, happened: Checked) {
        let Err(violation) = happened else { return };
        let mut violation = *violation;
        if violation.at == Moment(0) {
            violation.at = self.now();
        }
        let is_told = self.lines.borrow().last().is_some_and(|line| line.contains("\"kind\":\"violated\""));
        if !is_told {
            self.scene.record_violation(&violation);
        }
        self.violation = Some(violation);
    }
}

/// A panic is a finding like any other. Where a panic ends the program it is for the page to say so.
fn guard(scene: &mut Scene, run: impl FnOnce(&mut Scene) -> Checked) -> Checked {
    catch_unwind(AssertUnwindSafe(|| run(scene))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
        Err(broken(Invariant::NoPanic, text))
    })
}

fn build(
    plan: &Plan,
    mutant: Option<Mutant>,
    timeouts: &backstage::Timeouts,
    lines: &Rc<RefCell<Vec<String>>>,
) -> Scene {
    let sink = Rc::clone(lines);
    let mut trace =
        Trace::new(Some(Sink(Box::new(move |line: &str| sink.borrow_mut().push(line.to_owned())))));
    trace.watch(Watcher::default());
    if plan.groups > 1 {
        return Scene::Many(Box::new(GroupsWorld::new(plan.clone(), trace)));
    }
    let mut world = World::new(plan.clone(), mutant, trace);
    world.backstage = Some(Box::new(Backstage::new(timeouts.clone(), world.hosts.len())));
    Scene::One(Box::new(world))
}
