//! What a request reads of history, over one connection: rows of commits and versions, names, states. Rows of commits
//! never change, so they are remembered for everybody; versions' rows, which hold texts, for this request only.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use mysql_async::prelude::FromValue;
use mysql_async::{Row, Value};
use roaring::RoaringBitmap;

use super::own::{Next, Own};
use super::session::Session;
use super::store::Store;
use super::{filter, live, row, sql};
use crate::engine::history::rows::{CommitRow, Delta, Move, Place, VersionRow, bitmap, damaged};
use crate::engine::history::state::{State, replay};
use crate::engine::history::{Brief, Past, Places, Truth};
use crate::error::Result;
use crate::model::id::unhex;
use crate::model::{CommitId, Filter, MemoryId, Name, Salt, Time, VersionId};

/// Commits that are read at once: whoever asks for one mostly goes on to those before it.
const READ_AHEAD: u32 = 64;
/// Memories whose versions are asked for in one statement, which looks at one column of all versions.
const MEMORIES_AT_ONCE: usize = 5_000;
/// Wide commits' changes that are read at once: each may name a million versions.
const WIDES_AT_ONCE: u32 = 4;

/// Truth, as one request sees it.
pub struct Reader<'s> {
    /// What is remembered for everybody.
    pub store: &'s Store,
    session: RefCell<&'s mut Session>,
    upheavals: u64,
    pub(super) own: Own,
    versions: RefCell<HashMap<u32, Stored>>,
}

/// A version's row.
pub(super) struct Stored {
    first: u32,
    terms: u32,
    memory: MemoryId,
    version: VersionId,
    /// `None` where the bytes are gone.
    whole: Option<(Salt, Vec<u8>)>,
}

impl Stored {
    pub(super) fn row(&self) -> VersionRow<'_> {
        let Self { first, terms, memory, version, .. } = *self;
        match &self.whole {
            Some((salt, canonical)) => VersionRow::Whole { terms, first, salt: Salt(salt.0), canonical },
            None => VersionRow::Erased { terms, first, version, memory },
        }
    }
}

impl<'s> Reader<'s> {
    /// For those who only read.
    pub fn new(store: &'s Store, session: &'s mut Session, upheavals: u64) -> Self {
        Self::writing(store, session, upheavals, Next::NEVER)
    }

    /// For those who read what there was when these were handed out next.
    pub fn until(store: &'s Store, session: &'s mut Session, upheavals: u64, next: Next) -> Self {
        Self { own: Own::until(next), ..Self::new(store, session, upheavals) }
    }

    /// For a transaction that hands these out.
    pub fn writing(store: &'s Store, session: &'s mut Session, upheavals: u64, next: Next) -> Self {
        Self { store, session: RefCell::new(session), upheavals, own: Own::from(next), versions: RefCell::default() }
    }

    /// Uses the connection.
    pub fn with<T>(&self, ask: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
        ask(&mut self.session.borrow_mut())
    }

    /// The rows of a prepared statement.
    pub fn rows(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>> {
        self.with(|session| session.rows(sql, values))
    }

    /// The first row of a prepared statement.
    pub fn first(&self, sql: &str, values: Vec<Value>) -> Result<Option<Row>> {
        self.with(|session| session.first(sql, values))
    }

    /// Some columns of these versions, in no order. `see` gets each row.
    pub fn each(&self, columns: &str, vids: &RoaringBitmap, mut see: impl FnMut(Row) -> Result<()>) -> Result<()> {
        for part in live::parts(vids) {
            let rows = self.with(|session| session.text_rows(&sql::versions_of(columns, &part)))?;
            rows.into_iter().try_for_each(&mut see)?;
        }
        Ok(())
    }

    /// One value for each of these versions, in the order of the vids.
    fn column<T>(&self, columns: &str, vids: &RoaringBitmap, read: impl Fn(Row) -> Result<(u32, T)>) -> Result<Vec<T>> {
        let mut found = Vec::with_capacity(vids.len() as usize);
        self.each(columns, vids, |row| read(row).map(|one| found.push(one)))?;
        found.sort_unstable_by_key(|(vid, _)| *vid);
        if found.len() as u64 != vids.len() {
            return Err(damaged("versions are missing"));
        }
        Ok(found.into_iter().map(|(_, value)| value).collect())
    }

    fn commit_row<T>(&self, number: u32, read: impl Fn(&CommitRow) -> T) -> Result<T> {
        if let Some(value) = self.own.commit(number, &read) {
            return Ok(value);
        }
        if let Some(value) = self.store.commits.with(number, &read) {
            return Ok(value);
        }
        let first = number.saturating_sub(READ_AHEAD - 1);
        // What is remembered may be let go by others at any moment, so the row is taken as it comes.
        let mut wanted = None;
        self.fetch(&format!("number between {first} and {number}"), |at, commit| {
            if at == number {
                wanted = Some(read(commit));
            }
        })?;
        wanted.ok_or_else(|| damaged(&format!("commit {number} is missing")))
    }

    /// Reads commits' rows and remembers them. `see` gets each.
    fn fetch(&self, which: &str, mut see: impl FnMut(u32, &CommitRow)) -> Result<()> {
        for found in self.with(|session| session.text_rows(&sql::commits_of(which)))? {
            let (number, record): (u32, Vec<u8>) = row(found)?;
            let commit = CommitRow::decode(&record)?;
            see(number, &commit);
            if self.own.is_mine(number) {
                self.own.made(number, commit);
            } else {
                self.store.commits.keep(self.upheavals, number, commit);
            }
        }
        Ok(())
    }

    pub(super) fn remember(&self, found: Row) -> Result<()> {
        let (vid, stored) = stored(found)?;
        self.versions.borrow_mut().insert(vid, stored);
        Ok(())
    }

    /// The same of a row that has the text's key behind it; an erased one's is empty, and fits no text.
    pub(super) fn remember_with_text(&self, mut found: Row) -> Result<(u32, MemoryId, [u8; 16])> {
        let text: Option<String> = found.take("text_key");
        let (vid, stored) = stored(found)?;
        let memory = stored.memory;
        self.versions.borrow_mut().insert(vid, stored);
        Ok((vid, memory, text.and_then(|text| unhex(&text, "text").ok()).unwrap_or_default()))
    }

    fn keyframe(&self, number: u32) -> Result<Option<RoaringBitmap>> {
        if !self.own.is_mine(number)
            && let Some(state) = self.store.states.get(number)
        {
            return Ok(Some(RoaringBitmap::clone(&state.raw)));
        }
        if self.commit_row(number, |row| row.since_keyframe)? > 0 {
            return Ok(None);
        }
        let found = self.first(sql::STATE, vec![number.into()])?;
        found.map(|found| row(found).and_then(|(state,): (Vec<u8>,)| bitmap(&state))).transpose()
    }

    /// Where a name stands, and the table of a branch.
    pub fn name(&self, name: &Name) -> Result<(Option<Move>, Option<u32>)> {
        if let Some(known) = self.own.name(name) {
            return Ok(known);
        }
        let found = self.first(sql::LAST_MOVE, vec![name.as_str().into()])?;
        let known = match found {
            None => (None, None),
            Some(found) => {
                let (at, seq, record, live): (i64, u32, Vec<u8>, Option<u32>) = row(found)?;
                (Some(Move::decode(Time(at), seq, &record)?), live)
            }
        };
        self.own.know_name(name, known.clone());
        Ok(known)
    }

    /// Names with their last moves, as one of two statements says which.
    pub fn names(&self, sql: &str) -> Result<Vec<(Name, Move)>> {
        let one = |found| {
            let (name, at, seq, record): (String, i64, u32, Vec<u8>) = row(found)?;
            Ok((name.parse()?, Move::decode(Time(at), seq, &record)?))
        };
        self.rows(sql, vec![])?.into_iter().map(one).collect()
    }

    /// The branch whose table is nearest to a state, and what that holds.
    pub fn nearest(&self, state: &RoaringBitmap) -> Result<(live::Live, Arc<RoaringBitmap>)> {
        let mut best: Option<(u64, live::Live, Arc<RoaringBitmap>)> = None;
        let lives = self.own.lives().map_or_else(|| self.with(live::all), Ok)?;
        for live in lives {
            let held = self.raw(live.number)?;
            let apart = held.len() + state.len() - 2 * held.intersection_len(state);
            if best.as_ref().is_none_or(|(least, ..)| apart < *least) {
                best = Some((apart, live, held));
            }
        }
        best.map(|(_, live, held)| (live, held)).ok_or_else(|| damaged("no branch has a table"))
    }
}

/// Of the columns [`sql::STORED`], whatever stands behind them.
pub(super) fn stored(mut found: Row) -> Result<(u32, Stored)> {
    let whole = match (take::<Vec<u8>>(&mut found, "salt")?, take::<Vec<u8>>(&mut found, "canonical")?) {
        (Some(salt), Some(canonical)) => {
            let salt = salt.try_into().map_err(|_| damaged("a salt cannot be read"))?;
            Some((Salt(salt), canonical))
        }
        _ => None,
    };
    let (memory, version) =
        (need::<String>(&mut found, "memory")?.parse()?, need::<String>(&mut found, "version")?.parse()?);
    let stored = Stored { first: need(&mut found, "first")?, terms: need(&mut found, "len")?, memory, version, whole };
    Ok((need(&mut found, "vid")?, stored))
}

fn take<T: FromValue>(found: &mut Row, column: &str) -> Result<Option<T>> {
    let taken = found.take_opt::<Option<T>, _>(column);
    taken.and_then(Result::ok).ok_or_else(|| damaged("a version's row cannot be read"))
}

fn need<T: FromValue>(found: &mut Row, column: &str) -> Result<T> {
    take(found, column)?.ok_or_else(|| damaged("a version's row has a hole"))
}

impl Places for Reader<'_> {
    fn place(&self, number: u32) -> Result<Place> {
        self.commit_row(number, |row| row.place)
    }
}

impl Truth for Reader<'_> {
    fn commit(&self, number: u32) -> Result<CommitRow> {
        self.commit_row(number, CommitRow::clone)
    }

    fn number_of(&self, id: CommitId) -> Result<Option<u32>> {
        if let Some(number) = self.store.commits.number_of(&id) {
            return Ok(Some(number));
        }
        let found = self.first(sql::NUMBER_OF, vec![id.to_string().into()])?;
        found.map(|found| row(found).map(|(number,)| number)).transpose()
    }

    fn raw(&self, number: u32) -> Result<Arc<RoaringBitmap>> {
        if !self.own.is_mine(number) {
            return Ok(Arc::clone(&self.state(number)?.raw));
        }
        if let Some(raw) = self.own.raw(number) {
            return Ok(raw);
        }
        replay(|at| self.commit(at), |at| self.keyframe(at), number).map(Arc::new)
    }

    fn erased(&self) -> Arc<RoaringBitmap> {
        self.store.states.erased()
    }

    fn version<T>(&self, vid: u32, read: impl FnOnce(&VersionRow) -> Result<T>) -> Result<T> {
        if !self.versions.borrow().contains_key(&vid) {
            self.soon(|| RoaringBitmap::from_iter([vid]))?;
        }
        match self.versions.borrow().get(&vid) {
            Some(stored) => read(&stored.row()),
            None => Err(damaged(&format!("version {vid} is missing"))),
        }
    }

    fn vids_of(&self, id: &MemoryId) -> Result<Vec<u32>> {
        if let Some(vids) = self.own.vids_of(id) {
            return Ok(vids);
        }
        let found = self.rows(sql::VIDS_OF, vec![id.to_string().into()])?;
        found.into_iter().map(|found| row(found).map(|(vid,)| vid)).collect()
    }

    fn last_move(&self, name: &Name, until: Time) -> Result<Option<Move>> {
        if until == Time::MAX {
            return Ok(self.name(name)?.0);
        }
        let found = self.first(sql::LAST_MOVE_UNTIL, vec![name.as_str().into(), until.0.into()])?;
        found.map(moved).transpose()
    }

    fn branches(&self, limit: usize) -> Result<Vec<Name>> {
        let found = self.rows(sql::BRANCHES, vec![limit.into()])?;
        found.into_iter().map(|found| row::<(String,)>(found).and_then(|(name,)| name.parse())).collect()
    }

    fn upheavals(&self) -> u64 {
        self.upheavals
    }

    fn soon(&self, vids: impl FnOnce() -> RoaringBitmap) -> Result<()> {
        let missing: RoaringBitmap = {
            let known = self.versions.borrow();
            vids().into_iter().filter(|vid| !known.contains_key(vid)).collect()
        };
        self.each(sql::STORED, &missing, |found| self.remember(found))
    }

    fn soon_commits(&self, numbers: &[u32]) -> Result<()> {
        let known = |number: &u32| self.store.commits.with(*number, |_| ()).is_some();
        let missing: Vec<u32> = numbers.iter().copied().filter(|number| !known(number)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.fetch(&format!("number in ({})", sql::numbers(missing)), |_, _| ())
    }
}

impl Past for Reader<'_> {
    fn state(&self, number: u32) -> Result<Arc<State>> {
        if let Some(state) = self.store.states.get(number) {
            return Ok(state);
        }
        let erased = self.erased();
        let raw = Arc::new(replay(|at| self.commit(at), |at| self.keyframe(at), number)?);
        let (live, tokens) = self.commit_row(number, |row| (row.live, row.tokens))?;
        if raw.len() != u64::from(live) {
            return Err(damaged(&format!("commit {number} has lost memories")));
        }
        let state = Arc::new(State::serve(raw, (live, tokens), &erased, |gone| self.terms_of(gone))?);
        if !self.own.is_mine(number) {
            self.store.states.keep(number, &state, &erased);
        }
        Ok(state)
    }

    fn wide(&self, number: u32) -> Result<Delta> {
        let found = self.first(sql::WIDE, vec![number.into()])?;
        let lost = || damaged(&format!("wide commit {number} has lost its changes"));
        let (delta,): (Vec<u8>,) = row(found.ok_or_else(lost)?)?;
        Delta::decode(&delta)
    }

    fn wides_until(&self, number: u32, mut see: impl FnMut(u32, Delta) -> Result<()>) -> Result<()> {
        let mut from = 0;
        loop {
            let found = self.rows(sql::WIDES, vec![from.into(), number.into(), WIDES_AT_ONCE.into()])?;
            let is_last = found.len() < WIDES_AT_ONCE as usize;
            for found in found {
                let (at, delta): (u32, Vec<u8>) = row(found)?;
                see(at, Delta::decode(&delta)?)?;
                from = at + 1;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn touches(&self, memory: u32) -> Result<Vec<u32>> {
        let found = self.rows(sql::TOUCHES, vec![memory.into()])?;
        found.into_iter().map(|found| row(found).map(|(number,)| number)).collect()
    }

    fn memory_numbers(&self, vids: &RoaringBitmap) -> Result<Vec<u32>> {
        self.column("vid, first", vids, row)
    }

    fn versions_of(&self, memories: &RoaringBitmap, vids: &RoaringBitmap) -> Result<Vec<(u32, u32)>> {
        let (mut found, memories) = (Vec::new(), memories.iter().collect::<Vec<u32>>());
        for some in memories.chunks(MEMORIES_AT_ONCE) {
            let asked = sql::versions_of("first, vid", &format!("first in ({})", sql::numbers(some.iter().copied())));
            for of in self.with(|session| session.text_rows(&asked))? {
                found.push(row::<(u32, u32)>(of)?);
            }
        }
        found.retain(|(_, vid)| vids.contains(*vid));
        Ok(found)
    }

    fn ids(&self, memories: &[u32]) -> Result<Vec<MemoryId>> {
        let mut known = HashMap::new();
        self.each("vid, memory", &memories.iter().copied().collect(), |found| {
            let (vid, memory): (u32, String) = row(found)?;
            known.insert(vid, memory.parse()?);
            Ok(())
        })?;
        let lost = || damaged("the first version of a memory is missing");
        memories.iter().map(|memory| known.get(memory).copied().ok_or_else(lost)).collect()
    }

    fn version_ids(&self, vids: &RoaringBitmap) -> Result<Vec<VersionId>> {
        self.column("vid, version", vids, |found| {
            let (vid, version): (u32, String) = row(found)?;
            Ok((vid, version.parse()?))
        })
    }

    fn briefs(&self, vids: &RoaringBitmap) -> Result<Vec<Brief>> {
        self.column("vid, first, memory, version", vids, |found| {
            let (vid, first, memory, version): (u32, u32, String, String) = row(found)?;
            Ok((vid, Brief { first, memory: memory.parse()?, version: version.parse()? }))
        })
    }

    fn terms_of(&self, vids: &RoaringBitmap) -> Result<u64> {
        let mut tokens = 0;
        self.each("vid, len", vids, |found| {
            let (_, len): (u32, u64) = row(found)?;
            tokens += len;
            Ok(())
        })?;
        Ok(tokens)
    }

    fn passing(&self, vids: &RoaringBitmap, filter: &Filter, now: Time) -> Result<RoaringBitmap> {
        let mut passing = RoaringBitmap::new();
        let (condition, values) = filter::condition(filter, now);
        for part in live::parts(vids) {
            for found in self.rows(&sql::passing(&part, &condition), values.clone())? {
                let (vid,): (u32,) = row(found)?;
                passing.insert(vid);
            }
        }
        Ok(passing - &*self.erased())
    }

    fn next_move(&self, name: &Name, after: Time) -> Result<Option<Move>> {
        self.first(sql::NEXT_MOVE, vec![name.as_str().into(), after.0.into()])?.map(moved).transpose()
    }

    fn every_name(&self) -> Result<Vec<(Name, Move)>> {
        self.names(sql::EVERY_NAME)
    }
}

fn moved(found: Row) -> Result<Move> {
    let (at, seq, record): (i64, u32, Vec<u8>) = row(found)?;
    Move::decode(Time(at), seq, &record)
}
