//! W2-W4, W12-W16, W18: acknowledged bytes are damaged, misplaced, lost or forged. Wrong data are never
//! returned and nothing is dropped in silence; what has a second copy is mended.

use bytes::BufMut;
use floe_raft::{GroupId, Index, Write};
use floe_wal::sim::SimDisk;
use floe_wal::{OpenError, ReadError};
use proptest::prelude::*;

use crate::support::{
    FRAMES_START, GROUP, Model, OPTIONS, SLOTS_START, appended, hard_state, open, reopened, try_open,
};

const SEGMENT: &str = "0000000000000001.log";
const FRAME: u64 = FRAMES_START + 512;

/// Four acknowledged batches; the frames are 1024, 1024, 512 and 1024 bytes long, from `FRAME` on.
fn written() -> (SimDisk, Model) {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    let mut model = Model::default();
    for batch in [
        vec![(GROUP, Write { hard_state: Some(hard_state(1, Some(1))), ..appended(1, 1, &[300, 300]) })],
        vec![(GROUP, appended(1, 3, &[700])), (GroupId(4), appended(1, 1, &[5]))],
        vec![(GROUP, Write { hard_state: Some(hard_state(2, None)), ..appended(2, 4, &[8]) })],
        vec![(GROUP, Write { hard_state: Some(hard_state(2, Some(3))), ..appended(2, 5, &[500]) })],
    ] {
        wal.append(&batch).unwrap();
        model.append(&batch);
    }
    (disk, model)
}

#[test]
fn no_flipped_bit_anywhere_gives_wrong_data() {
    let (disk, model) = written();
    let whole = disk.contents(SEGMENT).unwrap();
    let frames = FRAMES_START as usize..FRAME as usize + 3584;
    let slots = SLOTS_START as usize..SLOTS_START as usize + 32 * 10;
    let headers =
        (0..520).chain(OPTIONS.segment_bytes as usize - 4096..OPTIONS.segment_bytes as usize - 3570);
    let elsewhere = (520..OPTIONS.segment_bytes as usize).step_by(97);
    let (mut refused, mut accepted) = (0, 0);
    for at in frames.chain(slots).chain(headers).chain(elsewhere) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let damaged = SimDisk::new();
        damaged.put(SEGMENT, bytes);
        match try_open(&damaged) {
            Ok((wal, groups)) => {
                assert_eq!(Model::of(&wal, &groups), model, "byte {at}");
                assert_eq!(reopened(&damaged), model, "byte {at}, after it was mended");
                accepted += 1;
            }
            Err(OpenError::Corrupt { file, .. }) => {
                assert_eq!(file, SEGMENT);
                refused += 1;
            }
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    // What the checksums cover of the four frames and the empty first one, less the hard states, which are
    // mended.
    let covered = 5 * 40 + 6 * 48 + 300 + 300 + 700 + 5 + 8 + 500;
    assert!(refused >= covered, "{refused} of {covered} refused, {accepted} accepted");
    assert!(refused <= covered + 3 * 64 + 4 * 7, "{refused} of {covered} refused, {accepted} accepted");
}

#[test]
fn damage_in_the_middle_names_file_offset_and_entry() {
    let (disk, _) = written();
    disk.flip_bit(SEGMENT, FRAME + 1024 + 300, 0);
    let error = try_open(&disk).unwrap_err();
    let OpenError::Corrupt { offset, group: Some(GROUP), index: Some(Index(3)), undecided: false, .. } =
        error
    else {
        panic!("{error}")
    };
    assert_eq!(offset, FRAME + 1024 + 40);
    let told = error.to_string();
    assert!(
        told.contains(SEGMENT) && told.contains("index 3") && told.contains("nothing was dropped"),
        "{told}"
    );
}

#[test]
fn damage_in_the_last_batch_is_never_dropped_in_silence() {
    let (disk, _) = written();
    disk.flip_bit(SEGMENT, FRAME + 2560 + 300, 0);
    let error = try_open(&disk).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { undecided: true, index: Some(Index(5)), .. }), "{error}");
}

#[test]
fn pages_that_are_zeroed_or_swapped_are_found_out() {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    for index in 1..=8 {
        wal.append(&[(GROUP, appended(1, index, &[1800]))]).unwrap();
    }
    for page in 1..4 {
        let (zeroed, swapped) = (disk.duplicate(), disk.duplicate());
        zeroed.damage(SEGMENT, |bytes| bytes[page * 4096..][..4096].fill(0));
        swapped.damage(SEGMENT, |bytes| {
            let (front, back) = bytes.split_at_mut((page + 1) * 4096);
            front[page * 4096..].swap_with_slice(&mut back[..4096]);
        });
        for damaged in [zeroed, swapped] {
            let error = try_open(&damaged).unwrap_err();
            assert!(matches!(error, OpenError::Corrupt { undecided: false, .. }), "page {page}: {error}");
        }
    }
}

#[test]
fn a_lost_write_is_found_out_even_with_its_identifier() {
    for lost in 0..3 {
        for loses_identifier in [false, true] {
            let (disk, _) = written();
            let (start, length) = [(0, 1024), (1024, 1024), (2048, 512)][lost];
            let first_slot = [1, 3, 4][lost];
            disk.damage(SEGMENT, |bytes| {
                bytes[FRAME as usize + start..][..length].fill(0);
                if loses_identifier {
                    bytes[SLOTS_START as usize + first_slot * 32..][..64].fill(0);
                }
            });
            let error = try_open(&disk).unwrap_err();
            assert!(matches!(error, OpenError::Corrupt { undecided: false, .. }), "{lost}: {error}");
        }
    }
}

#[test]
fn a_frame_of_another_history_is_found_out_by_the_chain() {
    // The write of the second batch was lost, and what lay there was an older, whole frame with the same number. Every
    // checksum verifies; only the third frame knows that it followed another one.
    let histories = [1, 2].map(|term| {
        let disk = SimDisk::new();
        let (mut wal, _) = open(&disk);
        for index in 1..=3 {
            wal.append(&[(GROUP, appended(term, index, &[700]))]).unwrap();
        }
        disk.contents(SEGMENT).unwrap()
    });
    let [mut bytes, other] = histories;
    let first = FRAME as usize..FRAME as usize + 1024;
    bytes[first.clone()].copy_from_slice(&other[first]);
    let slot = SLOTS_START as usize + 32..SLOTS_START as usize + 64;
    bytes[slot.clone()].copy_from_slice(&other[slot]);
    let disk = SimDisk::new();
    disk.put(SEGMENT, bytes);
    let error = try_open(&disk).unwrap_err();
    let OpenError::Corrupt { offset, reason, undecided: false, .. } = error else { panic!("{error}") };
    assert_eq!((offset, reason), (FRAME + 1024, "a frame does not follow the one before it"));
}

#[test]
fn the_last_writes_lost_together_are_found_out_by_their_identifiers() {
    for lost_from in [0, 1024, 2048] {
        let (disk, _) = written();
        disk.damage(SEGMENT, |bytes| bytes[FRAME as usize + lost_from..][..4096].fill(0));
        let error = try_open(&disk).unwrap_err();
        let OpenError::Corrupt { offset, undecided: false, .. } = error else { panic!("{error}") };
        assert_eq!(offset, FRAME + lost_from as u64);
    }
}

#[test]
fn a_misdirected_write_is_found_out() {
    // A whole frame, or a whole record, at another place where one belongs.
    for (from, to, length) in [(0, 1024, 1024), (40 + 64, 1024 + 40, 352), (1024 + 40, 40 + 64, 352)] {
        let (disk, _) = written();
        disk.damage(SEGMENT, |bytes| {
            let frames = &mut bytes[FRAME as usize..];
            frames.copy_within(from..from + length, to);
        });
        let error = try_open(&disk).unwrap_err();
        assert!(matches!(error, OpenError::Corrupt { undecided: false, .. }), "{error}");
    }
}

#[test]
fn one_bad_copy_of_the_vote_is_mended_bit_for_bit() {
    let (disk, model) = written();
    let whole = disk.contents(SEGMENT).unwrap();
    let first_copy = [FRAME as usize + 40, FRAME as usize + 2048 + 40, FRAME as usize + 2560 + 40];
    let second_copy = [1, 4, 6].map(|slot| SLOTS_START as usize + slot * 32);
    for (at, length) in first_copy.map(|at| (at, 64)).into_iter().chain(second_copy.map(|at| (at, 32))) {
        let damaged = disk.duplicate();
        damaged.damage(SEGMENT, |bytes| bytes[at..][..length].fill(0xa5));
        let (wal, groups) = open(&damaged);
        assert_eq!(Model::of(&wal, &groups), model);
        drop(wal);
        damaged.crash_losing_all();
        assert!(damaged.contents(SEGMENT).unwrap() == whole, "the copy at {at} is as it was");
    }
}

#[test]
fn both_bad_copies_of_the_vote_forbid_this_member_to_vote_again() {
    let (disk, _) = written();
    disk.flip_bit(SEGMENT, FRAME + 2048 + 40 + 50, 3);
    disk.flip_bit(SEGMENT, SLOTS_START + 4 * 32 + 24, 3);
    let error = try_open(&disk).unwrap_err();
    let OpenError::HardStateLost { offset, copy, group: Some(GROUP), .. } = error else { panic!("{error}") };
    assert_eq!((offset, copy), (FRAME + 2048 + 40, SLOTS_START + 4 * 32));
    assert!(error.to_string().contains("never vote again"), "{error}");
}

#[test]
fn damaged_redundant_things_are_counted() {
    let (disk, model) = written();
    assert_eq!(open(&disk).0.mended(), 0);
    disk.flip_bit(SEGMENT, 20, 0);
    disk.flip_bit(SEGMENT, FRAME + 40 + 50, 0);
    disk.flip_bit(SEGMENT, SLOTS_START + 3 * 32 + 9, 0);
    let (wal, groups) = open(&disk);
    assert_eq!((wal.mended(), Model::of(&wal, &groups)), (3, model));
    assert_eq!(open(&disk).0.mended(), 0, "once");
}

#[test]
fn two_bad_headers_are_a_bad_segment() {
    let (disk, _) = written();
    disk.flip_bit(SEGMENT, 20, 0);
    disk.flip_bit(SEGMENT, OPTIONS.segment_bytes - 4096 + 20, 0);
    assert!(matches!(try_open(&disk), Err(OpenError::Corrupt { offset: 0, .. })));
}

#[test]
fn damage_under_a_running_log_is_found_by_the_read() {
    let (disk, _) = written();
    let (wal, _) = open(&disk);
    disk.flip_bit(SEGMENT, FRAME + 1024 + 300, 0);
    let error = wal.reader().read(GROUP, Index(1), Index(5), 1 << 20).unwrap_err();
    assert!(matches!(error, ReadError::Corrupt { index: Index(3), group: GROUP, .. }), "{error}");
    let before = wal.reader().read(GROUP, Index(1), Index(2), 1 << 20).unwrap();
    assert_eq!(before.len(), 2, "its neighbours are still there");
    disk.flip_bit(SEGMENT, FRAME + 1024 + 40 + 33, 0);
    assert!(matches!(wal.reader().read(GROUP, Index(3), Index(3), 1), Err(ReadError::Corrupt { .. })));
}

/// The checksum of `docs/design/wal.md`, written down a second time.
fn checksum(offset: u64, bytes: &[u8]) -> u32 {
    let mut input = Vec::new();
    for word in [OPTIONS.cluster, OPTIONS.member, 1, offset] {
        input.put_u64_le(word);
    }
    input.extend_from_slice(bytes);
    crc32c::crc32c(&input)
}

/// Puts words into a header, and a checksum that fits.
fn forge(disk: &SimDisk, offset: u64, header_bytes: usize, words: &[(usize, u32)]) {
    disk.damage(SEGMENT, |bytes| {
        let header = &mut bytes[offset as usize..][..header_bytes];
        for &(at, word) in words {
            header[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        let sum = checksum(offset, &header[4..]);
        header[..4].copy_from_slice(&sum.to_le_bytes());
    });
}

#[test]
fn the_format_is_the_one_that_is_written_down() {
    let (disk, _) = written();
    let bytes = disk.contents(SEGMENT).unwrap();
    let word = |at: u64| u32::from_le_bytes(bytes[at as usize..][..4].try_into().unwrap());
    let long = |at: u64| u64::from_le_bytes(bytes[at as usize..][..8].try_into().unwrap());
    assert_eq!(&bytes[..8], b"floe-wal");
    assert_eq!(word(8), crc32c::crc32c(&bytes[12..512]));
    assert_eq!((word(12), long(16), long(24), long(32), long(48)), (1, 0xc1, 0x3e, 1, 1));
    assert_eq!(long(40), OPTIONS.segment_bytes);
    assert_eq!(&bytes[OPTIONS.segment_bytes as usize - 4096..][..512], &bytes[..512]);

    let frame = FRAME;
    assert_eq!(word(frame), checksum(frame, &bytes[frame as usize + 4..][..36]));
    assert_eq!(&bytes[frame as usize + 4..][..4], b"frme");
    assert_eq!((long(frame + 8), word(frame + 16), word(frame + 20), word(frame + 24)), (2, 1024, 3, 1));
    assert_eq!(word(frame + 28), word(FRAMES_START), "the chain from frame to frame");
    let [vote, first, second] = [frame + 40, frame + 40 + 64, frame + 40 + 64 + 352];
    assert_eq!((bytes[vote as usize + 16], long(vote + 40), long(vote + 48), long(vote + 56)), (1, 1, 1, 1));
    for record in [vote, first, second] {
        assert_eq!(word(record), checksum(record, &bytes[record as usize + 4..][..44]));
        let payload = &bytes[record as usize + 48..][..word(record + 12) as usize];
        assert_eq!(word(record + 4), crc32c::crc32c(payload));
    }
    assert_eq!(
        (word(vote + 8), word(first + 8), word(second + 8)),
        (word(frame + 28), word(vote), word(first))
    );
    assert_eq!(word(frame + 32), word(second));
    assert_eq!((&bytes[second as usize + 16..][..2], long(second + 24)), (&[5, 1][..], 1));
    assert_eq!((long(second + 32), long(second + 40)), (2, 1));

    let [copy, identifier] = [SLOTS_START + 32, SLOTS_START + 64];
    assert_eq!((&bytes[copy as usize + 4..][..2], long(copy + 8)), (&[2, 1][..], 1));
    assert_eq!((long(copy + 16), long(copy + 24)), (1, 1));
    assert_eq!((bytes[identifier as usize + 4], long(identifier + 8)), (1, 2));
    let [offset, length, sum] = [16, 20, 24].map(|at| word(identifier + at));
    assert_eq!((u64::from(offset), length, sum), (frame, 1024, word(frame)));
    for slot in [copy, identifier] {
        assert_eq!(word(slot), checksum(slot, &bytes[slot as usize + 4..][..28]));
    }
}

#[test]
fn forged_lengths_and_counts_are_refused_without_room_for_them() {
    let forgeries: [&[(usize, u32)]; 6] = [
        &[(16, 0xffff_fe00)],
        &[(16, 0)],
        &[(20, u32::MAX)],
        &[(24, u32::MAX), (20, u32::MAX), (16, 0xffff_fe00)],
        &[(20, 17), (24, 17)],
        &[(8, 77)],
    ];
    for forgery in forgeries {
        let (disk, _) = written();
        forge(&disk, FRAME, 40, forgery);
        let error = try_open(&disk).unwrap_err();
        assert!(
            matches!(error, OpenError::Corrupt { .. } | OpenError::HardStateLost { .. }),
            "{forgery:?}: {error}"
        );
    }
    for word in [(12, u32::MAX), (12, 0x7fff_ffff), (36, u32::MAX), (8, 1), (16, 99)] {
        let (disk, _) = written();
        forge(&disk, FRAME + 40 + 64, 48, &[word]);
        assert!(matches!(try_open(&disk), Err(OpenError::Corrupt { .. })), "{word:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_damage_makes_the_log_panic_or_lie(
        damages in prop::collection::vec((0..OPTIONS.segment_bytes as usize, 1..2000usize, any::<u8>()), 1..4),
        in_frames in any::<bool>(),
    ) {
        let (disk, model) = written();
        disk.damage(SEGMENT, |bytes| {
            for (at, length, value) in damages {
                let start = if in_frames { FRAMES_START as usize + at % 4096 } else { at };
                let end = (start + length).min(bytes.len());
                bytes[start..end].fill(value);
            }
        });
        if let Ok((wal, groups)) = try_open(&disk) {
            let found = Model::of(&wal, &groups);
            // More than one thing may be hit at once. When all trace of the last batches is gone, frames and
            // identifiers, that cannot be seen from here; what is left is still a prefix, and right.
            for (id, group) in &found.0 {
                prop_assert!(model.group(*id).entries.starts_with(&group.entries));
            }
        }
    }

    #[test]
    fn any_bytes_under_a_segments_name_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..10_000)) {
        let disk = SimDisk::new();
        disk.put(SEGMENT, bytes);
        let refused = matches!(try_open(&disk), Err(OpenError::Corrupt { .. }));
        prop_assert!(refused);
    }
}
