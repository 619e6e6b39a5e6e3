//! Numbers out of bytes, without a way to panic.

/// The `N` bytes at `at`.
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

pub(crate) fn le_u16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

pub(crate) fn le_u32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub(crate) fn le_u64(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// etcd keeps a number that is a whole value as eight bytes, the highest first.
pub(crate) fn be_u64(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// One bit for each page or entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bitmap(Vec<u64>);

impl Bitmap {
    pub(crate) fn get(&self, index: u64) -> bool {
        let word = usize::try_from(index / 64).ok().and_then(|at| self.0.get(at));
        word.is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Sets the bit, and makes room for it; `false` when it was set before.
    pub(crate) fn set(&mut self, index: u64) -> bool {
        let Ok(at) = usize::try_from(index / 64) else { return false };
        if at >= self.0.len() {
            self.0.resize(at + 1, 0);
        }
        let mask = 1 << (index % 64);
        let fresh = self.0[at] & mask == 0;
        self.0[at] |= mask;
        fresh
    }

    pub(crate) fn clear(&mut self, index: u64) {
        if let Some(word) = usize::try_from(index / 64).ok().and_then(|at| self.0.get_mut(at)) {
            *word &= !(1 << (index % 64));
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}
