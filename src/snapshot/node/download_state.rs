//! How far the download of the growing file is, and what each response means. Sends no requests and reads no clock.
//!
//! etcdctl writes `snapshot.db.part` and renames it when it is complete. `.part` is read until then, and the final name
//! from the same offset on.

use super::range_body::RangeBody;
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
    pub(super) fn open_body(&self, start: u64, end: Option<u64>, size: Option<u64>) -> Result<RangeBody> {
        self.check_size(size)?;
        Ok(RangeBody::new(start, end, size, self.offset))
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
    pub(super) fn after_body(&self, body: &RangeBody) -> Step {
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
mod tests;
