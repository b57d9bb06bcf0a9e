//! The engine and the model side by side: how an operation is sent to one, foreseen by the other, and meets power cuts.

use std::path::PathBuf;

use memoria::clock;
use memoria::engine::any::Any;
use memoria::engine::conformance::samples;
use memoria::engine::embedded::Embedded;
use memoria::engine::{Engine, Erase};
use memoria::error::{Error, ErrorKind, Result};
use memoria::model::{
    Applied, Author, CommitId, Erased, MemoryId, Name, NameKind, OpId, Plan, Progress, Protection, Revision, SessionId,
    Verb, Version, Work, Write,
};
use proptest::prelude::*;

use super::plans::{Forecast, counts, fields};
use super::world::{Done, Order, Past, State, Waiting, Want, Wanted, World, differences};
use super::{Checked, compare, met};
use crate::disks::{Fault, Folder, Lasts};
use crate::server::Database;
use crate::{CACHE_BYTES, Rng};

/// What is sent, under one operation id.
#[derive(Clone, Debug)]
pub enum Sent {
    Write(Box<Write>),
    Erase(Erase),
}

/// What comes back.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Applied(Box<Applied>),
    Erased(Erased),
}

pub struct Session {
    pub author: Author,
    pub branch: Name,
    /// Its commits that can be undone, and the undos that can be done again.
    pub done: Vec<(Name, usize)>,
    pub undone: Vec<(Name, usize)>,
}

/// Where the store is.
pub enum Ground {
    /// On a disk that loses power.
    Disk(Folder, tempfile::TempDir),
    /// On a server: a power cut is that the daemon is gone.
    Server(Database),
}

pub struct Bench {
    ground: Ground,
    engine: Option<Any>,
    pub world: World,
    pub sessions: [Session; 3],
    /// At which step of the disk the next write loses power.
    pub crash_at: Option<u64>,
    pub rng: Rng,
    /// Names and memories made so far.
    pub made: u64,
}

impl Bench {
    pub async fn new(ground: Ground) -> Checked<Self> {
        let engine = ground.open().map_err(fault)?;
        let main = engine.resolve(&Revision::Name(Name::main()), clock::now()).await.map_err(fault)?;
        let session = |agent: Option<&str>, id: &str| Session {
            author: Author {
                agent: agent.map(str::to_owned),
                agent_version: None,
                session: SessionId::new(id).unwrap(),
                project: None,
            },
            branch: Name::main(),
            done: Vec::new(),
            undone: Vec::new(),
        };
        let sessions = [session(None, "cli"), session(Some("cursor"), "one"), session(Some("claude-code"), "two")];
        // Later than the store's beginning, as the model counts its own time.
        let world = World::new(main.commit, sessions[0].author.clone(), clock::now().plus_ms(1_000));
        let engine = Some(engine);
        Ok(Self { ground, engine, world, sessions, crash_at: None, rng: Rng(1), made: 0 })
    }

    pub fn engine(&self) -> &Any {
        self.engine.as_ref().unwrap()
    }

    /// Closes the store and opens it again.
    pub fn reopen(&mut self, is_index_lost: bool) -> Checked {
        self.engine = None;
        if let (true, Ground::Disk(_, home)) = (is_index_lost, &self.ground) {
            std::fs::remove_dir_all(index(home)).map_err(|error| TestCaseError::fail(error.to_string()))?;
        }
        self.engine = Some(self.ground.open().map_err(fault)?);
        Ok(())
    }

    pub fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// The same in every run, so that a failure can be had again.
    pub fn fresh_id(&mut self) -> MemoryId {
        let mut rng = Rng(self.number());
        let halves = [rng.draw().to_le_bytes(), rng.draw().to_le_bytes()].concat();
        MemoryId(halves.try_into().unwrap())
    }

    pub fn write(&self, session: usize, verb: Verb, work: Work) -> Write {
        Write {
            branch: self.sessions[session].branch.clone(),
            author: self.sessions[session].author.clone(),
            verb,
            note: None,
            at: self.world.now,
            work,
            safety: None,
            names: vec![],
            progress: Progress::Keep,
            memo: b"memo".to_vec(),
            ratings: vec![],
            brought: vec![],
            acknowledged: vec![],
        }
    }

    /// Sends it; if a power cut is due, that meets it, and after the reopening it is sent again: it was wholly done or
    /// not at all, and what was acknowledged was done.
    pub async fn send(&mut self, op: OpId, sent: &Sent) -> Checked<Result<Reply>> {
        let Some(at_step) = self.crash_at.take() else {
            return Ok(ask(self.engine(), op, sent).await);
        };
        let before = self.heads().await?;
        self.lose_power_at(at_step);
        let first = ask(self.engine(), op, sent).await;
        self.power_returns()?;
        let between = self.heads().await?;
        let again = ask(self.engine(), op, sent).await;
        let is_replay = again.as_ref().is_ok_and(Reply::is_replay);
        met(if is_replay { "power cut after it was done" } else { "power cut before it was done" });
        prop_assert!(is_replay || between == before, "half of {sent:?} was done: {before:?} became {between:?}");
        prop_assert!(!is_replay || between == self.heads().await?, "{sent:?} was done twice");
        if let (Ok(first), Ok(again)) = (&first, &again) {
            prop_assert!(is_replay, "{sent:?} was acknowledged and is lost");
            prop_assert_eq!(first.clone().first(), again.clone().first());
        }
        Ok(again.map(Reply::first))
    }

    pub fn lose_power_at(&mut self, at_step: u64) {
        if let Ground::Disk(disk, _) = &self.ground {
            disk.store.set_fault(Fault { at_step, kind: std::io::ErrorKind::Other, lasts: Lasts::ForEver });
        }
    }

    pub fn power_returns(&mut self) -> Checked {
        if let Ground::Disk(disk, _) = &self.ground {
            disk.cut_power(&mut self.rng);
        }
        self.reopen(false)
    }

    /// Every name and where it stands.
    async fn heads(&self) -> Checked<Vec<(Name, CommitId, bool)>> {
        let names = self.engine().names(memoria::engine::Names::All).await.map_err(fault)?;
        Ok(names.into_iter().map(|name| (name.name, name.commit, name.is_deleted)).collect())
    }

    /// Sends changes, having foreseen what they come to.
    pub async fn change(&mut self, session: usize, write: Write) -> Checked {
        let Work::Changes(changes) = &write.work else { unreachable!() };
        let foreseen = self.world.judge(&write.branch, changes);
        let is_shut = self.world.names[&write.branch].protection == Protection::MergesOnly && !changes.is_empty();
        let op = samples::op();
        let reply = self.send(op, &Sent::Write(Box::new(write.clone()))).await?;
        if is_shut {
            met("refused by protection");
            prop_assert_eq!(reply.map_err(|error| error.kind), Err(ErrorKind::Denied));
            return Ok(());
        }
        let (shapes, wanted) = match foreseen {
            Err(kind) => {
                met("stale precondition");
                prop_assert_eq!(reply.map_err(|error| error.kind), Err(kind));
                return Ok(());
            }
            Ok(foreseen) => foreseen,
        };
        let applied = applied(reply)?;
        let found: Vec<&str> = applied.outcomes.iter().map(compare::shape).collect();
        prop_assert_eq!(&found, &shapes);
        if found.contains(&"existing") {
            met("twin instead of a new memory");
        }
        let before = self.world.state(self.world.head(&write.branch)).clone();
        prop_assert_eq!(applied.counts, counts(&before, &wanted));
        let is_changed = applied.counts.moved() > 0;
        prop_assert_eq!(applied.commit.is_some(), is_changed);
        self.settle(session, op, write, applied, &wanted, None).await
    }

    /// Sends a plan, having foreseen what it comes to, and having asked the engine too.
    pub async fn plan(&mut self, session: usize, write: Write) -> Checked<Forecast> {
        let Work::Plan(plan) = write.work.clone() else { unreachable!() };
        let head = self.world.head(&write.branch);
        let forecast = self.world.forecast(head, &plan);
        let before = self.world.state(head).clone();
        let expected = forecast.counts(&before);
        compare::plan(self, &write.branch, &plan, &forecast).await?;
        let op = samples::op();
        let reply = self.send(op, &Sent::Write(Box::new(write.clone()))).await?;
        let is_back = matches!(write.verb, Verb::Merge | Verb::Revert | Verb::Rollback | Verb::Undo | Verb::Redo);
        if self.world.names[&write.branch].protection == Protection::MergesOnly && !is_back {
            met("refused by protection");
            prop_assert_eq!(reply.map_err(|error| error.kind), Err(ErrorKind::Denied));
            return Ok(Forecast::default());
        }
        let is_blocked = expected.conflicts > 0;
        if let Plan::Merge { theirs, resolutions, .. } = &plan {
            let theirs = self.world.number(theirs);
            let waiting = &mut self.world.names.get_mut(&write.branch).unwrap().waiting;
            match waiting {
                Some(merge) if merge.theirs != theirs && is_blocked => {
                    met("another merge in progress");
                    prop_assert_eq!(reply.map_err(|error| error.kind), Err(ErrorKind::Conflict));
                    return Ok(forecast);
                }
                Some(merge) if merge.theirs != theirs => {}
                Some(merge) if is_blocked => merge.resolutions.extend(resolutions.clone()),
                None if is_blocked => *waiting = Some(Waiting { theirs, resolutions: resolutions.clone() }),
                _ => *waiting = None,
            }
        }
        let applied = applied(reply)?;
        prop_assert_eq!(applied.counts, expected, "{:?}", plan);
        let is_step = matches!(write.verb, Verb::Undo | Verb::Redo);
        let is_commit = !is_blocked && (forecast.second_parent.is_some() || expected.moved() > 0 || is_step);
        prop_assert_eq!(applied.commit.is_some(), is_commit, "{:?}", plan);
        self.settle(session, op, write, applied, &forecast.state, forecast.second_parent).await?;
        Ok(forecast)
    }

    /// Takes over what was done: the new commit with the versions that the engine made, the names, the reply.
    async fn settle(
        &mut self,
        session: usize,
        op: OpId,
        write: Write,
        applied: Applied,
        wanted: &Wanted,
        second_parent: Option<usize>,
    ) -> Checked {
        if let Some(id) = applied.commit {
            met("commit made");
            let head = self.world.head(&write.branch);
            let number = self.grow(&write.branch, id, wanted, second_parent, &write.author, write.verb).await?;
            self.remember(session, &write, number);
            self.keep_safe(&write, &applied, head)?;
        }
        self.world.done.push(Done { op, order: Order::Write(Box::new(write), Box::new(applied)) });
        Ok(())
    }

    /// A commit that the engine made, checked against what was wanted.
    pub async fn grow(
        &mut self,
        branch: &Name,
        id: CommitId,
        wanted: &Wanted,
        second_parent: Option<usize>,
        author: &Author,
        verb: Verb,
    ) -> Checked<usize> {
        let head = self.world.head(branch);
        let state = self.adopt(id, wanted).await?;
        let changes = differences(self.world.state(head), &state);
        let added = changes.values().filter(|(_, after)| after.is_some()).count() as u32;
        let removed = changes.values().filter(|(before, _)| before.is_some()).count() as u32;
        let parents = [Some(head), second_parent].into_iter().flatten().collect();
        let (author, at) = (author.clone(), self.world.now);
        let past = Past { id, parents, state, author, verb, at, width: (added, removed) };
        Ok(self.world.commit(branch, past))
    }

    /// The state of a new commit as the engine has it, if it is what was wanted.
    async fn adopt(&self, commit: CommitId, wanted: &Wanted) -> Checked<State> {
        let found = compare::state(self.engine(), &Revision::Commit(commit.to_string()), self.world.now).await?;
        prop_assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
        for (id, want) in wanted {
            let version = &found[id];
            let is_right = match want {
                Want::Is(old) => old == version,
                Want::Exactly(memory) => *memory == version.memory && !self.is_old(version),
                Want::Says(memory) => {
                    let mut rest = version.memory.clone();
                    rest.metadata = memory.metadata.clone();
                    rest.says_the_same(memory) && fields(&version.memory) == fields(memory)
                }
            };
            prop_assert!(is_right, "{want:?} was wanted, {version:?} found");
        }
        Ok(found)
    }

    fn is_old(&self, version: &Version) -> bool {
        self.world.versions.get(&version.memory.id).is_some_and(|versions| versions.contains(&version.id))
    }

    /// What the session can undo and do again.
    fn remember(&mut self, session: usize, write: &Write, number: usize) {
        let Session { done, undone, .. } = &mut self.sessions[session];
        match write.verb {
            Verb::Undo => undone.push((write.branch.clone(), number)),
            Verb::Redo => done.push((write.branch.clone(), number)),
            _ => {
                undone.retain(|(branch, _)| *branch != write.branch);
                done.push((write.branch.clone(), number));
            }
        }
    }

    fn keep_safe(&mut self, write: &Write, applied: &Applied, head: usize) -> Checked {
        let Some(wanted) = &write.safety else { return Ok(()) };
        let made = applied.names.first().map(|made| (made.name.clone(), made.commit));
        prop_assert_eq!(made.as_ref().map(|made| made.1), Some(self.world.commits[head].id));
        let name = made.unwrap().0;
        prop_assert!(name == *wanted || name.as_str().starts_with(&format!("{wanted}-")), "{} for safety", name);
        prop_assert!(!self.world.names.contains_key(&name), "{} was taken", name);
        met(if name == *wanted { "safety snapshot" } else { "second safety snapshot" });
        self.world.create(name, NameKind::Snapshot, head);
        Ok(())
    }
}

impl Reply {
    pub fn is_replay(&self) -> bool {
        match self {
            Self::Applied(applied) => applied.is_replay,
            Self::Erased(erased) => erased.is_replay,
        }
    }

    /// As the first answer said it.
    pub fn first(mut self) -> Self {
        match &mut self {
            Self::Applied(applied) => applied.is_replay = false,
            Self::Erased(erased) => erased.is_replay = false,
        }
        self
    }
}

pub fn fault(error: Error) -> TestCaseError {
    TestCaseError::fail(format!("{:?}: {error}", error.kind))
}

pub fn applied(reply: Result<Reply>) -> Checked<Applied> {
    match reply.map_err(fault)? {
        Reply::Applied(applied) => Ok(*applied),
        Reply::Erased(erased) => Err(TestCaseError::fail(format!("a write came to {erased:?}"))),
    }
}

pub async fn ask(engine: &Any, op: OpId, sent: &Sent) -> Result<Reply> {
    match sent.clone() {
        Sent::Write(write) => engine.apply(op, *write).await.map(|applied| Reply::Applied(Box::new(applied))),
        Sent::Erase(erase) => engine.erase(op, erase).await.map(Reply::Erased),
    }
}

impl Ground {
    /// An empty disk.
    pub fn disk() -> Self {
        Self::Disk(Folder::default(), tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Result<Any> {
        match self {
            Self::Disk(disk, home) => {
                let index = index(home);
                let engine = Embedded::with_opener(disk.clone(), &index, &index.with_extension("vectors"), CACHE_BYTES);
                engine.map(Any::Embedded)
            }
            Self::Server(database) => Ok(Any::MatrixOne(database.engine())),
        }
    }
}

fn index(home: &tempfile::TempDir) -> PathBuf {
    home.path().join("index")
}
