//! One line per verb, over a store that opens in the background: what needs the store waits for it, and a
//! store that could not be opened is tried again when somebody asks. It knows nothing of sockets or JSON.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::relocation::{Relocation, Underway};
use crate::config::{self, Config, EngineKind};
use crate::embed::cache::Cache;
use crate::embed::models::Models;
use crate::engine::any::{Any, Incoming};
use crate::engine::copy::Taker;
use crate::engine::embedded::{self, Embedded};
use crate::engine::matrixone::offline::Offline;
use crate::engine::matrixone::settings::Settings;
use crate::engine::matrixone::{self, MatrixOne};
use crate::error::{Error, Result};
use crate::mcp;
use crate::model::{Name, OpId, ProjectId, SessionId, StoreStatus};
use crate::paths::Paths;
use crate::service::{Caller, Checkouts, Service, Vectors, follow};
use crate::wire::message::{
    Branch, EmbeddingStatus, EndSession, EngineName, Moved, Relocate, Relocated, RelocationStage, Request, Response,
};

/// A store that failed to open is not tried more often than this.
const REOPEN_MS_MIN: u64 = 1_000;
/// How long nobody must ask before derived data is brought to disk.
const REST_MS: u64 = 20_000;
/// How often what was deleted long ago is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// The verbs, and the store behind them.
pub struct Dispatch {
    paths: Paths,
    config: watch::Receiver<Arc<Config>>,
    store: watch::Sender<Store>,
    /// `None` until they are asked for, or while their file is damaged.
    checkouts: Mutex<Option<Arc<Checkouts>>>,
    /// Models and cached vectors, which outlive a store that is closed.
    vectors: Arc<Vectors>,
    relocation: Relocation,
    /// How often branches have come, gone or changed their names, through this daemon.
    renames: watch::Sender<u64>,
    /// What waits for a server: one for whatever engines are opened and closed over it.
    offline: Mutex<Weak<Offline>>,
    /// Requests so far: a quiet interval is one in which it stands still.
    asked: AtomicU64,
}

#[derive(Clone)]
enum Store {
    Closed,
    Opening,
    /// With the settings that it was opened by.
    Open(Arc<Service<Any>>, Arc<Config>),
    Failed {
        error: Error,
        at: tokio::time::Instant,
    },
}

impl Dispatch {
    /// Cheap: opens nothing.
    pub fn new(paths: Paths, config: watch::Receiver<Arc<Config>>) -> Arc<Self> {
        let cache_bytes = u64::from(config.borrow().embedding.cache_mb) << 20;
        let models = Models::new(&paths.models_folder(), &paths.embedding_file());
        Arc::new(Self {
            vectors: Vectors::new(models, Cache::new(&paths.vector_cache_folder(), cache_bytes)),
            paths,
            config,
            store: watch::Sender::new(Store::Closed),
            checkouts: Mutex::default(),
            relocation: Relocation::default(),
            renames: watch::Sender::new(0),
            offline: Mutex::default(),
            asked: AtomicU64::new(0),
        })
    }

    /// Opens the store in the background, once at a time; does nothing when it is open or opening.
    pub fn open(self: &Arc<Self>) {
        let starts = self.store.send_if_modified(|store| {
            let starts = match store {
                Store::Closed => true,
                Store::Opening | Store::Open(..) => false,
                Store::Failed { at, .. } => at.elapsed() >= Duration::from_millis(REOPEN_MS_MIN),
            };
            if starts {
                *store = Store::Opening;
            }
            starts
        });
        if !starts {
            return;
        }
        let this = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let config = Arc::clone(&this.config.borrow());
            let opened = this.checkouts().and_then(|checkouts| Ok((this.open_chosen(&config)?, checkouts)));
            this.store.send_replace(match opened {
                Ok((engine, checkouts)) => {
                    let service =
                        Arc::new(Service::new(engine, this.config.clone(), checkouts, Arc::clone(&this.vectors)));
                    tokio::spawn(follow(Arc::downgrade(&service), this.config.clone()));
                    tokio::spawn(rest_when_quiet(Arc::downgrade(&this), Arc::downgrade(&service)));
                    Store::Open(service, config)
                }
                Err(error) => {
                    tracing::error!("the store cannot be opened: {error}");
                    Store::Failed { error, at: tokio::time::Instant::now() }
                }
            });
        });
    }

    /// Answers one request; waits for the store where it is still opening.
    pub async fn call(self: &Arc<Self>, caller: &Caller, request: Request) -> Result<Response> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let service = self.service().await?;
        if let Request::Relocate(ask) = request {
            return self.relocate(&service, ask).await.map(Response::Relocated);
        }
        self.relocation.refusal(&request)?;
        let names = matches!(&request, Request::Branch(ask) if !matches!(ask, Branch::List { .. }));
        let answer = self.perform(&service, caller, request).await;
        if names && answer.is_ok() {
            self.renames.send_modify(|count| *count += 1);
        }
        // Whatever it was: looking for texts without a vector costs nothing when there are none.
        self.vectors.wake();
        answer
    }

    async fn perform(&self, service: &Service<Any>, caller: &Caller, request: Request) -> Result<Response> {
        match request {
            Request::Store(ask) => service.store(caller, ask).await.map(Response::Stored),
            Request::Retrieve(ask) => service.retrieve(caller, ask).await.map(Response::Retrieved),
            Request::List(ask) => service.list(caller, ask).await.map(Response::Listed),
            Request::Show(ask) => service.show(caller, ask).await.map(|shown| Response::Shown(Box::new(shown))),
            Request::Correct(ask) => service.correct(caller, ask).await.map(Response::Corrected),
            Request::Purge(ask) => service.purge(caller, ask).await.map(Response::Purged),
            Request::Log(ask) => service.log(caller, ask).await.map(Response::Logged),
            Request::Verify => service.verify().await.map(Response::Verified),
            Request::Branch(ask) => service.branches(caller, ask).await.map(Response::Branches),
            Request::Checkout(ask) => service.check_out(caller, ask).await.map(Response::Branches),
            Request::Snapshot(ask) => service.snapshots(caller, ask).await.map(Response::Snapshots),
            Request::Diff(ask) => service.diff(caller, ask).await.map(|diffed| Response::Diffed(Box::new(diffed))),
            Request::Merge(ask) => service.merge(caller, ask).await.map(moved),
            Request::Resolve(ask) => service.resolve(caller, ask).await.map(moved),
            Request::Pick(ask) => service.pick(caller, ask).await.map(moved),
            Request::Apply(ask) => service.apply(caller, ask).await.map(moved),
            Request::Rollback(ask) => service.roll_back(caller, ask).await.map(moved),
            Request::Revert(ask) => service.revert(caller, ask).await.map(moved),
            Request::Undo(ask) => service.undo(caller, ask).await.map(moved),
            Request::Blame(ask) => service.blame(caller, ask).await.map(|blamed| Response::Blamed(Box::new(blamed))),
            Request::Import(ask) => service.import(caller, ask).await.map(Response::Imported),
            Request::Export(ask) => service.export(caller, ask).await.map(Response::Exported),
            Request::Upkeep(ask) => service.upkeep(ask).await,
            Request::Model(ask) => service.models(ask).await,
            Request::Brief(ask) => {
                service.brief(caller, ask, mcp::briefing).await.map(|briefed| Response::Briefed(Box::new(briefed)))
            }
            Request::Feedback(ask) => service.rate(caller, ask).await.map(Response::Rated),
            Request::Mark(ask) => service.mark(caller, ask).await.map(Response::Marked),
            Request::Profile(ask) => service.profile(caller, ask).await.map(Response::Profiled),
            Request::EndSession(ask) => service.end_session(caller, ask).await.map(Response::SessionEnded),
            Request::Mcp(_) | Request::Status | Request::Stop(_) | Request::Relocate(_) => {
                Err(Error::internal("a request of the session's own reached the store"))
            }
        }
    }

    /// For `status`: which engine serves, and where its server is, if it has one. Never who logs in there.
    pub fn engine(&self) -> (String, Option<String>) {
        let config = self.config.borrow();
        let server = match config.engine.kind {
            EngineKind::Embedded => None,
            EngineKind::MatrixOne => Settings::new(&config.matrixone).ok().map(|server| server.place()),
        };
        (config.engine.kind.as_str().to_owned(), server)
    }

    /// The store's part of `status`; a store that is not open says why.
    pub async fn store_status(self: &Arc<Self>) -> StoreStatus {
        let status = match self.service().await {
            Ok(service) => service.status().await,
            Err(error) => Err(error),
        };
        status.unwrap_or_else(|error| StoreStatus { error: Some(error.message), ..StoreStatus::default() })
    }

    /// The part of `status` about vectors.
    pub async fn embedding_status(self: &Arc<Self>) -> EmbeddingStatus {
        let status = match self.service().await {
            Ok(service) => service.embedding_status().await,
            Err(error) => Err(error),
        };
        status.unwrap_or_default()
    }

    /// The branch that a session is on. It is asked when the session opens, so that nobody who moves on later takes it
    /// along; `None` while it cannot be told.
    pub fn branch_of(&self, session: &SessionId, project: Option<&ProjectId>) -> Option<Name> {
        self.checkouts().ok().map(|checkouts| checkouts.branch_of(session, project))
    }

    /// The branch on which a new session in this project would begin; `None` while it cannot be told.
    pub fn next_branch(&self, project: Option<&ProjectId>) -> Option<Name> {
        self.checkouts().ok().map(|checkouts| checkouts.next_branch(project))
    }

    fn checkouts(&self) -> Result<Arc<Checkouts>> {
        let mut known = self.checkouts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(checkouts) = &*known {
            return Ok(Arc::clone(checkouts));
        }
        let checkouts = Arc::new(Checkouts::open(&self.paths.checkouts_file())?);
        Ok(Arc::clone(known.insert(checkouts)))
    }

    /// Hears whenever the list of branches may be another one.
    pub fn names_changed(&self) -> watch::Receiver<u64> {
        self.renames.subscribe()
    }

    /// These replies have arrived at the agent.
    pub fn acknowledge(&self, ops: Vec<OpId>) {
        if let Store::Open(service, _) = &*self.store.borrow() {
            service.acknowledge(ops);
        }
    }

    /// What a session that is over leaves behind goes. Where the store is not open, nothing was left by this daemon's
    /// sessions, and it is not opened for that.
    pub async fn end(self: &Arc<Self>, caller: &Caller) {
        if !matches!(&*self.store.borrow(), Store::Open(..)) {
            return;
        }
        if let Err(error) = self.call(caller, Request::EndSession(EndSession::default())).await {
            tracing::warn!("working memories of session {} stay until they expire: {error}", caller.session);
        }
    }

    /// Brings everything to disk and lets go of the store. Later requests open it again.
    pub async fn close(&self) {
        let_go(self.store.send_replace(Store::Closed)).await;
    }

    /// Where the settings name another engine by now, the one that serves is let go: the next request opens that one.
    async fn keep_to_settings(&self) {
        let mut left = Store::Closed;
        self.store.send_if_modified(|store| {
            let is_left = matches!(store, Store::Open(_, by) if engine_of(by) != engine_of(&self.config.borrow()));
            if is_left {
                mem::swap(store, &mut left);
                // Whatever was moved: these settings are the answer to it.
                let _ = self.relocation.stop();
            }
            is_left
        });
        let_go(left).await;
    }

    /// Goes on with moving the store, or gives it up.
    async fn relocate(self: &Arc<Self>, service: &Arc<Service<Any>>, ask: Relocate) -> Result<Relocated> {
        let (Relocate::Go { to } | Relocate::Abandon { to }) = ask;
        let config = Arc::clone(&self.config.borrow());
        let kind = match to {
            EngineName::Embedded => EngineKind::Embedded,
            EngineName::MatrixOne => EngineKind::MatrixOne,
        };
        if let Some(queue) = self.known_queue() {
            queue.leave_for(&format!("{} next", to.as_str()))?;
        }
        if kind == config.engine.kind {
            return Err(Error::invalid(format!("the store is in {} already: there is nothing to move", to.as_str())));
        }
        if let Relocate::Abandon { .. } = ask {
            self.relocation.stop()?;
            self.incoming(kind, &config).await?.abandon().await?;
            return Ok(Relocated::of(RelocationStage::Abandoned, 0, 0.0));
        }
        let (this, service) = (Arc::clone(self), Arc::clone(service));
        let begin = |underway: Arc<Underway>| {
            tokio::spawn(async move {
                let moved = match this.incoming(kind, &config).await {
                    Ok(incoming) => {
                        let open = async || this.opened(kind, &config).await;
                        service.relocate(&incoming, open, |news| underway.tell(news)).await
                    }
                    Err(error) => Err(error),
                };
                underway.end(moved);
            });
        };
        self.relocation.go(to, begin).await
    }

    /// The same as [`Self::open_engine`], on a thread that may block.
    async fn opened(self: &Arc<Self>, kind: EngineKind, config: &Arc<Config>) -> Result<Any> {
        let (this, config) = (Arc::clone(self), Arc::clone(config));
        let opened = tokio::task::spawn_blocking(move || this.open_engine(kind, &config)).await;
        opened.unwrap_or_else(|_| Err(Error::internal("the store could not be opened")))
    }

    /// A store of this kind that is to come to be from another's rows.
    async fn incoming(self: &Arc<Self>, kind: EngineKind, config: &Config) -> Result<Incoming> {
        match kind {
            EngineKind::Embedded => {
                let (store, cache_bytes) = (self.paths.store_file(), config.store.cache_mb as usize * 1024 * 1024);
                let opened = tokio::task::spawn_blocking(move || embedded::Incoming::open(&store, cache_bytes)).await;
                let opened = opened.unwrap_or_else(|_| Err(Error::corrupt("what was moved so far cannot be read")));
                opened.map(Incoming::Embedded)
            }
            EngineKind::MatrixOne => Ok(Incoming::MatrixOne(matrixone::Incoming::open(
                &Settings::new(&config.matrixone)?,
                Handle::current(),
            ))),
        }
    }

    /// Opens the engine that the settings name, unless something waits for the one before. Blocks.
    fn open_chosen(&self, config: &Config) -> Result<Any> {
        if config.engine.kind == EngineKind::Embedded
            && let Some(queue) = self.queue(false)?
        {
            queue.leave_for("the embedded engine")?;
        }
        self.open_engine(config.engine.kind, config)
    }

    /// Opens an engine. Blocks.
    fn open_engine(&self, kind: EngineKind, config: &Config) -> Result<Any> {
        match kind {
            EngineKind::Embedded => Ok(Any::Embedded(Embedded::open(
                &self.paths.store_file(),
                &self.paths.index_folder(),
                &self.paths.vectors_folder(),
                config.store.cache_mb as usize * 1024 * 1024,
            )?)),
            EngineKind::MatrixOne => {
                let settings = Settings::new(&config.matrixone)?;
                Ok(Any::MatrixOne(match self.queue(config.matrixone.offline_queue)? {
                    Some(queue) => {
                        queue.aim(&settings.place())?;
                        MatrixOne::open_with(&settings, Handle::current(), queue)
                    }
                    None => MatrixOne::open(&settings, Handle::current()),
                }))
            }
        }
    }

    /// The queue, where it is wanted or something may wait in it.
    fn queue(&self, is_wanted: bool) -> Result<Option<Arc<Offline>>> {
        let file = self.paths.waiting_file();
        let mut known = self.offline.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = known.upgrade() {
            return Ok(Some(queue));
        }
        if !is_wanted && !file.exists() {
            return Ok(None);
        }
        let queue = Arc::new(Offline::open(&file, &self.paths.refused_file())?);
        *known = Arc::downgrade(&queue);
        Ok(Some(queue))
    }

    fn known_queue(&self) -> Option<Arc<Offline>> {
        self.offline.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// Whether something waits for a server: then the daemon is needed, though nobody is here.
    pub fn has_waiting(&self) -> bool {
        self.known_queue().is_some_and(|queue| queue.count() > 0)
    }

    async fn service(self: &Arc<Self>) -> Result<Arc<Service<Any>>> {
        self.keep_to_settings().await;
        self.open();
        let mut store = self.store.subscribe();
        let settled = store.wait_for(|store| !matches!(store, Store::Opening)).await;
        match settled.as_deref() {
            Ok(Store::Open(service, _)) => Ok(Arc::clone(service)),
            Ok(Store::Failed { error, .. }) => Err(error.clone()),
            _ => Err(Error::shutting_down("the daemon is stopping; ask again")),
        }
    }
}

/// What an engine is opened by.
fn engine_of(config: &Config) -> (&config::Engine, Option<&config::MatrixOne>) {
    (&config.engine, Some(&config.matrixone).filter(|_| config.engine.kind == EngineKind::MatrixOne))
}

/// Brings derived data to disk before the store is closed.
async fn let_go(store: Store) {
    if let Store::Open(service, _) = store
        && let Err(error) = service.rest().await
    {
        tracing::error!("derived data was not flushed and will be rebuilt: {error}");
    }
}

fn moved(moved: Moved) -> Response {
    Response::Moved(Box::new(moved))
}

/// Rests the store after each quiet interval in which something had happened before, and once a day lets it forget
/// what was deleted long ago. Ends with the store.
async fn rest_when_quiet(dispatch: Weak<Dispatch>, service: Weak<Service<Any>>) {
    let (mut rested_at, mut seen) = (0, 0);
    let mut tidied: Option<tokio::time::Instant> = None;
    loop {
        tokio::time::sleep(Duration::from_millis(REST_MS)).await;
        let (Some(dispatch), Some(service)) = (dispatch.upgrade(), service.upgrade()) else { return };
        let asked = dispatch.asked.load(Ordering::Relaxed);
        let is_quiet = asked == seen;
        seen = asked;
        if is_quiet && rested_at != asked {
            rested_at = asked;
            if let Err(error) = service.rest().await {
                tracing::warn!("derived data was not flushed: {error}");
            }
            if tokio::task::spawn_blocking(super::trim::give_back).await.is_err() {
                tracing::warn!("memory could not be given back");
            }
            if tidied.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
                tidied = Some(tokio::time::Instant::now());
                match service.forget_old().await {
                    Ok(gone) if gone.versions + gone.commits + gone.names > 0 => tracing::info!(
                        "forgot {} names, {} commits and {} versions that were deleted long ago",
                        gone.names,
                        gone.commits,
                        gone.versions
                    ),
                    Ok(_) => {}
                    Err(error) => tracing::warn!("what was deleted long ago was not forgotten: {error}"),
                }
            }
        }
    }
}
