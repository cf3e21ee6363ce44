//! The node's only source of randomness: a small generator, fed by the seed that the host gives at birth.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014): one addition and three multiplications a number, any seed is a good seed.
/// It spreads election timeouts and nothing else, so that it need not be unpredictable.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A duration in `[0, limit)`, in nanoseconds; zero when the limit is.
    pub(crate) fn below(&mut self, limit: Duration) -> Duration {
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        // The high half of the product maps a uniform number onto the range without a division.
        let scaled = (u128::from(self.next()) * u128::from(limit)) >> 64;
        Duration::from_nanos(u64::try_from(scaled).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_they_spread() {
        let limit = Duration::from_millis(300);
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..1000).map(|_| random.below(limit)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let drawn = draw(1);
        assert!(drawn.iter().all(|duration| *duration < limit));
        for tenth in 0..10 {
            let (from, to) = (limit * tenth / 10, limit * (tenth + 1) / 10);
            let count = drawn.iter().filter(|duration| (from..to).contains(duration)).count();
            assert!((50..200).contains(&count), "{count} of 1000 in tenth {tenth}");
        }
        assert_eq!(Random::new(1).below(Duration::ZERO), Duration::ZERO);
    }
}
