//! Beats as bytes: the one place that knows the layout, which is specified in `docs/design/multi.md`.
//!
//! As in the core's codec, decoding never panics and makes room for an element only when it reads it.

use bytes::{Buf, BufMut, Bytes};
use floe_raft::codec::{CodecError, put_number, take_number};
use floe_raft::{GroupId, Index, NodeId, Round, Term};

use crate::beat::{Answer, Beat, Echo, Heartbeat, Vouch};

/// The version of the layout, the first byte of every beat.
pub const VERSION: u8 = 1;

/// Appends a beat to `out`, which must have room or grow.
pub fn encode_beat(beat: &Beat, out: &mut impl BufMut) {
    out.put_u8(VERSION);
    for number in [beat.from.0, beat.to.0, beat.life, beat.stamp] {
        put_number(out, number);
    }
    out.put_u8(u8::from(beat.echo.is_some()));
    if let Some(echo) = beat.echo {
        for number in [echo.life, echo.stamp, echo.version] {
            put_number(out, number);
        }
    }
    put_number(out, beat.vouch.version);
    put_number(out, beat.vouch.since);
    put_list(out, &beat.vouch.changes, |(group, term)| [group.0, term.map_or(0, |term| term.0)]);
    put_list(out, &beat.refusals, |(group, term)| [group.0, term.0]);
    put_list(out, &beat.heartbeats, |heartbeat| {
        let Heartbeat { group, term, commit, round } = heartbeat;
        [group.0, term.0, commit.0, round.0]
    });
    put_list(out, &beat.answers, |Answer { group, term, round }| [group.0, term.0, round.0]);
}

/// Reads one beat that takes up the whole input.
pub fn decode_beat(mut input: Bytes) -> Result<Beat, CodecError> {
    let version = take_byte(&mut input)?;
    if version != VERSION {
        return Err(CodecError::Version(version));
    }
    let [from, to, life, stamp] = take_numbers(&mut input)?;
    let echo = match take_byte(&mut input)? {
        0 => None,
        1 => {
            let [life, stamp, version] = take_numbers(&mut input)?;
            Some(Echo { life, stamp, version })
        }
        other => return Err(CodecError::Tag(other, "flag")),
    };
    let [version, since] = take_numbers(&mut input)?;
    let changes = take_list(&mut input, |[group, term]| (GroupId(group), (term != 0).then_some(Term(term))))?;
    let refusals = take_list(&mut input, |[group, term]| (GroupId(group), Term(term)))?;
    let heartbeats = take_list(&mut input, |[group, term, commit, round]| Heartbeat {
        group: GroupId(group),
        term: Term(term),
        commit: Index(commit),
        round: Round(round),
    })?;
    let answers = take_list(&mut input, |[group, term, round]| Answer {
        group: GroupId(group),
        term: Term(term),
        round: Round(round),
    })?;
    if !input.is_empty() {
        return Err(CodecError::Trailing(input.len()));
    }
    let vouch = Vouch { version, since, changes };
    Ok(Beat { from: NodeId(from), to: NodeId(to), life, stamp, echo, vouch, refusals, heartbeats, answers })
}

fn put_list<T, const N: usize>(out: &mut impl BufMut, list: &[T], numbers: impl Fn(&T) -> [u64; N]) {
    put_number(out, list.len() as u64);
    for element in list {
        for number in numbers(element) {
            put_number(out, number);
        }
    }
}

fn take_list<T, const N: usize>(
    input: &mut Bytes,
    element: impl Fn([u64; N]) -> T,
) -> Result<Vec<T>, CodecError> {
    let count = take_number(input)?;
    if count > input.len() as u64 {
        return Err(CodecError::Truncated);
    }
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(element(take_numbers(input)?));
    }
    Ok(list)
}

fn take_numbers<const N: usize>(input: &mut Bytes) -> Result<[u64; N], CodecError> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = take_number(input)?;
    }
    Ok(numbers)
}

fn take_byte(input: &mut Bytes) -> Result<u8, CodecError> {
    if input.has_remaining() { Ok(input.get_u8()) } else { Err(CodecError::Truncated) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn beats() -> impl Strategy<Value = Beat> {
        let list = || proptest::collection::vec(any::<[u64; 4]>(), 0..5);
        (any::<[u64; 6]>(), any::<Option<[u64; 3]>>(), [list(), list(), list(), list()]).prop_map(
            |([from, to, life, stamp, version, since], echo, [changes, refusals, heartbeats, answers])| {
                Beat {
                    from: NodeId(from),
                    to: NodeId(to),
                    life,
                    stamp,
                    echo: echo.map(|[life, stamp, version]| Echo { life, stamp, version }),
                    vouch: Vouch {
                        version,
                        since,
                        changes: changes
                            .iter()
                            .map(|[group, term, gone, _]| {
                                (GroupId(*group), (gone % 2 == 0).then_some(Term(*term | 1)))
                            })
                            .collect(),
                    },
                    refusals: refusals
                        .iter()
                        .map(|[group, term, ..]| (GroupId(*group), Term(*term)))
                        .collect(),
                    heartbeats: heartbeats
                        .iter()
                        .map(|[group, term, commit, round]| Heartbeat {
                            group: GroupId(*group),
                            term: Term(*term),
                            commit: Index(*commit),
                            round: Round(*round),
                        })
                        .collect(),
                    answers: answers
                        .iter()
                        .map(|[group, term, round, _]| Answer {
                            group: GroupId(*group),
                            term: Term(*term),
                            round: Round(*round),
                        })
                        .collect(),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn beats_survive_their_encoding_and_every_cut_is_an_error(beat in beats()) {
            let mut bytes = Vec::new();
            encode_beat(&beat, &mut bytes);
            let bytes = Bytes::from(bytes);
            for cut in 0..bytes.len() {
                prop_assert!(decode_beat(bytes.slice(..cut)).is_err());
            }
            prop_assert_eq!(decode_beat(bytes), Ok(beat));
        }

        #[test]
        fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = bytes;
            bytes.insert(0, VERSION);
            if let Ok(beat) = decode_beat(Bytes::from(bytes.clone())) {
                let mut again = Vec::new();
                encode_beat(&beat, &mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }

    #[test]
    fn a_beat_looks_like_the_specification() {
        let beat = Beat {
            from: NodeId(1),
            to: NodeId(2),
            life: 300,
            stamp: 5,
            echo: Some(Echo { life: 6, stamp: 7, version: 8 }),
            vouch: Vouch { version: 9, since: 8, changes: vec![(GroupId(3), None)] },
            refusals: vec![(GroupId(4), Term(2))],
            heartbeats: vec![Heartbeat {
                group: GroupId(1),
                term: Term(2),
                commit: Index(3),
                round: Round(4),
            }],
            answers: Vec::new(),
        };
        let mut bytes = Vec::new();
        encode_beat(&beat, &mut bytes);
        let expected = [1, 1, 2, 0xac, 2, 5, 1, 6, 7, 8, 9, 8, 1, 3, 0, 1, 4, 2, 1, 1, 2, 3, 4, 0];
        assert_eq!(bytes, expected);
    }
}
