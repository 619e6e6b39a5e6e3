//! One bit for each page or entry.

/// A set of small integers that grows as needed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bitmap(Vec<u64>);

impl Bitmap {
    pub(crate) fn get(&self, index: u64) -> bool {
        let word = usize::try_from(index / 64).ok().and_then(|at| self.0.get(at));
        word.is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Sets a bit. Returns `false` if it was set before.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_set_and_cleared_one_by_one() {
        let mut bits = Bitmap::default();
        assert!([0, 63, 64, 1000].into_iter().all(|index| bits.set(index)));
        assert!(!bits.set(64), "it was set before");
        bits.clear(63);
        bits.clear(99_999);
        assert_eq!((0..2000).filter(|index| bits.get(*index)).collect::<Vec<_>>(), [0, 64, 1000]);
        assert_eq!(bits.count(), 3);
    }
}
