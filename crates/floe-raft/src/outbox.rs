//! Effects on their way to the host, and messages that wait until they are safe to send.

use std::collections::VecDeque;

use crate::effect::{Alarm, Effect};
use crate::id::{NodeId, WriteId};
use crate::message::Envelope;

/// What goes out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    effects: VecDeque<Effect>,
    /// Messages that speak under a term or vote that is not durable yet. Invariant: their writes ascend, and they
    /// are all of the current term.
    waiting: VecDeque<(WriteId, Envelope)>,
}

impl Outbox {
    pub(crate) fn push(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    pub(crate) fn pop(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Sends at once: right for what promises nothing, and for leaders, whose term is durable since they asked for
    /// votes.
    pub(crate) fn send(&mut self, envelope: Envelope) {
        self.push(Effect::Send(envelope));
    }

    /// Sends once the write is reported. What waits already is not said twice: a candidate that repeats its request
    /// to a voter whose disk hangs would fill this queue without end.
    pub(crate) fn send_after(&mut self, write: WriteId, envelope: Envelope) {
        if !self.waiting.iter().any(|(_, waits)| *waits == envelope) {
            self.waiting.push_back((write, envelope));
        }
    }

    /// Lets go what waited for the hard state, which is durable now.
    pub(crate) fn release(&mut self) {
        self.effects.extend(self.waiting.drain(..).map(|(_, envelope)| Effect::Send(envelope)));
    }

    /// A new term began: what was to be said under the old one is never said. It may have become untrue (an
    /// acknowledgement of entries that were overwritten before they reached the disk), and nobody waits for it.
    pub(crate) fn forget_waiting(&mut self) {
        self.waiting.clear();
    }

    pub(crate) fn alarm(&mut self, alarm: Alarm) {
        self.push(Effect::Alarm(alarm));
    }

    pub(crate) fn bad_message(&mut self, from: NodeId, reason: &'static str) {
        self.alarm(Alarm::BadMessage { from, reason });
    }

    pub(crate) fn waiting(&self) -> impl Iterator<Item = &(WriteId, Envelope)> {
        self.waiting.iter()
    }
}
