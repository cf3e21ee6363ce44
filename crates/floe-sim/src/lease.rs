//! Worlds in which reads are answered by lease: clocks whose rates differ by no more than the margin is for, and the
//! check that nobody leads beside a leader with a lease.

use std::time::Duration;

use floe_raft::{Config, Lease};

use crate::action::Action;
use crate::check::{Checked, Invariant, broken};
use crate::clock::{Moment, Rate};
use crate::marks::Mark;
use crate::rng::Rng;
use crate::world::World;

/// A margin of a twentieth to a third of the election timeout.
pub(crate) fn draw(rng: &mut Rng, config: &Config) -> Lease {
    let election = config.election_timeout.as_nanos() as u64;
    Lease { drift_margin: Duration::from_nanos(election * rng.between(50, 333) / 1_000) }
}

/// What of an intervention is left where the clocks keep what leases ask of them: no jumps, and rates of which the
/// fastest is at most `election timeout / (election timeout - margin)` times the slowest.
pub(crate) fn tame(action: Action, config: &Config) -> Option<Action> {
    let Some(lease) = config.lease else { return Some(action) };
    match action {
        Action::ClockJump { .. } => None,
        Action::ClockRate { target, rate } => {
            let election = config.election_timeout.as_nanos() as u64;
            let margin = lease.drift_margin.as_nanos() as u64;
            let fastest = u64::from(Rate::TRUE.0) * election / (election - margin);
            // The wild rates lie between half and double speed.
            let place = u64::from(rate.0).clamp(512, 2_048) - 512;
            let spread = fastest - u64::from(Rate::TRUE.0);
            Some(Action::ClockRate { target, rate: Rate(Rate::TRUE.0 + (spread * place / 1_536) as u32) })
        }
        other => Some(other),
    }
}

impl World {
    /// Nobody leads in a later term while a leader knows by its clock that it is alone. Looked at whenever a leader's
    /// state may have changed: a lease begins with an answer, a leadership with an election, and both are turns of a host.
    pub(crate) fn check_lease(&mut self, host: usize) -> Checked {
        if !self.plan.host.lease_reads || !self.hosts[host].leads() {
            return Ok(());
        }
        let mine = self.hosts[host].life.as_ref().map(|life| life.node.term());
        for other in 0..self.hosts.len() {
            let theirs = self.hosts[other].life.as_ref().map(|life| life.node.term());
            if other == host || theirs == mine || !self.hosts[other].leads() {
                continue;
            }
            let (earlier, later) = if theirs < mine { (other, host) } else { (host, other) };
            if let Some(until) = self.lease_of(earlier) {
                let (earlier, later) = (self.hosts[earlier].id, self.hosts[later].id);
                return Err(broken(
                    Invariant::LeaseIsAlone,
                    format!(
                        "n{later} leads while the lease of n{earlier}, of an earlier term, lasts until {}.{:09} s",
                        until.0 / 1_000_000_000,
                        until.0 % 1_000_000_000
                    ),
                ));
            }
            if self.lease_of(later).is_some() {
                self.marks.reach(Mark::LeaseBesideOldLeader);
            }
        }
        Ok(())
    }

    /// Until when, in true time, a host answers reads by its lease; `None` if it does not now.
    fn lease_of(&self, host: usize) -> Option<Moment> {
        let machine = &self.hosts[host];
        let until = machine.life.as_ref()?.node.lease_until()?;
        (machine.clock.local(self.now) < until).then(|| machine.clock.moment_of(until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Target;
    use crate::rng::Stream;
    use floe_raft::NodeId;

    #[test]
    fn clocks_keep_within_what_the_margin_is_for() {
        for seed in 0..200 {
            let mut config = Config::new(NodeId(1));
            let lease = draw(&mut Rng::new(seed, Stream::Plan), &config);
            config.lease = Some(lease);
            let target = Target::Leader;
            let rate = |wild| match tame(Action::ClockRate { target, rate: Rate(wild) }, &config) {
                Some(Action::ClockRate { rate, .. }) => rate.0,
                other => panic!("{other:?}"),
            };
            assert_eq!(rate(512), 1_024);
            assert!(rate(2_048) > rate(1_000));
            let left = config.election_timeout - lease.drift_margin;
            let fastest = config.election_timeout.as_nanos() * 1_024;
            assert!(u128::from(rate(2_048)) * left.as_nanos() <= fastest);
            assert_eq!(tame(Action::ClockJump { target, ahead: 1 }, &config), None);
        }
    }
}
