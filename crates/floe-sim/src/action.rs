//! What can be done to a world from outside: by the schedule that a seed draws, by a test, or by a viewer.

use floe_raft::NodeId;

use crate::change::Step;
use crate::clock::Rate;

/// Whom an action is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This node; nothing happens if the world has none of that id.
    Node(NodeId),
    /// Whichever node leads in the highest term when the action is carried out; nothing happens if none does.
    Leader,
}

/// A directed link between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
}

/// One intervention. Durations are in nanoseconds of true time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The process dies, at once or in the middle of what it does: after `boundary` more effects.
    Crash {
        /// Whose.
        target: Target,
        /// How many effects it still performs; zero dies at once.
        boundary: u32,
        /// How long it stays down.
        down: u64,
    },
    /// The process stops running, and later goes on as if nothing had been. The kernel finishes its disk writes.
    Pause {
        /// Whose.
        target: Target,
        /// How long.
        pause: u64,
    },
    /// Machine and disk are lost for ever.
    Wipe {
        /// Whose.
        target: Target,
    },
    /// These links carry nothing.
    Cut {
        /// Which, each direction by itself.
        links: Vec<Link>,
        /// How long.
        cut: u64,
    },
    /// These links go on and off.
    Flap {
        /// Which.
        links: Vec<Link>,
        /// How long each state lasts.
        period: u64,
        /// How many times they are cut.
        times: u32,
    },
    /// What is sent over this link arrives only when the clog ends.
    Clog {
        /// Which.
        link: Link,
        /// How long.
        clog: u64,
    },
    /// Every disk operation takes this many times longer.
    SlowDisk {
        /// Whose.
        target: Target,
        /// The factor.
        factor: u32,
        /// How long.
        slow: u64,
    },
    /// Disk writes do not finish before the stall is over.
    StallDisk {
        /// Whose.
        target: Target,
        /// How long.
        stall: u64,
    },
    /// The next write fails, perhaps half done; the process stops, as it must, and is started again later.
    FailDisk {
        /// Whose.
        target: Target,
        /// How long it stays down.
        down: u64,
    },
    /// The disk has no room for another segment of the log.
    FillDisk {
        /// Whose.
        target: Target,
        /// How long.
        full: u64,
    },
    /// The clock runs at this rate from now on.
    ClockRate {
        /// Whose.
        target: Target,
        /// The rate.
        rate: Rate,
    },
    /// The clock jumps ahead, as after a suspend.
    ClockJump {
        /// Whose.
        target: Target,
        /// Nanoseconds.
        ahead: u64,
    },
    /// Whoever leads is asked to hand leadership to this node.
    Transfer {
        /// To whom.
        to: NodeId,
    },
    /// Whoever leads is asked to change the membership.
    Change {
        /// What to do, all together.
        steps: Vec<Step>,
        /// Whether it is done even if too few answer for it to be committed.
        forced: bool,
        /// How many times it is asked for, while the answer is that it cannot be done now.
        tries: u32,
    },
}

impl Action {
    /// Its name in traces and on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::Pause { .. } => "pause",
            Self::Wipe { .. } => "wipe",
            Self::Cut { .. } => "cut",
            Self::Flap { .. } => "flap",
            Self::Clog { .. } => "clog",
            Self::SlowDisk { .. } => "slow-disk",
            Self::StallDisk { .. } => "stall-disk",
            Self::FailDisk { .. } => "fail-disk",
            Self::FillDisk { .. } => "fill-disk",
            Self::ClockRate { .. } => "clock-rate",
            Self::ClockJump { .. } => "clock-jump",
            Self::Transfer { .. } => "transfer",
            Self::Change { .. } => "change",
        }
    }
}
