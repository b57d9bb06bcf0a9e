//! A set of small numbers that is asked about every posting.

/// A set of vids as plain bits.
pub struct Bits(Vec<u64>);

impl Bits {
    /// The members of these rising ranges (first and last) that are below `next_vid`.
    pub fn of(ranges: impl Iterator<Item = (u32, u32)>, next_vid: u32) -> Self {
        let mut words = vec![0u64; (next_vid as usize).div_ceil(64)];
        for (mut start, last) in ranges {
            let last = last.min(next_vid.wrapping_sub(1));
            while start <= last && start < next_vid {
                let bit = start % 64;
                let len = (64 - bit).min(last - start + 1);
                words[start as usize / 64] |= (u64::MAX >> (64 - len)) << bit;
                start += len;
            }
        }
        Self(words)
    }

    /// The members in groups of 64, the lowest bit first.
    pub fn words(&self) -> &[u64] {
        &self.0
    }

    /// How many members there are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Whether it is a member.
    #[inline]
    pub fn has(&self, vid: u32) -> bool {
        self.0.get(vid as usize / 64).is_some_and(|word| word >> (vid % 64) & 1 == 1)
    }
}
