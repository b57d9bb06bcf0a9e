//! The one thread that changes truth. It takes every write that is waiting, judges each on the head of the moment,
//! puts all of them into one durable transaction, and answers each caller after the fsync that covers it.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Database, ReadableTable, Table, WriteTransaction};
use roaring::RoaringBitmap;
use tokio::sync::{mpsc, oneshot};

use super::draft::{Draft, Fresh, Step, draft};
use super::index::{Entry, Index};
use super::store::{Head, Heads, Store, next_number};
use super::tables::{
    self, Body, COMMIT_IDS, COMMITS, CommitRow, Delta, FORMAT, KEYFRAME_CHANGES, META, Meta, NARROW_CHANGES_MAX,
    OLD_MEMORIES, OLD_MOVES, OLD_NAMES, OLD_TEXTS, OLD_TOUCHES, OLD_VERSION_IDS, OPS, Place, Reply, STATES, VERSIONS,
    VersionRow, WIDE, bitmap_bytes, old_move_key, pair,
};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Applied, Author, Commit, Name, OpId, Salt, SessionId, Time, Verb, Write};

/// Writes that may wait; the next caller waits for a place.
pub const QUEUE_WRITES_MAX: usize = 1_024;
/// Of one transaction: a caller's answer waits for all of it.
const BATCH_WRITES_MAX: usize = 512;
const BATCH_CHANGES_MAX: usize = 4_096;
const REPLY_KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// A write on its way: its changes are prepared, `write.changes` is empty.
pub struct Order {
    pub op: OpId,
    pub write: Write,
    pub steps: Vec<Step>,
}

pub enum Job {
    Apply(Box<Order>, oneshot::Sender<Result<Applied>>),
    /// Forget what was acknowledged, and replies that are too old.
    Tidy(oneshot::Sender<Result<()>>),
}

pub struct Writer {
    pub store: Arc<Store>,
    /// Operations whose stored replies can go with the next transaction.
    pub acknowledged: Arc<Mutex<Vec<OpId>>>,
    pub is_flushing: Arc<AtomicBool>,
}

/// Every table, open in one write transaction.
pub struct Tables<'t> {
    pub versions: Table<'t, u32, &'static [u8]>,
    pub version_ids: Table<'t, &'static [u8; 32], u32>,
    pub memories: Table<'t, &'static [u8; 20], ()>,
    pub commits: Table<'t, u32, &'static [u8]>,
    pub commit_ids: Table<'t, &'static [u8; 32], u32>,
    pub wide: Table<'t, u32, &'static [u8]>,
    pub states: Table<'t, u32, &'static [u8]>,
    pub names: Table<'t, &'static str, u32>,
    pub moves: Table<'t, &'static [u8], u32>,
    pub ops: Table<'t, &'static [u8; 24], &'static [u8]>,
    pub touches: Table<'t, &'static [u8; 20], ()>,
    pub texts: Table<'t, &'static [u8; 20], ()>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self> {
        Ok(Self {
            versions: transaction.open_table(VERSIONS)?,
            version_ids: transaction.open_table(OLD_VERSION_IDS)?,
            memories: transaction.open_table(OLD_MEMORIES)?,
            commits: transaction.open_table(COMMITS)?,
            commit_ids: transaction.open_table(COMMIT_IDS)?,
            wide: transaction.open_table(WIDE)?,
            states: transaction.open_table(STATES)?,
            names: transaction.open_table(OLD_NAMES)?,
            moves: transaction.open_table(OLD_MOVES)?,
            ops: transaction.open_table(OPS)?,
            touches: transaction.open_table(OLD_TOUCHES)?,
            texts: transaction.open_table(OLD_TEXTS)?,
        })
    }
}

/// Makes an empty file a store: its tables, and `main` at the empty commit that every store begins with.
pub fn initialise(database: &Database) -> Result<()> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    {
        let meta =
            Meta { format: FORMAT, store: Salt::random().0, generation: 1, next_vid: 0, next_commit: 0, scrub: false };
        transaction.open_table(META)?.insert((), meta.encode().as_slice())?;
        let mut tables = Tables::open(&transaction)?;
        let at = clock::now();
        let commit = Commit {
            parents: vec![],
            added: vec![],
            removed: vec![],
            author: Author { agent: None, agent_version: None, session: SessionId::new("memoria")?, project: None },
            verb: Verb::Init,
            note: None,
            about: vec![],
            at,
            op: OpId { nonce: meta.store, line: 0 },
        };
        let row = CommitRow {
            place: Place { depth: 0, parents: [None; 2], jump: 0 },
            live: 0,
            tokens: 0,
            since_keyframe: 0,
            body: Body::Narrow { canonical: commit.encode(), delta: Delta::default() },
        };
        tables.commits.insert(0, row.encode().as_slice())?;
        tables.commit_ids.insert(&commit.id().0, 0)?;
        tables.states.insert(0, bitmap_bytes(&RoaringBitmap::new())?.as_slice())?;
        tables.names.insert(Name::main().as_str(), 0)?;
        tables.moves.insert(old_move_key(&Name::main(), at, 0).as_slice(), 0)?;
    }
    transaction.commit()?;
    Ok(())
}

/// What a batch leaves behind once it is durable.
#[derive(Default)]
struct Batch {
    heads: Heads,
    fresh: Vec<(u32, Entry)>,
    answers: Vec<Result<Applied>>,
    is_changed: bool,
}

impl Writer {
    /// Serves until every sender is gone.
    pub fn run(self, mut jobs: mpsc::Receiver<Job>) {
        let _ = self.tidy();
        while let Some(first) = jobs.blocking_recv() {
            let (mut orders, mut answers, mut tidies) = (Vec::new(), Vec::new(), Vec::new());
            let (mut next, mut changes) = (Some(first), 0);
            while let Some(job) = next {
                match job {
                    Job::Apply(order, answer) => {
                        changes += order.steps.len();
                        orders.push(*order);
                        answers.push(answer);
                    }
                    Job::Tidy(done) => tidies.push(done),
                }
                let has_room = orders.len() < BATCH_WRITES_MAX && changes < BATCH_CHANGES_MAX;
                next = if has_room { jobs.try_recv().ok() } else { None };
            }
            // A caller that has gone away is not told: its operation id will tell.
            if !orders.is_empty() {
                for (answer, result) in answers.into_iter().zip(self.serve(orders)) {
                    let _ = answer.send(result);
                }
            }
            for done in tidies {
                let _ = done.send(self.tidy());
            }
        }
    }

    /// One answer for each order, in order.
    fn serve(&self, orders: Vec<Order>) -> Vec<Result<Applied>> {
        let ops: Vec<OpId> = orders.iter().map(|order| order.op).collect();
        let everyone = |error: Error| ops.iter().map(|_| Err(error.clone())).collect();
        if !self.store.is_open()
            && let Err(error) = self.store.reopen(self.store.openings())
        {
            return everyone(Error { kind: ErrorKind::Unavailable, ..error });
        }
        let (header_writes, openings) = (self.store.header_writes(), self.store.openings());
        let error = match catch_unwind(AssertUnwindSafe(|| self.commit(orders))) {
            Ok(Ok(answers)) => return answers,
            Ok(Err(error)) => error,
            Err(_panic) => Error::internal("the store's writer failed: please report it, with the log"),
        };
        let untouched = self.store.header_writes() == header_writes;
        tracing::error!("a write failed, the store is opened again: {error}");
        if let Err(error) = self.store.reopen(openings) {
            tracing::error!("the store cannot be opened again yet: {error}");
        }
        let is_kept = || -> Result<bool> {
            let (truth, mut any) = (self.store.snapshot()?, false);
            let table = truth.open(OPS)?;
            for op in &ops {
                any |= table.get(&op.to_bytes())?.is_some();
            }
            Ok(any)
        };
        if error.kind == ErrorKind::Full && (untouched || is_kept().is_ok_and(|kept| !kept)) {
            return everyone(Error::full(
                "the disk is full, and nothing of this was kept: free some space, then repeat",
            ));
        }
        everyone(Error::unknown(format!(
            "it is not known whether this was kept: {}. Repeat it under the same operation id.",
            error.message.trim_end_matches('.')
        )))
    }

    /// Judges, writes, syncs, publishes. An error means that the transaction failed as a whole.
    fn commit(&self, orders: Vec<Order>) -> Result<Vec<Result<Applied>>> {
        let acknowledged = self.take_acknowledged();
        let transaction = self.store.begin_write()?;
        let mut batch = Batch { heads: (*self.store.heads()).clone(), ..Batch::default() };
        {
            let mut tables = Tables::open(&transaction)?;
            for op in &acknowledged {
                tables.ops.remove(&op.to_bytes())?;
            }
            for order in orders {
                let answer = one(&mut tables, &mut batch, order)?;
                batch.answers.push(answer);
            }
        }
        if !batch.is_changed {
            transaction.abort()?;
            self.give_back(acknowledged);
            return Ok(batch.answers);
        }
        transaction.commit()?;
        for (vid, entry) in &batch.fresh {
            self.store.index.add(*vid, entry);
        }
        self.store.publish(batch.heads);
        self.flush_when_due();
        Ok(batch.answers)
    }

    fn take_acknowledged(&self) -> Vec<OpId> {
        mem::take(&mut *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn give_back(&self, acknowledged: Vec<OpId>) {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).extend(acknowledged);
    }

    /// Removes acknowledged replies, and makes a mark of those that nobody asked for in a week.
    fn tidy(&self) -> Result<()> {
        let openings = self.store.openings();
        let tidied = catch_unwind(AssertUnwindSafe(|| self.tidy_replies()));
        let tidied = tidied.unwrap_or_else(|_panic| Err(tables::damaged("stored replies cannot be read")));
        tidied.inspect_err(|error| {
            tracing::warn!("old replies could not be tidied away: {error}");
            if error.kind != ErrorKind::Corrupt {
                let _ = self.store.reopen(openings);
            }
        })
    }

    fn tidy_replies(&self) -> Result<()> {
        let oldest = clock::now().plus_ms(-REPLY_KEPT_MS);
        let mut expired = Vec::new();
        for entry in self.store.snapshot()?.open(OPS)?.iter()? {
            let (op, reply) = entry?;
            if let Some(at) = Reply::kept_since(reply.value()).filter(|at| *at < oldest) {
                expired.push((*op.value(), at));
            }
        }
        let acknowledged = self.take_acknowledged();
        if expired.is_empty() && acknowledged.is_empty() {
            return Ok(());
        }
        let transaction = self.store.begin_write()?;
        {
            let mut ops = transaction.open_table(OPS)?;
            for (op, at) in &expired {
                ops.insert(op, Reply::mark(*at).as_slice())?;
            }
            for op in &acknowledged {
                ops.remove(&op.to_bytes())?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Off the path of writes, one at a time.
    fn flush_when_due(&self) {
        if self.store.index.unflushed() <= Index::FLUSH_AT || self.is_flushing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (store, is_flushing) = (Arc::clone(&self.store), Arc::clone(&self.is_flushing));
        let flush = move || {
            if let Err(error) = store.index.flush() {
                tracing::warn!("the index could not be brought to disk, and stays in memory: {error}");
            }
            is_flushing.store(false, Ordering::Release);
        };
        if let Err(error) = std::thread::Builder::new().name("memoria-flush".into()).spawn(flush) {
            tracing::warn!("the index could not be brought to disk: {error}");
            self.is_flushing.store(false, Ordering::Release);
        }
    }
}

/// The stored reply of an operation. The outer error is the transaction's, the inner one the caller's.
pub fn replay(ops: &impl ReadableTable<&'static [u8; 24], &'static [u8]>, op: OpId) -> Result<Option<Applied>> {
    match ops.get(&op.to_bytes())?.map(|row| Reply::decode(row.value())).transpose()? {
        None => Ok(None),
        Some(Reply::Kept { applied, .. }) => Ok(Some(applied)),
        Some(Reply::Erased { .. }) => {
            Err(Error::invalid("this operation was an erasure: write under an id of its own"))
        }
        Some(Reply::Expired) => Err(Error::expired(
            "this operation was done more than 7 days ago, and is not done again: send it as a new one if you mean it",
        )),
    }
}

/// The outer error fails the transaction, the inner one only this write.
fn one(tables: &mut Tables, batch: &mut Batch, order: Order) -> Result<Result<Applied>> {
    let judged = judge(tables, batch, order.op, &order.write, order.steps);
    let (head, drafted) = match judged {
        Err(error) => return Ok(Err(error)),
        Ok(Judged::Replay(applied)) => return Ok(Ok(applied)),
        Ok(Judged::New(head, drafted)) => (head, *drafted),
    };
    let (op, write) = (order.op, order.write);
    for acknowledged in &write.acknowledged {
        tables.ops.remove(&acknowledged.to_bytes())?;
    }
    let outcomes = drafted.outcomes.clone();
    let mut commit = None;
    if drafted.delta.len() > 0 {
        let next = put_commit(tables, &head, op, &write, &drafted)?;
        commit = Some(next.id);
        batch.heads.insert(write.branch, next);
    }
    let (counts, names) = Default::default();
    let applied = Applied { commit, outcomes, counts, merged: None, names, memo: write.memo, is_replay: false };
    tables.ops.insert(&op.to_bytes(), Reply::encode(write.at, &applied).as_slice())?;
    for (vid, fresh) in drafted.fresh {
        let first = tables::numbers_of(&tables.memories, &fresh.memory.id.0)?.first().copied().unwrap_or(vid);
        batch.fresh.push((vid, Entry::whole(fresh.memory, fresh.id, first)));
    }
    batch.is_changed = true;
    Ok(Ok(applied))
}

enum Judged {
    Replay(Applied),
    New(Head, Box<Draft>),
}

fn judge(tables: &Tables, batch: &Batch, op: OpId, write: &Write, steps: Vec<Step>) -> Result<Judged> {
    if let Some(applied) = replay(&tables.ops, op)? {
        return Ok(Judged::Replay(applied));
    }
    let head = batch.heads.get(&write.branch).cloned();
    let head = head.ok_or_else(|| Error::not_found(format!("there is no branch `{}`", write.branch)))?;
    let next_vid = next_number(&tables.versions)?;
    let drafted = draft(tables, &head, next_vid, write.at, steps)?;
    Ok(Judged::New(head, Box::new(drafted)))
}

/// Writes the rows of one commit and moves the branch from `head` to it.
fn put_commit(tables: &mut Tables, head: &Head, op: OpId, write: &Write, drafted: &Draft) -> Result<Head> {
    drafted.fresh.iter().try_for_each(|(vid, fresh)| put_version(tables, *vid, fresh))?;
    let number = next_number(&tables.commits)?;
    let delta = &drafted.delta;
    let commit = commit_of(head, op, write, drafted);
    let canonical = commit.encode();
    let id = Commit::id_of(&canonical);
    let mut state = (*head.state).clone();
    delta.apply_to(&mut state);

    let changes = u32::try_from(delta.len()).unwrap_or(u32::MAX);
    let mut since_keyframe = head.since_keyframe.saturating_add(changes);
    if since_keyframe > KEYFRAME_CHANGES {
        tables.states.insert(number, bitmap_bytes(&state)?.as_slice())?;
        since_keyframe = 0;
    }
    let body = if changes as usize > NARROW_CHANGES_MAX {
        tables.wide.insert(number, delta.encode()?.as_slice())?;
        let bare = Commit { added: vec![], removed: vec![], ..commit };
        Body::Wide { id, bare: bare.encode() }
    } else {
        for memory in &drafted.touched {
            tables.touches.insert(&pair(&memory.0, number), ())?;
        }
        Body::Narrow { canonical, delta: delta.clone() }
    };
    let place = place_after(&tables.commits, head.number, head.place)?;
    let row = CommitRow { place, live: drafted.live, tokens: drafted.tokens, since_keyframe, body };
    tables.commits.insert(number, row.encode().as_slice())?;
    tables.commit_ids.insert(&id.0, number)?;

    let moved_at = write.at.max(head.moved_at);
    tables.moves.insert(old_move_key(&write.branch, moved_at, number).as_slice(), number)?;
    let before = tables.names.insert(write.branch.as_str(), number)?.map(|before| before.value());
    if before != Some(head.number) {
        return Err(Error::internal(format!("branch `{}` was moved behind the writer's back", write.branch)));
    }
    let (live, tokens) = (drafted.live, drafted.tokens);
    Ok(Head { number, id, place, since_keyframe, live, tokens, moved_at, state: Arc::new(state) })
}

fn put_version(tables: &mut Tables, vid: u32, fresh: &Fresh) -> Result<()> {
    let first = tables::numbers_of(&tables.memories, &fresh.memory.id.0)?.first().copied().unwrap_or(vid);
    let row = VersionRow::Whole { terms: fresh.terms, first, salt: fresh.salt, canonical: &fresh.canonical };
    tables.versions.insert(vid, row.encode().as_slice())?;
    tables.version_ids.insert(&fresh.id.0, vid)?;
    tables.memories.insert(&pair(&fresh.memory.id.0, vid), ())?;
    tables.texts.insert(&pair(&fresh.text, vid), ())?;
    Ok(())
}

fn commit_of(head: &Head, op: OpId, write: &Write, drafted: &Draft) -> Commit {
    let mut added: Vec<_> = drafted.fresh.iter().map(|(_, fresh)| fresh.id).collect();
    let mut removed = drafted.removed.clone();
    added.sort_unstable();
    removed.sort_unstable();
    Commit {
        parents: vec![head.id],
        added,
        removed,
        author: write.author.clone(),
        verb: write.verb,
        note: write.note.clone(),
        about: Vec::new(),
        at: write.at,
        op,
    }
}

/// The place of a first child. Its jump goes as far as its parent's jump's jump when those two are equally long,
/// else to the parent.
pub fn place_after(commits: &impl ReadableTable<u32, &'static [u8]>, number: u32, parent: Place) -> Result<Place> {
    let near = tables::place_of(commits, parent.jump)?;
    let far = tables::place_of(commits, near.jump)?;
    let is_even = parent.depth.abs_diff(near.depth) == near.depth.abs_diff(far.depth);
    let jump = if is_even { near.jump } else { number };
    Ok(Place { depth: parent.depth.saturating_add(1), parents: [Some(number), None], jump })
}

/// Where a name's history says that it stood at `time`: `None` before it began.
pub fn stood_at(moves: &impl ReadableTable<&'static [u8], u32>, name: &Name, time: Time) -> Result<Option<u32>> {
    let (first, last) = (old_move_key(name, Time::MIN, 0), old_move_key(name, time, u32::MAX));
    let newest = moves.range(first.as_slice()..=last.as_slice())?.next_back().transpose()?;
    Ok(newest.map(|(_, number)| number.value()))
}
