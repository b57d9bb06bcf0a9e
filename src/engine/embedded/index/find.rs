//! The question put to the index: document frequencies within a state, the best candidates by BM25 within the
//! filter, and their neighbours. It counts and pre-selects; the ranking that people see is `search/`'s.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use memoria_kernel::best::{Best, best};
use memoria_kernel::bits::Bits;
use memoria_kernel::bm25;
use memoria_kernel::postings::{self, Members, Norms, Postings, Scoring};
use roaring::RoaringBitmap;

use super::super::vectors::Asking;
use super::columns::Wanted;
use super::pieces::{Pieces, Sheet, is_wanted};
use super::segment::{Column, number};
use super::terms::term_id;
use crate::error::{Error, Result};
use crate::model::{Cosines, Filter, Kind, Match, MemoryId, Query, Time};

/// Of so many of the best by words, and by vector, the neighbours are candidates, too.
pub const HEARD_AROUND: usize = 20;

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
    /// Of the whole state, where the question was one by meaning, too.
    pub cosines: Option<Cosines>,
    /// Best first by BM25, then those that only meaning brings, nearest first, then the neighbours of the first of
    /// both. Of equally good ones the newest come first, then those with the smallest id.
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

/// A question that is being answered.
struct Question<'a> {
    pieces: &'a Pieces,
    sheet: &'a Sheet<'a>,
    state: &'a RoaringBitmap,
    in_state: &'a Bits,
    lists: &'a [Vec<List<'a>>],
    query: &'a Query,
}

pub(super) fn candidates(
    pieces: &Pieces,
    state: &RoaringBitmap,
    query: &Query,
    near: Option<&Asking>,
    (live, tokens): (u32, u64),
    now: Time,
    members: &mut Members,
) -> Result<Matches> {
    let (next_vid, sheet) = (pieces.next_vid(), pieces.sheet()?);
    let in_state = &bits(state, next_vid);
    let lists = query.terms.iter().map(|term| pieces.lists(term_id(&term.text))).collect::<Result<Vec<_>>>()?;
    let wanted = sheet.wanted(&query.filter, now);
    let is_wanted = |vid: u32| is_wanted(&wanted, vid);
    let question = Question { pieces, sheet: &sheet, state, in_state, lists: &lists, query };

    let by_words = |members: &mut Members| question.by_words((live, tokens), members, &is_wanted);
    let by_meaning = |near: &Asking| near.nearest(query.limit, &is_wanted);
    let ((document_frequencies, words), meaning) = match near {
        // Neither waits for the other where both take long.
        Some(near) if near.is_long() && !lists.is_empty() => std::thread::scope(|scope| {
            let meaning = scope.spawn(|| by_meaning(near));
            let words = by_words(members);
            let failed = |_| Error::internal("a question by meaning failed: please report it, with the log");
            Ok::<_, Error>((words, Some(meaning.join().map_err(failed)?)))
        })?,
        _ => (by_words(members), near.map(by_meaning)),
    };
    let by_words = question.settled(words)?;
    let cosines = meaning.as_ref().map(|nearest| nearest.cosines);
    let nearest = meaning.map_or_else(|| Ok(Vec::new()), |nearest| question.settled(nearest.best))?;
    let is_there = |other| in_state.has(other) && sheet.of(other).is_alive(other, now);
    // What stands beside the very best in its session is a candidate, too, though it shares no word with the question.
    let around_of = |vid: u32| Ok((vid, pieces.around(&sheet, vid, query.around, is_there)?));
    let heard = || by_words.iter().take(HEARD_AROUND).chain(nearest.iter().take(HEARD_AROUND)).copied();
    let mut heard_around: BTreeMap<u32, Vec<(i8, u32)>> = heard().map(around_of).collect::<Result<_>>()?;
    let beside = heard().filter_map(|vid| heard_around.get(&vid)).flatten().map(|(_, vid)| *vid);
    let beside: Vec<u32> = beside.filter(|vid| is_wanted(*vid)).collect();
    let mut known = BTreeSet::new();
    let best = by_words.iter().chain(&nearest).chain(&beside).copied();
    let best: Vec<u32> = best.filter(|vid| known.insert(*vid)).collect();

    let around = best.iter().map(|vid| match heard_around.remove(vid) {
        Some(around) => Ok(around),
        None => around_of(*vid).map(|(_, around)| around),
    });
    let around = around.collect::<Result<Vec<Vec<(i8, u32)>>>>()?;
    let vids = best.iter().chain(around.iter().flatten().map(|(_, vid)| vid));
    let mut matches = frequencies(&sheet, &lists, near, next_vid, vids);
    let found = best
        .iter()
        .zip(around)
        .map(|(vid, around)| Found {
            vid: *vid,
            words: matches.of(*vid),
            around: around.into_iter().map(|(distance, vid)| (distance, matches.of(vid))).collect(),
        })
        .collect();
    Ok(Matches { document_frequencies, cosines, found })
}

impl Question<'_> {
    /// The best by BM25, and in how many versions of the state each term occurs.
    fn by_words(
        &self,
        (live, tokens): (u32, u64),
        members: &mut Members,
        is_wanted: &dyn Fn(u32) -> bool,
    ) -> (Vec<u32>, Best) {
        let Self { sheet, state, in_state, lists, query, .. } = self;
        if lists.is_empty() {
            return Default::default();
        }
        let norms = Norms::new(tokens as f32 / live.max(1) as f32);
        let mut scores = vec![0f32; self.pieces.next_vid() as usize];
        let mut document_frequencies = Vec::with_capacity(lists.len());
        for (lists, term) in lists.iter().zip(&query.terms) {
            // A word's weight depends on how many versions of the state have it: lists of which some do not count are
            // read once, for that, and their postings kept until it is known.
            members.clear();
            let (whole, part): (Vec<&List>, Vec<&List>) =
                lists.iter().partition(|list| state.contains_range(list.first..list.next));
            part.iter().for_each(|list| members.add(&list.bytes, list.count, in_state));
            let df = whole.iter().map(|list| list.count).sum::<u32>() + members.len() as u32;
            let idf = bm25::idf(live, df) * term.weight;
            for list in whole {
                scoring(sheet, list.first, &norms, &mut scores).add_list(&list.bytes, in_state, idf);
            }
            for list in part {
                scoring(sheet, list.first, &norms, &mut scores).add_members(members, idf);
            }
            document_frequencies.push(df);
        }
        (document_frequencies, best(&scores, 0.0, query.limit, is_wanted))
    }

    /// The best in their order, as many as are wanted. Of those that are equally good the newest come first, then those
    /// with the smallest id: as in any store that holds this state.
    fn settled(&self, Best { sure, tied }: Best) -> Result<Vec<u32>> {
        let mut settled = Vec::with_capacity(self.query.limit);
        for same in sure.chunk_by(|a, b| a.1 == b.1).map(|same| same.iter().map(|(vid, _)| *vid).collect()) {
            self.settle(same, &mut settled)?;
        }
        self.settle(tied, &mut settled)?;
        Ok(settled)
    }

    /// Appends those of the equally good that there is room for. Ids are read only of those for which it matters.
    fn settle(&self, same: Vec<u32>, settled: &mut Vec<u32>) -> Result<()> {
        let room = self.query.limit - settled.len();
        if same.len() < 2 || room == 0 {
            settled.extend(same.into_iter().take(room));
            return Ok(());
        }
        let mut by_age: Vec<(Reverse<Time>, u32)> =
            same.iter().map(|vid| (Reverse(self.sheet.of(*vid).observed_at(*vid)), *vid)).collect();
        by_age.sort_unstable();
        for twins in by_age.chunk_by(|a, b| a.0 == b.0) {
            let room = self.query.limit - settled.len();
            let vids: Vec<u32> = twins.iter().map(|(_, vid)| *vid).collect();
            if room == 0 || vids.len() == 1 {
                settled.extend(vids.into_iter().take(room));
                continue;
            }
            let mut by_id: Vec<(MemoryId, u32)> = self.pieces.ids_or_zeros(&vids)?.into_iter().zip(vids).collect();
            by_id.sort_unstable();
            settled.extend(by_id.into_iter().take(room).map(|(_, vid)| vid));
        }
        Ok(())
    }
}

/// Where a piece's scores are added up.
fn scoring<'a>(sheet: &'a Sheet, first: u32, norms: &'a Norms, scores: &'a mut [f32]) -> Scoring<'a> {
    let columns = sheet.of(first);
    let scores = scores.get_mut(first as usize..columns.next() as usize).unwrap_or_default();
    Scoring { first, lens: &columns.lens, scores, norms }
}

/// A state's versions as plain bits.
fn bits(state: &RoaringBitmap, next_vid: u32) -> Bits {
    let mut ranges = state.iter();
    Bits::of(std::iter::from_fn(|| ranges.next_range().map(RangeInclusive::into_inner)), next_vid)
}

/// How a few versions meet the question.
struct Frequencies {
    vids: Vec<u32>,
    matches: Vec<Match>,
}

impl Frequencies {
    fn of(&mut self, vid: u32) -> Match {
        self.vids.binary_search(&vid).map_or_else(|_| Match::default(), |at| self.matches[at].clone())
    }
}

fn frequencies<'a>(
    sheet: &Sheet,
    lists: &[Vec<List>],
    near: Option<&Asking>,
    next_vid: u32,
    vids: impl Iterator<Item = &'a u32>,
) -> Frequencies {
    let vids: Vec<u32> = vids.copied().collect::<BTreeSet<_>>().into_iter().collect();
    let cosines = near.map_or_else(|| vec![None; vids.len()], |near| near.cosines(&vids));
    let blank = |(vid, cosine): (&u32, Option<f32>)| Match {
        len: sheet.of(*vid).len_of(*vid),
        frequencies: vec![0; lists.len()],
        cosine,
    };
    let mut matches: Vec<Match> = vids.iter().zip(cosines).map(blank).collect();
    let set = Bits::of(vids.iter().map(|vid| (*vid, *vid)), next_vid);
    for (number, pieces) in lists.iter().enumerate() {
        for (at, frequency) in pieces.iter().flat_map(|list| postings::frequencies(&list.bytes, &vids, &set)) {
            matches[at].frequencies[number] = frequency;
        }
    }
    Frequencies { vids, matches }
}

/// The vids of the state that contain every one of the terms; none when there are no terms.
pub(super) fn containing(pieces: &Pieces, state: &RoaringBitmap, terms: &[String]) -> Result<RoaringBitmap> {
    let mut all: Option<RoaringBitmap> = None;
    for term in terms {
        let lists = pieces.lists(term_id(term))?;
        let holds: RoaringBitmap =
            lists.iter().flat_map(|list| Postings::new(&list.bytes)).map(|(vid, _)| vid).collect();
        all = Some(all.map_or_else(|| state & &holds, |all| all & &holds));
    }
    Ok(all.unwrap_or_default())
}

/// The versions of a state, newest first by `observed_at`, then by memory id; `limit` 0 is all.
pub(super) fn newest(pieces: &Pieces, state: &RoaringBitmap, offset: u32, limit: u32) -> Result<Vec<u32>> {
    let sheet = pieces.sheet()?;
    let mut all: Vec<(Reverse<Time>, u32)> = Vec::with_capacity(state.len() as usize);
    for columns in &sheet.0 {
        all.extend(state.range(columns.first..columns.next()).map(|vid| (Reverse(columns.observed_at(vid)), vid)));
    }
    let start = (offset as usize).min(all.len());
    let end = if limit == 0 { all.len() } else { start.saturating_add(limit as usize).min(all.len()) };
    if start == end {
        return Ok(Vec::new());
    }
    // Ids are read only of those that can be on the page: everything as old as its first and its last one.
    let newest = all.select_nth_unstable(start).1.0;
    let oldest = all.select_nth_unstable(end - 1).1.0;
    let newer = all.iter().filter(|(at, _)| *at < newest).count();
    all.retain(|(at, _)| (newest..=oldest).contains(at));
    all.sort_unstable();
    let mut sorted = Vec::with_capacity(all.len());
    for tied in all.chunk_by(|a, b| a.0 == b.0) {
        let vids: Vec<u32> = tied.iter().map(|(_, vid)| *vid).collect();
        if let [vid] = vids[..] {
            sorted.push(vid);
            continue;
        }
        let mut tied: Vec<(MemoryId, u32)> = pieces.ids_or_zeros(&vids)?.into_iter().zip(vids).collect();
        tied.sort_unstable();
        sorted.extend(tied.into_iter().map(|(_, vid)| vid));
    }
    Ok(sorted.get(start - newer..end - newer).unwrap_or_default().to_vec())
}

/// The versions of the state that pass the filter and have not expired.
pub(super) fn filter(pieces: &Pieces, state: &RoaringBitmap, filter: &Filter, now: Time) -> Result<RoaringBitmap> {
    let sheet = pieces.sheet()?;
    let wanted = sheet.wanted(filter, now);
    let of_piece = |wanted: &Wanted| {
        let vids = state.range(wanted.columns.first..wanted.columns.next());
        vids.filter(|vid| wanted.has(*vid)).collect::<Vec<u32>>()
    };
    Ok(wanted.iter().flat_map(of_piece).collect())
}

/// Segments are read page by page for it, unless they are in memory: who asks only this keeps nothing there.
pub(super) fn by_kind(pieces: &Pieces, state: &RoaringBitmap) -> Result<Vec<(Kind, u32)>> {
    let mut counts = [0u32; Kind::ALL.len()];
    for segment in &pieces.segments {
        let vocabulary = segment.vocabulary()?;
        segment.each(Column::Class, &mut |first, records| {
            let vids = segment.first + first as u32..;
            for (vid, record) in vids.zip(records.chunks_exact(Column::Class.record_bytes())) {
                if state.contains(vid) {
                    counts[vocabulary.class(number(record)).kind as usize] += 1;
                }
            }
            Ok(())
        })?;
    }
    for columns in pieces.tails().map(|tail| &tail.columns) {
        for vid in state.range(columns.first..columns.next()) {
            counts[columns.class_of(vid).kind as usize] += 1;
        }
    }
    Ok(Kind::ALL.iter().copied().zip(counts).filter(|(_, count)| *count > 0).collect())
}
