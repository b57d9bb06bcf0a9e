//! A term by a number of one size, and maps from it. The lists behind a term are `memoria_kernel::postings`.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use memoria_kernel::checksum::mix;

/// A term, by a 64-bit hash of its text: entries of one size, no strings to keep or compare. Two words of one
/// store share a hash with a probability of n²/2^65, which is 1 in 70 million for a million different words.
pub type TermId = u64;

/// FNV-1a, then a finaliser that spreads the high bits, by which dictionaries are sorted.
pub fn term_id(term: &str) -> TermId {
    let hash = term
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    mix(hash)
}

/// Term ids are hashes already.
#[derive(Default)]
pub struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Terms to whatever belongs to them.
pub type ByTerm<T> = HashMap<TermId, T, BuildHasherDefault<AsIs>>;
