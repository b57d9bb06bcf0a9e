//! What a transaction has done so far, and what it has read once because nobody else can change it meanwhile: it holds
//! the row that every writer takes first. A reader has nothing of its own.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mysql_async::Value;
use roaring::RoaringBitmap;

use super::truth::Reader;
use super::{put, row, sql};
use crate::engine::history::rows::{CommitRow, Move, Reply, pending};
use crate::engine::history::state::Head;
use crate::engine::history::{Ground, Truth};
use crate::error::Result;
use crate::lexical::Words;
use crate::model::id::hex;
use crate::model::{Applied, MemoryId, Name, OpId, Pending};

/// Memories, and texts, in one question.
const ASKED_AT_ONCE: usize = 500;

/// A transaction's own.
pub struct Own {
    /// Commits from this number on are its own; [`u32::MAX`] where it makes none.
    from: u32,
    /// The vid and the number of the commit that are handed out next.
    next: Cell<(u32, u32)>,
    commits: RefCell<HashMap<u32, CommitRow>>,
    raws: RefCell<HashMap<u32, Arc<RoaringBitmap>>>,
    names: RefCell<HashMap<Name, (Option<Move>, Option<u32>)>>,
    /// Tables of branches that are being renamed.
    carried: RefCell<HashMap<Name, u32>>,
    prepared: RefCell<Prepared>,
}

/// The versions of the memories and texts of the write that is judged.
#[derive(Default)]
struct Prepared {
    memories: HashMap<MemoryId, Vec<u32>>,
    texts: HashMap<[u8; 16], Vec<u32>>,
}

impl Own {
    /// Of a transaction that hands out this vid and this number of a commit first.
    pub fn from(next: (u32, u32)) -> Self {
        Self {
            from: next.1,
            next: Cell::new(next),
            commits: RefCell::default(),
            raws: RefCell::default(),
            names: RefCell::default(),
            carried: RefCell::default(),
            prepared: RefCell::default(),
        }
    }

    /// Of somebody who only reads what there was when these were handed out next.
    pub fn until(next: (u32, u32)) -> Self {
        Self { from: u32::MAX, ..Self::from(next) }
    }

    /// Whether a commit is this transaction's.
    pub fn is_mine(&self, number: u32) -> bool {
        number >= self.from
    }

    pub fn commit<T>(&self, number: u32, read: impl Fn(&CommitRow) -> T) -> Option<T> {
        self.commits.borrow().get(&number).map(read)
    }

    pub fn made(&self, number: u32, commit: CommitRow) {
        self.commits.borrow_mut().insert(number, commit);
    }

    pub fn raw(&self, number: u32) -> Option<Arc<RoaringBitmap>> {
        self.raws.borrow().get(&number).map(Arc::clone)
    }

    pub fn vids_of(&self, id: &MemoryId) -> Option<Vec<u32>> {
        self.prepared.borrow().memories.get(id).cloned()
    }

    pub fn name(&self, name: &Name) -> Option<(Option<Move>, Option<u32>)> {
        self.names.borrow().get(name).cloned()
    }

    /// Only a writer may rely on it afterwards.
    pub fn know_name(&self, name: &Name, known: (Option<Move>, Option<u32>)) {
        if self.from < u32::MAX {
            self.names.borrow_mut().insert(name.clone(), known);
        }
    }
}

impl Reader<'_> {
    /// Runs a prepared statement; how many rows it found.
    pub fn run(&self, sql: &str, values: Vec<Value>) -> Result<u64> {
        self.with(|session| session.run(sql, values))
    }

    /// The vid and the number of the commit that are handed out next.
    pub fn next(&self) -> (u32, u32) {
        self.own.next.get()
    }

    /// A commit was written down, with so many new versions.
    pub fn made(&self, number: u32, commit: CommitRow, versions: usize, raw: &Arc<RoaringBitmap>) {
        let (next_vid, _) = self.next();
        self.own.next.set((next_vid + versions as u32, number + 1));
        self.own.made(number, commit);
        self.own.raws.borrow_mut().insert(number, Arc::clone(raw));
    }

    /// The table of a branch.
    pub fn live(&self, branch: &Name) -> Result<Option<u32>> {
        Ok(self.name(branch)?.1)
    }

    /// A branch's table goes on under another name, which asks for it by the old one.
    pub fn carry(&self, name: &Name) -> Result<()> {
        if let Some(table) = self.live(name)? {
            self.own.carried.borrow_mut().insert(name.clone(), table);
        }
        Ok(())
    }

    pub fn carried(&self, before: &Name) -> Option<u32> {
        self.own.carried.borrow().get(before).copied()
    }
}

impl Ground for Reader<'_> {
    type Words = Words;

    fn replayed(&self, op: OpId) -> Result<Option<Applied>> {
        let found = self.first(sql::REPLY, vec![put::op_hex(op).into()])?;
        found.map(|found| Reply::decode(&row::<(Vec<u8>,)>(found)?.0)?.applied()).transpose()
    }

    fn head(&self, branch: &Name) -> Result<Option<Arc<Head>>> {
        match self.name(branch)? {
            (Some(last), Some(_)) => Ok(Some(Arc::new(Head::of(&self.commit(last.standing.number)?, last)))),
            _ => Ok(None),
        }
    }

    fn twins(&self, text: &[u8; 16]) -> Result<Vec<u32>> {
        Ok(self.own.prepared.borrow().texts.get(text).cloned().unwrap_or_default())
    }

    fn pending(&self, branch: &Name) -> Result<Option<Pending>> {
        let found = self.first(sql::PENDING, vec![branch.as_str().into()])?;
        found.map(|found| pending(&row::<(Vec<u8>,)>(found)?.0)).transpose()
    }

    fn next_vid(&self) -> Result<u32> {
        Ok(self.next().0)
    }

    fn next_commit(&self) -> Result<u32> {
        Ok(self.next().1)
    }

    fn prepare(&self, ids: impl Iterator<Item = MemoryId>, texts: impl Iterator<Item = [u8; 16]>) -> Result<()> {
        let mut prepared = Prepared::default();
        prepared.memories.extend(ids.map(|id| (id, Vec::new())));
        prepared.texts.extend(texts.map(|text| (text, Vec::new())));
        let memories: Vec<String> = prepared.memories.keys().map(ToString::to_string).collect();
        let texts: Vec<String> = prepared.texts.keys().map(|text| hex(text)).collect();
        let (mut memories, mut texts, mut seen) =
            (memories.chunks(ASKED_AT_ONCE), texts.chunks(ASKED_AT_ONCE), HashSet::new());
        loop {
            let (some, others) = (memories.next().unwrap_or_default(), texts.next().unwrap_or_default());
            if some.is_empty() && others.is_empty() {
                break;
            }
            let found = match (some, others) {
                ([id], [text]) => self.rows(&sql::prepared_one(), vec![id.as_str().into(), text.as_str().into()])?,
                _ => {
                    let asked = sql::prepared(&sql::hexes(some.iter().cloned()), &sql::hexes(others.iter().cloned()));
                    self.with(|session| session.text_rows(&asked))?
                }
            };
            for found in found {
                let (vid, id, text) = self.remember_with_text(found)?;
                if seen.insert(vid) {
                    prepared.memories.entry(id).and_modify(|vids| vids.push(vid));
                    prepared.texts.entry(text).and_modify(|vids| vids.push(vid));
                }
            }
        }
        prepared.memories.values_mut().chain(prepared.texts.values_mut()).for_each(|vids| vids.sort_unstable());
        *self.own.prepared.borrow_mut() = prepared;
        Ok(())
    }
}
