//! Parts of the file that are read together.

use super::read_at::ReadAt;
use super::scheduling::ReadScheduler;
use crate::error::ReadFailure;

/// A range of bytes in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// Some extents of the file, in one buffer that is reused.
#[derive(Debug, Default)]
pub(crate) struct ReadBatch {
    pub(crate) extents: Vec<Extent>,
    buffer: Vec<u8>,
    /// Where each extent ends in the buffer.
    ends: Vec<usize>,
}

impl ReadBatch {
    /// Reads the extents.
    pub(crate) fn read<S: ReadAt + ?Sized>(
        &mut self,
        source: &S,
        scheduler: &mut ReadScheduler<'_>,
    ) -> Result<(), ReadFailure> {
        self.ends.clear();
        let mut end = 0_usize;
        for extent in &self.extents {
            end = end.saturating_add(usize::try_from(extent.length).unwrap_or(usize::MAX));
            self.ends.push(end);
        }
        if self.buffer.len() < end {
            // Somewhat more than needed, because batches differ a little in size.
            self.buffer = vec![0; end.saturating_add(end / 8)];
        }
        scheduler
            .before_read(self.extents.iter().map(|extent| extent.offset + extent.length).max().unwrap_or_default());
        let mut start = 0;
        for (extent, end) in self.extents.iter().zip(&self.ends) {
            source.read_exact_at(&mut self.buffer[start..*end], extent.offset)?;
            start = *end;
        }
        scheduler.after_read(end as u64)
    }

    /// Returns the bytes of one extent, after [`ReadBatch::read`].
    pub(crate) fn bytes(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        self.ends.get(index).and_then(|end| self.buffer.get(start..*end)).unwrap_or_default()
    }

    /// Returns the size of the buffer in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.len()
    }
}
