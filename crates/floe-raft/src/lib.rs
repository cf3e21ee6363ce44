//! One Raft group as a pure function of its inputs: no I/O, no clock, no threads, no randomness of its own.
//!
//! This page explains the protocol as it is built here, from the ground up, and names the file of each part. It
//! follows the Raft paper (Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm", 2014) and
//! Ongaro's thesis (2014); where it differs from them, or where others who built it stumbled, it says so.
//!
//! # What it is for
//!
//! Some machines keep the same *log*: a list of commands. Each applies the log's commands, in order, to a *state
//! machine* of its own; as the logs are equal, so are the states. A command counts once it is *committed*: it is on
//! the disks of a majority and no failure of a minority can undo it. Any two majorities share a member, so that
//! whatever a majority decided is known to somebody in every later majority. All of Raft is the care that goes into
//! this sentence.
//!
//! # Driving a node
//!
//! A [`Node`] is one member. It does nothing by itself: its host hands it what happened, and performs what it asks
//! for. The methods are of four families.
//!
//! - `handle_*`: something happened. A message came, a write is durable, a timer is due. They never fail.
//! - Commands: [`Node::propose`], [`Node::forward`], [`Node::read`], [`Node::transfer_leadership`],
//!   [`Node::change_membership`]. They are refused with an error that says what to do.
//! - `poll_*`: [`Node::poll_effect`] yields the next [`Effect`] to perform, [`Node::poll_timeout`] the time at which
//!   to call [`Node::handle_timeout`].
//! - Getters.
//!
//! **Hand over every input that waits; then drain `poll_effect` to `None`; then re-arm the timer.** What goes out is
//! made in the drain, of all inputs since the last one. Batching is therefore nobody's business: a thousand proposals
//! between two drains are one write and one append a peer.
//!
//! ```text
//! loop {
//!     wait for a message, a finished write, a finished apply, a request, or node.poll_timeout();
//!     for each input that is there:     node.handle_...(now, input)  or  node.propose(now, command) ...
//!     while let Some(effect) = node.poll_effect() {
//!         Persist(write)     hand to the disk's thread; when it is durable: handle_persisted(write.id)
//!         Send(envelope)     hand to the network; it may lose, delay, repeat and reorder
//!         Apply(entries)     hand to the state machine; when it is done: handle_applied(last.index)
//!         Fetch { .. }       read old entries from disk; then handle_fetched(id, entries)
//!         ReadReady { .. }   answer the read from the state machine
//!         ...
//!     }
//! }
//! ```
//!
//! Time is an argument, and so is the seed of the random timeouts. The same inputs give the same outputs, on a
//! server, in the simulator, and in a browser.
//!
//! # Nothing comes out before it is safe
//!
//! Other libraries hand their host messages and writes together with rules on their order, and hosts get it wrong: a
//! vote that leaves before it is on disk can be cast twice, and then two leaders of one term destroy each other's
//! log. Here the core holds back what depends on a write until that write is reported (`outbox.rs`, `log/writes.rs`):
//!
//! - Everything said under a new term waits until term and vote are durable, votes and requests for votes above all.
//! - An acknowledgement of entries waits for exactly those entries (`role/follower.rs`). It is the smaller of two
//!   numbers: how far this leader's messages were compared with the log, and how far the log is on disk. There is no
//!   queue of acknowledgements that could outlive what it speaks of.
//! - A leader counts itself for what its own disk has reported, like any other member. It sends entries out beside its
//!   own write, and may commit before that is done, on the word of the others.
//! - What is applied is committed and on the own disk, so that no state machine is ever ahead of its log.
//!
//! What a finished write proves changes when the log is overwritten while it is under way. `log/writes.rs` tells the
//! story of the nine steps in which an old acknowledgement comes to stand for entries that are not on disk.
//!
//! # Terms and elections
//!
//! Time is divided into *terms*, numbered upwards. In a term a node votes at most once, and a candidate needs the
//! votes of a majority, so that a term has at most one leader. Every message carries its sender's term. A higher one
//! makes its receiver a follower of that term; a lower one is answered with nothing but the present term (`node.rs`).
//!
//! A node is in one of four roles (`role.rs`), each with data of its own that goes when the role goes:
//!
//! - *Follower*: hears from a leader. If it does not for a random time in one to two election timeouts, it campaigns.
//! - *Pre-candidate*: asks the others whether they would vote for it (thesis 9.6). A node that was cut off would
//!   otherwise come back with a high term, and depose a leader that does well. Nobody's term or vote changes.
//! - *Candidate*: enters the next term, votes for itself, and asks for votes.
//! - *Leader*: until it hears of a higher term, or that it is of no use any more.
//!
//! A vote is given to a candidate whose log is not behind (`election.rs`): its last entry has a higher term, or the
//! same term and no lower index. What is committed is on a majority; a candidate needs a majority's votes; so one of
//! its voters has every committed entry, and refuses a candidate that has not. *Leaders have every committed entry.*
//! That is why a leader never changes its log but by appending, and why entries flow from it alone.
//!
//! Three more rules keep elections rare. A voter that heard from a leader within the last election timeout refuses
//! others (*stickiness*). A leader that a majority did not answer for an election timeout steps down and is silent
//! (*CheckQuorum*): one that can send but not hear would be deposed by nobody, for everyone hears it. And a leader
//! whose disk has not finished a write for as long invites the voter closest to its log, and steps down, too: its
//! heartbeats must not outlive its use. While its disk hangs, a node asks for no votes and promises none.
//!
//! In one graph of broken links that is not enough: the only node that still reaches a majority lacks an entry, and
//! nobody else can be elected. So a candidate that is refused asks its refuser for what it lacks, and campaigns again
//! (`catch_up.rs`). The argument is in `docs/design/elections.md`.
//!
//! Together they make deadlocks possible that none has alone, and each has happened to somebody: see the comments at
//! `Node::handle_pre_vote` and `Node::answer_old`.
//!
//! When the kernel of a leader's machine refuses connections, its process is dead. With that evidence
//! ([`Node::handle_peer_gone`]) a follower asks for pre-votes at once instead of waiting, and again soon if others have
//! not noticed yet. It forgets what it knew as soon as it hears the leader again. False evidence does no
//! harm: those that hear the leader refuse. With leases the evidence counts for nothing: what was promised holds.
//!
//! # Replication
//!
//! A leader appends a command to its log and sends it to each peer as [`Message::Append`], with the id (term and
//! index) of the entry before. A follower that holds that entry takes what follows; one that does not refuses. By
//! induction two logs that share an entry share everything before it: *log matching*. `log/terms.rs` keeps which term
//! each index has as a few runs in memory, so that no such question needs the disk.
//!
//! Of each peer a leader knows two numbers (`replication/progress.rs`). `matched` is what the peer acknowledged; it
//! only rises. `next` is what to send next, a guess. While *probing*, a leader sends one append and waits. If it is
//! refused, the answer names the follower's last entry that could agree with the refused one; the leader answers with
//! its own last entry that could agree with that. Each round trip skips a whole term. Once an append is accepted, the
//! leader *replicates*: it sends on without waiting, in a window that is bounded in messages and bytes. Should
//! messages be lost, the next heartbeat's answer shows that the peer is alive but behind, and it is asked where it
//! stands.
//!
//! Followers truncate only what really conflicts. An append that is late and short agrees with the log and changes
//! nothing; one that contradicts a committed entry is refused with an [`Alarm`], since somebody's disk was lost.
//!
//! # Commit
//!
//! A leader commits the largest index that a majority acknowledged, *if that entry is of its own term*
//! (`replication.rs`). An entry of an older term on a majority can still be overwritten (paper, figure 8): a node
//! with a newer last term may lack it, win, and replace it. It is committed along with the first entry of the
//! leader's own term. So that this need not wait for a client, a leader begins its term with an empty entry.
//!
//! Followers learn the commit index from appends and heartbeats. They commit no further than what *this* leader has
//! compared: beyond it their log may hold entries of another.
//!
//! # Reads
//!
//! A read must see every write that was acknowledged before it began. A leader that answers from its state might have
//! been deposed without knowing. So it notes its commit index, sends a heartbeat, and answers when a majority has
//! answered *that* heartbeat, or a later one, and the index is applied (`reads.rs`). A round serves all reads that
//! wait. Rounds are numbered by the leader within its term, and only answers of that term count. Followers and
//! learners ask the leader for the index, and serve the read themselves.
//!
//! Those who trust their clocks can spare the round ([`ReadMode::Lease`], `lease.rs`). Who answers a heartbeat promises to
//! elect nobody for an election timeout; a leader that a quorum answered knows that it has no successor for as long
//! after it *sent* that heartbeat, less a margin for the difference of clocks. It answers at once by that, and by a
//! round when it has no lease. The argument is in `docs/design/reads.md`.
//!
//! A read that cannot be confirmed because the leader changed is aborted, never dropped: the host hears of every one.
//!
//! # Proposals from anywhere
//!
//! A follower passes commands on to the leader (`forward.rs`). The outcome is one of three: appended at a place in
//! the log, which is not to say committed; refused, and then it is in no log; or unknown, when the leader was lost
//! from sight. It is never guessed at, and never sent again: a command that may have been appended must not be
//! appended twice. When the network repeats it, the leader knows it again.
//!
//! # Handing over
//!
//! To stop without a gap, a leader hands over (`transfer.rs`): it refuses proposals, waits until the target has all
//! of its log, and tells it to campaign at once. The order names the leader's term and last entry; one that comes
//! late, when the leader has given up and gone on, is not obeyed.
//!
//! A leader whose machine is not the best one for it hands over by itself ([`Config::priority`], `priority.rs`).
//! Priorities delay a campaign and start a handover; they never decide a vote.
//!
//! # Snapshots
//!
//! A log cannot grow for ever. Each host drops entries that its state machine contains ([`Node::handle_compacted`]).
//! A peer that still needs them is sent the state instead (`snapshot.rs`): the core asks for it by
//! [`Effect::SendSnapshot`], the hosts stream it between them, and the receiver's core decides. What it already has
//! is ignored; what its log contains changes only what it knows to be committed; anything else takes the place of the
//! whole log.
//!
//! # Membership
//!
//! Who votes is itself an entry of the log, in force from the moment it is *in* the log, and rolled back when it is
//! truncated (`membership.rs`). A change of one voter is entered directly, since any old majority meets any new one. A
//! change of more goes by way of a *joint* membership (thesis 4.3), in which every decision needs a majority of the
//! old and of the new voters; the leader leaves it by itself (`change.rs`, `reconfigure.rs`). All counting goes through
//! one type that knows about both (`quorum/joint.rs`). Learners receive the log and do not count; one that is caught up
//! can be promoted. All members of a new group start from the same membership, given at birth; a node that joins later
//! starts from none. A leader that is removed leads until that is committed, and hands over. The rules and the
//! counter-examples that they prevent are in `docs/design/membership.md`.
//!
//! A *witness* is a voter that keeps everything of the log but the commands: it helps to elect and to commit, and never
//! leads. What is committed must be on the disk of one member with data at least, so that witnesses alone are never a
//! majority (`docs/design/membership.md`).
//!
//! # How it is checked
//!
//! `invariants.rs` states what must hold of a node at every moment, and from one moment to the next; debug builds
//! check it after every input. Golden scripts under `testscripts/` show each mechanism message by message, and random
//! schedules look for what no script foresees. [`Invariants`] is public for the simulator. Bugs that others had are put
//! back one at a time (`mutant.rs`), and each must be found. `cargo xtask exhaustive` explores every state of small
//! groups of this very core, within bounds.
//!
//! # What is absent, and why
//!
//! - **No storage and no network traits.** A core that calls out can block, fail half-way, and be called back. This one
//!   asks by value and is told by value.
//! - **No ticks.** A host that is woken ten times a second for nothing wastes power in every idle group, and counted
//!   ticks lie when a process is paused. There are deadlines.
//! - **No client sessions.** A client that repeats a command after an unknown outcome may have it applied twice; the
//!   state machine has to tell.
//! - **No repair of a damaged log.** An entry that cannot be read is not sent and not applied; the numbers of the
//!   messages by which members could help each other are reserved.
//! - **No Byzantine faults.** Members may crash, stall, lose and repeat messages, and come back; they do not lie. A
//!   peer that sends nonsense is named in an alarm and cannot make a node panic or allocate without bound, but one that
//!   forges acknowledgements can lose data.
//! - **No second life after a lost disk.** A member that forgets its vote or its log must come back under a new id: it
//!   could vote twice, and a majority that counted on its disk is none.
#![forbid(unsafe_code)]

mod apply;
mod catch_up;
mod change;
pub mod codec;
mod config;
mod effect;
mod election;
mod entry;
mod error;
mod fetch;
mod forward;
mod id;
mod input;
mod invariants;
mod lease;
mod log;
mod membership;
mod message;
mod mutant;
mod node;
mod outbox;
mod priority;
mod quiet;
mod quorum;
mod random;
mod reads;
mod reconfigure;
mod replication;
mod role;
mod snapshot;
mod stage;
mod status;
mod transfer;
mod validate;
mod view;

pub use change::{MembershipChange, MembershipOperation};
pub use config::{Config, Lease};
pub use effect::{Alarm, Effect, RoleKind};
pub use entry::{Entry, EntryKind, HardState, Restored, Write};
pub use error::{ConfigError, MembershipError, ProposeError, ReadError, TransferError};
pub use id::{FetchId, GroupId, Index, LogId, NodeId, ProposalId, ReadId, Round, Term, Time, WriteId};
pub use input::{Fetched, ReadMode, SnapshotOutcome};
pub use invariants::{Invariants, Violation};
pub use membership::Membership;
pub use message::{Envelope, Message};
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use node::Node;
pub use status::{ProgressState, ProgressStatus, Status};
