//! The engine inside the daemon: truth in one redb file, words and columns derived from it. This file is the way in:
//! it opens, hands each question to a thread that may block, and each write to the one writer.
//!
//! `tables` is the layout on disk, `store` what is open, `writer` how truth changes, `view` what `engine::history` asks
//! it by, `read` and `verify` what else is asked, `opener` and `disk` the file below redb, `index` what is derived of
//! texts, `vectors` what models made of them, `unembedded` what they have not made yet; `give` and `incoming` are a
//! whole store on its way to another place.

mod compact;
mod disk;
mod erase;
mod faults;
mod give;
mod incoming;
pub mod index;
mod opener;
pub(super) mod positioned;
mod read;
mod repair;
mod rewrite;
mod store;
mod tables;
mod unembedded;
mod vectors;
mod verify;
mod view;
mod writer;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use redb::StorageBackend;
use tokio::sync::{mpsc, oneshot};

pub use self::incoming::Incoming;
use self::index::Words;
pub use self::opener::Opener;
use self::opener::{FileOpener, Function};
use self::store::Store;
use self::writer::{Answer, Job, Order, QUEUE_WRITES_MAX, Writer};
use super::copy::{Cut, Giver, Portion, Table};
use super::history::diff::diff;
use super::history::draft::{Step, settle};
use super::history::judge::Task;
use super::history::plan::work_out;
use super::history::state::at_head;
use super::history::{Past, listing, naming, number_of};
use super::{At, Engine, Erase, Names};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Applied, Candidates, Check, Commit, CommitEntry, CommitFilter, CommitId, Compacted, Diff, Embedding, Erased,
    Feedback, Filled, Filter, Listing, Memory, MemoryId, ModelId, Name, OpId, Page, Pending, Plan, Planned, Query, Ref,
    Revision, Scan, Space, StoreStatus, Time, Unembedded, Version, VersionId, Walk, Work, Write,
};

/// How often a plan is worked out beside the writer, where others may be quicker.
const WORKED_OUT_MAX: usize = 3;
/// More look-ups than this go to a thread that may block.
const LOOKED_UP_INLINE_MAX: usize = 16;
/// Memories in a state that is searched without such a thread: about 0.2 ms.
const SEARCHED_INLINE_MAX: u32 = 2_000;
/// A write of more changes is prepared on a thread of its own.
const PREPARED_INLINE_MAX: usize = 16;

/// The default engine. Dropping it ends the writer and closes the file.
pub struct Embedded {
    store: Arc<Store>,
    /// `None` only while dropping.
    jobs: Option<mpsc::Sender<Job>>,
    acknowledged: Arc<Mutex<Vec<OpId>>>,
    writer: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Opens the store at `truth`, or makes it. Blocks, as long as derived data has to be made up for.
    /// A damaged or foreign file is [`ErrorKind::Corrupt`](crate::error::ErrorKind::Corrupt), and is left as it is.
    pub fn open(truth: &Path, index: &Path, vectors: &Path, cache_bytes: usize) -> Result<Self> {
        let name = truth.display().to_string();
        let is_there = truth.try_exists().map_err(|source| Error::io(format!("open {name}"), &source))?;
        if !is_there {
            create(truth, cache_bytes)?;
        } else if fs::metadata(truth).is_ok_and(|file| file.len() == 0) {
            return Err(Error::corrupt(format!(
                "{name} is empty: restore it from a backup, or delete it to begin anew."
            )));
        }
        Self::start(name, Box::new(FileOpener { path: truth.to_owned() }), [index, vectors], cache_bytes)
    }

    /// The same over any storage, which is made a store if it is empty; `storage` is asked again whenever the engine
    /// has to open it again after an error. Having no second file, it cannot be written anew.
    pub fn with_backend<B: StorageBackend>(
        storage: impl Fn() -> Result<B> + Send + Sync + 'static,
        index: &Path,
        vectors: &Path,
        cache_bytes: usize,
    ) -> Result<Self> {
        Self::with_opener(Function(storage), index, vectors, cache_bytes)
    }

    /// The same over storage that has a place for a second file.
    pub fn with_opener(opener: impl Opener, index: &Path, vectors: &Path, cache_bytes: usize) -> Result<Self> {
        Self::start("the store".to_owned(), Box::new(opener), [index, vectors], cache_bytes)
    }

    fn start(name: String, opener: Box<dyn Opener>, derived: [&Path; 2], cache_bytes: usize) -> Result<Self> {
        let store = Arc::new(Store::open(name, opener, derived, cache_bytes)?);
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let (jobs, queue) = mpsc::channel(QUEUE_WRITES_MAX);
        let is_flushing = Arc::new(AtomicBool::new(false));
        let writer = Writer { store: Arc::clone(&store), acknowledged: Arc::clone(&acknowledged), is_flushing };
        let thread = std::thread::Builder::new().name("memoria-writer".into()).spawn(move || writer.run(queue));
        let thread = thread.map_err(|source| Error::io("start the store's writer", &source))?;
        Ok(Self { store, jobs: Some(jobs), acknowledged, writer: Some(thread) })
    }

    async fn blocking<T: Send + 'static>(&self, ask: impl Fn(&Store) -> Result<T> + Send + 'static) -> Result<T> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || answer(&store, ask)).await.unwrap_or_else(|_| Err(unreadable()))
    }

    /// A few look-ups are over sooner than a thread for them would wake.
    async fn looking_up<T: Send + 'static>(
        &self,
        things: usize,
        ask: impl Fn(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if things <= LOOKED_UP_INLINE_MAX { answer(&self.store, ask) } else { self.blocking(ask).await }
    }

    async fn send<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T>>) -> Job) -> Result<T> {
        let gone = || Error::unknown("the store's writer has ended: repeat this under the same operation id");
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job(answer)).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Work on the whole store, alone on the writer's thread: no transaction is under way and none begins.
    async fn exclusive<T: Send + 'static>(&self, work: impl FnOnce(&Store) -> Result<T> + Send + 'static) -> Result<T> {
        self.send(|answer| {
            Job::Exclusive(Box::new(move |store| {
                let _ = answer.send(work(store));
                None
            }))
        })
        .await
    }

    /// Works the plan out on the head of the moment until it is still the head when the writer gets to it; if others
    /// are quicker again and again, the writer does it itself.
    async fn apply_plan(&self, op: OpId, write: Write, plan: Plan) -> Result<Applied> {
        if let Some(applied) = self.replayed(op).await? {
            return Ok(applied);
        }
        for _ in 0..WORKED_OUT_MAX {
            let (on, of) = (write.clone(), plan.clone());
            let order = self.blocking(move |store| settled(store, op, &on, &of)).await?;
            if let Answer::Applied(applied) = self.send(|answer| Job::Apply(order, answer)).await? {
                return Ok(applied);
            }
        }
        let alone = |answer: oneshot::Sender<Result<Answer>>| {
            Job::Exclusive(Box::new(move |store| match settled(store, op, &write, &plan) {
                Ok(order) => Some((order, answer)),
                Err(error) => {
                    let _ = answer.send(Err(error));
                    None
                }
            }))
        };
        match self.send(alone).await? {
            Answer::Applied(applied) => Ok(applied),
            Answer::Moved => Err(Error::internal("a branch was moved behind the writer's back")),
        }
    }
}

/// An order for what a plan comes to on the head of the moment.
fn settled(store: &Store, op: OpId, write: &Write, plan: &Plan) -> Result<Box<Order>> {
    let upheavals = store.upheavals();
    let head = store.head(&write.branch)?;
    let view = store.view()?;
    let at = at_head(&head, &*view.state(head.number)?, write.at);
    let settled = settle(&view, upheavals, &at, plan)?;
    Ok(Box::new(Order { op, write: write.clone(), task: Task::Plan(Box::new(settled), plan.clone()) }))
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        self.store.close();
    }
}

impl Engine for Embedded {
    fn kind(&self) -> &'static str {
        "embedded"
    }

    async fn resolve(&self, revision: &Revision, now: Time) -> Result<At> {
        if let Revision::Name(name) = revision
            && let Some(at) = self.store.at_hand(name, now)
        {
            return Ok(at);
        }
        let revision = revision.clone();
        self.blocking(move |store| store.resolve(&revision, now)).await
    }

    async fn replayed(&self, op: OpId) -> Result<Option<Applied>> {
        // Acknowledged, and not forgotten yet: whoever sends it again means it anew.
        if self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).contains(&op) {
            return Ok(None);
        }
        self.looking_up(1, move |store| store.replayed(op)).await
    }

    async fn apply(&self, op: OpId, mut write: Write) -> Result<Applied> {
        let changes = match std::mem::replace(&mut write.work, Work::Changes(Vec::new())) {
            Work::Plan(plan) => return self.apply_plan(op, write, plan).await,
            Work::Changes(changes) => changes,
        };
        let is_small = changes.len() <= PREPARED_INLINE_MAX;
        let prepare = move || changes.into_iter().map(Step::from).collect::<Vec<_>>();
        let steps = if is_small { prepare() } else { prepared(prepare).await? };
        let order = Box::new(Order { op, write, task: Task::Steps(steps) });
        match self.send(|answer| Job::Apply(order, answer)).await? {
            Answer::Applied(applied) => Ok(applied),
            Answer::Moved => Err(Error::internal("a write of changes was taken for a plan")),
        }
    }

    /// What is in this process is never away.
    async fn keep(&self, _: OpId, _: Write, why: Error) -> Result<Applied> {
        Err(why)
    }

    async fn read(&self, at: &At, ids: &[MemoryId]) -> Result<Vec<Option<Version>>> {
        let (at, ids) = (at.clone(), ids.to_vec());
        self.looking_up(ids.len(), move |store| store.read(&at, &ids)).await
    }

    async fn feedback(&self, ids: &[MemoryId]) -> Result<Vec<Feedback>> {
        let ids = ids.to_vec();
        // Few memories are ever rated: the table is small, or not there.
        self.looking_up(1, move |store| store.feedback(&ids)).await
    }

    async fn versions(&self, ids: &[VersionId]) -> Result<Vec<Option<Memory>>> {
        let ids = ids.to_vec();
        self.looking_up(ids.len(), move |store| store.versions(&ids)).await
    }

    async fn page(&self, at: &At, filter: &Filter, page: Page) -> Result<Listing> {
        let (at, filter) = (at.clone(), filter.clone());
        self.blocking(move |store| store.page(&at, &filter, page)).await
    }

    async fn candidates(&self, at: &At, query: &Query) -> Result<Candidates> {
        let (at, query) = (at.clone(), query.clone());
        // In a small state they are found sooner than a thread for them would wake.
        let things = if at.live <= SEARCHED_INLINE_MAX { 1 } else { usize::MAX };
        self.looking_up(things, move |store| store.candidates(&at, &query)).await
    }

    async fn unembedded(&self, space: &Space, limit: u32) -> Result<Vec<Unembedded>> {
        let space = space.clone();
        self.blocking(move |store| store.unembedded(&space, limit)).await
    }

    async fn embed(&self, space: &Space, vectors: Vec<Embedding>) -> Result<()> {
        let (space, vectors) = (space.clone(), Arc::new(vectors));
        self.blocking(move |store| store.embed(&space, &vectors)).await
    }

    async fn spaces(&self) -> Result<Vec<Filled>> {
        self.blocking(Store::spaces).await
    }

    async fn forget_space(&self, model: &ModelId) -> Result<()> {
        let model = model.clone();
        self.blocking(move |store| store.vectors.forget_space(&model)).await
    }

    async fn containing(&self, at: &At, terms: &[String], filter: &Filter, limit: u32) -> Result<(Vec<MemoryId>, u32)> {
        let (at, terms, filter) = (at.clone(), terms.to_vec(), filter.clone());
        self.blocking(move |store| store.containing(&at, &terms, &filter, limit)).await
    }

    async fn history(&self, at: &At, filter: &CommitFilter, walk: Walk, page: Page) -> Result<(Vec<CommitEntry>, u32)> {
        let (at, filter) = (at.clone(), filter.clone());
        self.blocking(move |store| listing::history(&store.view()?, &at, &filter, walk, page)).await
    }

    async fn entries(&self, ids: &[CommitId]) -> Result<Vec<CommitEntry>> {
        let ids = ids.to_vec();
        self.blocking(move |store| listing::entries(&store.view()?, &ids)).await
    }

    async fn commit(&self, id: CommitId) -> Result<Commit> {
        self.blocking(move |store| {
            let view = store.view()?;
            Ok(listing::whole(&view, number_of(&view, id)?)?.1)
        })
        .await
    }

    async fn diff(&self, from: &At, to: &At, filter: &Filter, page: Page) -> Result<Diff> {
        let (from, to, filter) = (from.clone(), to.clone(), filter.clone());
        self.blocking(move |store| diff(&store.view()?, &from, &to, &filter, page)).await
    }

    async fn plan(&self, at: &At, plan: &Plan, page: Page) -> Result<Planned> {
        let (at, plan) = (at.clone(), plan.clone());
        self.blocking(move |store| Ok(work_out(&store.view()?, &at, &plan, page)?.planned)).await
    }

    async fn pending(&self, branch: &Name) -> Result<Option<Pending>> {
        let branch = branch.clone();
        self.looking_up(1, move |store| store.pending(&branch)).await
    }

    async fn scan(&self, at: &At, filter: &Filter, start: u64, limit: u32) -> Result<Scan> {
        let (at, filter) = (at.clone(), filter.clone());
        self.blocking(move |store| store.scan(&at, &filter, start, limit)).await
    }

    async fn names(&self, wanted: Names) -> Result<Vec<Ref>> {
        self.blocking(move |store| naming::names(&store.view()?, wanted)).await
    }

    async fn native(&self, _snapshot: &Name) -> Result<Option<bool>> {
        Ok(None)
    }

    async fn erase(&self, op: OpId, erase: Erase) -> Result<Erased> {
        self.exclusive(move |store| erase::erase(store, op, &erase)).await
    }

    async fn compact(&self, before: Time) -> Result<Compacted> {
        // Most of the time there is nothing to be done, and the writer need not wait for that.
        match self.blocking(move |store| compact::nothing_to_do(store, before)).await? {
            Some(nothing) => Ok(nothing),
            None => self.exclusive(move |store| compact::compact(store, before)).await,
        }
    }

    async fn repair(&self) -> Result<Vec<Check>> {
        self.exclusive(repair::repair).await
    }

    async fn find(&self, prefix: &str) -> Result<MemoryId> {
        let prefix = prefix.to_owned();
        self.looking_up(1, move |store| store.find(&prefix)).await
    }

    async fn short_lens(&self, ids: &[MemoryId]) -> Result<Vec<u8>> {
        let ids = ids.to_vec();
        self.looking_up(ids.len(), move |store| store.short_lens(&ids)).await
    }

    fn acknowledge(&self, ops: Vec<OpId>) {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).extend(ops);
    }

    async fn verify(&self) -> Result<Vec<Check>> {
        // A page that redb cannot read ends the checking, and is what it found.
        Ok(self.blocking(verify::verify).await.unwrap_or_else(|error| vec![verify::unreadable(&error)]))
    }

    async fn status(&self, _now: Time) -> Result<StoreStatus> {
        self.blocking(Store::status).await
    }

    async fn rest(&self) -> Result<()> {
        self.send(Job::Tidy).await?;
        self.blocking(|store| {
            store.forget_past_states();
            let rested = store.index.rest();
            store.vectors.rest().and(rested)
        })
        .await
    }
}

impl Giver for Embedded {
    async fn cut(&self) -> Result<Cut> {
        self.blocking(|store| give::cut(&store.snapshot()?)).await
    }

    async fn give(&self, cut: &Cut, table: Table, after: &[u8]) -> Result<Portion> {
        let (cut, after) = (cut.clone(), after.to_vec());
        self.blocking(move |store| give::give(&store.snapshot()?, &cut, table, &after)).await
    }
}

fn answer<T>(store: &Store, ask: impl Fn(&Store) -> Result<T>) -> Result<T> {
    // redb panics on some damaged pages: that is this question's error, and nobody else's.
    let attempt = || catch_unwind(AssertUnwindSafe(|| ask(store))).unwrap_or_else(|_| Err(unreadable()));
    let openings = store.openings();
    match attempt() {
        // The file was closed under the question: another took its place, or there was a disk error, which it gets over
        // by being opened again.
        Err(error) if error.kind == ErrorKind::Unavailable && store.reopen(openings).is_ok() => attempt(),
        answer => answer,
    }
}

async fn prepared(prepare: impl FnOnce() -> Vec<Step<Words>> + Send + 'static) -> Result<Vec<Step<Words>>> {
    let failed = |_| Error::internal("a write could not be prepared: please report it, with the log");
    tokio::task::spawn_blocking(prepare).await.map_err(failed)
}

fn unreadable() -> Error {
    Error::corrupt("a part of the store cannot be read: run `memoria verify`")
}

/// Makes the store beside its place and moves it there whole, so that a file in that place is never half made.
fn create(truth: &Path, cache_bytes: usize) -> Result<()> {
    let opener = FileOpener { path: truth.to_owned() };
    let file = disk::Disk::holding(opener.fresh()?, Arc::default());
    file.accept().map_err(|source| Error::io(format!("create {}", truth.display()), &source))?;
    let database = redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(file)?;
    writer::initialise(&database)?;
    drop(database);
    opener.replace()
}
