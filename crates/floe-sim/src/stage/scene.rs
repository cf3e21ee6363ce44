//! What is on the stage: a world of one group that is looked at closely, or one of many groups on the same machines.

use super::act::Act;
use super::view;
use crate::check::{Checked, Violation};
use crate::clock::Moment;
use crate::groups::GroupsWorld;
use crate::trace::{EventId, Happening, Trace};
use crate::world::World;

/// A world.
pub(crate) enum Scene {
    One(Box<World>),
    Many(Box<GroupsWorld>),
}

/// Where a drawn world is. A scripted one is always in its first part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Chaos,
    /// Until this moment what was healed has to work.
    Settling(Moment),
    /// Many groups: until then they have to fall asleep, or to stay so.
    FallingAsleep(Moment),
    Asleep(Moment),
    Over,
}

impl Scene {
    pub(crate) fn now(&self) -> Moment {
        match self {
            Self::One(world) => world.now,
            Self::Many(world) => world.now,
        }
    }

    pub(crate) fn set_now(&mut self, now: Moment) {
        match self {
            Self::One(world) => world.now = now,
            Self::Many(world) => world.now = now,
        }
    }

    /// When the next event is due.
    pub(crate) fn next_due(&self) -> Option<Moment> {
        match self {
            Self::One(world) => world.queue.next(),
            Self::Many(world) => world.queue.next(),
        }
    }

    pub(crate) fn trace(&self) -> &Trace {
        match self {
            Self::One(world) => &world.trace,
            Self::Many(world) => &world.trace,
        }
    }

    pub(crate) fn record_violation(&mut self, violation: &Violation) {
        let happening = Happening::Violated { violation };
        match self {
            Self::One(world) => world.trace.record(world.now, world.cause, &happening),
            Self::Many(world) => world.trace.record(world.now, EventId(0), &happening),
        };
    }

    pub(crate) fn begin(&mut self) -> Checked {
        match self {
            Self::One(world) => world.begin(),
            Self::Many(world) => world.begin(),
        }
    }

    pub(crate) fn step(&mut self) -> Checked {
        match self {
            Self::One(world) => world.step(),
            Self::Many(world) => world.step(),
        }
    }

    pub(crate) fn do_act(&mut self, act: &Act) -> Result<Option<&'static str>, Box<Violation>> {
        match self {
            Self::One(world) => world.do_act(act),
            Self::Many(world) => world.do_act(act),
        }
    }

    /// How many events were handled.
    pub(crate) fn handled(&self) -> u64 {
        match self {
            Self::One(world) => world.handled(),
            Self::Many(world) => world.handled(),
        }
    }

    /// When a part of a drawn world ends; `None` when all of it has.
    pub(crate) fn ends(&self, part: Part) -> Option<Moment> {
        match part {
            Part::Chaos => Some(match self {
                Self::One(world) => world.plan.end,
                Self::Many(world) => world.plan.end,
            }),
            // The healing has moved the end of a world of one group.
            Part::Settling(until) => Some(if let Self::One(world) = self { world.ends } else { until }),
            Part::FallingAsleep(until) | Part::Asleep(until) => Some(until),
            Part::Over => None,
        }
    }

    /// Holds what must be true at the end of a part, begins the next one, and says which it is. `is_touched`: a viewer did
    /// something to it, and nobody promised to survive that.
    pub(crate) fn end_part(&mut self, part: Part, is_touched: bool) -> Result<Part, Box<Violation>> {
        match (self, part) {
            (Self::One(world), Part::Chaos) => {
                world.check_unanswered()?;
                Ok(Part::Settling(world.ends))
            }
            (Self::One(world), _) => {
                if !is_touched {
                    world.check_settled()?;
                }
                Ok(Part::Over)
            }
            (Self::Many(world), Part::Chaos) if world.plan.liveness => {
                world.heal()?;
                Ok(Part::Settling(world.now.plus(4 * world.plan.election_timeout_max())))
            }
            (Self::Many(world), Part::Settling(_)) => {
                if !is_touched {
                    world.must_have_committed()?;
                }
                world.rest();
                let late = world.stragglers_until.plus(world.plan.network.late_max);
                Ok(Part::FallingAsleep(world.now.max(late).plus(world.patience())))
            }
            (Self::Many(world), Part::FallingAsleep(until)) => {
                if !is_touched {
                    world.must_sleep()?;
                }
                Ok(Part::Asleep(until.plus(20 * world.plan.election_timeout_max())))
            }
            (Self::Many(world), Part::Asleep(_)) => {
                if !is_touched {
                    world.must_sleep()?;
                }
                Ok(Part::Over)
            }
            (Self::Many(_), Part::Chaos | Part::Over) => Ok(Part::Over),
        }
    }

    /// Writes down what it looks like.
    pub(crate) fn show(&self, out: &mut super::json::Object<'_>) {
        match self {
            Self::One(world) => view::show_one(world, out),
            Self::Many(world) => world.show(out),
        }
    }
}
