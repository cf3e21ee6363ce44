//! Client sessions: a request that reaches a replicated state machine twice is applied once, and both times gets the
//! same reply.
//!
//! A client that hears nothing cannot know whether its write happened. If it gives up, a write may be done that it
//! believes is not; if it tries again, one may be done twice (Ongaro's thesis, section 6.3). So it names the request: a
//! [`ClientId`] of its own and a [`Sequence`] that it counts up. The name and the clock of whoever proposes travel with
//! the command as a [`Tag`]; the state machine asks its [`SessionTable`] before it applies the command, and tells it the
//! reply afterwards.
//!
//! ```text
//! match table.admit(&tag) {
//!     Verdict::Apply(admitted) => {
//!         let reply = apply(command);
//!         table.record(admitted, &reply);
//!         reply
//!     }
//!     Verdict::Replay(reply) => reply,
//!     Verdict::Refused(refusal) => refusal,
//! }
//! ```
//!
//! # The rules
//!
//! **The table is state.** It changes by commands only, so it is equal on all replicas, and it belongs into snapshots
//! ([`SessionTable::encode`], or row by row: [`SessionTable::changes`] and [`Restore`]). A replica that came from a
//! snapshot without it applies a retry again, and differs from the others from then on.
//!
//! **Time is the log's.** It is the latest stamp of any command so far, so every replica forgets a session at the same
//! entry. A stamp that goes back changes nothing.
//!
//! **A session needs no opening round.** Its id is a UUID of version 7: the time of its birth by the client's clock, and
//! 74 random bits. The first request of an id that the table does not know opens the session if the id is younger than
//! [`Limits::fresh_ms`]; an older one is [`Refusal::Expired`]. A session is kept until its id is older than that, and for
//! [`Limits::retention_ms`] after its last request, whichever is later. So an id that was forgotten never counts as
//! fresh again, and nothing is applied twice *whatever any clock shows*: a wrong clock makes sessions expire early, or
//! keeps a client from opening one, and both are refusals. Without the birth in the id, the retry of a first request
//! that comes after the session was forgotten would open it anew and be applied a second time.
//!
//! **Requests may overtake each other.** A session remembers the replies of the [`Limits::window`] highest sequences
//! below its highest. What is in there was applied, what is missing from it was not, so pipelined requests may arrive in
//! any order as long as the lowest that is unanswered lies less than a window below the highest. What lies lower is
//! [`Refusal::TooOld`].
//!
//! **Memory is bounded, and nothing that was promised is dropped for it.** Past [`Limits::max_sessions`] or
//! [`Limits::max_bytes`] no new session is opened and only small replies are kept; past twice the bytes nothing more is
//! admitted until sessions have expired. [`Refusal::Busy`] says so, and that this attempt did nothing.
//!
//! The bytes are specified in `docs/design/sessions.md`.
#![forbid(unsafe_code)]

mod codec;
mod id;
mod limits;
mod restore;
mod session;
mod table;
mod tag;
mod verdict;

pub use codec::MalformedTable;
pub use id::{ClientId, InvalidRequestId, RequestId, Sequence};
pub use limits::Limits;
pub use restore::{Restore, RestoreError};
pub use table::{Changes, SessionTable};
pub use tag::{InvalidTag, Tag};
pub use verdict::{Admitted, Refusal, Replayed, Verdict};
