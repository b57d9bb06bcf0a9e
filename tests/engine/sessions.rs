//! Thirty-two sessions on four branches at once, each on a thread of its own: they store, correct, merge and take back.
//! Every acknowledged write is on its branch exactly once and on no other, and each branch's history is one line.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Barrier};

use memoria::clock;
use memoria::engine::Engine;
use memoria::engine::conformance::samples::{ALL, memory, op, write};
use memoria::engine::embedded::Embedded;
use memoria::error::ErrorKind;
use memoria::model::{
    Author, Change, CommitEntry, CommitFilter, CommitId, Expect, Filter, Later, Memory, MemoryId, Name, NameChange,
    NameKind, Plan, Revision, Rule, Selection, SessionId, SubjectId, Verb, VersionId, Walk, Work, Write,
};

use crate::{Rng, open, runtime, seed};

const SESSIONS: usize = 32;
const BRANCHES: usize = 4;
const TURNS: usize = 10;

fn branch(n: usize) -> Name {
    format!("branch{n}").parse().unwrap()
}

/// One session, and what it was told.
struct Session {
    number: usize,
    rng: Rng,
    /// Every commit that was acknowledged, with what it was.
    commits: Vec<(CommitId, Verb)>,
    /// Memories that it stored and did not take back.
    stored: BTreeMap<MemoryId, CommitId>,
    /// How often it counted up its branch's counter.
    counted: u64,
    lost_races: u64,
}

impl Session {
    fn write(&self, verb: Verb, work: Work) -> Write {
        let session = SessionId::new(format!("session {}", self.number)).unwrap();
        let author = Author { agent: Some("racer".into()), agent_version: None, session, project: None };
        Write { branch: branch(self.number % BRANCHES), author, work, ..write(verb, vec![]).unwrap() }
    }

    async fn apply(&mut self, engine: &Embedded, verb: Verb, work: Work) -> Option<CommitId> {
        let applied = engine.apply(op(), self.write(verb, work)).await.unwrap();
        assert!(!applied.is_replay);
        self.commits.extend(applied.commit.map(|commit| (commit, verb)));
        applied.commit
    }

    async fn store(&mut self, engine: &Embedded, turn: usize) {
        let memory = memory(&format!("session {} turn {turn}", self.number));
        let commit = self.apply(engine, Verb::Store, Work::Changes(vec![Change::Store(memory.clone())])).await.unwrap();
        self.stored.insert(memory.id, commit);
        // What is acknowledged is there at once, whatever the others do.
        let at = engine.resolve(&Revision::Name(branch(self.number % BRANCHES)), clock::now()).await.unwrap();
        assert!(engine.read(&at, &[memory.id]).await.unwrap()[0].is_some(), "an acknowledged write is not there");
    }

    /// Reads the branch's counter and writes one more, if nobody was faster.
    async fn count(&mut self, engine: &Embedded, counter: MemoryId) {
        loop {
            let at = engine.resolve(&Revision::Name(branch(self.number % BRANCHES)), clock::now()).await.unwrap();
            let seen = engine.read(&at, &[counter]).await.unwrap().pop().flatten().expect("the counter is live");
            let next: u64 = seen.memory.text.parse::<u64>().unwrap() + 1;
            let memory = Memory { text: next.to_string(), ..seen.memory };
            let change = Change::Replace { memory, expect: Expect::Version(seen.id) };
            match engine.apply(op(), self.write(Verb::Correct, Work::Changes(vec![change]))).await {
                Ok(applied) => {
                    self.counted += 1;
                    self.commits.push((applied.commit.unwrap(), Verb::Correct));
                    return;
                }
                Err(error) => assert_eq!(error.kind, ErrorKind::Conflict, "{error}"),
            }
            self.lost_races += 1;
        }
    }

    async fn merge(&mut self, engine: &Embedded) {
        let other = branch((self.number + 1 + self.rng.below(BRANCHES as u64 - 1) as usize) % BRANCHES);
        let theirs = engine.resolve(&Revision::Name(other), clock::now()).await.unwrap().commit;
        let plan = Plan::Merge { theirs, rule: Rule::Ours, resolutions: vec![] };
        self.apply(engine, Verb::Merge, Work::Plan(plan)).await;
    }

    /// Takes one of its own stores back.
    async fn take_back(&mut self, engine: &Embedded) {
        let Some((&id, &commit)) = self.stored.iter().next() else { return };
        let plan = Plan::Invert { what: Selection::Commits(vec![commit]), later: Later::Keep };
        assert!(self.apply(engine, Verb::Undo, Work::Plan(plan)).await.is_some(), "taking back did nothing");
        self.stored.remove(&id);
    }

    async fn run(mut self, engine: Arc<Embedded>, counter: MemoryId) -> Self {
        for turn in 0..TURNS {
            match self.rng.below(8) {
                0..3 => self.store(&engine, turn).await,
                3..5 => self.count(&engine, counter).await,
                5 => self.merge(&engine).await,
                6 => self.take_back(&engine).await,
                _ => {
                    let name = format!("snap-{}-{turn}", self.number).parse().unwrap();
                    let at =
                        engine.resolve(&Revision::Name(branch(self.number % BRANCHES)), clock::now()).await.unwrap();
                    let change = NameChange::Create { name, kind: NameKind::Snapshot, commit: at.commit, note: None };
                    let write = Write { names: vec![change], ..self.write(Verb::Store, Work::Changes(vec![])) };
                    engine.apply(op(), write).await.unwrap();
                }
            }
        }
        self
    }
}

/// The four branches with a counter each, from one commit that has them all.
async fn prepared(engine: &Embedded) -> Vec<MemoryId> {
    let counters: Vec<Memory> = (0..BRANCHES)
        .map(|n| Memory { text: "0".into(), subject: SubjectId::new(n.to_string()).ok(), ..memory("0") })
        .collect();
    let changes = counters.iter().cloned().map(Change::Store).collect();
    let applied = engine.apply(op(), write(Verb::Store, changes).unwrap()).await.unwrap();
    let commit = applied.commit.unwrap();
    let create = |n| NameChange::Create { name: branch(n), kind: NameKind::Branch, commit, note: None };
    let names = (0..BRANCHES).map(create).collect();
    engine.apply(op(), Write { names, ..write(Verb::Store, vec![]).unwrap() }).await.unwrap();
    counters.into_iter().map(|memory| memory.id).collect()
}

#[test]
fn thirty_two_sessions_on_four_branches_lose_no_update() {
    let home = tempfile::tempdir().unwrap();
    let engine = Arc::new(open(home.path()).unwrap());
    let counters = runtime().block_on(prepared(&engine));
    let (start, seed) = (Arc::new(Barrier::new(SESSIONS)), seed());
    let threads: Vec<_> = (0..SESSIONS)
        .map(|number| {
            let (engine, start, counter) = (Arc::clone(&engine), Arc::clone(&start), counters[number % BRANCHES]);
            std::thread::spawn(move || {
                let rng = Rng(seed ^ (number as u64) << 32);
                let (commits, stored) = Default::default();
                let session = Session { number, rng, commits, stored, counted: 0, lost_races: 0 };
                start.wait();
                runtime().block_on(session.run(engine, counter))
            })
        })
        .collect();
    let sessions: Vec<Session> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let lost_races: u64 = sessions.iter().map(|session| session.lost_races).sum();
    let commits: usize = sessions.iter().map(|session| session.commits.len()).sum();
    println!("{commits} commits, {lost_races} races lost and run again");
    runtime().block_on(async {
        for (n, counter) in counters.into_iter().enumerate() {
            let own: Vec<&Session> = sessions.iter().filter(|session| session.number % BRANCHES == n).collect();
            judge(&engine, n, &own, counter).await;
        }
        for check in engine.verify().await.unwrap() {
            assert!(check.problems.is_empty(), "{check:?}");
        }
    });
}

/// One branch: its line is what its sessions were told, and its state is what the line comes to.
async fn judge(engine: &Embedded, n: usize, own: &[&Session], counter: MemoryId) {
    let at = engine.resolve(&Revision::Name(branch(n)), clock::now()).await.unwrap();
    let (line, _) = engine.history(&at, &CommitFilter::default(), Walk::Branch, ALL).await.unwrap();
    for pair in line.windows(2) {
        assert_eq!(pair[0].bare.parents[0], pair[1].id, "history is not one line");
    }
    // Below the branch lie the commit of the counters and the beginning.
    let mut found: Vec<CommitId> = line[..line.len() - 2].iter().map(|entry| entry.id).collect();
    let mut told: Vec<CommitId> = own.iter().flat_map(|session| &session.commits).map(|(commit, _)| *commit).collect();
    found.sort_unstable();
    told.sort_unstable();
    assert_eq!(found, told, "branch {n} is not what its sessions were told");
    let listing = engine.page(&at, &Filter::default(), ALL).await.unwrap();
    let live: BTreeMap<MemoryId, VersionId> = listing.memories.iter().map(|v| (v.memory.id, v.id)).collect();
    let mut versions: Vec<VersionId> = live.values().copied().collect();
    versions.sort_unstable();
    assert_eq!(replayed(engine, &line).await, versions, "branch {n} is not what its commits come to");
    for session in own {
        for id in session.stored.keys() {
            assert!(live.contains_key(id), "session {} lost a memory", session.number);
        }
    }
    // Each count went on from the one before it, whatever merges did in between.
    let mut counted = 0;
    for entry in line.iter().filter(|entry| entry.bare.verb == Verb::Correct) {
        let commit = engine.commit(entry.id).await.unwrap();
        let sides = engine.versions(&[commit.removed[0], commit.added[0]]).await.unwrap();
        let [before, after] = [0, 1].map(|side: usize| sides[side].as_ref().unwrap());
        assert_eq!((before.id, after.id), (counter, counter));
        assert_eq!(before.text.parse::<u64>().unwrap() + 1, after.text.parse::<u64>().unwrap(), "an update was lost");
        counted += 1;
    }
    assert_eq!(counted, own.iter().map(|session| session.counted).sum::<u64>());
    for entry in &line {
        let is_as_told = match entry.bare.verb {
            Verb::Undo => (entry.added, entry.removed) == (0, 1),
            Verb::Correct => (entry.added, entry.removed) == (1, 1),
            _ => true,
        };
        assert!(is_as_told, "one commit holds two sessions' work: {entry:?}");
    }
}

/// What the commits of a line come to, one after the other.
async fn replayed(engine: &Embedded, line: &[CommitEntry]) -> Vec<VersionId> {
    let mut state = BTreeSet::new();
    for entry in line.iter().rev() {
        let commit = engine.commit(entry.id).await.unwrap();
        commit.removed.iter().for_each(|version| assert!(state.remove(version), "a version left that was not there"));
        commit.added.iter().for_each(|version| assert!(state.insert(*version), "a version came twice"));
    }
    state.into_iter().collect()
}
