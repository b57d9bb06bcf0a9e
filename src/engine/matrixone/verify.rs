//! Everything that the model promises, held against what is stored: versions with the columns that follow from them,
//! history (`history::audit`), names, branches' tables, replies, vectors. Read in pages by number; it only reads.

use std::collections::{BTreeMap, HashMap};

use mysql_async::{Row, Value};
use roaring::RoaringBitmap;

use super::postings::{self, Sum};
use super::store::Store;
use super::truth::Reader;
use super::{feedback, put, row, sql};
use crate::engine::history::audit::{self, Census, Checking, Rows, Stored};
use crate::engine::history::rows::{CommitRow, Move, Reply, bitmap, damaged, pending, text_key};
use crate::engine::history::{Past, Truth};
use crate::error::{Error, Result};
use crate::lexical;
use crate::model::id::hex;
use crate::model::{Check, Memory, Name, NameKind, Salt, Time};

const VERSIONS_AT_ONCE: u32 = 500;
const COMMITS_AT_ONCE: u32 = 500;
const MOVES_AT_ONCE: u32 = 5_000;
const REPLIES_AT_ONCE: u32 = 500;
/// How often it is begun again, where history was changed meanwhile.
const TRIES_MAX: usize = 3;
/// Versions whose words are counted at once.
pub const SUMS_AT_ONCE: usize = 20_000;
/// Rows of which only numbers are read.
const NUMBERS_AT_ONCE: u32 = 50_000;

impl Store {
    /// Checks everything. Versions and commits are checked while others write, up to what there was at first; names and
    /// branches' tables while nobody does.
    pub fn verify(&self) -> Result<Vec<Check>> {
        let pool = self.patient()?;
        // What is remembered is not what is stored.
        self.commits.rest();
        self.states.forget_all();
        for _ in 0..TRIES_MAX {
            let (mut checks, commits, upheavals) = pool.read(|session| {
                let reader = self.as_of_now(session)?;
                let (mut checks, census, gone) = versions(&reader)?;
                let (history, commits) = audit::commits(&reader, &census)?;
                checks.extend(history);
                checks.push(vectors(&reader, &gone)?);
                checks.push(replies(&reader)?);
                checks.push(feedback::verify(&reader)?);
                Ok((checks, commits, reader.upheavals()))
            })?;
            let stands = self.alone(&pool, |ground| {
                if ground.upheavals() != upheavals {
                    return Ok(None);
                }
                Ok(Some([names(ground, &commits)?, tables(ground)?]))
            })?;
            if let Some(stands) = stands {
                checks.extend(stands);
                return Ok(checks);
            }
        }
        Err(Error::unavailable("others erase or compact again and again meanwhile: try again later"))
    }
}

/// A version as its row says, and what of the row does not follow from its bytes.
pub struct Judged {
    pub vid: u32,
    pub first: u32,
    terms: u32,
    memory: String,
    /// `None` where the bytes are gone.
    pub whole: Option<Memory>,
    /// Its id is not that of its bytes.
    is_other: bool,
    /// Columns that are searched by differ from what it says.
    pub is_stale: bool,
    /// What its rows in other tables ought to come to.
    pub sum: Sum,
}

/// Goes through all versions, in order.
pub fn every_version(reader: &Reader, mut see: impl FnMut(Vec<(u32, Result<Judged>)>) -> Result<()>) -> Result<()> {
    let mut after = -1i64;
    loop {
        let page = reader
            .rows(&sql::versions_after(), vec![after.into(), reader.next().vid.into(), VERSIONS_AT_ONCE.into()])?;
        let is_last = page.len() < VERSIONS_AT_ONCE as usize;
        let mut judged = Vec::with_capacity(page.len());
        for found in page {
            let vid: Option<u32> = found.get_opt("vid").and_then(std::result::Result::ok);
            let vid = vid.ok_or_else(|| damaged("a version has no number"))?;
            after = i64::from(vid);
            judged.push((vid, judge(found)));
        }
        see(judged)?;
        if is_last {
            return Ok(());
        }
    }
}

fn judge(found: Row) -> Result<Judged> {
    let lost = || damaged("a column cannot be read");
    let mut values: Vec<Value> = found.unwrap_raw().into_iter().map(|value| value.unwrap_or(Value::NULL)).collect();
    let faces = values.len().checked_sub(7).ok_or_else(lost)?;
    let face: Vec<Value> = values.splice(..faces, []).collect();
    let [vid, first, len, version, text, salt, canonical] = &values[..] else { return Err(lost()) };
    let number = |value: &Value| plain(value).parse::<u32>().map_err(|_| lost());
    let (vid, first, terms) = (number(vid)?, number(first)?, number(len)?);
    let memory = plain(face.first().ok_or_else(lost)?);
    let (Value::Bytes(salt), Value::Bytes(canonical)) = (salt, canonical) else {
        let is_empty = face
            .iter()
            .skip(1)
            .map(plain)
            .all(|value| ["", "0"].contains(&value.as_str()) || value == terms.to_string());
        let sum = postings::sum_of(&memory.parse()?, None);
        return Ok(Judged { vid, first, terms, memory, whole: None, is_other: false, is_stale: !is_empty, sum });
    };
    let salt = Salt(salt.as_slice().try_into().map_err(|_| lost())?);
    let whole = Memory::decode(canonical)?;
    let analysed = lexical::analyse(&whole.text);
    let expected = put::face(&whole, analysed.len);
    let is_same = face.iter().map(plain).eq(expected.iter().map(plain)) && plain(text) == hex(&text_key(&whole));
    let is_other = Memory::version_id(&salt, canonical).to_string() != plain(version);
    let sum = postings::sum_of(&whole.id, Some((&whole, &analysed)));
    Ok(Judged { vid, first, terms, memory, whole: Some(whole), is_other, is_stale: !is_same, sum })
}

/// A value as text, whatever protocol it came by.
fn plain(value: &Value) -> String {
    match value {
        Value::NULL => String::new(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        other => other.as_sql(true),
    }
}

fn versions(reader: &Reader) -> Result<(Vec<Check>, Census, RoaringBitmap)> {
    let mut rows =
        Checking::of("Every version can be read, hashes to its id, and is of the memory that its number says.");
    let mut emptied =
        Checking::of("Exactly the versions that were erased have no bytes, and none is left half erased.");
    let mut derived = Checking::of("The columns that are searched are those of the stored versions.");
    let (mut census, mut gone) = (Census::default(), RoaringBitmap::new());
    let mut sums = Sums::default();
    every_version(reader, |page| {
        let mut later = Vec::new();
        for (vid, judged) in page {
            rows.check.checked += 1;
            let Some(judged) = rows.read(|| format!("version {vid}"), judged) else { continue };
            census.add(vid, judged.terms, judged.first);
            rows.claim(!judged.is_other, || format!("version {vid} does not hash to its id"));
            let says = judged.whole.as_ref().map(|memory| memory.id.to_string());
            rows.claim(says.is_none_or(|id| id == judged.memory), || format!("version {vid} is of another memory"));
            if judged.whole.is_none() {
                gone.insert(vid);
                emptied.claim(!judged.is_stale, || format!("version {vid} is erased, but still says something"));
            } else {
                derived.check.checked += 1;
                derived.claim(!judged.is_stale, || format!("version {vid} is searched otherwise than it reads"));
            }
            sums.expect(vid, judged.sum);
            if judged.first != vid {
                later.push(judged);
            }
        }
        said(&mut derived, &sums.compare(reader, SUMS_AT_ONCE)?);
        of_one_memory(reader, &later, &mut rows)
    })?;
    said(&mut derived, &sums.compare(reader, 0)?);
    let stored = reader.first(sql::ERASED, vec![])?.ok_or_else(|| damaged("`erased` is empty"))?;
    let stored = bitmap(&row::<(Vec<u8>,)>(stored)?.0)?;
    emptied.check.checked += 1 + stored.len();
    let stray = stored ^ &gone;
    emptied.claim(stray.is_empty(), || format!("{} versions are erased in part, first {:?}", stray.len(), stray.min()));
    Ok((vec![rows.done(), emptied.done(), derived.done()], census, gone))
}

fn said(derived: &mut Checking, other: &RoaringBitmap) {
    derived.claim(other.is_empty(), || {
        format!("the words or sessions of {} versions are others, first {:?}", other.len(), other.min())
    });
}

/// What the rows of versions in `words` and `sessions` ought to come to. Those tables lie in another order: they are
/// read as a whole, so many versions are compared at once.
#[derive(Default)]
pub struct Sums {
    expected: BTreeMap<u32, Sum>,
    /// Everything before this vid was compared.
    from: u32,
}

impl Sums {
    /// Of the next version.
    pub fn expect(&mut self, vid: u32, sum: Sum) {
        self.expected.insert(vid, sum);
    }

    /// The versions whose rows come to something else, if `least` are to be compared; 0 is all that is left.
    pub fn compare(&mut self, reader: &Reader, least: usize) -> Result<RoaringBitmap> {
        let last = match self.expected.last_key_value() {
            Some((last, _)) if self.expected.len() >= least => *last,
            _ => return Ok(RoaringBitmap::new()),
        };
        let which = format!("vid between {} and {last}", self.from);
        let mut found: BTreeMap<u32, Sum> = BTreeMap::new();
        for counted in reader.with(|session| session.text_rows(&sql::sums_of_words(&which)))? {
            let (vid, count, frequencies, keys): (u32, u64, u64, u64) = row(counted)?;
            found.entry(vid).or_default().words = (count, frequencies, keys);
        }
        for counted in reader.with(|session| session.text_rows(&sql::sums_of_sessions(&which)))? {
            let (vid, count, keys): (u32, u64, u64) = row(counted)?;
            found.entry(vid).or_default().sessions = (count, keys);
        }
        let expected = std::mem::take(&mut self.expected);
        self.from = last.saturating_add(1);
        let lacking = expected.iter().filter(|(vid, sum)| found.get(vid) != Some(sum)).map(|(vid, _)| *vid);
        let mut other: RoaringBitmap = lacking.collect();
        other.extend(found.into_keys().filter(|vid| !expected.contains_key(vid)));
        Ok(other)
    }
}

/// A first version may have been forgotten by compaction; its number stays the memory's.
fn of_one_memory(reader: &Reader, later: &[Judged], rows: &mut Checking) -> Result<()> {
    let firsts: RoaringBitmap = later.iter().map(|judged| judged.first).collect();
    let mut known = HashMap::new();
    reader.each("vid, first, memory", &firsts, |found| {
        let (vid, first, memory): (u32, u32, String) = row(found)?;
        known.insert(vid, (first, memory));
        Ok(())
    })?;
    for Judged { vid, first, memory, .. } in later {
        let is_of = known.get(first).is_none_or(|(of, id)| of == first && id == memory);
        rows.claim(is_of && first < vid, || {
            format!("version {vid} is not of the memory that begins at version {first}")
        });
    }
    Ok(())
}

/// Every move of every name, in the order of names, then of time, read in pages.
pub struct Moves<'r, 's> {
    reader: &'r Reader<'s>,
    page: std::vec::IntoIter<Result<(Name, Move)>>,
    /// `None` where there are no more.
    after: Option<(String, i64, u32)>,
}

impl<'r, 's> Moves<'r, 's> {
    /// From the first on.
    pub fn of(reader: &'r Reader<'s>) -> Self {
        Self { reader, page: Vec::new().into_iter(), after: Some((String::new(), i64::MIN, 0)) }
    }

    fn read(&mut self, (name, at, seq): (String, i64, u32)) -> Result<()> {
        let values = vec![name.as_str().into(), name.into(), at.into(), at.into(), seq.into(), MOVES_AT_ONCE.into()];
        let found = self.reader.rows(sql::MOVES_AFTER, values)?;
        let is_full = found.len() == MOVES_AT_ONCE as usize;
        let mut page = Vec::with_capacity(found.len());
        for found in found {
            let (name, at, seq, record): (String, i64, u32, Vec<u8>) = row(found)?;
            let step = Move::decode(Time(at), seq, &record);
            self.after = is_full.then(|| (name.clone(), at, seq));
            page.push(step.and_then(|step| Ok((name.parse()?, step))));
        }
        self.page = page.into_iter();
        Ok(())
    }
}

impl Iterator for Moves<'_, '_> {
    type Item = Result<(Name, Move)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.len() == 0 {
            let after = self.after.take()?;
            if let Err(error) = self.read(after) {
                return Some(Err(error));
            }
        }
        self.page.next()
    }
}

fn names(reader: &Reader, commits: &RoaringBitmap) -> Result<Check> {
    let mut names = Checking::of("Every name, every move of it and every merge in progress leads to a commit.");
    let mut lasts: Vec<(Name, Move)> = Vec::new();
    for step in Moves::of(reader) {
        names.check.checked += 1;
        let Some((name, step)) = names.read(|| "a move of a name".to_owned(), step) else { continue };
        let number = step.standing.number;
        let is_there = commits.contains(number) || commits.max() < Some(number) && reader.commit(number).is_ok();
        names.claim(is_there, || format!("a move of `{name}` leads to commit {number}, which is missing"));
        match lasts.last_mut() {
            Some((of, last)) if *of == name => *last = step,
            _ => lasts.push((name, step)),
        }
    }
    let mut stand = reader.every_name()?;
    stand.sort_by(|a, b| a.0.cmp(&b.0));
    lasts.sort_by(|a, b| a.0.cmp(&b.0));
    names.claim(stand == lasts, || "a name stands otherwise than its history says".to_owned());
    for found in reader.rows(sql::EVERY_PENDING, vec![])? {
        names.check.checked += 1;
        let (branch, record): (String, Vec<u8>) = row(found)?;
        let what = || format!("the merge in progress on `{branch}`");
        let Some(pending) = names.read(what, pending(&record)) else { continue };
        let is_there = reader.number_of(pending.theirs)?.is_some();
        names.claim(is_there, || format!("{} is of commit {}, which is missing", what(), pending.theirs));
    }
    Ok(names.done())
}

/// The versions in a branch's table.
pub fn held(reader: &Reader, table: u32) -> Result<RoaringBitmap> {
    numbers(reader, &sql::live_vids(table))
}

/// A column of rising numbers, read in pages.
fn numbers(reader: &Reader, sql: &str) -> Result<RoaringBitmap> {
    let (mut held, mut after) = (RoaringBitmap::new(), -1i64);
    loop {
        let page = reader.rows(sql, vec![after.into(), NUMBERS_AT_ONCE.into()])?;
        let is_last = page.len() < NUMBERS_AT_ONCE as usize;
        for found in page {
            let (vid,): (u32,) = row(found)?;
            held.insert(vid);
            after = i64::from(vid);
        }
        if is_last {
            return Ok(held);
        }
    }
}

/// Rows of a branch's table that differ from their version.
pub fn differing(reader: &Reader, table: u32) -> Result<RoaringBitmap> {
    numbers(reader, &sql::differing(table))
}

fn tables(reader: &Reader) -> Result<Check> {
    let mut tables = Checking::of("The table of every branch holds the state of its head, and nothing else.");
    for (name, last) in reader.every_name()? {
        if !last.is_living() || last.standing.kind != NameKind::Branch {
            continue;
        }
        let what = || format!("the table of `{name}`");
        let missing = || Err(Error::corrupt("it is missing"));
        let table = reader.live(&name)?.map_or_else(missing, Ok);
        let Some(table) = tables.read(what, table) else { continue };
        let Some(held) = tables.read(what, held(reader, table)) else { continue };
        let Some(state) = tables.read(what, reader.state(last.standing.number)) else { continue };
        tables.check.checked += held.len();
        let stray = &held ^ &*state.served;
        tables.claim(stray.is_empty(), || {
            format!("{} differs in {} versions from the state, first {:?}", what(), stray.len(), stray.min())
        });
        let Some(other) = tables.read(what, differing(reader, table)) else { continue };
        tables.claim(other.is_empty(), || {
            format!("{} says otherwise than {} versions, first {:?}", what(), other.len(), other.min())
        });
    }
    Ok(tables.done())
}

fn replies(reader: &Reader) -> Result<Check> {
    let mut replies = Checking::of("Every remembered operation can be answered again.");
    let mut after = String::new();
    loop {
        let page = reader.rows(sql::OPS_AFTER, vec![after.as_str().into(), REPLIES_AT_ONCE.into()])?;
        let is_last = page.len() < REPLIES_AT_ONCE as usize;
        for found in page {
            let (op, reply): (String, Vec<u8>) = row(found)?;
            replies.check.checked += 1;
            replies.read(|| "a stored reply".to_owned(), Reply::decode(&reply));
            after = op;
        }
        if is_last {
            return Ok(replies.done());
        }
    }
}

/// Of versions that came meanwhile, too.
fn vectors(reader: &Reader, gone: &RoaringBitmap) -> Result<Check> {
    let mut vectors = Checking::of("No vector is of a version whose bytes are gone.");
    for found in reader.rows(sql::SPACES, vec![])? {
        let (space, _, _): (u32, String, u32) = row(found)?;
        let Some(held) = vectors.read(|| format!("space {space}"), numbers(reader, &sql::vector_vids(space))) else {
            continue;
        };
        vectors.check.checked += held.len();
        let stray = held & gone;
        vectors.claim(stray.is_empty(), || {
            format!("space {space} has vectors of {} erased versions, first {:?}", stray.len(), stray.min())
        });
    }
    Ok(vectors.done())
}

impl Stored for Reader<'_> {
    fn keyframe(&self, number: u32) -> Result<Option<RoaringBitmap>> {
        let found = self.first(sql::STATE, vec![number.into()])?;
        found.map(|found| bitmap(&row::<(Vec<u8>,)>(found)?.0)).transpose()
    }

    fn every_commit(&self, mut see: impl FnMut(u32, Result<CommitRow>) -> Result<()>) -> Result<()> {
        let mut after = -1i64;
        loop {
            let page = self.rows(
                sql::COMMITS_BY_ID_AFTER,
                vec![after.into(), self.next().commit.into(), COMMITS_AT_ONCE.into()],
            )?;
            let is_last = page.len() < COMMITS_AT_ONCE as usize;
            for found in page {
                let (number, id, record): (u32, String, Vec<u8>) = row(found)?;
                after = i64::from(number);
                let commit = CommitRow::decode(&record).and_then(|commit| {
                    if commit.id().to_string() == id {
                        Ok(commit)
                    } else {
                        Err(Error::corrupt(format!("it is found by {id}, which is not its id")))
                    }
                });
                if let Ok(commit) = &commit {
                    self.store.commits.keep(self.upheavals(), number, commit.clone());
                }
                see(number, commit)?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn every_touch(&self, mut see: impl FnMut(u32, u32)) -> Result<()> {
        let mut after = (-1i64, 0u32);
        loop {
            let (memory, number) = after;
            let values =
                vec![self.next().commit.into(), memory.into(), memory.into(), number.into(), NUMBERS_AT_ONCE.into()];
            let page = self.rows(sql::TOUCHES_AFTER, values)?;
            let is_last = page.len() < NUMBERS_AT_ONCE as usize;
            for found in page {
                let (memory, number): (u32, u32) = row(found)?;
                see(memory, number);
                after = (i64::from(memory), number);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn counts(&self) -> Result<Rows> {
        let found = self
            .first(sql::ROWS, vec![self.next().commit.into(); 3])?
            .ok_or_else(|| damaged("nothing can be counted"))?;
        let (ids, wide, keyframes) = row(found)?;
        Ok(Rows { ids, wide, keyframes })
    }
}
