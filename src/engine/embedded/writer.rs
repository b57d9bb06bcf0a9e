//! The one thread that changes truth. It takes every write that is waiting, judges each on the head of the moment,
//! puts all of them into one durable transaction, and answers each caller after the fsync that covers it.
//!
//! `ground` is what a write is judged on, `put` writes down what `history::judge` made of it.

mod ground;
mod put;

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Database, ReadableTable, Table, WriteTransaction};
use roaring::RoaringBitmap;
use tokio::sync::{mpsc, oneshot};

pub use self::ground::{Batch, Footing};
pub use self::put::{put_commit, put_move};
use super::erase;
use super::index::{Index, Words};
use super::store::Store;
use super::tables::{
    self, COMMIT_IDS, COMMITS, ERASED, FORMAT, META, Meta, NAMES, OPS, PENDING, Reply, STATES, TOUCHES, VERSIONS, WIDE,
    bitmap_bytes,
};
use crate::clock;
use crate::engine::history::commit::first;
use crate::engine::history::judge::Task;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Applied, Name, OpId, Salt, Write};

/// Writes that may wait; the next caller waits for a place.
pub const QUEUE_WRITES_MAX: usize = 1_024;
/// Of one transaction: a caller's answer waits for all of it.
const BATCH_WRITES_MAX: usize = 512;
const BATCH_CHANGES_MAX: usize = 4_096;

/// A write on its way: `write.work` is empty, and prepared as `task`.
pub struct Order {
    pub op: OpId,
    pub write: Write,
    pub task: Task<Words>,
}

/// What became of an order.
pub enum Answer {
    Applied(Applied),
    /// The plan was worked out on what is no longer the head: nothing was done.
    Moved,
}

/// Work that nothing else may go on beside. What it leaves to be done comes before anybody else's.
pub type Exclusive = Box<dyn FnOnce(&Store) -> Option<(Box<Order>, oneshot::Sender<Result<Answer>>)> + Send>;

pub enum Job {
    Apply(Box<Order>, oneshot::Sender<Result<Answer>>),
    /// Alone on this thread, between transactions. It answers by itself, and leaves the store open.
    Exclusive(Exclusive),
    /// Forget what was acknowledged, and replies that are too old.
    Tidy(oneshot::Sender<Result<()>>),
}

pub struct Writer {
    pub store: Arc<Store>,
    /// Operations whose stored replies can go with the next transaction.
    pub acknowledged: Arc<Mutex<Vec<OpId>>>,
    pub is_flushing: Arc<AtomicBool>,
}

/// Every table that ordinary writes touch, open in one write transaction.
pub struct Tables<'t> {
    pub transaction: &'t WriteTransaction,
    pub versions: Table<'t, u32, &'static [u8]>,
    pub commits: Table<'t, u32, &'static [u8]>,
    pub commit_ids: Table<'t, &'static [u8; 32], u32>,
    pub wide: Table<'t, u32, &'static [u8]>,
    pub states: Table<'t, u32, &'static [u8]>,
    pub names: Table<'t, &'static [u8], &'static [u8]>,
    pub ops: Table<'t, &'static [u8; 24], &'static [u8]>,
    pub touches: Table<'t, u64, ()>,
    pub pending: Table<'t, &'static str, &'static [u8]>,
}

impl<'t> Tables<'t> {
    pub fn open(transaction: &'t WriteTransaction) -> Result<Self> {
        Ok(Self {
            transaction,
            versions: transaction.open_table(VERSIONS)?,
            commits: transaction.open_table(COMMITS)?,
            commit_ids: transaction.open_table(COMMIT_IDS)?,
            wide: transaction.open_table(WIDE)?,
            states: transaction.open_table(STATES)?,
            names: transaction.open_table(NAMES)?,
            ops: transaction.open_table(OPS)?,
            touches: transaction.open_table(TOUCHES)?,
            pending: transaction.open_table(PENDING)?,
        })
    }
}

/// Makes an empty file a store: its tables, and `main` at the empty commit that every store begins with.
pub fn initialise(database: &Database) -> Result<()> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    {
        let store = Salt::random().0;
        let meta = Meta { format: FORMAT, store, generation: 1, next_vid: 0, next_commit: 0, scrub: false };
        transaction.open_table(META)?.insert((), meta.encode().as_slice())?;
        transaction.open_table(ERASED)?;
        let mut tables = Tables::open(&transaction)?;
        let at = clock::now();
        let (row, created) = first(store, at)?;
        tables.commits.insert(0, row.encode().as_slice())?;
        tables.commit_ids.insert(&row.id().0, 0)?;
        tables.states.insert(0, bitmap_bytes(&RoaringBitmap::new())?.as_slice())?;
        let key = tables::move_key(&Name::main(), at, 0);
        tables.names.insert(key.as_slice(), created.encode().as_slice())?;
    }
    transaction.commit()?;
    Ok(())
}

impl Writer {
    /// Serves until every sender is gone.
    pub fn run(self, mut jobs: mpsc::Receiver<Job>) {
        self.alone(Box::new(|store| {
            if let Err(error) = erase::finish(store) {
                tracing::error!("an erasure that was cut short could not be finished yet: {error}");
            }
            None
        }));
        let _ = self.tidy();
        while let Some(first) = jobs.blocking_recv() {
            let (mut orders, mut answers, mut tidies, mut exclusive) = (Vec::new(), Vec::new(), Vec::new(), None);
            let (mut next, mut changes) = (Some(first), 0);
            while let Some(job) = next {
                match job {
                    Job::Apply(order, answer) => {
                        changes += order.task.len();
                        orders.push(*order);
                        answers.push(answer);
                    }
                    Job::Exclusive(work) => exclusive = Some(work),
                    Job::Tidy(done) => tidies.push(done),
                }
                let has_room = exclusive.is_none() && orders.len() < BATCH_WRITES_MAX && changes < BATCH_CHANGES_MAX;
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
            if let Some(work) = exclusive {
                self.alone(work);
            }
        }
    }

    /// What fails in there is told by its answer, which is then missing; here the store is made whole again.
    fn alone(&self, work: Exclusive) {
        let openings = self.store.openings();
        match catch_unwind(AssertUnwindSafe(|| work(&self.store))) {
            Ok(None) => {}
            Ok(Some((order, answer))) => {
                let _ = self.serve(vec![*order]).pop().map(|result| answer.send(result));
            }
            Err(_panic) => {
                tracing::error!("work on the whole store failed: please report it, with the log above");
                let _ = self.store.reopen(openings);
            }
        }
    }

    /// One answer for each order, in order.
    fn serve(&self, orders: Vec<Order>) -> Vec<Result<Answer>> {
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
    fn commit(&self, orders: Vec<Order>) -> Result<Vec<Result<Answer>>> {
        let acknowledged = self.take_acknowledged();
        let transaction = self.store.begin_write()?;
        let mut batch = Batch::new(&self.store);
        let mut answers = Vec::with_capacity(orders.len());
        let states = {
            let mut tables = Tables::open(&transaction)?;
            for op in &acknowledged {
                tables.ops.remove(&op.to_bytes())?;
            }
            for order in orders {
                answers.push(put::one(&mut tables, &mut batch, order)?);
            }
            batch.served(&tables)?
        };
        if !batch.is_changed {
            transaction.abort()?;
            self.give_back(acknowledged);
            return Ok(answers);
        }
        transaction.commit()?;
        for (vid, entry) in &batch.recent.entries {
            self.store.index.add(*vid, entry);
        }
        self.store.publish(batch.heads, states);
        self.flush_when_due();
        Ok(answers)
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
        let oldest = clock::now().plus_ms(-Reply::KEPT_MS);
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

/// The stored reply of an operation.
pub fn replayed(ops: &impl ReadableTable<&'static [u8; 24], &'static [u8]>, op: OpId) -> Result<Option<Applied>> {
    ops.get(&op.to_bytes())?.map(|row| Reply::decode(row.value())?.applied()).transpose()
}
