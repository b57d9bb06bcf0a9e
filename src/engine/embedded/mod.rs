//! The engine inside the daemon: truth in one redb file, words and columns derived from it. This file is the way in:
//! it opens, hands each question to a thread that may block, and each write to the one writer.
//!
//! `tables` is the layout on disk, `store` what is open, `writer` and `draft` how truth changes, `read` and `verify`
//! what is asked of it, `disk` the file below redb, `index` the derived data.

mod diff;
mod disk;
mod draft;
mod faults;
mod graph;
pub mod index;
mod plan;
mod read;
mod store;
mod tables;
mod verify;
mod writer;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use redb::StorageBackend;
use redb::backends::FileBackend;
use tokio::sync::{mpsc, oneshot};

use self::draft::Step;
use self::store::{Opener, Store};
use self::writer::{Job, Order, QUEUE_WRITES_MAX, Writer};
use super::{At, Engine, Erase, Names};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Applied, Candidates, Check, Commit, CommitEntry, CommitFilter, CommitId, Compacted, Diff, Erased, Filter, Listing,
    Memory, MemoryId, Name, OpId, Page, Pending, Plan, Planned, Query, Ref, Revision, Scan, StoreStatus, Time, Version,
    VersionId, Walk, Work, Write,
};

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
    pub fn open(truth: &Path, index: &Path, cache_bytes: usize) -> Result<Self> {
        let name = truth.display().to_string();
        let is_there = truth.try_exists().map_err(|source| Error::io(format!("open {name}"), &source))?;
        if !is_there {
            create(truth, cache_bytes)?;
        } else if fs::metadata(truth).is_ok_and(|file| file.len() == 0) {
            return Err(Error::corrupt(format!(
                "{name} is empty: restore it from a backup, or delete it to begin anew."
            )));
        }
        let path = truth.to_owned();
        let open = move || file_backend(fs::File::options().read(true).write(true), &path);
        Self::start(name, boxed(open), index, cache_bytes)
    }

    /// The same over any storage, which is made a store if it is empty; `storage` is asked again whenever the engine
    /// has to open it again after an error.
    pub fn with_backend<B: StorageBackend>(
        storage: impl Fn() -> Result<B> + Send + Sync + 'static,
        index: &Path,
        cache_bytes: usize,
    ) -> Result<Self> {
        Self::start("the store".to_owned(), boxed(storage), index, cache_bytes)
    }

    fn start(name: String, opener: Opener, index: &Path, cache_bytes: usize) -> Result<Self> {
        let store = Arc::new(Store::open(name, opener, index, cache_bytes)?);
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let (jobs, queue) = mpsc::channel(QUEUE_WRITES_MAX);
        let is_flushing = Arc::new(AtomicBool::new(false));
        let writer = Writer { store: Arc::clone(&store), acknowledged: Arc::clone(&acknowledged), is_flushing };
        let thread = std::thread::Builder::new().name("memoria-writer".into()).spawn(move || writer.run(queue));
        let thread = thread.map_err(|source| Error::io("start the store's writer", &source))?;
        Ok(Self { store, jobs: Some(jobs), acknowledged, writer: Some(thread) })
    }

    async fn blocking<T: Send + 'static>(&self, ask: impl FnOnce(&Store) -> Result<T> + Send + 'static) -> Result<T> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || answer(&store, ask)).await.unwrap_or_else(|_| Err(unreadable()))
    }

    /// A few look-ups are over sooner than a thread for them would wake.
    async fn looking_up<T: Send + 'static>(
        &self,
        things: usize,
        ask: impl FnOnce(&Store) -> Result<T> + Send + 'static,
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
        if let Revision::Name(_) = revision {
            return self.store.resolve(revision, now);
        }
        let revision = revision.clone();
        self.blocking(move |store| store.resolve(&revision, now)).await
    }

    async fn replayed(&self, op: OpId) -> Result<Option<Applied>> {
        self.looking_up(1, move |store| store.replayed(op)).await
    }

    async fn apply(&self, op: OpId, mut write: Write) -> Result<Applied> {
        let Work::Changes(changes) = std::mem::replace(&mut write.work, Work::Changes(Vec::new())) else {
            return Err(Error::internal("plans are not applied yet"));
        };
        let is_small = changes.len() <= PREPARED_INLINE_MAX;
        let prepare = move || changes.into_iter().map(Step::from).collect::<Vec<_>>();
        let steps = if is_small { prepare() } else { self.blocking(move |_| Ok(prepare())).await? };
        self.send(|answer| Job::Apply(Box::new(Order { op, write, steps }), answer)).await
    }

    async fn read(&self, at: &At, ids: &[MemoryId]) -> Result<Vec<Option<Version>>> {
        let (at, ids) = (at.clone(), ids.to_vec());
        self.looking_up(ids.len(), move |store| store.read(&at, &ids)).await
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

    async fn containing(&self, at: &At, terms: &[String], filter: &Filter, limit: u32) -> Result<(Vec<MemoryId>, u32)> {
        let (at, terms, filter) = (at.clone(), terms.to_vec(), filter.clone());
        self.blocking(move |store| store.containing(&at, &terms, &filter, limit)).await
    }

    async fn history(
        &self,
        at: &At,
        filter: &CommitFilter,
        _walk: Walk,
        page: Page,
    ) -> Result<(Vec<CommitEntry>, u32)> {
        let (at, filter) = (at.clone(), filter.clone());
        self.blocking(move |store| store.history(&at, &filter, page)).await
    }

    async fn commit(&self, id: CommitId) -> Result<Commit> {
        self.blocking(move |store| store.commit(id)).await
    }

    async fn diff(&self, from: &At, to: &At, filter: &Filter, page: Page) -> Result<Diff> {
        let (from, to, filter) = (from.clone(), to.clone(), filter.clone());
        self.blocking(move |store| store.diff(&from, &to, &filter, page)).await
    }

    async fn plan(&self, at: &At, plan: &Plan, page: Page) -> Result<Planned> {
        let (at, plan) = (at.clone(), plan.clone());
        self.blocking(move |store| Ok(store.work_out(&at, &plan, page)?.planned)).await
    }

    async fn pending(&self, _branch: &Name) -> Result<Option<Pending>> {
        Ok(None)
    }

    async fn scan(&self, _at: &At, _filter: &Filter, _start: u64, _limit: u32) -> Result<Scan> {
        Err(Error::internal("not built yet"))
    }

    async fn names(&self, _wanted: Names) -> Result<Vec<Ref>> {
        let head = self.store.head(&Name::main())?;
        Ok(vec![Ref {
            name: Name::main(),
            kind: crate::model::NameKind::Branch,
            commit: head.id,
            live: head.live,
            note: None,
            protection: crate::model::Protection::Open,
            created_at: head.moved_at,
            moved_at: head.moved_at,
            is_deleted: false,
        }])
    }

    async fn erase(&self, _op: OpId, _erase: Erase) -> Result<Erased> {
        Err(Error::internal("not built yet"))
    }

    async fn compact(&self, _before: Time) -> Result<Compacted> {
        Err(Error::internal("not built yet"))
    }

    async fn repair(&self) -> Result<Vec<Check>> {
        Err(Error::internal("not built yet"))
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
            store.index.flush()
        })
        .await
    }
}

fn answer<T>(store: &Store, ask: impl FnOnce(&Store) -> Result<T>) -> Result<T> {
    let openings = store.openings();
    // redb panics on some damaged pages: that is this question's error, and nobody else's.
    let answer = catch_unwind(AssertUnwindSafe(|| ask(store))).unwrap_or_else(|_| Err(unreadable()));
    // After a disk error, the next one who asks finds the store opened again.
    answer.inspect_err(|error| {
        if error.kind == ErrorKind::Unavailable {
            let _ = store.reopen(openings);
        }
    })
}

fn unreadable() -> Error {
    Error::corrupt("a part of the store cannot be read: run `memoria verify`")
}

fn boxed<B: StorageBackend>(storage: impl Fn() -> Result<B> + Send + Sync + 'static) -> Opener {
    Box::new(move || Ok(Box::new(storage()?)))
}

/// Makes the store beside its place and moves it there whole, so that a file in that place is never half made.
fn create(truth: &Path, cache_bytes: usize) -> Result<()> {
    let failed = |source| Error::io(format!("create {}", truth.display()), &source);
    let fresh = truth.with_extension("redb.new");
    match fs::remove_file(&fresh) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(failed(source)),
        _ => {}
    }
    let backend = file_backend(owner_only(fs::File::options().read(true).write(true).create_new(true)), &fresh)?;
    let database = redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(backend)?;
    writer::initialise(&database)?;
    drop(database);
    fs::rename(&fresh, truth).map_err(failed)?;
    sync_folder(truth).map_err(failed)
}

fn file_backend(options: &fs::OpenOptions, path: &Path) -> Result<FileBackend> {
    let file = options.open(path).map_err(|source| Error::io(format!("open {}", path.display()), &source))?;
    Ok(FileBackend::new(file)?)
}

#[cfg(unix)]
fn owner_only(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

/// A folder's own rights are what protects a file on other systems.
#[cfg(not(unix))]
fn owner_only(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    options
}

/// A renamed file survives a power cut only when its folder is synced too.
#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> std::io::Result<()> {
    Ok(())
}
