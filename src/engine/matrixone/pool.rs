//! The connections: few, made when they are needed, kept while they are used, and one that stays. Here is decided what
//! is tried again and for how long; `fault.rs` says what a failure means, `session.rs` what a transaction is.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error as Cause, Opts, OptsBuilder, SslOpts};
use tokio::runtime::Handle;
use tokio::time::timeout_at;

use super::fault::{Course, Fault};
use super::session::{Outcome, Session};
use super::settings::{Encryption, Settings};
use super::sql;
use crate::error::{Error, ErrorKind, Result};

/// How many connections stay open when nothing happens: the next request finds one.
const RESTING: usize = 1;
/// How long a further one is kept for the next request.
const KEPT: Duration = Duration::from_secs(10);
/// A connection that rested longer than this is asked whether it still leads anywhere.
const ASKED_AFTER: Duration = Duration::from_secs(30);
const PING_MAX: Duration = Duration::from_secs(2);
const GOODBYE_MAX: Duration = Duration::from_secs(1);
/// Between tries: doubled from one to the other, and each time some of it by chance.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Statements that stay prepared on each connection.
const PREPARED_MAX: usize = 128;
/// The server's "unknown database".
const NO_DATABASE: u16 = 1049;

/// Connections to one database. Cheap to clone; all its methods block, for at most the deadline.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
    deadline: Duration,
}

struct Shared {
    settings: Settings,
    /// `host:port`, for sentences.
    server: Arc<str>,
    handle: Handle,
    shelf: Mutex<Shelf>,
    /// A connection has come back, or there is room for a new one.
    freed: Condvar,
    /// Nothing came of a whole deadline: until something does, a request tries once and is told at once.
    is_down: AtomicBool,
}

#[derive(Default)]
struct Shelf {
    /// The longest rested first.
    idle: Vec<(Conn, Instant)>,
    /// With those that are used or being made.
    open: usize,
    /// Somebody will look again for those that rested too long.
    is_swept: bool,
}

impl Pool {
    /// Connects to nothing: a server that is down is no reason not to start.
    /// `handle` is of a runtime whose thread is not one of those that block here.
    pub fn open(settings: &Settings, handle: Handle) -> Self {
        let (settings, deadline) = (settings.clone(), settings.deadline);
        let server = settings.address().into();
        let (shelf, freed, is_down) = (Mutex::default(), Condvar::new(), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { settings, server, handle, shelf, freed, is_down }), deadline }
    }

    /// The same connections, for work that takes longer, such as a compaction.
    pub fn within(&self, deadline: Duration) -> Self {
        Self { shared: Arc::clone(&self.shared), deadline }
    }

    /// `host:port`, for sentences.
    pub fn server(&self) -> &str {
        &self.shared.server
    }

    /// What it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Whether nothing came of the last requests: the next one tries once, and is told at once.
    pub fn is_down(&self) -> bool {
        self.shared.is_down.load(Ordering::Relaxed)
    }

    /// How many connections are open now, used or not.
    pub fn open_count(&self) -> usize {
        self.shared.shelf().open
    }

    /// Runs `ask`, again and again within the deadline while the fault is one that passes. It only reads.
    ///
    /// # Errors
    /// What `ask` gives; `Unavailable` where the deadline came first.
    pub fn read<T>(&self, mut ask: impl FnMut(&mut Session) -> Result<T>) -> Result<T> {
        self.repeat(|session| ask(session))
    }

    /// One transaction: BEGIN, `work`, COMMIT; ROLLBACK where `work` fails. Tried again within the deadline on faults
    /// that pass, so `work` must be safe to repeat: it takes the lock that every writer takes first, and then looks
    /// its operation's id up. In this order: an earlier COMMIT of the same operation may still be under way, and
    /// holds the lock until it is decided.
    ///
    /// # Errors
    /// What `work` gives; `Unavailable` where nothing was kept; `Unknown` where a COMMIT was sent and nobody could say
    /// within the deadline what came of it.
    pub fn write<T>(&self, mut work: impl FnMut(&mut Session) -> Result<T>) -> Result<T> {
        let mut outcome = Outcome::Undone;
        let written = self.repeat(|session| session.transaction(&mut work, &mut outcome));
        match written {
            Err(error) if outcome == Outcome::Unknown && error.kind == ErrorKind::Unavailable => Err(Error::unknown(
                format!("whether it was kept is not known: {}. Repeat it under the same operation id", error.message),
            )),
            other => other,
        }
    }

    /// Lets all connections go that nobody uses.
    pub fn close(&self) {
        let mut shelf = self.shared.shelf();
        let idle = std::mem::take(&mut shelf.idle);
        shelf.open -= idle.len();
        drop(shelf);
        idle.into_iter().for_each(|(conn, _)| self.shared.let_go(conn));
    }

    fn repeat<T>(&self, mut once: impl FnMut(&mut Session) -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        let deadline = begun + self.deadline;
        let mut pause = PAUSE_MIN;
        loop {
            let (error, course) = match self.take(deadline) {
                Ok(mut lent) => match lent.session.as_mut().map(|session| (once(session), session.trouble())) {
                    Some((Ok(answer), _)) => {
                        self.shared.is_down.store(false, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Some((Err(error), trouble)) => (error, trouble.map_or(Course::Final, |fault| fault.course)),
                    None => (Error::internal("a connection was lent that is not there"), Course::Final),
                },
                Err(fault) => (fault.error, fault.course),
            };
            if course == Course::Final {
                return Err(error);
            }
            let waits = jittered(pause);
            pause = (pause * 2).min(PAUSE_MAX);
            let is_over = Instant::now() + waits >= deadline;
            let is_gone = course == Course::Broken;
            if is_over && is_gone {
                self.shared.is_down.store(true, Ordering::Relaxed);
                // Made before it went away, they lead nowhere.
                self.close();
            }
            if is_over || (is_gone && self.shared.is_down.load(Ordering::Relaxed)) {
                return Err(given_up(error, begun.elapsed()));
            }
            std::thread::sleep(waits);
        }
    }

    /// A connection that leads somewhere, within the deadline.
    fn take(&self, deadline: Instant) -> Result<Lent, Fault> {
        let shared = &self.shared;
        let mut shelf = shared.shelf();
        loop {
            if let Some((conn, since)) = shelf.idle.pop() {
                drop(shelf);
                match shared.awake(conn, since) {
                    Some(conn) => return Ok(self.lend(conn, deadline)),
                    None => {
                        shared.one_less();
                        shelf = shared.shelf();
                    }
                }
            } else if shelf.open < shared.settings.connections_max {
                shelf.open += 1;
                drop(shelf);
                return shared.connected(deadline).map(|conn| self.lend(conn, deadline)).inspect_err(|_| {
                    shared.one_less();
                });
            } else {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(Fault::busy(shared.settings.connections_max));
                }
                shelf = shared.freed.wait_timeout(shelf, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn lend(&self, conn: Conn, deadline: Instant) -> Lent {
        let shared = Arc::clone(&self.shared);
        let session = Session::new(conn, shared.handle.clone(), Arc::clone(&shared.server), deadline);
        Lent { session: Some(session), shared }
    }
}

/// From half of the pause to one and a half, so that those who failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let chance = RandomState::new().hash_one(0) % 1_000;
    pause / 2 + pause.mul_f64(chance as f64 / 1_000.0)
}

fn given_up(error: Error, tried: Duration) -> Error {
    if error.kind != ErrorKind::Unavailable {
        return error;
    }
    let tried = match tried.as_secs() {
        0 => String::new(),
        seconds => format!("It was tried for {seconds} s. "),
    };
    Error::unavailable(format!("{}. {tried}The next request tries again", error.message))
}

/// A connection that is used. It comes back by itself, unless it is of no use any more.
struct Lent {
    /// Until it is dropped.
    session: Option<Session>,
    shared: Arc<Shared>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        let is_sound = session.is_sound() && !std::thread::panicking();
        let conn = session.into_conn();
        if is_sound {
            self.shared.put_back(conn);
        } else {
            self.shared.let_go(conn);
            self.shared.one_less();
        }
    }
}

impl Shared {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_back(self: &Arc<Self>, conn: Conn) {
        let mut shelf = self.shelf();
        shelf.idle.push((conn, Instant::now()));
        let needs_sweep = shelf.idle.len() > RESTING && !shelf.is_swept;
        shelf.is_swept |= needs_sweep;
        drop(shelf);
        self.freed.notify_one();
        if needs_sweep {
            drop(self.handle.spawn(Self::sweep(Arc::downgrade(self))));
        }
    }

    /// Makes room for another connection.
    fn one_less(&self) {
        self.shelf().open -= 1;
        self.freed.notify_one();
    }

    /// The connection, unless it rested long and leads nowhere any more.
    fn awake(&self, mut conn: Conn, since: Instant) -> Option<Conn> {
        if since.elapsed() < ASKED_AFTER {
            return Some(conn);
        }
        let answered = self.handle.block_on(async { tokio::time::timeout(PING_MAX, conn.ping()).await });
        if matches!(answered, Ok(Ok(()))) {
            return Some(conn);
        }
        self.let_go(conn);
        None
    }

    fn connected(&self, deadline: Instant) -> Result<Conn, Fault> {
        let until = deadline.min(Instant::now() + self.settings.connect).into();
        let connected = self.handle.block_on(async { timeout_at(until, self.connect()).await });
        match connected {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err((sql, cause))) => Err(Fault::of(&self.server, &sql, &cause)),
            Err(_) => Err(Fault::silence(&self.server)),
        }
    }

    /// Makes the database where there is none; tells the connection how we want it.
    async fn connect(&self) -> Result<Conn, (String, Cause)> {
        let at = |sql: &str| {
            let sql = sql.to_owned();
            move |cause| (sql, cause)
        };
        let database = Some(&*self.settings.database).filter(|name| !name.is_empty());
        let mut conn = match Conn::new(self.options(database)).await {
            Err(Cause::Server(said)) if said.code == NO_DATABASE => {
                let create = sql::create_database(&self.settings.database);
                let mut conn = Conn::new(self.options(None)).await.map_err(at("connect"))?;
                conn.query_drop(&create).await.map_err(at(&create))?;
                conn.disconnect().await.map_err(at("disconnect"))?;
                Conn::new(self.options(database)).await
            }
            other => other,
        }
        .map_err(at("connect"))?;
        for statement in sql::SET_UP {
            match conn.query_drop(statement).await {
                Ok(()) => {}
                Err(Cause::Server(said)) => {
                    tracing::debug!("{} does not know `{statement}` (error {})", self.server, said.code);
                }
                Err(cause) => return Err((statement.to_owned(), cause)),
            }
        }
        Ok(conn)
    }

    fn options(&self, database: Option<&str>) -> Opts {
        let settings = &self.settings;
        let encryption = match &settings.encryption {
            Encryption::None => None,
            Encryption::Public => Some(SslOpts::default()),
            Encryption::Private(pem) => {
                Some(SslOpts::default().with_root_certs(vec![pem.clone().into()]).with_disable_built_in_roots(true))
            }
        };
        OptsBuilder::default()
            .ip_or_hostname(&*settings.host)
            .tcp_port(settings.port)
            .user(Some(&*settings.user))
            .pass(Some(settings.password.reveal()))
            .db_name(database)
            .ssl_opts(encryption)
            .prefer_socket(Some(false))
            .tcp_keepalive(Some(ASKED_AFTER))
            .client_found_rows(true)
            .stmt_cache_size(Some(PREPARED_MAX))
            .into()
    }

    /// Never waits: the server may be silent.
    fn let_go(&self, conn: Conn) {
        drop(self.handle.spawn(async move { tokio::time::timeout(GOODBYE_MAX, conn.disconnect()).await }));
    }

    /// Some time after their last use all but one go, the longest rested first.
    async fn sweep(shared: Weak<Self>) {
        let mut wait = KEPT;
        loop {
            tokio::time::sleep(wait).await;
            let Some(shared) = shared.upgrade() else { return };
            let mut gone = Vec::new();
            let mut shelf = shared.shelf();
            while shelf.idle.len() > RESTING && shelf.idle[0].1.elapsed() >= KEPT {
                gone.push(shelf.idle.remove(0).0);
                shelf.open -= 1;
            }
            shelf.is_swept = shelf.idle.len() > RESTING;
            let is_over = !shelf.is_swept;
            wait = shelf.idle.first().map_or(KEPT, |(_, since)| KEPT.saturating_sub(since.elapsed()));
            drop(shelf);
            gone.into_iter().for_each(|conn| shared.let_go(conn));
            if is_over {
                return;
            }
        }
    }
}
