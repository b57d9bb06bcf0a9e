//! The store as one daemon knows it: the connections, and what it remembers of rows that never change. Where a branch
//! stands is asked of the database every time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::commits::Commits;
use super::offline::Offline;
use super::pool::Pool;
use super::session::Session;
use super::truth::Reader;
use super::vectors::Known;
use super::{put, row, schema, sql};
use crate::clock;
use crate::engine::At;
use crate::engine::history::lives::Unreachable;
use crate::engine::history::naming::{standing, stood_at};
use crate::engine::history::prefix::{ambiguous, prefix_range};
use crate::engine::history::rows::{Reply, bitmap, damaged};
use crate::engine::history::state::States;
use crate::engine::history::{Past, Truth};
use crate::error::{Error, Result};
use crate::model::id::hex;
use crate::model::{Kind, Name, OpId, Revision, StoreStatus, Time};

/// For work whose length goes with the store's, such as a wide merge.
pub const PATIENCE: Duration = Duration::from_secs(600);
/// Old replies that become marks at a time.
const MARKED_AT_ONCE: u32 = 500;

/// One database, from here.
pub struct Store {
    pub pool: Pool,
    pub states: States,
    pub commits: Commits,
    pub vectors: Known,
    pub unreachable: Unreachable,
    /// Operations whose stored replies can go with the next write.
    pub acknowledged: Mutex<Vec<OpId>>,
    /// How often history had been changed when it was last looked at; 0 before that.
    upheavals: AtomicU64,
    /// What waits for the server.
    pub offline: Option<Arc<Offline>>,
    /// Who holds it looks at the tables, or at what was erased; nobody else needs to.
    looking: Mutex<()>,
}

impl Store {
    /// Connects to nothing.
    pub fn new(pool: Pool) -> Self {
        Self {
            pool,
            states: States::default(),
            commits: Commits::default(),
            vectors: Known::default(),
            unreachable: Unreachable::default(),
            acknowledged: Mutex::default(),
            upheavals: AtomicU64::new(0),
            offline: None,
            looking: Mutex::default(),
        }
    }

    /// Asks something of history. It may be asked again, on another connection.
    pub fn reading<T>(&self, ask: impl Fn(&Reader) -> Result<T>) -> Result<T> {
        self.ready()?;
        self.pool.read(|session| {
            let upheavals = self.look(session)?;
            ask(&Reader::new(self, session, upheavals))
        })
    }

    /// The same for what may take minutes on a large store.
    pub fn reading_long<T>(&self, ask: impl Fn(&Reader) -> Result<T>) -> Result<T> {
        self.patient()?.read(|session| {
            let upheavals = self.look(session)?;
            ask(&Reader::new(self, session, upheavals))
        })
    }

    /// Connections for what may take minutes. Whether the server is there at all is seen within the usual deadline.
    pub fn patient(&self) -> Result<Pool> {
        self.ready()?;
        self.pool.read(|session| self.look(session))?;
        Ok(self.pool.within(PATIENCE))
    }

    /// The first time, the tables are made or brought up to date.
    pub fn ready(&self) -> Result<()> {
        if self.upheavals.load(Ordering::Acquire) > 0 {
            return Ok(());
        }
        let _one = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        if self.upheavals.load(Ordering::Acquire) == 0 {
            let meta = schema::prepare(&self.pool)?;
            self.pool.read(|session| self.believe(session, meta.upheavals))?;
        }
        Ok(())
    }

    fn look(&self, session: &mut Session) -> Result<u64> {
        let found = session.first(sql::UPHEAVALS, vec![])?.ok_or_else(|| damaged("`meta` is empty"))?;
        let (upheavals,) = row(found)?;
        self.know(session, upheavals)?;
        Ok(upheavals)
    }

    /// Drops what is remembered if history was changed since.
    pub fn know(&self, session: &mut Session, upheavals: u64) -> Result<()> {
        if self.upheavals.load(Ordering::Acquire) == upheavals {
            return Ok(());
        }
        let _one = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        if self.upheavals.load(Ordering::Acquire) == upheavals { Ok(()) } else { self.believe(session, upheavals) }
    }

    fn believe(&self, session: &mut Session, upheavals: u64) -> Result<()> {
        let found = session.first(sql::ERASED, vec![])?.ok_or_else(|| damaged("`erased` is empty"))?;
        let (erased,): (Vec<u8>,) = row(found)?;
        self.states.erase(bitmap(&erased)?.into());
        self.commits.forget(upheavals);
        self.upheavals.store(upheavals, Ordering::Release);
        Ok(())
    }

    /// Fixes a revision.
    pub fn resolve(&self, revision: &Revision, now: Time) -> Result<At> {
        self.ready()?;
        self.pool.read(|session| {
            // A branch, which is what is asked for most, in one look.
            if let Revision::Name(name) = revision
                && let Some(found) = session.first(sql::HEAD, vec![name.as_str().into()])?
            {
                let (upheavals, number): (u64, u32) = row(found)?;
                self.know(session, upheavals)?;
                return at(&Reader::new(self, session, upheavals), number, Some(now));
            }
            let upheavals = self.look(session)?;
            let reader = Reader::new(self, session, upheavals);
            let number = match revision {
                Revision::Name(name) => standing(&reader, name)?.standing.number,
                Revision::Commit(prefix) => commit_like(&reader, prefix)?,
                Revision::At(name, time) => stood_at(&reader, name, *time)?.ok_or_else(|| {
                    Error::not_found(format!("`{name}` did not stand at that time: it begins later, or was deleted"))
                })?,
            };
            at(&reader, number, None)
        })
    }

    /// For `status`: counts, most of them by the server.
    pub fn status(&self) -> Result<StoreStatus> {
        let unreachable = self.unreachable()?;
        self.reading(|reader| {
            let main = standing(reader, &Name::main())?;
            let (commit, state) = (reader.commit(main.standing.number)?, reader.state(main.standing.number)?);
            let table = reader.live(&Name::main())?.ok_or_else(|| damaged("`main` has no table"))?;
            let kinds = reader.with(|session| session.text_rows(&sql::kinds(table)))?;
            let kinds = kinds.into_iter().map(row).collect::<Result<Vec<(u8, u32)>>>()?;
            let counts = reader.first(sql::COUNTS, vec![])?.ok_or_else(|| damaged("nothing can be counted"))?;
            let (branches, snapshots, commits, versions) = row(counts)?;
            Ok(StoreStatus {
                memories: state.live,
                by_kind: kinds
                    .into_iter()
                    .filter_map(|(kind, count)| Some((Kind::from_number(kind)?, count)))
                    .collect(),
                branches,
                snapshots,
                commits,
                versions,
                unreachable,
                head: Some(commit.id()),
                ..StoreStatus::default()
            })
        })
    }

    /// Forgets what was acknowledged, and makes a mark of replies that nobody asked for in a week.
    pub fn tidy(&self) -> Result<()> {
        let acknowledged = std::mem::take(&mut *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner));
        let oldest = clock::now().plus_ms(-Reply::KEPT_MS);
        let tidied = self.ready().and_then(|()| {
            self.alone(&self.pool, |ground| {
                put::forget(ground, &acknowledged)?;
                for found in ground.rows(sql::OLD_REPLIES, vec![oldest.0.into(), MARKED_AT_ONCE.into()])? {
                    let (op, at): (String, i64) = row(found)?;
                    ground.run(sql::MARK_OP, vec![Reply::mark(Time(at)).into(), op.into()])?;
                }
                Ok(())
            })
        });
        tidied.inspect_err(|_| {
            self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).extend(acknowledged);
        })
    }
}

/// A past commit is read as of its own time.
pub fn at(reader: &Reader, number: u32, now: Option<Time>) -> Result<At> {
    let state = reader.state(number)?;
    let commit = reader.commit(number)?;
    let as_of = match now {
        Some(now) => now,
        None => commit.bare()?.at,
    };
    Ok(At { commit: commit.id(), as_of, live: state.live, tokens: state.tokens, state: state.served.clone() })
}

fn commit_like(reader: &Reader, prefix: &str) -> Result<u32> {
    let (first, last) = prefix_range::<32>(prefix, "commit id")?;
    let found = reader.rows(sql::COMMITS_LIKE, vec![hex(&first).into(), hex(&last).into()])?;
    let found = found.into_iter().map(row).collect::<Result<Vec<(u32, String)>>>()?;
    match &found[..] {
        [] => Err(Error::not_found(format!("no commit has an id that starts with {prefix}"))),
        [(number, _)] => Ok(*number),
        _ => Err(ambiguous("commits", prefix, found.iter().map(|(_, id)| id.clone()))),
    }
}
