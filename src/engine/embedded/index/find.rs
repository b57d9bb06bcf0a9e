//! The question put to the index: document frequencies within a state, the best candidates by BM25 within the
//! filter, and their neighbours. It counts and pre-selects; the ranking that people see is `search/`'s.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use roaring::RoaringBitmap;

use super::Inner;
use super::postings::{Postings, term_id};
use crate::error::Result;
use crate::lexical::bm25;
use crate::model::{Match, Query, Time};

/// A candidate, by its local number.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub vid: u32,
    pub words: Match,
    pub around: Vec<(i8, Match)>,
}

/// What a question finds in a state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matches {
    /// In how many live versions each term of the query occurs, in the query's order, whatever the filter.
    pub document_frequencies: Vec<u32>,
    /// Best first by BM25, ties by vid.
    pub found: Vec<Found>,
}

/// A term's postings in one piece of the index.
pub(super) struct List<'a> {
    pub bytes: Cow<'a, [u8]>,
    pub count: u32,
    /// The vids that the piece covers.
    pub first: u32,
    pub next: u32,
}

/// A set of vids as plain bits: a question asks it about every posting.
struct Bits(Vec<u64>);

impl Bits {
    fn of(state: &RoaringBitmap, next_vid: u32) -> Self {
        let mut words = vec![0u64; (next_vid as usize).div_ceil(64)];
        let mut ranges = state.iter();
        while let Some(range) = ranges.next_range() {
            let (mut start, last) = (*range.start(), (*range.end()).min(next_vid.wrapping_sub(1)));
            while start <= last && start < next_vid {
                let bit = start % 64;
                let len = (64 - bit).min(last - start + 1);
                words[start as usize / 64] |= (u64::MAX >> (64 - len)) << bit;
                start += len;
            }
        }
        Self(words)
    }

    #[inline]
    fn has(&self, vid: u32) -> bool {
        self.0.get(vid as usize / 64).is_some_and(|word| word >> (vid % 64) & 1 == 1)
    }
}

/// A score and who has it, ordered by score, then smallest vid first.
#[derive(PartialEq)]
struct Scored(f32, Reverse<u32>);

impl Eq for Scored {}
impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scored {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}

pub(super) fn candidates(
    inner: &Inner,
    state: &RoaringBitmap,
    query: &Query,
    (live, tokens): (u32, u64),
    now: Time,
) -> Result<Matches> {
    let next_vid = inner.columns.next_vid();
    let in_state = Bits::of(state, next_vid);
    let lists = query.terms.iter().map(|term| inner.lists(term_id(&term.text))).collect::<Result<Vec<_>>>()?;
    let document_frequencies: Vec<u32> =
        lists.iter().map(|pieces| pieces.iter().map(|list| count(list, state, &in_state)).sum()).collect();

    let average_len = tokens as f32 / live.max(1) as f32;
    let scores = score(inner, &lists, query, &document_frequencies, live, average_len, &in_state);
    let wanted = inner.columns.wanted(&query.filter, now);
    let best = best(&scores, query.limit, |vid| wanted.has(vid));

    let around: Vec<Vec<(i8, u32)>> = best
        .iter()
        .map(|vid| inner.columns.around(*vid, query.around, |other| in_state.has(other) && wanted.is_alive(other)))
        .collect();
    let mut matches = frequencies(inner, &lists, best.iter().chain(around.iter().flatten().map(|(_, vid)| vid)));
    let found = best
        .iter()
        .zip(around)
        .map(|(vid, around)| Found {
            vid: *vid,
            words: matches.of(*vid),
            around: around.into_iter().map(|(distance, vid)| (distance, matches.of(vid))).collect(),
        })
        .collect();
    Ok(Matches { document_frequencies, found })
}

/// How many of a list's postings are in the state.
fn count(list: &List, state: &RoaringBitmap, in_state: &Bits) -> u32 {
    if list.first < list.next && state.contains_range(list.first..list.next) {
        return list.count;
    }
    Postings::new(&list.bytes).filter(|(vid, _)| in_state.has(*vid)).count() as u32
}

/// The BM25 score of every version in the state, 0 for those without any of the terms.
fn score(
    inner: &Inner,
    lists: &[Vec<List>],
    query: &Query,
    document_frequencies: &[u32],
    live: u32,
    average_len: f32,
    in_state: &Bits,
) -> Vec<f32> {
    let mut scores = vec![0f32; inner.columns.next_vid() as usize];
    // Most memories are short: their length norm is looked up.
    let norms: Vec<f32> = (0..1024).map(|len| bm25::norm(len, average_len)).collect();
    for ((pieces, term), df) in lists.iter().zip(&query.terms).zip(document_frequencies) {
        let idf = bm25::idf(live, *df) * term.weight;
        for (vid, frequency) in pieces.iter().flat_map(|list| Postings::new(&list.bytes)) {
            if !in_state.has(vid) {
                continue;
            }
            let len = inner.columns.len_of(vid);
            let norm = norms.get(len as usize).copied().unwrap_or_else(|| bm25::norm(len, average_len));
            scores[vid as usize] += bm25::weight(idf, frequency, norm);
        }
    }
    scores
}

/// The `limit` best that are wanted, best first, ties by vid.
fn best(scores: &[f32], limit: usize, is_wanted: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut heap: BinaryHeap<Reverse<Scored>> = BinaryHeap::with_capacity(limit.min(scores.len()) + 1);
    let mut bar = 0.0;
    for (vid, score) in scores.iter().enumerate() {
        // Vids come in rising order, so that of two equal scores the earlier one stays.
        if *score > bar && is_wanted(vid as u32) {
            heap.push(Reverse(Scored(*score, Reverse(vid as u32))));
            if heap.len() > limit {
                heap.pop();
            }
            if heap.len() == limit {
                bar = heap.peek().map_or(0.0, |worst| worst.0.0);
            }
        }
    }
    heap.into_sorted_vec().into_iter().map(|Reverse(Scored(_, Reverse(vid)))| vid).collect()
}

/// Lengths and frequencies of a few versions.
struct Frequencies {
    vids: Vec<u32>,
    matches: Vec<Match>,
}

impl Frequencies {
    fn of(&mut self, vid: u32) -> Match {
        self.vids.binary_search(&vid).map_or_else(|_| Match::default(), |at| self.matches[at].clone())
    }
}

fn frequencies<'a>(inner: &Inner, lists: &[Vec<List>], vids: impl Iterator<Item = &'a u32>) -> Frequencies {
    let vids: Vec<u32> = vids.copied().collect::<BTreeSet<_>>().into_iter().collect();
    let blank = |vid: &u32| Match { len: inner.columns.len_of(*vid), frequencies: vec![0; lists.len()] };
    let mut matches: Vec<Match> = vids.iter().map(blank).collect();
    let set = Bits::of(&vids.iter().copied().collect(), inner.columns.next_vid());
    for (number, pieces) in lists.iter().enumerate() {
        for (vid, frequency) in pieces.iter().flat_map(|list| Postings::new(&list.bytes)) {
            if set.has(vid)
                && let Ok(at) = vids.binary_search(&vid)
            {
                matches[at].frequencies[number] = frequency;
            }
        }
    }
    Frequencies { vids, matches }
}

/// The vids of the state that contain every one of the terms; none when there are no terms.
pub(super) fn containing(inner: &Inner, state: &RoaringBitmap, terms: &[String]) -> Result<RoaringBitmap> {
    let mut all: Option<RoaringBitmap> = None;
    for term in terms {
        let pieces = inner.lists(term_id(term))?;
        let holds: RoaringBitmap =
            pieces.iter().flat_map(|list| Postings::new(&list.bytes)).map(|(vid, _)| vid).collect();
        all = Some(all.map_or_else(|| state & &holds, |all| all & &holds));
    }
    Ok(all.unwrap_or_default())
}
