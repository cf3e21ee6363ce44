//! Random numbers that a seed decides: xoshiro256++, seeded through splitmix64, in integers only.
//!
//! Each concern (network, disks, clients, ...) draws from a stream of its own, so that switching one fault off does
//! not move the draws of all the others. There is no floating point: the last bit of a logarithm differs between
//! machines, and one bit is another history.

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

/// What a stream is for. The numbers are part of what a seed means: never renumber them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Which faults a seed has, and how strong.
    Plan = 1,
    /// When the faults strike.
    Schedule = 2,
    /// Delays, losses and copies of packets.
    Network = 3,
    /// Times and outcomes of disk operations, and what a crash leaves of them.
    Disk = 4,
    /// The clients.
    Workload = 5,
    /// What is left broken in the liveness phase.
    Liveness = 6,
    /// Times of the host's own work, and the seeds of its nodes.
    Host = 7,
    /// Whether a feature is on that was added later than most.
    Feature = 8,
    /// What a crash leaves of the store's file.
    Store = 9,
}

impl Rng {
    /// The stream of a seed for one concern.
    pub fn new(seed: u64, stream: Stream) -> Self {
        let mut mix = seed ^ (stream as u64).wrapping_mul(0xA076_1D64_78BD_642F);
        let state = std::array::from_fn(|_| splitmix(&mut mix));
        Self { state }
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number below `limit`; zero when the limit is zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        // The high half of a 128-bit product; its bias is below limit / 2^64.
        ((u128::from(self.number()) * u128::from(limit)) >> 64) as u64
    }

    /// A number in `[low, high]`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// Heads.
    pub fn coin(&mut self) -> bool {
        self.number() >> 63 == 1
    }

    /// True `millionths` times out of a million. Draws nothing when it cannot be true.
    pub fn chance(&mut self, millionths: u32) -> bool {
        millionths > 0 && self.below(1_000_000) < u64::from(millionths)
    }

    /// An exponentially distributed number of about this mean, by its leading zeros and a linear interpolation
    /// between powers of two.
    pub fn exponential(&mut self, mean: u64) -> u64 {
        let number = self.number() | 1;
        let zeros = u64::from(number.leading_zeros());
        // The 16 bits after the leading one, as how far the number is below the next power of two.
        let rest = (number << zeros << 1) >> 48;
        let log2 = (zeros << 16) + (0xFFFF - rest);
        // 45_426 / 65_536 is ln 2.
        ((u128::from(mean) * u128::from(log2) * 45_426) >> 32) as u64
    }

    /// A number in `[low, high]` whose order of magnitude is uniform: small ones are as likely as large ones.
    pub fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        let (from, to) = (low.max(1).ilog2(), high.max(1).ilog2());
        let bits = self.between(u64::from(from), u64::from(to));
        let floor = 1u64 << bits;
        self.between(floor.max(low), (floor.saturating_mul(2) - 1).min(high).max(floor.max(low)))
    }

    /// One of a slice's items; `None` of an empty one.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }

    /// Puts the items in a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |seed, stream| {
            let mut rng = Rng::new(seed, stream);
            [rng.number(), rng.number()]
        };
        assert_eq!(draw(1, Stream::Disk), draw(1, Stream::Disk));
        assert_ne!(draw(1, Stream::Disk), draw(1, Stream::Network));
        assert_ne!(draw(1, Stream::Disk), draw(2, Stream::Disk));
    }

    #[test]
    fn the_exponential_has_its_mean_and_a_tail() {
        let mut rng = Rng::new(7, Stream::Network);
        let draws: Vec<u64> = (0..100_000).map(|_| rng.exponential(1_000)).collect();
        let mean = draws.iter().sum::<u64>() / 100_000;
        assert!((950..1_100).contains(&mean), "the mean is {mean}");
        let tail = draws.iter().filter(|draw| **draw > 4_600).count();
        assert!((700..1_400).contains(&tail), "{tail} of 100,000 draws beyond 4.6 means; 1 % are expected");
    }

    #[test]
    fn draws_stay_in_their_range() {
        let mut rng = Rng::new(3, Stream::Plan);
        for _ in 0..10_000 {
            assert!((5..=9).contains(&rng.between(5, 9)));
            assert!((3..=1_000).contains(&rng.magnitude(3, 1_000)));
            assert_eq!(rng.below(0), 0);
        }
        assert!(!rng.chance(0));
        assert!(rng.chance(1_000_000));
    }
}
