//! What makes two states of a node the same: a digest of all that it holds, but for numbers that mean nothing by
//! themselves.
//!
//! The digest is made of the node's `Debug` text. That is slow, and it is done once for each pair of a state and an
//! input; in return it covers every field of the core, those that will be added included, and needs nothing from it.
//! Three kinds of numbers are changed in the text:
//!
//! - Times become distances from the node's clock, in heartbeat intervals, and those beyond an election timeout are
//!   all alike.
//! - Writes are counted from the last one that is durable. How many came before changes nothing.
//! - The state of the random numbers is left out. They spread timeouts, and here a timeout comes at any time.
//!
//! In models with a clock a deadline is known to the heartbeat interval in which it lies, which is all that a model can
//! tell apart. There the random numbers decide in which of two intervals a timer fires. A message that is repeated draws
//! anew, so that both come up.

use std::fmt::{self, Write as _};

/// Nanoseconds of a heartbeat interval in the models; an election timeout is twice as long.
pub(crate) const HEARTBEAT: u64 = 10;

/// The digest of a text that `Debug` wrote; `now` is the clock of the node in it. Where time counts (`timed`) it is known
/// how far ahead a deadline lies; none lies further than two election timeouts.
pub(crate) fn digest(text: &str, now: u64, timed: bool) -> u128 {
    let reported = number_after(text, "reported: WriteId(").unwrap_or(0);
    let mut hasher = Fnv::new();
    let mut rest = text;
    while let Some(open) = rest.find('(') {
        let (before, after) = rest.split_at(open + 1);
        hasher.write(before.as_bytes());
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = after.split_at(digits);
        rest = tail;
        let Ok(number) = number.parse::<u64>() else { continue };
        let name = before.trim_end_matches('(');
        let meaning = if timed && name.ends_with(" now: Time") {
            // What the node knows of the time is brought up to date by whatever comes next.
            0
        } else if name.ends_with("Time") {
            distance(number, now, if timed { 4 } else { 2 })
        } else if name.ends_with("WriteId") {
            i128::from(number.saturating_sub(reported))
        } else if name.ends_with("Random") {
            0
        } else {
            i128::from(number)
        };
        // Writing to a hasher cannot fail.
        let _written = write!(hasher, "{meaning}");
    }
    hasher.write(rest.as_bytes());
    hasher.finish()
}

/// From the clock to a time, in heartbeat intervals: ahead rounded up, to so many at most; behind rounded down, to an
/// election timeout at most. What is longer ago than that is over, whatever it was.
fn distance(time: u64, now: u64, most: u64) -> i128 {
    if time > now {
        i128::from((time - now).div_ceil(HEARTBEAT).min(most))
    } else {
        -i128::from(((now - time) / HEARTBEAT).min(2))
    }
}

fn number_after(text: &str, words: &str) -> Option<u64> {
    let (_, after) = text.split_once(words)?;
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    after[..digits].parse().ok()
}

/// FNV-1a of 128 bits: no chance of two states of one model being taken for one.
pub(crate) struct Fnv(u128);

impl Fnv {
    pub(crate) fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
    }

    pub(crate) fn finish(&self) -> u128 {
        self.0
    }
}

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_count_from_the_clock_and_writes_from_the_last_durable_one() {
        let text = |time, write, random| {
            format!(
                "deadline: Time({time}), reported: WriteId(7), next: WriteId({write}), Random({random}), Term(3)"
            )
        };
        assert_eq!(digest(&text(120, 9, 1), 100, false), digest(&text(139, 9, 2), 100, false));
        assert_eq!(digest(&text(20, 9, 1), 100, false), digest(&text(0, 9, 1), 100, false));
        assert_ne!(digest(&text(110, 9, 1), 100, false), digest(&text(120, 9, 1), 100, false));
        assert_ne!(digest(&text(110, 8, 1), 100, false), digest(&text(110, 9, 1), 100, false));
        assert_eq!(digest(&text(110, 6, 1), 100, false), digest(&text(110, 7, 1), 100, false));
        assert_ne!(digest("Term(3)", 100, false), digest("Term(4)", 100, false));
    }
}
