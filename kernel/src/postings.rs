//! Which versions hold a term, and how often: one compact byte form for the tail in memory and for segments
//! on disk alike, so that flushing and merging move bytes and the search reads one format.
//!
//! A posting is a LEB128 number `delta << 1 | (frequency > 1)`, then, when the bit is set, the frequency.
//! The first delta of a list counts from 0, so that a list stands on its own.

use crate::bits::Bits;
use crate::bm25;

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
        let first = *self.bytes.get(self.at)?;
        // Most postings of long lists: a short step, and the word occurs once.
        if first & 0x81 == 0 {
            self.at += 1;
            self.vid = self.vid.wrapping_add(u32::from(first >> 1));
            return Some((self.vid, 1));
        }
        let key = take(self.bytes, &mut self.at)?;
        self.vid = self.vid.wrapping_add((key >> 1) as u32);
        let frequency = if key & 1 == 0 { 1 } else { take(self.bytes, &mut self.at)? as u16 };
        Some((self.vid, frequency))
    }
}

/// Postings that were read already, each in one word. Its room is kept for the next ones.
#[derive(Default)]
pub struct Members {
    words: Vec<u64>,
    len: usize,
}

impl Members {
    pub fn clear(&mut self) {
        self.len = 0;
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends those of a list's postings that are in a set; the list has `count`.
    pub fn add(&mut self, list: &[u8], count: u32, set: &Bits) {
        let room = self.len + count as usize;
        if self.words.len() < room {
            self.words.resize(room, 0);
        }
        // Every posting is written and only members are kept: which they are cannot be foretold, and need not be.
        for (vid, frequency) in Postings::new(list) {
            if let Some(slot) = self.words.get_mut(self.len) {
                *slot = u64::from(vid) << 16 | u64::from(frequency);
                self.len += usize::from(set.has(vid));
            }
        }
    }

    /// Those of the vids from `first` to before `next`.
    fn between(&self, first: u64, next: u64) -> &[u64] {
        let members = self.words.get(..self.len).unwrap_or_default();
        let start = members.partition_point(|member| member >> 16 < first);
        let end = members.partition_point(|member| member >> 16 < next);
        members.get(start..end).unwrap_or_default()
    }
}

/// What each version's length takes from its words: most memories are short, and theirs is looked up.
pub struct Norms {
    short: Vec<f32>,
    average_len: f32,
}

impl Norms {
    /// For versions of this length on average, in terms.
    pub fn new(average_len: f32) -> Self {
        Self { short: (0..1024).map(|len| bm25::norm(len, average_len)).collect(), average_len }
    }

    #[inline]
    fn of(&self, len: u32) -> f32 {
        self.short.get(len as usize).copied().unwrap_or_else(|| bm25::norm(len, self.average_len))
    }
}

/// Where scores are added up: of the vids from `first` on, with the lengths of their texts.
pub struct Scoring<'a> {
    pub first: u32,
    pub lens: &'a [u32],
    pub scores: &'a mut [f32],
    pub norms: &'a Norms,
}

// Not generic, so that both loops are compiled here.
impl Scoring<'_> {
    /// Adds the BM25 weights of those of a list's postings that are in the set.
    pub fn add_list(&mut self, list: &[u8], set: &Bits, idf: f32) {
        for (vid, frequency) in Postings::new(list) {
            if set.has(vid) {
                self.add(vid, frequency, idf);
            }
        }
    }

    /// Adds the BM25 weights of those members that are reached.
    pub fn add_members(&mut self, members: &Members, idf: f32) {
        let first = u64::from(self.first);
        for member in members.between(first, first + self.scores.len() as u64) {
            self.add((member >> 16) as u32, *member as u16, idf);
        }
    }

    /// What `lens` and `scores` do not reach is passed over.
    #[inline]
    fn add(&mut self, vid: u32, frequency: u16, idf: f32) {
        let at = vid.wrapping_sub(self.first) as usize;
        if let (Some(len), Some(score)) = (self.lens.get(at), self.scores.get_mut(at)) {
            *score += bm25::weight(idf, frequency, self.norms.of(*len));
        }
    }
}

/// The frequencies of those of `vids` (rising, the members of `set`) that the list holds, with their places.
pub fn frequencies(list: &[u8], vids: &[u32], set: &Bits) -> Vec<(usize, u16)> {
    let members = Postings::new(list).filter(|(vid, _)| set.has(*vid));
    members.filter_map(|(vid, frequency)| Some((vids.binary_search(&vid).ok()?, frequency))).collect()
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
