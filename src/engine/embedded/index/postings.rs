//! Which versions hold a term, and how often: one compact byte form for the tail in memory and for segments
//! on disk alike, so that flushing and merging move bytes and the search reads one format.
//!
//! A posting is a LEB128 number `delta << 1 | (frequency > 1)`, then, when the bit is set, the frequency.
//! The first delta of a list counts from 0, so that a list stands on its own.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

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

/// The finaliser of MurmurHash3: every bit of the result depends on every bit of the input.
pub fn mix(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
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

/// A list that grows at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Growing {
    pub bytes: Vec<u8>,
    pub count: u32,
    /// The last vid in it.
    pub last: u32,
}

impl Growing {
    /// Appends a posting; vids come in rising order.
    pub fn push(&mut self, vid: u32, frequency: u16) {
        let delta = u64::from(vid - self.last);
        put(&mut self.bytes, delta << 1 | u64::from(frequency > 1));
        if frequency > 1 {
            put(&mut self.bytes, u64::from(frequency));
        }
        self.last = vid;
        self.count += 1;
    }

    /// Appends a whole later list: only its first delta changes.
    pub fn append(&mut self, bytes: &[u8], count: u32, last: u32) {
        let mut at = 0;
        let Some(key) = take(bytes, &mut at) else { return };
        put(&mut self.bytes, (key >> 1).saturating_sub(u64::from(self.last)) << 1 | key & 1);
        self.bytes.extend_from_slice(&bytes[at..]);
        self.last = last;
        self.count += count;
    }
}

/// Reads postings `(vid, frequency)` in rising order of vid; ends early on malformed bytes.
pub struct Postings<'a> {
    bytes: &'a [u8],
    at: usize,
    vid: u32,
}

impl<'a> Postings<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, vid: 0 }
    }
}

impl Iterator for Postings<'_> {
    type Item = (u32, u16);

    #[inline]
    fn next(&mut self) -> Option<(u32, u16)> {
        let key = take(self.bytes, &mut self.at)?;
        self.vid = self.vid.wrapping_add((key >> 1) as u32);
        let frequency = if key & 1 == 0 { 1 } else { take(self.bytes, &mut self.at)? as u16 };
        Some((self.vid, frequency))
    }
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[inline]
fn take(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let first = *bytes.get(*at)?;
    *at += 1;
    let mut value = u64::from(first & 0x7f);
    let mut byte = first;
    let mut shift = 7;
    while byte & 0x80 != 0 && shift < 64 {
        byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_list_reads_back_also_when_joined_of_two(
            mut all in prop::collection::btree_map(any::<u32>(), 1u16.., 0..80), cut in 0usize..80
        ) {
            let whole: Vec<(u32, u16)> = std::mem::take(&mut all).into_iter().collect();
            let cut = cut.min(whole.len());
            let grow = |postings: &[(u32, u16)]| {
                let mut list = Growing::default();
                postings.iter().for_each(|(vid, frequency)| list.push(*vid, *frequency));
                list
            };
            let mut joined = grow(&whole[..cut]);
            let rest = grow(&whole[cut..]);
            joined.append(&rest.bytes, rest.count, rest.last);
            prop_assert_eq!(Postings::new(&joined.bytes).collect::<Vec<_>>(), whole.clone());
            if !whole.is_empty() && cut < whole.len() {
                prop_assert_eq!(joined, grow(&whole));
            }
        }

        #[test]
        fn any_bytes_end_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Postings::new(&bytes).count();
        }
    }
}
