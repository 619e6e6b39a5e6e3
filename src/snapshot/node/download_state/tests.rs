use bytes::Bytes;

use super::*;

/// The size of a snapshot with `pages` pages.
fn whole(pages: u64) -> u64 {
    pages * 4096 + 32
}

fn state_at(offset: u64) -> DownloadState {
    let mut state = DownloadState::new(1 << 40, "/var/log/pods/x on node cp1".to_owned());
    state.advance(offset).expect("it is below the limit");
    state
}

/// Reads a response of `length` bytes from `start` on, and returns what follows.
fn read(state: &mut DownloadState, start: u64, end: Option<u64>, size: Option<u64>, length: u64) -> Result<Step> {
    let mut body = state.open_body(start, end, size)?;
    for piece in vec![0; length as usize].chunks(1000) {
        let new = body.accept(Bytes::copy_from_slice(piece))?;
        state.advance(new.len() as u64)?;
    }
    if let Some(problem) = body.incomplete() {
        return Err(Error::failed(problem));
    }
    Ok(state.after_body(&body))
}

/// Reads the range from the offset to `end` of a file of `size` bytes.
fn read_range(state: &mut DownloadState, end: u64, size: u64) -> Result<Step> {
    let start = state.offset();
    read(state, start, Some(end), Some(size), end - start)
}

fn message(result: Result<Step>) -> String {
    result.expect_err("it is an error").message().to_owned()
}

#[test]
fn ranges_follow_each_other_until_the_file_does_not_grow_faster() {
    let mut state = state_at(0);
    assert_eq!(state.range(), (0, RANGE));
    assert_eq!(read_range(&mut state, 5000, 90_000).ok(), Some(Step::ReadOn));
    assert_eq!(state.range(), (5000, 5000 + RANGE));
    assert_eq!(read_range(&mut state, 90_000, 90_000).ok(), Some(Step::CaughtUp { pause: true }));
    let large = 90_000 + WORTHWHILE;
    assert_eq!(read_range(&mut state, large, large).ok(), Some(Step::CaughtUp { pause: false }));
}

#[test]
fn the_end_of_the_growing_file_is_not_the_end_and_that_of_the_final_one_is() {
    let mut state = state_at(5000);
    assert_eq!(state.past_the_end(Some(5000)).ok(), Some(Step::NothingNew));
    assert_eq!(state.past_the_end(None).ok(), Some(Step::NothingNew));
    assert!(state.try_final_name());
    assert_eq!(state.past_the_end(Some(5000)).ok(), Some(Step::Complete));
    assert_eq!(read_range(&mut state, 6000, 9000).ok(), Some(Step::ReadOn));
    assert_eq!(read_range(&mut state, 9000, 9000).ok(), Some(Step::Complete));
}

#[test]
fn a_renamed_file_is_read_from_the_same_offset() {
    let mut state = state_at(5000);
    assert_eq!(state.name(), FileName::Part);
    assert!(state.try_final_name());
    assert_eq!((state.name(), state.offset()), (FileName::Final, 5000));
}

#[test]
fn where_neither_name_exists_the_pod_decides() {
    let mut state = state_at(0);
    assert!(state.try_final_name() && !state.try_final_name());
    // etcdctl runs, so it will create `.part`.
    state.no_file(false).expect("it may come");
    assert_eq!(state.name(), FileName::Part);
    // etcdctl has just ended, so both requests may have missed the rename.
    assert!(state.try_final_name() && !state.try_final_name());
    state.set_etcdctl_succeeded(true);
    state.no_file(false).expect("it may be there now");
    assert_eq!(state.name(), FileName::Final);
    // etcdctl had ended before.
    let error = state.no_file(true).expect_err("it was deleted");
    assert_eq!(error.message(), "the finished snapshot is no longer in /var/log/pods/x on node cp1");
}

#[test]
fn a_file_that_becomes_shorter_is_an_error() {
    let mut state = state_at(5000);
    let expected = "the file on the node became shorter: 4999 bytes, after 5000 were read";
    assert_eq!(message(state.past_the_end(Some(4999))), expected);
    assert_eq!(message(read(&mut state, 5000, Some(5001), Some(4999), 1)), expected);
}

#[test]
fn a_response_from_the_start_adds_only_what_is_new() {
    let mut state = state_at(5000);
    assert_eq!(read(&mut state, 0, None, None, 8000).ok(), Some(Step::CaughtUp { pause: true }));
    assert_eq!(state.offset(), 8000);
    // Nothing new, as with 416; and a pause even after many new bytes, because the next one is as long.
    assert_eq!(read(&mut state, 0, None, None, 8000).ok(), Some(Step::NothingNew));
    assert_eq!(read(&mut state, 0, None, None, 8000 + WORTHWHILE).ok(), Some(Step::CaughtUp { pause: true }));
    state.try_final_name();
    assert_eq!(read(&mut state, 0, None, None, 8000 + WORTHWHILE).ok(), Some(Step::Complete));
}

#[test]
fn a_truncated_range_keeps_what_arrived() {
    let mut state = state_at(5000);
    assert_eq!(message(read(&mut state, 5000, Some(9000), Some(9000), 1000)), "the connection ended early");
    assert_eq!(state.range().0, 6000);
}

#[test]
fn more_bytes_than_the_database_has_are_an_error() {
    let mut state = DownloadState::new(5000, String::new());
    assert!(message(read(&mut state, 0, None, None, 9000)).starts_with("the snapshot does not end: 5000 bytes"));
}

#[test]
fn the_checksum_is_compared_once_for_each_possible_length() {
    let mut state = state_at(whole(2) - 1);
    assert!(!state.must_compare_checksum(), "no snapshot has this length");
    state.advance(1).expect("it is below the limit");
    assert!(state.must_compare_checksum());
    assert!(!state.must_compare_checksum());
    state.advance(4096).expect("it is below the limit");
    assert!(state.must_compare_checksum());
}

#[test]
fn a_whole_snapshot_that_waits_for_its_name_does_not_stall() {
    assert!(state_at(0).can_stall() && state_at(5000).can_stall());
    assert!(!state_at(whole(3)).can_stall());
}
