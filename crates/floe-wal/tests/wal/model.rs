//! Random lives, compared with a simple log in memory after each crash and restart.

use bytes::Bytes;
use floe_raft::{Entry, EntryKind, GroupId, Index, Write};
use floe_wal::sim::SimDisk;
use floe_wal::{OpenError, Wal};
use proptest::prelude::*;

use crate::support::{Model, OPTIONS, Opened, id, open, try_open, write};

/// A write in relative terms, so that any sequence of them is one that a core could ask for.
#[derive(Clone, Debug)]
struct Recipe {
    group: u64,
    raise_term: bool,
    votes: bool,
    /// How many of the last entries are overwritten.
    overwrite: Option<u64>,
    restart: bool,
    lengths: Vec<u16>,
    kind: u8,
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Recipe>),
    /// The power fails after so many operations of the append.
    CrashIn(Vec<Recipe>, u64, u64),
    Compact {
        group: u64,
        keep: u64,
    },
    MakeSpare,
    Restart,
    LoseAll,
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let lengths = prop_oneof![
        8 => prop::collection::vec(0..300u16, 0..4),
        1 => prop::collection::vec(0..9000u16, 1..3),
    ];
    let overwrite = prop::option::weighted(0.2, 1..6u64);
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.03), 0..4u8);
    (1..4u64, flags, overwrite, lengths).prop_map(|(group, flags, overwrite, lengths)| {
        let (raise_term, votes, restart, kind) = flags;
        Recipe { group, raise_term, votes, overwrite, restart, lengths, kind }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let batch = || prop::collection::vec(recipe(), 1..4);
    prop_oneof![
        12 => batch().prop_map(Step::Append),
        3 => (batch(), 0..12u64, any::<u64>()).prop_map(|(batch, changes, seed)| Step::CrashIn(batch, changes, seed)),
        3 => (1..4u64, 0..8u64).prop_map(|(group, keep)| Step::Compact { group, keep }),
        2 => Just(Step::MakeSpare),
        1 => Just(Step::Restart),
        1 => Just(Step::LoseAll),
    ]
}

/// The write that a recipe makes of a group as it is.
fn cook(model: &Model, recipe: &Recipe) -> (GroupId, Write) {
    let group = GroupId(recipe.group);
    let now = model.group(group);
    let mut made = write();
    let mut hard_state = now.hard_state;
    if recipe.raise_term || now.hard_state.term.0 == 0 {
        hard_state.term = hard_state.term.next();
        hard_state.vote = None;
    }
    if recipe.votes && hard_state.vote.is_none() {
        hard_state.vote = Some(floe_raft::NodeId(recipe.lengths.len() as u64 + 1));
    }
    made.hard_state = (hard_state != now.hard_state).then_some(hard_state);
    let mut next = now.last().index.next();
    if recipe.restart {
        made.restart_after = Some(id(hard_state.term.0, next.0 + 10));
        next = Index(next.0 + 11);
    } else if let Some(overwrite) = recipe.overwrite {
        next = Index(next.0.saturating_sub(overwrite).max(now.base.index.0 + 1));
        made.truncate_from = Some(next);
    }
    for &length in &recipe.lengths {
        let kinds = [EntryKind::Noop, EntryKind::Command, EntryKind::Membership, EntryKind::Witnessed];
        let kind = kinds[usize::from(recipe.kind)];
        let seed = (next.0 ^ hard_state.term.0 << 4) as u8;
        let payload = Bytes::from(vec![seed; if kind == EntryKind::Noop { 0 } else { usize::from(length) }]);
        made.entries.push(Entry { id: id(hard_state.term.0, next.0), kind, payload });
        next = next.next();
    }
    (group, made)
}

fn cook_all(model: &Model, recipes: &[Recipe]) -> (Vec<(GroupId, Write)>, Model) {
    let mut after = model.clone();
    let mut batch = Vec::new();
    for recipe in recipes {
        let made = cook(&after, recipe);
        after.append(std::slice::from_ref(&made));
        batch.push(made);
    }
    (batch, after)
}

struct Host {
    disk: SimDisk,
    wal: Wal<SimDisk>,
    model: Model,
}

impl Host {
    fn take_over(&mut self, (wal, groups): Opened, expected: &[&Model]) {
        let found = Model::of(&wal, &groups).trimmed();
        let which = expected.iter().find(|model| model.trimmed() == found);
        self.model =
            which.copied().cloned().unwrap_or_else(|| panic!("found {found:?}, expected {expected:?}"));
        self.wal = wal;
    }

    fn perform(&mut self, step: &Step) {
        let model = self.model.clone();
        match step {
            Step::Append(recipes) => {
                let (batch, after) = cook_all(&model, recipes);
                self.wal.append(&batch).unwrap();
                self.model = after;
            }
            Step::CrashIn(recipes, changes, seed) => {
                let (batch, after) = cook_all(&model, recipes);
                self.disk.fail_power_after(*changes);
                let acknowledged = self.wal.append(&batch).is_ok();
                self.disk.crash(*seed);
                let expected = if acknowledged { [&after, &after] } else { [&model, &after] };
                match try_open(&self.disk) {
                    Ok(opened) => self.take_over(opened, &expected),
                    Err(OpenError::Corrupt { undecided: true, .. }) if !acknowledged => {
                        let opened = Wal::open_discarding_undecided(self.disk.clone(), OPTIONS).unwrap();
                        self.take_over(opened, &[&model]);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Compact { group, keep } => {
                let group = GroupId(*group);
                let entries = self.model.group(group).entries;
                if let Some(entry) = entries.iter().rev().nth(*keep as usize) {
                    self.wal.compact(group, entry.id).unwrap();
                    self.model.compact(group, entry.id);
                }
            }
            Step::MakeSpare => self.wal.spare_maker().make().unwrap(),
            Step::Restart => {
                self.disk.restart();
                self.take_over(open(&self.disk), &[&model]);
            }
            Step::LoseAll => {
                self.disk.crash_losing_all();
                self.take_over(open(&self.disk), &[&model]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_log_is_what_it_acknowledged(steps in prop::collection::vec(step(), 1..60)) {
        let disk = SimDisk::new();
        let (wal, _) = open(&disk);
        let mut host = Host { disk, wal, model: Model::default() };
        for step in &steps {
            host.perform(step);
        }
        host.perform(&Step::LoseAll);
    }
}
