//! What all sessions share: the store's door, the settings, who is here, and whether the daemon is going.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::dispatch::Dispatch;
use super::drain::Drain;
use super::watch::Watched;
use crate::clock;
use crate::model::{Name, ProjectId, Time};
use crate::paths::Paths;
use crate::service::is_agent;
use crate::wire::limits::SESSIONS_MAX;
use crate::wire::message::{ClientKind, SessionStatus};

/// One daemon's shared state.
pub struct House {
    /// The store and its verbs.
    pub dispatch: Arc<Dispatch>,
    /// Where things lie.
    pub paths: Paths,
    /// The settings and what is wrong with their file.
    pub settings: Watched,
    /// Who is working, and whether anybody may begin.
    pub drain: Arc<Drain>,
    /// One for each session.
    pub places: Arc<Semaphore>,
    /// When the daemon began.
    pub started_at: Time,
    /// Minutes until an idle exit are counted only in a daemon that an agent started.
    pub is_auto: bool,
    seats: Mutex<Seats>,
    next_seat: AtomicU64,
}

struct Seats {
    taken: HashMap<u64, SessionStatus>,
    /// When the last one left, or the daemon began.
    empty_since: Instant,
}

impl House {
    /// Before anybody has come.
    pub fn new(dispatch: Arc<Dispatch>, paths: Paths, settings: Watched, is_auto: bool) -> Arc<Self> {
        Arc::new(Self {
            dispatch,
            paths,
            settings,
            drain: Arc::default(),
            places: Arc::new(Semaphore::new(SESSIONS_MAX)),
            started_at: clock::now(),
            is_auto,
            seats: Mutex::new(Seats { taken: HashMap::new(), empty_since: Instant::now() }),
            next_seat: AtomicU64::new(0),
        })
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session has opened; it leaves when the seat is dropped.
    pub fn seat(self: &Arc<Self>, session: SessionStatus) -> Seat {
        let number = self.next_seat.fetch_add(1, Ordering::Relaxed);
        self.seats().taken.insert(number, session);
        Seat { house: Arc::clone(self), number }
    }

    /// Everybody who is here, in the order of coming.
    pub fn sessions(&self) -> Vec<SessionStatus> {
        let seats = self.seats();
        let mut numbered: Vec<_> = seats.taken.iter().collect();
        numbered.sort_by_key(|(number, _)| **number);
        numbered.into_iter().map(|(_, session)| session.clone()).collect()
    }

    /// The branch on which this agent works in this project: that of its session that was heard of last, else the one
    /// on which its next session would begin.
    pub fn branch_of_agent(&self, agent: &str, project: Option<&ProjectId>) -> Option<Name> {
        let is_its = |session: &&SessionStatus| {
            let said = session.agent.as_deref();
            session.client == ClientKind::Shim
                && session.project.as_ref() == project
                && said.is_some_and(|said| is_agent(agent, said))
        };
        let sessions = self.sessions();
        let last = sessions.iter().filter(is_its).max_by_key(|session| session.last_seen);
        match last {
            Some(session) => self.dispatch.branch_of(&session.session, project),
            None => self.dispatch.next_branch(project),
        }
    }

    /// Whether nobody has been here for as long as the settings allow.
    pub fn is_idle(&self) -> bool {
        let idle_exit_min = u64::from(self.settings.config().borrow().daemon.idle_exit_min);
        let seats = self.seats();
        let idle_s = seats.empty_since.elapsed().as_secs();
        self.is_auto && idle_exit_min > 0 && seats.taken.is_empty() && idle_s >= idle_exit_min * 60
    }
}

/// One session's line in `status`.
pub struct Seat {
    house: Arc<House>,
    number: u64,
}

impl Seat {
    /// Notes something about the session.
    pub fn note(&self, what: impl FnOnce(&mut SessionStatus)) {
        if let Some(session) = self.house.seats().taken.get_mut(&self.number) {
            what(session);
        }
    }

    /// As it is now.
    pub fn session(&self) -> Option<SessionStatus> {
        self.house.seats().taken.get(&self.number).cloned()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.house.seats();
        seats.taken.remove(&self.number);
        seats.empty_since = Instant::now();
    }
}
