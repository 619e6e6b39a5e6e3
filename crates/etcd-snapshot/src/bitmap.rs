//! One bit for each page or entry.

/// The words of a chunk: 4 KiB, for 32768 bits.
const CHUNK_WORDS: usize = 512;

/// A set of small integers. Memory grows with the parts that have bits, so a sparse file cannot exhaust it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bitmap(Vec<Option<Box<[u64; CHUNK_WORDS]>>>);

/// Returns the chunk of a bit, its word in the chunk, and its mask.
fn place(index: u64) -> Option<(usize, usize, u64)> {
    let word = usize::try_from(index / 64).ok()?;
    Some((word / CHUNK_WORDS, word % CHUNK_WORDS, 1 << (index % 64)))
}

impl Bitmap {
    pub(crate) fn get(&self, index: u64) -> bool {
        place(index).is_some_and(|(chunk, word, mask)| {
            self.0.get(chunk).and_then(Option::as_ref).is_some_and(|chunk| chunk[word] & mask != 0)
        })
    }

    /// Sets a bit. Returns `false` if it was set before.
    pub(crate) fn set(&mut self, index: u64) -> bool {
        let Some((chunk, word, mask)) = place(index) else { return false };
        if chunk >= self.0.len() {
            self.0.resize(chunk + 1, None);
        }
        let words = self.0[chunk].get_or_insert_with(|| Box::new([0; CHUNK_WORDS]));
        let fresh = words[word] & mask == 0;
        words[word] |= mask;
        fresh
    }

    pub(crate) fn clear(&mut self, index: u64) {
        if let Some((chunk, word, mask)) = place(index)
            && let Some(Some(words)) = self.0.get_mut(chunk)
        {
            words[word] &= !mask;
        }
    }

    /// Returns how many bytes of memory it takes.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.0.len() * size_of::<usize>() + self.0.iter().flatten().count() * CHUNK_WORDS * 8
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.iter().flatten().flat_map(|words| words.iter()).map(|word| u64::from(word.count_ones())).sum()
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
