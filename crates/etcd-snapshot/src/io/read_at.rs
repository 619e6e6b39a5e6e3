//! The only way in which this crate touches a file.

use std::fs::File;
use std::io;

/// Bytes that can be read at any offset, from several threads at once.
///
/// There is no memory map behind it: a file that another process truncates during the check must become an error, not a
/// signal.
pub trait ReadAt: Sync {
    /// Returns the length in bytes.
    ///
    /// # Errors
    /// The operating system's error.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` with the bytes that begin at `offset`.
    ///
    /// # Errors
    /// The operating system's error; `UnexpectedEof` if the bytes end before the buffer is full.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Tells the operating system that these bytes will be read soon. Does nothing by default.
    fn advise_willneed(&self, offset: u64, length: u64) {
        let _ = (offset, length);
    }
}

impl ReadAt for File {
    fn size(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    /// On Linux only. How far the kernel reads ahead without it depends on the device and on the reads of other threads.
    #[cfg(target_os = "linux")]
    fn advise_willneed(&self, offset: u64, length: u64) {
        let length = std::num::NonZeroU64::new(length);
        // A failure has no consequence: the read that follows reports what is wrong.
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

/// A file in memory.
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
