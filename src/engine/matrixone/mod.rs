//! The shared engine: the same memory in a MatrixOne database, for many machines. Truth is there and nowhere else; here
//! are only caches of what never changes. This file is the way in: it hands each question to a thread that may block.
//!
//! `settings`, `pool`, `session` and `fault` are the way to the server, `sql` every statement, `schema` the tables;
//! `truth` is what a request reads of history, `own` and `write` what a transaction does, `live` branches' tables;
//! `give` and `incoming` are a whole store on its way to another place.

mod candidates;
mod commits;
mod compact;
pub mod doctor;
mod erase;
pub mod fault;
mod feedback;
mod filter;
mod give;
mod incoming;
mod live;
mod log;
mod natives;
mod nearest;
pub mod offline;
mod own;
pub mod pool;
mod postings;
mod put;
mod read;
mod repair;
mod schema;
mod sending;
pub mod session;
pub mod settings;
mod sql;
mod store;
mod truth;
mod turn;
pub mod v04;
mod vectors;
mod verify;
mod within;
mod write;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use mysql_async::prelude::FromRow;
use mysql_async::{FromRowError, Row};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

pub use self::incoming::Incoming;
use self::offline::Offline;
use self::pool::Pool;
use self::settings::Settings;
use self::store::Store;
use self::write::Order;
use super::history::plan::work_out;
use super::history::rows::damaged;
use super::history::{Ground, diff, listing, naming, number_of};
use super::{At, Engine, Erase, Names};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Applied, Candidates, Check, Commit, CommitEntry, CommitFilter, CommitId, Compacted, Diff, Embedding, Erased,
    Feedback, Filled, Filter, Listing, Memory, MemoryId, ModelId, Name, OpId, Page, Pending, Plan, Planned, Query, Ref,
    Revision, Scan, Space, StoreStatus, Time, Unembedded, Version, VersionId, Walk, Write,
};

/// Requests that block at once: fewer than the daemon's threads for it, so that a slow server holds up nobody else.
const BLOCKING_MAX: usize = 6;

/// The engine. Dropping it closes the connections.
pub struct MatrixOne {
    store: Arc<Store>,
    places: Arc<Semaphore>,
    waiting: Arc<Waiting>,
}

/// Writes that wait for their turn.
struct Waiting {
    orders: Mutex<Vec<(Order, oneshot::Sender<Result<Applied>>)>>,
    /// Of whoever writes; whether the last of them had a long write.
    turn: tokio::sync::Mutex<bool>,
    /// Somebody sends what waits on this machine.
    is_sending: AtomicBool,
}

impl MatrixOne {
    /// Connects to nothing: a server that is down is no reason not to start. `handle` is of a runtime whose own thread
    /// never blocks.
    pub fn open(settings: &Settings, handle: Handle) -> Self {
        Self::over(Store::new(Pool::open(settings, handle)))
    }

    /// The same with a queue of what waits for the server, which is aimed at this database. What waits is sent from now
    /// on, within the runtime of `handle`; whether more may wait is in the settings.
    pub fn open_with(settings: &Settings, handle: Handle, offline: Arc<Offline>) -> Self {
        let pool = Pool::open(settings, handle.clone());
        let mut store = Store::new(pool);
        store.offline = Some(offline);
        let one = Self::over(store);
        let _within = handle.enter();
        one.waiting.keep_sending(&one.store, &one.places);
        one
    }

    fn over(store: Store) -> Self {
        let waiting = Waiting {
            orders: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            is_sending: AtomicBool::new(false),
        };
        Self { store: Arc::new(store), places: Arc::new(Semaphore::new(BLOCKING_MAX)), waiting: Arc::new(waiting) }
    }

    /// The connections, for those who look at the server itself.
    pub fn pool(&self) -> &Pool {
        &self.store.pool
    }

    async fn blocking<T: Send + 'static>(&self, ask: impl FnOnce(&Store) -> Result<T> + Send + 'static) -> Result<T> {
        self.waiting.settled(&self.store, &self.places).await?;
        let _place = self.places.acquire().await.map_err(|_| ended())?;
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || ask(&store)).await.unwrap_or_else(|_| Err(failed()))
    }
}

impl Waiting {
    /// Serves everybody who waits, whoever asked for it. On its own task: nobody who goes away leaves the others
    /// waiting.
    async fn serve(self: Arc<Self>, store: Arc<Store>, places: Arc<Semaphore>) {
        let mut was_long = self.turn.lock().await;
        let taken = {
            let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
            turn::take(&mut orders, *was_long)
        };
        if taken.is_empty() {
            return;
        }
        let (orders, answers): (Vec<Order>, Vec<_>) = taken.into_iter().unzip();
        *was_long = orders.iter().any(Order::is_long);
        let Ok(_place) = places.acquire().await else { return };
        let count = orders.len();
        let served = tokio::task::spawn_blocking(move || store.serve_in_turn(&orders)).await;
        let served = served.unwrap_or_else(|_| (0..count).map(|_| Err(failed())).collect());
        for (answer, result) in answers.into_iter().zip(served) {
            // A caller that has gone away is not told: its operation id will tell.
            let _ = answer.send(result);
        }
    }
}

impl Engine for MatrixOne {
    fn kind(&self) -> &'static str {
        "matrixone"
    }

    async fn resolve(&self, revision: &Revision, now: Time) -> Result<At> {
        let revision = revision.clone();
        self.blocking(move |store| store.resolve(&revision, now)).await
    }

    async fn replayed(&self, op: OpId) -> Result<Option<Applied>> {
        if let Some(queue) = &self.store.offline
            && let Some(waits) = queue.waits(op)?
        {
            return Ok(Some(waits));
        }
        // Acknowledged, and not forgotten yet: whoever sends it again means it anew.
        if self.store.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).contains(&op) {
            return Ok(None);
        }
        // Whoever writes is judged by the operation once more, whenever that is: so where writes may wait, a server
        // that cannot be asked is no reason to refuse them here.
        if self.store.keeps_offline() && self.store.pool.is_down() {
            return Ok(None);
        }
        let replayed = match self.blocking(move |store| store.reading(|reader| reader.replayed(op))).await {
            Err(error) if error.kind == ErrorKind::Unavailable && self.store.keeps_offline() => None,
            answer => answer?,
        };
        Ok(replayed.map(|applied| Applied { is_replay: true, ..applied }))
    }

    async fn apply(&self, op: OpId, write: Write) -> Result<Applied> {
        let (answer, answered) = oneshot::channel();
        self.waiting.orders.lock().unwrap_or_else(PoisonError::into_inner).push((Order { op, write }, answer));
        let (store, places) = (Arc::clone(&self.store), Arc::clone(&self.places));
        tokio::spawn(Arc::clone(&self.waiting).serve(store, places));
        let applied = answered.await.unwrap_or_else(|_| Err(ended()));
        self.waiting.keep_sending(&self.store, &self.places);
        applied
    }

    async fn keep(&self, op: OpId, write: Write, why: Error) -> Result<Applied> {
        let (store, order) = (Arc::clone(&self.store), Order { op, write });
        let kept = tokio::task::spawn_blocking(move || store.keep(&order, why)).await;
        self.waiting.keep_sending(&self.store, &self.places);
        kept.unwrap_or_else(|_| Err(failed()))
    }

    async fn read(&self, at: &At, ids: &[MemoryId]) -> Result<Vec<Option<Version>>> {
        let (at, ids) = (at.clone(), ids.to_vec());
        self.blocking(move |store| store.read(&at, &ids)).await
    }

    async fn feedback(&self, ids: &[MemoryId]) -> Result<Vec<Feedback>> {
        let ids = ids.to_vec();
        self.blocking(move |store| store.feedback(&ids)).await
    }

    async fn versions(&self, ids: &[VersionId]) -> Result<Vec<Option<Memory>>> {
        let ids = ids.to_vec();
        self.blocking(move |store| store.versions(&ids)).await
    }

    async fn page(&self, at: &At, filter: &Filter, page: Page) -> Result<Listing> {
        let (at, filter) = (at.clone(), filter.clone());
        self.blocking(move |store| store.page(&at, &filter, page)).await
    }

    async fn candidates(&self, at: &At, query: &Query) -> Result<Candidates> {
        let (at, query) = (at.clone(), query.clone());
        self.blocking(move |store| store.candidates(&at, &query)).await
    }

    async fn unembedded(&self, space: &Space, limit: u32) -> Result<Vec<Unembedded>> {
        let space = space.clone();
        self.blocking(move |store| store.unembedded(&space, limit)).await
    }

    async fn embed(&self, space: &Space, vectors: Vec<Embedding>) -> Result<()> {
        let space = space.clone();
        self.blocking(move |store| store.embed(&space, &vectors)).await
    }

    async fn spaces(&self) -> Result<Vec<Filled>> {
        self.blocking(Store::spaces).await
    }

    async fn forget_space(&self, model: &ModelId) -> Result<()> {
        let model = model.clone();
        self.blocking(move |store| store.forget_space(&model)).await
    }

    async fn containing(&self, at: &At, terms: &[String], filter: &Filter, limit: u32) -> Result<(Vec<MemoryId>, u32)> {
        let (at, terms, filter) = (at.clone(), terms.to_vec(), filter.clone());
        self.blocking(move |store| store.containing(&at, &terms, &filter, limit)).await
    }

    async fn history(&self, at: &At, filter: &CommitFilter, walk: Walk, page: Page) -> Result<(Vec<CommitEntry>, u32)> {
        let (at, filter) = (at.clone(), filter.clone());
        self.blocking(move |store| store.reading_long(|reader| listing::history(reader, &at, &filter, walk, page)))
            .await
    }

    async fn entries(&self, ids: &[CommitId]) -> Result<Vec<CommitEntry>> {
        let ids = ids.to_vec();
        self.blocking(move |store| store.reading(|reader| listing::entries(reader, &ids))).await
    }

    async fn commit(&self, id: CommitId) -> Result<Commit> {
        let whole =
            move |store: &Store| store.reading_long(|reader| Ok(listing::whole(reader, number_of(reader, id)?)?.1));
        self.blocking(whole).await
    }

    async fn diff(&self, from: &At, to: &At, filter: &Filter, page: Page) -> Result<Diff> {
        let (from, to, filter) = (from.clone(), to.clone(), filter.clone());
        self.blocking(move |store| store.reading_long(|reader| diff::diff(reader, &from, &to, &filter, page))).await
    }

    async fn plan(&self, at: &At, plan: &Plan, page: Page) -> Result<Planned> {
        let (at, plan) = (at.clone(), plan.clone());
        self.blocking(move |store| store.reading_long(|reader| Ok(work_out(reader, &at, &plan, page)?.planned))).await
    }

    async fn pending(&self, branch: &Name) -> Result<Option<Pending>> {
        let branch = branch.clone();
        self.blocking(move |store| store.reading(|reader| reader.pending(&branch))).await
    }

    async fn scan(&self, at: &At, filter: &Filter, start: u64, limit: u32) -> Result<Scan> {
        let (at, filter) = (at.clone(), filter.clone());
        self.blocking(move |store| store.scan(&at, &filter, start, limit)).await
    }

    async fn find(&self, prefix: &str) -> Result<MemoryId> {
        let prefix = prefix.to_owned();
        self.blocking(move |store| store.find(&prefix)).await
    }

    async fn short_lens(&self, ids: &[MemoryId]) -> Result<Vec<u8>> {
        let ids = ids.to_vec();
        self.blocking(move |store| store.short_lens(&ids)).await
    }

    async fn names(&self, wanted: Names) -> Result<Vec<Ref>> {
        self.blocking(move |store| store.reading(|reader| naming::names(reader, wanted))).await
    }

    async fn native(&self, snapshot: &Name) -> Result<Option<bool>> {
        let name = snapshot.clone();
        let is_there =
            move |reader: &truth::Reader| Ok(Some(reader.first(sql::NATIVE_OF, vec![name.as_str().into()])?.is_some()));
        self.blocking(move |store| store.reading(is_there)).await
    }

    async fn erase(&self, op: OpId, erase: Erase) -> Result<Erased> {
        self.blocking(move |store| store.erase(op, &erase)).await
    }

    async fn compact(&self, before: Time) -> Result<Compacted> {
        self.blocking(move |store| store.compact(before)).await
    }

    async fn repair(&self) -> Result<Vec<Check>> {
        self.blocking(Store::repair).await
    }

    fn acknowledge(&self, ops: Vec<OpId>) {
        let ops = match &self.store.offline {
            Some(queue) => queue.acknowledge(ops),
            None => ops,
        };
        self.store.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).extend(ops);
    }

    async fn verify(&self) -> Result<Vec<Check>> {
        self.blocking(Store::verify).await
    }

    async fn status(&self, _now: Time) -> Result<StoreStatus> {
        let status = self.blocking(Store::status).await;
        let Some(queue) = &self.store.offline else { return status };
        let status = status.unwrap_or_else(|e| StoreStatus { error: Some(e.message), ..StoreStatus::default() });
        Ok(StoreStatus { waiting: Some(queue.standing()), ..status })
    }

    async fn rest(&self) -> Result<()> {
        self.store.states.rest();
        self.store.commits.rest();
        self.store.vectors.rest();
        self.blocking(Store::tidy).await
    }
}

/// The columns of a row. One of another shape than was asked for is damage, not a panic.
fn row<T: FromRow>(row: Row) -> Result<T> {
    T::from_row_opt(row).map_err(|FromRowError(_)| damaged("a row of the database cannot be read"))
}

fn ended() -> Error {
    Error::unknown("the store is being closed: repeat this under the same operation id")
}

fn failed() -> Error {
    Error::internal("a question to the store failed: please report it, with the log")
}
