//! Whether a key may be among very many, in one look at memory: a Bloom filter in blocks of a cache line
//! (Putze, Sanders and Singler, "Cache-, hash- and space-efficient Bloom filters", 2007).

use crate::checksum::mix;

/// Of keys that are not among them, about one in a hundred is let through.
const BITS_PER_KEY: usize = 10;
const WORDS_PER_BLOCK: usize = 8;
const BITS_SET: u32 = 6;

/// A set of keys that forgets which they are: it never denies a member, and rarely lets another through.
pub struct Among(Vec<u64>);

impl Among {
    /// Room for so many keys.
    pub fn with_room(keys: usize) -> Self {
        let blocks = (keys * BITS_PER_KEY).div_ceil(64 * WORDS_PER_BLOCK).max(1);
        Self(vec![0; blocks * WORDS_PER_BLOCK])
    }

    /// What `words` gave; `None` when it cannot have.
    pub fn of(words: Vec<u64>) -> Option<Self> {
        (!words.is_empty() && words.len().is_multiple_of(WORDS_PER_BLOCK)).then_some(Self(words))
    }

    pub fn words(&self) -> &[u64] {
        &self.0
    }

    /// Any eight bytes of the key do that differ between keys.
    pub fn insert(&mut self, key: u64) {
        let (block, bits) = self.place(key);
        for bit in bits {
            if let Some(word) = self.0.get_mut(block + bit / 64) {
                *word |= 1 << (bit % 64);
            }
        }
    }

    #[inline]
    pub fn may_have(&self, key: u64) -> bool {
        let (block, mut bits) = self.place(key);
        bits.all(|bit| self.0.get(block + bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1))
    }

    fn place(&self, key: u64) -> (usize, impl Iterator<Item = usize> + use<>) {
        let hash = mix(key);
        let blocks = (self.0.len() / WORDS_PER_BLOCK) as u64;
        let block = (((hash >> 32) * blocks) >> 32) as usize * WORDS_PER_BLOCK;
        let spread = mix(hash);
        (block, (0..BITS_SET).map(move |n| (spread >> (9 * n)) as usize % (64 * WORDS_PER_BLOCK)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_never_denied_and_others_rarely_let_through() {
        let mut among = Among::with_room(10_000);
        (0..10_000u64).for_each(|key| among.insert(key * 3));
        let among = Among::of(among.words().to_vec()).unwrap();
        assert!((0..10_000u64).all(|key| among.may_have(key * 3)));
        let others = (0..10_000u64).filter(|key| among.may_have(key * 3 + 1)).count();
        assert!(others < 300, "{others} of 10,000");
    }
}
