//! The question put to the index: document frequencies within a state, the best candidates by BM25 within the
//! filter, and their neighbours. It counts and pre-selects; the ranking that people see is `search/`'s.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use memoria_kernel::best::best;
use memoria_kernel::bits::Bits;
use memoria_kernel::bm25;
use memoria_kernel::postings::{self, Norms, Postings};
use roaring::RoaringBitmap;

use super::Inner;
use super::terms::term_id;
use crate::error::Result;
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

pub(super) fn candidates(
    inner: &Inner,
    state: &RoaringBitmap,
    query: &Query,
    (live, tokens): (u32, u64),
    now: Time,
) -> Result<Matches> {
    let next_vid = inner.columns.next_vid();
    let in_state = bits(state, next_vid);
    let lists = query.terms.iter().map(|term| inner.lists(term_id(&term.text))).collect::<Result<Vec<_>>>()?;
    let document_frequencies: Vec<u32> =
        lists.iter().map(|pieces| pieces.iter().map(|list| count(list, state, &in_state)).sum()).collect();

    let average_len = tokens as f32 / live.max(1) as f32;
    let norms = Norms::new(average_len);
    let mut scores = vec![0f32; next_vid as usize];
    for ((pieces, term), df) in lists.iter().zip(&query.terms).zip(&document_frequencies) {
        let idf = bm25::idf(live, *df) * term.weight;
        for list in pieces {
            postings::add_scores(&list.bytes, idf, &in_state, inner.columns.lens(), &norms, &mut scores);
        }
    }
    let wanted = inner.columns.wanted(&query.filter, now);
    let best = best(&scores, query.limit, &|vid| wanted.has(vid));

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
    postings::count(&list.bytes, in_state)
}

/// A state's versions as plain bits.
fn bits(state: &RoaringBitmap, next_vid: u32) -> Bits {
    let mut ranges = state.iter();
    Bits::of(std::iter::from_fn(|| ranges.next_range().map(RangeInclusive::into_inner)), next_vid)
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
    let set = Bits::of(vids.iter().map(|vid| (*vid, *vid)), inner.columns.next_vid());
    for (number, pieces) in lists.iter().enumerate() {
        for (at, frequency) in pieces.iter().flat_map(|list| postings::frequencies(&list.bytes, &vids, &set)) {
            matches[at].frequencies[number] = frequency;
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
