//! A question to a state: document frequencies, the best by words and by meaning within the filter, their neighbours,
//! and how each meets the question. The server adds up the very scores that the embedded engine has, in other
//! precision: it chooses a few more than are wanted, and here they are put in the same order. The ranking is
//! `search/`'s.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use memoria_kernel::bm25;
use mysql_async::Value;
use roaring::RoaringBitmap;

use super::nearest::Near;
use super::read::is_open;
use super::store::Store;
use super::truth::Reader;
use super::within::Within;
use super::{filter, postings, row, sql};
use crate::engine::At;
use crate::engine::history::Past;
use crate::error::Result;
use crate::model::{Candidate, Candidates, Feedback, Match, Query, Version};

/// Of so many of the best by words, and by vector, the neighbours are candidates, too: as in the embedded engine.
const HEARD_AROUND: usize = 20;
/// How many more than wanted the server chooses at first: what is as good as the last one, or has expired.
const SPARE: usize = 24;
/// By how much more it chooses when these did not do, and where it ends.
const MORE_FACTOR: usize = 8;
const CHOSEN_MAX: usize = 50_000;
/// Scores of the server that are less than this part apart may be one: it adds in other precision.
const SAME: f32 = 1e-5;

/// The best that were chosen of more.
#[derive(Default)]
pub struct Chosen {
    /// With their scores.
    pub scored: Vec<(u32, f32)>,
    /// No other one is better than this; `None` where there is no other one.
    pub rest: Option<f32>,
}

/// A question that is being answered.
pub struct Question<'q, 's> {
    pub reader: &'q Reader<'s>,
    pub at: &'q At,
    pub query: &'q Query,
    pub within: &'q Within,
    /// The filter where there is one: the condition, and the values in it.
    filter: Option<(String, Vec<Value>)>,
    /// The terms by number, and where each stands in the query.
    terms: BTreeMap<i64, Vec<usize>>,
    /// What was read of versions; `None` where the bytes are gone.
    versions: RefCell<HashMap<u32, Option<(Version, u32)>>>,
}

impl Store {
    pub fn candidates(&self, at: &At, query: &Query) -> Result<Candidates> {
        if let Some(asked) = &query.vector {
            asked.space.check(&asked.vector)?;
        }
        self.reading(|reader| {
            let near = query.vector.as_ref().map(|asked| Near::of(reader, asked)).transpose()?;
            reader.in_state(at, |within| Question::of(reader, at, query, within).answer(near.as_ref()))
        })
    }
}

impl<'q, 's> Question<'q, 's> {
    fn of(reader: &'q Reader<'s>, at: &'q At, query: &'q Query, within: &'q Within) -> Self {
        let filter = (!is_open(&query.filter)).then(|| filter::condition(&query.filter, at.as_of));
        let mut terms: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (place, term) in query.terms.iter().enumerate() {
            terms.entry(postings::key_of_term(&term.text)).or_default().push(place);
        }
        Self { reader, at, query, within, filter, terms, versions: RefCell::default() }
    }

    fn answer(&self, near: Option<&Near>) -> Result<Candidates> {
        let (live, tokens) = (self.at.live, self.at.tokens);
        let (document_frequencies, words) = self.words()?;
        let (by_words, nearest) = (
            |room| words.best(self, room),
            |room| near.map_or_else(|| Ok(Chosen::default()), |near| near.nearest(self, room)),
        );
        let room = self.query.limit + SPARE;
        let first = (by_words(room)?, nearest(room)?);
        // Both at once: what is read costs a round trip each time.
        self.read(first.0.scored.iter().chain(&first.1.scored).map(|(vid, _)| *vid))?;
        let (by_words, nearest) = (self.settled(first.0, by_words)?, self.settled(first.1, nearest)?);
        let around = self.neighbours(by_words.iter().chain(&nearest))?;
        let heard = by_words.iter().take(HEARD_AROUND).chain(nearest.iter().take(HEARD_AROUND));
        let beside = heard.flat_map(|vid| around.of(*vid, self.query.around)).map(|(_, vid)| vid);
        let beside: Vec<u32> = beside.collect();
        self.read(beside.iter().copied())?;
        let beside: Vec<u32> = beside.into_iter().filter(|vid| self.is_wanted(*vid)).collect();
        let mut known = BTreeSet::new();
        let best = by_words.iter().chain(&nearest).chain(&beside).copied();
        let best: Vec<u32> = best.filter(|vid| known.insert(*vid)).collect();
        let meets = self.meets(&best, &around, near)?;
        let found = best.iter().filter_map(|vid| self.candidate(*vid, &around, &meets)).collect();
        // In a space without vectors none is compared.
        let cosines = near.map(|near| near.cosines(self)).transpose()?;
        Ok(Candidates { live, tokens, document_frequencies, cosines, found })
    }

    fn candidate(&self, vid: u32, around: &Around, meets: &Meets) -> Option<Candidate> {
        let versions = self.versions.borrow();
        // What was erased since the state was fixed is left out.
        let (version, len) = versions.get(&vid)?.as_ref()?;
        let beside = around.of(vid, self.query.around).into_iter();
        Some(Candidate {
            version: version.clone(),
            words: meets.of(vid, *len, self.query.terms.len()),
            feedback: Feedback::default(),
            vector: meets.vectors.get(&vid).cloned().unwrap_or_default(),
            around: beside
                .map(|(distance, vid)| (distance, meets.of(vid, around.len_of(vid), self.query.terms.len())))
                .collect(),
        })
    }

    /// In how many versions of the state each term occurs, and how the best by BM25 are found.
    fn words(&self) -> Result<(Vec<u32>, Words)> {
        if self.terms.is_empty() {
            return Ok((Vec::new(), Words::Here(Vec::new())));
        }
        if *self.within == Within::Unsaid {
            return self.words_here();
        }
        let from = self.within.of_table("words", false);
        let counts = sql::document_frequencies(&from, self.terms.keys(), &self.within.and());
        let document_frequencies = self.in_order(self.numbers::<(i64, u32)>(&counts, &[])?);
        let idfs = self.idfs(&document_frequencies);
        let weight = |(term, places): (&i64, &Vec<usize>)| (*term, places.iter().map(|at| idfs[*at]).sum());
        Ok((document_frequencies, Words::There(self.terms.iter().map(weight).collect())))
    }

    /// The same from every posting of the terms: of a state that the server cannot be told of.
    fn words_here(&self) -> Result<(Vec<u32>, Words)> {
        let mut found: Vec<Posting> = self.numbers(&sql::postings_of(self.terms.keys(), None), &[])?;
        found.retain(|(_, vid, _, _)| self.at.state.contains(*vid));
        let mut counts: BTreeMap<i64, u32> = BTreeMap::new();
        found.iter().for_each(|(term, ..)| *counts.entry(*term).or_default() += 1);
        let document_frequencies = self.in_order(counts);
        let scores = self.scored(found, &self.idfs(&document_frequencies));
        let mut scored: Vec<(u32, f32)> = scores.into_iter().filter(|(_, score)| *score > 0.0).collect();
        scored.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
        Ok((document_frequencies, Words::Here(scored)))
    }

    /// As the embedded engine adds them up.
    fn scored(&self, found: Vec<Posting>, idfs: &[f32]) -> HashMap<u32, f32> {
        let average = self.average_len();
        let mut by_place: Vec<(usize, Posting)> = Vec::with_capacity(found.len());
        for posting in found {
            let places = self.terms.get(&posting.0).into_iter().flatten();
            by_place.extend(places.map(|place| (*place, posting)));
        }
        by_place.sort_unstable_by_key(|(place, _)| *place);
        let mut scores: HashMap<u32, f32> = HashMap::new();
        for (place, (_, vid, frequency, len)) in by_place {
            *scores.entry(vid).or_default() += bm25::weight(idfs[place], frequency, bm25::norm(len, average));
        }
        scores
    }

    fn idfs(&self, document_frequencies: &[u32]) -> Vec<f32> {
        let idf = |(df, term): (&u32, &crate::model::Term)| bm25::idf(self.at.live, *df) * term.weight;
        document_frequencies.iter().zip(&self.query.terms).map(idf).collect()
    }

    fn average_len(&self) -> f32 {
        self.at.tokens as f32 / self.at.live.max(1) as f32
    }

    /// What is known of each term, in the order of the query.
    fn in_order(&self, counts: impl IntoIterator<Item = (i64, u32)>) -> Vec<u32> {
        let mut ordered = vec![0; self.query.terms.len()];
        for (term, count) in counts {
            self.terms.get(&term).into_iter().flatten().for_each(|place| ordered[*place] = count);
        }
        ordered
    }

    /// As many as are wanted of what was chosen first, or else of what `choose` brings, in their order: of those that
    /// are equally good the newest come first, then those with the smallest id. Expired and erased ones are left out.
    fn settled(&self, first: Chosen, choose: impl Fn(usize) -> Result<Chosen>) -> Result<Vec<u32>> {
        let limit = self.query.limit;
        let (mut chosen, mut room) = (first, limit + SPARE);
        loop {
            let Chosen { mut scored, rest } = chosen;
            scored.retain(|(vid, _)| self.at.state.contains(*vid));
            self.read(scored.iter().map(|(vid, _)| *vid))?;
            let versions = self.versions.borrow();
            let key = |(vid, score): (u32, f32)| {
                let memory = &versions.get(&vid)?.as_ref()?.0.memory;
                let is_there = !memory.is_expired_at(self.at.as_of);
                is_there.then_some((score, Reverse(memory.observed_at), memory.id, vid))
            };
            let mut keyed: Vec<_> = scored.into_iter().filter_map(key).collect();
            drop(versions);
            keyed.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
            let last = limit.checked_sub(1).and_then(|last| keyed.get(last)).map(|key| key.0);
            let is_settled = match (last, rest) {
                (_, None) => true,
                (Some(last), Some(rest)) => last > rest + SAME * rest.abs(),
                (None, Some(_)) => limit == 0,
            };
            if is_settled || room >= CHOSEN_MAX {
                return Ok(keyed.into_iter().take(limit).map(|key| key.3).collect());
            }
            room = (room * MORE_FACTOR).min(CHOSEN_MAX);
            chosen = choose(room)?;
        }
    }

    /// Whether a version that was read passes the filter.
    fn is_wanted(&self, vid: u32) -> bool {
        let versions = self.versions.borrow();
        let version = versions.get(&vid).and_then(Option::as_ref);
        version.is_some_and(|(version, _)| filter::passes(&self.query.filter, &version.memory))
    }

    /// Reads what these versions say, as far as it is not known yet.
    fn read(&self, vids: impl Iterator<Item = u32>) -> Result<()> {
        let mut versions = self.versions.borrow_mut();
        let missing: RoaringBitmap = vids.filter(|vid| !versions.contains_key(vid)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        missing.iter().for_each(|vid| drop(versions.insert(vid, None)));
        for (vid, version, len) in self.reader.whole_with_len(&missing)? {
            versions.insert(vid, Some((version, len)));
        }
        Ok(())
    }

    /// Who stands beside whom in the sessions of these versions.
    fn neighbours<'v>(&self, vids: impl Iterator<Item = &'v u32>) -> Result<Around> {
        if self.query.around == 0 {
            return Ok(Around::default());
        }
        let versions = self.versions.borrow();
        let session = |vid: &u32| versions.get(vid)?.as_ref()?.0.memory.session.as_ref();
        let vids: Vec<u32> = vids.copied().collect();
        let sessions: BTreeSet<i64> = vids.iter().filter_map(session).map(postings::key_of_session).collect();
        if sessions.is_empty() {
            return Ok(Around::default());
        }
        let whole = sql::sessions(&sessions, None, SESSION_ROWS_MAX + 1);
        let mut rows: Vec<SessionRow> = self.numbers(&whole, &[])?;
        if rows.len() > SESSION_ROWS_MAX {
            rows = self.numbers(&sql::sessions(&sessions, Some(&windows(vids)), usize::MAX), &[])?;
        }
        let now = self.at.as_of.0;
        rows.retain(|(_, _, vid, expires_at, _)| {
            self.at.state.contains(*vid) && expires_at.is_none_or(|expires_at| expires_at > now)
        });
        rows.sort_unstable();
        Ok(Around::among(rows))
    }

    /// How the best, and those around them, meet the question.
    fn meets(&self, best: &[u32], around: &Around, near: Option<&Near>) -> Result<Meets> {
        let mut others: RoaringBitmap =
            best.iter().flat_map(|vid| around.of(*vid, self.query.around)).map(|(_, vid)| vid).collect();
        let best: RoaringBitmap = best.iter().copied().collect();
        others -= &best;
        let all: Vec<u32> = (&best | &others).iter().collect();
        let mut meets = Meets::default();
        if !self.terms.is_empty() && !all.is_empty() {
            let found: Vec<Posting> = self.numbers(&sql::postings_of(self.terms.keys(), Some(&all)), &[])?;
            for (term, vid, frequency, _) in found {
                let frequencies = meets.frequencies.entry(vid).or_insert_with(|| vec![0; self.query.terms.len()]);
                self.terms.get(&term).into_iter().flatten().for_each(|place| frequencies[*place] = frequency);
            }
        }
        if let Some(near) = near {
            meets.vectors = near.vectors(self, &best)?;
            let exact = meets.vectors.iter().map(|(vid, codes)| (*vid, near.cosine(codes)));
            meets.cosines = exact.collect();
            meets.cosines.extend(near.cosines_of(self, &others)?);
        }
        Ok(meets)
    }

    /// The state and the filter, as a condition behind others.
    pub fn which(&self) -> String {
        match &self.filter {
            Some((condition, _)) => format!("{} and {condition}", self.within.and()),
            None => self.within.and(),
        }
    }

    /// What stands for each `?` of [`Self::which`].
    pub fn values(&self) -> &[Value] {
        self.filter.as_ref().map_or(&[], |(_, values)| values)
    }

    /// Whether there is a filter.
    pub fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// Rows of numbers. A statement without values is not worth preparing: it holds the question's own.
    pub fn numbers<T: mysql_async::prelude::FromRow>(&self, sql: &str, values: &[Value]) -> Result<Vec<T>> {
        let found = match values {
            [] => self.reader.with(|session| session.text_rows(sql))?,
            values => self.reader.rows(sql, values.to_vec())?,
        };
        found.into_iter().map(row).collect()
    }
}

/// How the best by words are found.
enum Words {
    /// By the server: each term with its weight.
    There(Vec<(i64, f32)>),
    /// Among all of the state, best first.
    Here(Vec<(u32, f32)>),
}

impl Words {
    fn best(&self, question: &Question, room: usize) -> Result<Chosen> {
        match self {
            Self::There(weights) => {
                let from = question.within.of_table("words", question.has_filter());
                let sql = sql::best_by_words(&from, weights, question.average_len(), &question.which(), room);
                let found = question.numbers::<(u32, f64)>(&sql, question.values())?;
                Ok(Chosen::of(found, room))
            }
            Self::Here(scored) => {
                let mut passing: Vec<(u32, f32)> = Vec::new();
                for some in scored.chunks(CHOSEN_MAX / 16) {
                    let vids: RoaringBitmap = some.iter().map(|(vid, _)| *vid).collect();
                    let (reader, at) = (question.reader, question.at);
                    let vids = reader.passing(&vids, &question.query.filter, at.as_of)?;
                    passing.extend(some.iter().filter(|(vid, _)| vids.contains(*vid)));
                    if passing.len() > room {
                        break;
                    }
                }
                let rest = passing.get(room).map(|(_, score)| *score);
                passing.truncate(room);
                Ok(Chosen { scored: passing, rest })
            }
        }
    }
}

impl Chosen {
    /// The best of the server's, which was asked for so many.
    pub fn of(found: Vec<(u32, f64)>, room: usize) -> Self {
        let rest = found.last().filter(|_| found.len() == room).map(|(_, score)| *score as f32);
        Self { scored: found.into_iter().map(|(vid, score)| (vid, score as f32)).collect(), rest }
    }
}

/// A term's number, a vid, how often the term occurs there, and how long the text is in terms.
type Posting = (i64, u32, u16, u32);
/// A session's number, when, a vid, when it expires, and how long the text is in terms.
type SessionRow = (i64, i64, u32, Option<i64>, u32);

/// Sessions that have more rows together are looked at around the candidates only.
const SESSION_ROWS_MAX: usize = 8_000;
/// So many numbers of versions around each.
const WINDOW: u32 = 64;

/// Ranges around these numbers.
fn windows(mut vids: Vec<u32>) -> Vec<(u32, u32)> {
    vids.sort_unstable();
    let mut windows: Vec<(u32, u32)> = Vec::new();
    for vid in vids {
        let (first, last) = (vid.saturating_sub(WINDOW), vid.saturating_add(WINDOW));
        match windows.last_mut() {
            Some(before) if first <= before.1 => before.1 = last,
            _ => windows.push((first, last)),
        }
    }
    windows
}

/// Who stands beside whom in a session, by `observed_at` and vid.
#[derive(Default)]
struct Around {
    /// Sorted.
    rows: Vec<SessionRow>,
    places: HashMap<u32, usize>,
}

impl Around {
    /// Of rows that are sorted.
    fn among(rows: Vec<SessionRow>) -> Self {
        let places = rows.iter().enumerate().map(|(place, row)| (row.2, place)).collect();
        Self { rows, places }
    }

    /// Up to so many before it and after it, with their distances: the nearest first, those before it first.
    fn of(&self, vid: u32, around: u8) -> Vec<(i8, u32)> {
        let Some(place) = self.places.get(&vid).copied() else { return Vec::new() };
        let around = usize::from(around);
        let session = self.rows[place].0;
        let is_beside = |row: &&SessionRow| row.0 == session;
        let before =
            self.rows[..place].iter().rev().take_while(is_beside).zip((1..=i8::MAX).map(|at| -at)).take(around);
        let after = self.rows[place + 1..].iter().take_while(is_beside).zip(1..=i8::MAX).take(around);
        before.chain(after).map(|(row, distance)| (distance, row.2)).collect()
    }

    fn len_of(&self, vid: u32) -> u32 {
        self.places.get(&vid).map_or(0, |place| self.rows[*place].4)
    }
}

/// How versions meet the question.
#[derive(Default)]
struct Meets {
    frequencies: HashMap<u32, Vec<u16>>,
    vectors: HashMap<u32, Vec<i8>>,
    cosines: HashMap<u32, f32>,
}

impl Meets {
    fn of(&self, vid: u32, len: u32, terms: usize) -> Match {
        let frequencies = self.frequencies.get(&vid).cloned().unwrap_or_else(|| vec![0; terms]);
        Match { len, frequencies, cosine: self.cosines.get(&vid).copied() }
    }
}
