//! In which worlds each bug is looked for, and which bugs are found within seconds.

use floe_sim::{Feature, Mutant, Restrictions};

/// Forces upon every seed what the bug needs. Most need nothing: the mix of the seeds brings them out.
pub(crate) fn world_for(mutant: Mutant) -> Restrictions {
    let focus = FOCUS.iter().find(|focus| focus.mutant == mutant.name());
    let Some(Focus { voters, with, .. }) = focus else { return Restrictions::default() };
    Restrictions { voters: *voters, with: with.iter().copied().collect(), ..Restrictions::default() }
}

/// Whether it belongs to the half that continuous integration looks for.
pub(crate) fn is_fast(mutant: Mutant) -> bool {
    !SLOW.contains(&mutant.name())
}

struct Focus {
    mutant: &'static str,
    voters: Option<u64>,
    with: &'static [Feature],
}

const FOCUS: &[Focus] = &[];

/// Found, but after more than a few seconds.
const SLOW: &[&str] = &[];
