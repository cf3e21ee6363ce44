//! Keys and values from the command line, where they are any bytes, and the ranges that flags describe.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use bytes::Bytes;

/// An argument as the bytes that were typed.
pub(crate) fn argument(word: OsString) -> Bytes {
    Bytes::from(word.into_vec())
}

/// What a command's key, range end and flags select.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) key: Bytes,
    /// Empty for the one key; the zero byte for everything from the key on.
    pub(crate) range_end: Bytes,
}

/// How far a selection reaches beyond its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The key alone, or up to the range end that was given.
    Given,
    /// Every key that begins with it.
    Prefix,
    /// Every key that is not before it.
    FromKey,
}

impl Reach {
    /// The reach that two flags, of which at most one is set, stand for.
    pub(crate) fn of(prefix: bool, from_key: bool) -> Self {
        match (prefix, from_key) {
            (true, _) => Self::Prefix,
            (false, true) => Self::FromKey,
            (false, false) => Self::Given,
        }
    }
}

impl Selection {
    /// Makes the range of a key, an optional end and a reach.
    pub(crate) fn new(key: OsString, range_end: Option<OsString>, reach: Reach) -> Self {
        let key = argument(key);
        match reach {
            Reach::Given => Self { key, range_end: range_end.map(argument).unwrap_or_default() },
            // The server takes no empty key; the zero byte is the smallest one, so from it on is everything.
            Reach::Prefix | Reach::FromKey if key.is_empty() => Self { key: zero(), range_end: zero() },
            Reach::FromKey => Self { key, range_end: zero() },
            Reach::Prefix => {
                let range_end = after_prefix(&key);
                Self { key, range_end }
            }
        }
    }
}

fn zero() -> Bytes {
    Bytes::from_static(b"\0")
}

/// The first key after all that begin with `prefix`: its last byte that can be raised is, and what follows is dropped.
/// A prefix of 0xff bytes only has none, so its range has no end.
fn after_prefix(prefix: &Bytes) -> Bytes {
    match prefix.iter().rposition(|&byte| byte != 0xff) {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end.into()
        }
        None => zero(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(key: &[u8]) -> (Bytes, Bytes) {
        let selection = Selection::new(OsString::from_vec(key.to_vec()), None, Reach::Prefix);
        (selection.key, selection.range_end)
    }

    fn pair(key: &'static [u8], end: &'static [u8]) -> (Bytes, Bytes) {
        (Bytes::from_static(key), Bytes::from_static(end))
    }

    #[test]
    fn a_prefix_ends_before_its_successor() {
        assert_eq!(prefix(b"ab"), pair(b"ab", b"ac"));
        assert_eq!(prefix(b"a\xff\xff"), pair(b"a\xff\xff", b"b"));
        assert_eq!(prefix(b"\xff"), pair(b"\xff", b"\0"));
        assert_eq!(prefix(b""), pair(b"\0", b"\0"));
    }

    #[test]
    fn a_range_ends_where_it_is_told_to() {
        let range = Selection::new("a".into(), Some("c".into()), Reach::of(false, false));
        assert_eq!((range.key, range.range_end), pair(b"a", b"c"));
        let from = Selection::new("a".into(), None, Reach::of(false, true));
        assert_eq!((from.key, from.range_end), pair(b"a", b"\0"));
    }
}
