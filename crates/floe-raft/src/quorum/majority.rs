//! More than half of one set of voters.

use std::collections::BTreeSet;

use crate::id::NodeId;
use crate::quorum::Verdict;

/// One set of voters. The empty one agrees to everything, so that it is neutral in a joint quorum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Majority<'a>(pub(crate) &'a BTreeSet<NodeId>);

/// Groups up to this size are counted without a heap allocation.
const SMALL: usize = 16;

impl Majority<'_> {
    fn needed(self) -> usize {
        self.0.len() / 2 + 1
    }

    /// The largest value that a majority has reached, given how far each voter is.
    pub(crate) fn agreed(self, reached: &impl Fn(NodeId) -> u64) -> u64 {
        let count = self.0.len();
        if count == 0 {
            return u64::MAX;
        }
        let mut small = [0; SMALL];
        let mut large = Vec::new();
        let values = if count <= SMALL {
            &mut small[..count]
        } else {
            large.resize(count, 0);
            &mut large[..]
        };
        for (value, voter) in values.iter_mut().zip(self.0) {
            *value = reached(*voter);
        }
        values.sort_unstable();
        values[count - self.needed()]
    }

    /// How a vote stands, given what each voter said.
    pub(crate) fn verdict(self, said: &impl Fn(NodeId) -> Option<bool>) -> Verdict {
        if self.0.is_empty() {
            return Verdict::Won;
        }
        let (mut yes, mut open) = (0, 0);
        for voter in self.0 {
            match said(*voter) {
                Some(true) => yes += 1,
                Some(false) => {}
                None => open += 1,
            }
        }
        if yes >= self.needed() {
            Verdict::Won
        } else if yes + open >= self.needed() {
            Verdict::Pending
        } else {
            Verdict::Lost
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn voters(count: u64) -> BTreeSet<NodeId> {
        (1..=count).map(NodeId).collect()
    }

    fn agreed(values: &[u64]) -> u64 {
        Majority(&voters(values.len() as u64)).agreed(&|NodeId(id)| values[id as usize - 1])
    }

    #[test]
    fn the_value_of_the_slowest_in_the_fastest_majority() {
        assert_eq!(agreed(&[]), u64::MAX);
        assert_eq!(agreed(&[5]), 5);
        assert_eq!(agreed(&[5, 9]), 5);
        assert_eq!(agreed(&[5, 9, 1]), 5);
        assert_eq!(agreed(&[5, 9, 1, 7]), 5);
        assert_eq!(agreed(&[5, 9, 1, 7, 8]), 7);
    }

    #[test]
    fn votes() {
        let verdict = |said: &[Option<bool>]| {
            Majority(&voters(said.len() as u64)).verdict(&|NodeId(id)| said[id as usize - 1])
        };
        let (yes, no, open) = (Some(true), Some(false), None);
        assert_eq!(verdict(&[]), Verdict::Won);
        assert_eq!(verdict(&[yes, open, open]), Verdict::Pending);
        assert_eq!(verdict(&[yes, no, open]), Verdict::Pending);
        assert_eq!(verdict(&[yes, no, yes]), Verdict::Won);
        assert_eq!(verdict(&[no, no, open]), Verdict::Lost);
        assert_eq!(verdict(&[yes, yes, no, no]), Verdict::Lost);
        assert_eq!(verdict(&[yes, yes, no, open]), Verdict::Pending);
    }

    proptest! {
        #[test]
        fn a_majority_has_reached_it_and_none_has_reached_more(values in proptest::collection::vec(0..9u64, 1..40)) {
            let agreed = agreed(&values);
            let reached = |at: u64| values.iter().filter(|value| **value >= at).count();
            prop_assert!(reached(agreed) > values.len() / 2);
            prop_assert!(reached(agreed + 1) <= values.len() / 2);
        }
    }
}
