//! Positioned reads, the only way in which this room touches a file.
//!
//! No memory map: a file that somebody else truncates while it is read must become an error, not a signal.

use std::fs::File;
use std::io;

/// Bytes that can be read at any place, from several threads at once.
pub trait ReadAt: Sync {
    /// Length in bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// What the operating system says; `UnexpectedEof` when the bytes end before the buffer is full.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// These bytes will be wanted soon: a hint for a disk, without effect where there is none.
    fn advise_willneed(&self, offset: u64, length: u64) {
        let _ = (offset, length);
    }
}

impl ReadAt for File {
    fn size(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    /// On Linux. What the kernel reads ahead by itself depends on the device, and on what other threads read.
    #[cfg(target_os = "linux")]
    fn advise_willneed(&self, offset: u64, length: u64) {
        let length = std::num::NonZeroU64::new(length);
        // Reading tells what is wrong, if anything is.
        let _ = rustix::fs::fadvise(self, offset, length, rustix::fs::Advice::WillNeed);
    }

    #[cfg(unix)]
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }

    #[cfg(windows)]
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        use std::os::windows::fs::FileExt;
        while !buffer.is_empty() {
            match self.seek_read(buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    buffer = &mut buffer[read..];
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A file in memory, for tests and the fuzzer.
impl ReadAt for [u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let part = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..)?.get(..buffer.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(part);
        Ok(())
    }
}
