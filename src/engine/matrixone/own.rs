//! What a transaction has done so far, and what it has read once because nobody else can change it meanwhile: it holds
//! the row that every writer takes first. A reader has nothing of its own.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mysql_async::Value;
use roaring::RoaringBitmap;

use super::live::Live;
use super::pool::Pool;
use super::session::Session;
use super::store::Store;
use super::truth::Reader;
use super::write::Order;
use super::{put, row, sql};
use crate::engine::history::rows::{CommitRow, Move, Reply, damaged, pending};
use crate::engine::history::state::Head;
use crate::engine::history::{Ground, Truth};
use crate::error::Result;
use crate::lexical::Words;
use crate::model::id::hex;
use crate::model::{Applied, MemoryId, Name, NameChange, NameKind, OpId, Pending, Time};

/// Memories, and texts, in one question.
const ASKED_AT_ONCE: usize = 500;
/// Names that are looked up together, before anybody asks for one.
const NAMES_AHEAD_MAX: usize = 200;

/// What is handed out next: to a version, to a commit, and to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    pub vid: u32,
    pub commit: u32,
    pub table: u32,
}

/// A transaction's own.
pub struct Own {
    /// What it found. Commits from that number on are its own; [`u32::MAX`] where it makes none.
    from: Next,
    next: Cell<Next>,
    commits: RefCell<HashMap<u32, CommitRow>>,
    raws: RefCell<HashMap<u32, Arc<RoaringBitmap>>>,
    names: RefCell<HashMap<Name, (Option<Move>, Option<u32>)>>,
    /// Tables of branches that are being renamed.
    carried: RefCell<HashMap<Name, u32>>,
    prepared: RefCell<Prepared>,
    replies: RefCell<HashMap<OpId, Option<Vec<u8>>>>,
    /// Every branch's table, as long as none of them was touched.
    lives: RefCell<Option<Vec<Live>>>,
}

/// The versions of the memories and texts of the write that is judged.
#[derive(Default)]
struct Prepared {
    memories: HashMap<MemoryId, Vec<u32>>,
    texts: HashMap<[u8; 16], Vec<u32>>,
}

impl Own {
    /// Of a transaction that hands these out first.
    pub fn from(next: Next) -> Self {
        Self {
            from: next,
            next: Cell::new(next),
            commits: RefCell::default(),
            raws: RefCell::default(),
            names: RefCell::default(),
            carried: RefCell::default(),
            prepared: RefCell::default(),
            replies: RefCell::default(),
            lives: RefCell::default(),
        }
    }

    /// Of somebody who only reads what there was when these were handed out next.
    pub fn until(next: Next) -> Self {
        Self { from: Next::NEVER, ..Self::from(next) }
    }

    /// Whether a commit is this transaction's.
    pub fn is_mine(&self, number: u32) -> bool {
        number >= self.from.commit
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
        if self.from != Next::NEVER {
            self.names.borrow_mut().insert(name.clone(), known);
        }
    }

    /// A name was moved: branches' tables are not what they were.
    pub fn move_name(&self, name: &Name, after: Move, table: Option<u32>) {
        self.lives.borrow_mut().take();
        self.know_name(name, (Some(after), table));
    }

    /// What an operation was answered, if it was done and nobody has acknowledged it.
    pub fn know_reply(&self, op: OpId, reply: Option<Vec<u8>>) {
        self.replies.borrow_mut().insert(op, reply);
    }

    pub fn lives(&self) -> Option<Vec<Live>> {
        self.lives.borrow().clone()
    }
}

impl Next {
    /// Of those who hand nothing out.
    pub const NEVER: Self = Self { vid: u32::MAX, commit: u32::MAX, table: u32::MAX };
}

impl Store {
    /// One transaction of somebody who takes the row that every writer takes first, and looks at history as it is now.
    pub fn alone<T>(&self, pool: &Pool, mut work: impl FnMut(&Reader) -> Result<T>) -> Result<T> {
        pool.write(|session| {
            let found = session.first(sql::LOCK, vec![])?.ok_or_else(|| damaged("`meta` is empty"))?;
            let (vid, commit, table, upheavals): (u32, u32, u32, u64) = row(found)?;
            self.know(session, upheavals)?;
            let ground = Reader::writing(self, session, upheavals, Next { vid, commit, table });
            let done = work(&ground)?;
            let next = ground.next();
            if next != ground.own.from {
                ground.run(sql::ADVANCE, vec![next.vid.into(), next.commit.into(), next.table.into()])?;
            }
            Ok(done)
        })
    }

    /// For those who look at what there is now while others write.
    pub fn as_of_now<'s>(&'s self, session: &'s mut Session) -> Result<Reader<'s>> {
        let found = session.first(sql::META_NOW, vec![])?.ok_or_else(|| damaged("`meta` is empty"))?;
        let (vid, commit, upheavals): (u32, u32, u64) = row(found)?;
        self.know(session, upheavals)?;
        Ok(Reader::until(self, session, upheavals, Next { vid, commit, ..Next::NEVER }))
    }
}

impl Reader<'_> {
    /// Reads what these writes are judged by first, in one look rather than one for each.
    pub(super) fn look_ahead(&self, orders: &[Order]) -> Result<()> {
        let mut names: Vec<&Name> = orders.iter().flat_map(named).collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(NAMES_AHEAD_MAX);
        let has_branches = orders.iter().any(|order| order.write.names.iter().any(makes_a_branch));
        let asked = sql::known(names.len(), orders.len(), has_branches);
        let ops: HashMap<String, OpId> = orders.iter().map(|order| (put::op_hex(order.op), order.op)).collect();
        let hexes = orders.iter().map(|order| Value::from(put::op_hex(order.op)));
        let values = names.iter().map(|name| Value::from(name.as_str())).chain(hexes).collect();
        names.into_iter().for_each(|name| self.own.know_name(name, (None, None)));
        ops.values().for_each(|op| self.own.know_reply(*op, None));
        let mut lives = Vec::new();
        for found in self.rows(&asked, values)? {
            let (of, at, seq, table, record): (String, i64, Option<u32>, Option<u32>, Vec<u8>) = row(found)?;
            match (seq, ops.get(&of)) {
                (Some(seq), _) => {
                    let last = Move::decode(Time(at), seq, &record)?;
                    lives.extend(table.map(|table| Live { table, number: last.standing.number }));
                    self.own.know_name(&of.parse()?, (Some(last), table));
                }
                (None, Some(op)) => self.own.know_reply(*op, Some(record)),
                (None, None) => {}
            }
        }
        if has_branches {
            *self.own.lives.borrow_mut() = Some(lives);
        }
        Ok(())
    }

    /// Runs a prepared statement; how many rows it found.
    pub fn run(&self, sql: &str, values: Vec<Value>) -> Result<u64> {
        self.with(|session| session.run(sql, values))
    }

    /// What is handed out next.
    pub fn next(&self) -> Next {
        self.own.next.get()
    }

    /// A number for a new table, given to nobody else.
    pub fn next_table(&self) -> u32 {
        let next = self.next();
        self.pass_table(next.table);
        next.table
    }

    /// Numbers of tables up to this one are not handed out again.
    pub fn pass_table(&self, table: u32) {
        let next = self.next();
        self.own.next.set(Next { table: next.table.max(table + 1), ..next });
    }

    /// A commit was written down, with so many new versions.
    pub fn made(&self, number: u32, commit: CommitRow, versions: usize, raw: &Arc<RoaringBitmap>) {
        let next = self.next();
        self.own.next.set(Next { vid: next.vid + versions as u32, commit: number + 1, ..next });
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
        let known = self.own.replies.borrow().get(&op).cloned();
        let reply = match known {
            Some(known) => known,
            None => {
                let found = self.first(sql::REPLY, vec![put::op_hex(op).into()])?;
                found.map(|found| row(found).map(|(reply,)| reply)).transpose()?
            }
        };
        reply.map(|reply: Vec<u8>| Reply::decode(&reply)?.applied()).transpose()
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
        Ok(self.next().vid)
    }

    fn next_commit(&self) -> Result<u32> {
        Ok(self.next().commit)
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

/// Names that a write is about.
fn named(Order { write, .. }: &Order) -> impl Iterator<Item = &Name> {
    [&write.branch].into_iter().chain(&write.safety).chain(write.names.iter().flat_map(of_change))
}

fn of_change(change: &NameChange) -> impl Iterator<Item = &Name> {
    let names = match change {
        NameChange::Rename { name, new } => [Some(name), Some(new)],
        NameChange::Create { name, .. }
        | NameChange::Delete { name }
        | NameChange::Expire { name }
        | NameChange::Restore { name }
        | NameChange::Protect { name, .. } => [Some(name), None],
    };
    names.into_iter().flatten()
}

/// Whether it needs a table that is made of another branch's.
fn makes_a_branch(change: &NameChange) -> bool {
    matches!(change, NameChange::Create { kind: NameKind::Branch, .. } | NameChange::Restore { .. })
}
