//! How far the download of the growing file is, and what each response means. Sends no requests and reads no clock.
//!
//! etcdctl writes `snapshot.db.part` and renames it when it is complete. `.part` is read until then, and the final name
//! from the same offset on.

use super::response_body::ResponseBody;
use crate::error::{Error, Result};
use crate::snapshot::writer::may_be_complete;

/// The most that one request asks for.
const RANGE: u64 = 64 << 20;

/// A response with at least this many new bytes was worth its request, so the next one follows at once.
const WORTHWHILE: u64 = 16 << 20;

/// The names of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileName {
    /// etcdctl still writes it.
    Part,
    /// It is complete.
    Final,
}

impl FileName {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            FileName::Part => "snapshot.db.part",
            FileName::Final => "snapshot.db",
        }
    }
}

/// What follows a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The file was read to its end.
    Complete,
    /// The next range is requested at once.
    ReadOn,
    /// The file was read as far as etcdctl has written it. It is complete if the checksum matches. If not, the next
    /// range is requested, after a pause if `pause` is set.
    CaughtUp { pause: bool },
    /// There was nothing new. It is complete if the checksum matches. If not, the pod and the stall limit are checked.
    NothingNew,
}

/// The download of one file.
#[derive(Debug)]
pub(super) struct DownloadState {
    offset: u64,
    name: FileName,
    /// etcdctl had exited with 0 when the pod was looked at last.
    etcdctl_succeeded: bool,
    /// The length for which the checksum was compared last.
    compared_at: u64,
    /// More bytes than any snapshot of this database can have.
    max_size: u64,
    /// Where the file is, for messages.
    place: String,
}

impl DownloadState {
    pub(super) fn new(max_size: u64, place: String) -> Self {
        DownloadState { offset: 0, name: FileName::Part, etcdctl_succeeded: false, compared_at: 0, max_size, place }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn name(&self) -> FileName {
        self.name
    }

    /// Returns the range to request, as the first offset and the one behind the last.
    pub(super) fn range(&self) -> (u64, u64) {
        (self.offset, self.offset + RANGE)
    }

    /// Returns the reader of a response whose body starts at `start`, and ends before `end` if the response says so.
    /// `size` is the size of the file, if the response says it.
    pub(super) fn open_body(&self, start: u64, end: Option<u64>, size: Option<u64>) -> Result<ResponseBody> {
        self.check_size(size)?;
        Ok(ResponseBody::new(start, end, size, self.offset))
    }

    /// Adds `length` new bytes.
    pub(super) fn advance(&mut self, length: u64) -> Result<()> {
        if self.offset + length > self.max_size {
            let what =
                format!("the snapshot does not end: {} bytes arrived, far more than the database holds", self.offset);
            return Err(Error::failed(what).hint(
                "connect to the API server directly with --server, because a proxy seems to answer for the kubelet",
            ));
        }
        self.offset += length;
        Ok(())
    }

    /// Returns what follows a body that was read completely.
    pub(super) fn after_body(&self, body: &ResponseBody) -> Step {
        let at_end = body.file_size() == self.offset;
        let new_bytes = self.offset - body.offset_before();
        match (self.name, at_end) {
            (FileName::Final, true) => Step::Complete,
            (FileName::Final, false) => Step::ReadOn,
            // Only a response that ignores ranges has nothing new. It means the same as a range behind the end.
            (FileName::Part, _) if new_bytes == 0 => Step::NothingNew,
            // Without ranges each response is the whole file, so there is always a pause.
            (FileName::Part, true) => Step::CaughtUp { pause: new_bytes < WORTHWHILE || body.ignores_ranges() },
            (FileName::Part, false) => Step::ReadOn,
        }
    }

    /// Returns what follows a range at or behind the end of the file (416). `size` is its size, if the response says
    /// it.
    pub(super) fn past_the_end(&self, size: Option<u64>) -> Result<Step> {
        self.check_size(size)?;
        Ok(match self.name {
            FileName::Part => Step::NothingNew,
            FileName::Final => Step::Complete,
        })
    }

    /// Changes to the final name if `.part` does not exist (404). Returns false if the final name does not exist
    /// either.
    pub(super) fn try_final_name(&mut self) -> bool {
        let was_part = self.name == FileName::Part;
        self.name = FileName::Final;
        was_part
    }

    /// Notes whether etcdctl has exited with 0.
    pub(super) fn set_etcdctl_succeeded(&mut self, succeeded: bool) {
        self.etcdctl_succeeded = succeeded;
    }

    pub(super) fn etcdctl_succeeded(&self) -> bool {
        self.etcdctl_succeeded
    }

    /// Chooses the name to read next if neither exists: etcdctl has not created the file yet, or has just renamed it.
    /// `succeeded_before` is the state of etcdctl before the request.
    ///
    /// # Errors
    /// etcdctl had finished before, so the file was deleted.
    pub(super) fn no_file(&mut self, succeeded_before: bool) -> Result<()> {
        if succeeded_before {
            return Err(Error::failed(format!("the finished snapshot is no longer in {}", self.place))
                .hint("run the backup again; another process deleted the file"));
        }
        self.name = if self.etcdctl_succeeded { FileName::Final } else { FileName::Part };
        Ok(())
    }

    /// Returns whether to compare the checksum: once for each length that a snapshot can have.
    pub(super) fn must_compare_checksum(&mut self) -> bool {
        let must = may_be_complete(self.offset) && self.compared_at != self.offset;
        if must {
            self.compared_at = self.offset;
        }
        must
    }

    /// Returns whether a file that does not grow is a stall. A whole snapshot that waits for the node's disk (fsync,
    /// then the rename) is not one; the job's deadline ends that.
    pub(super) fn can_stall(&self) -> bool {
        !may_be_complete(self.offset)
    }

    fn check_size(&self, size: Option<u64>) -> Result<()> {
        match size {
            Some(size) if size < self.offset => Err(Error::failed(format!(
                "the file on the node became shorter: {size} bytes, after {} were read",
                self.offset
            ))
            .hint("run the backup again; another process changed the file on the node")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
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
}
