//! The daemon is killed at random points of a merge, a rollback, an erasure and a compaction: each is then wholly done
//! or not at all, and the same operation sent again is done once. What was erased is in no file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use memoria::client::connect;
use memoria::clock;
use memoria::engine::conformance::samples::{ALL, memory, op, write};
use memoria::engine::embedded::Embedded;
use memoria::engine::{At, Engine};
use memoria::error::ErrorKind;
use memoria::model::{
    Change, CommitFilter, CommitId, Expect, Filter, Memory, MemoryId, Name, NameChange, NameKind, OpId, Page, Revision,
    Rule, Verb, VersionId, Walk, Write,
};
use memoria::paths::Paths;
use memoria::wire::message::{
    Ask, Back, ClientKind, Depth, List, Merge, Mode, Open, Purge, PurgeTarget, Request, Response, Rollback, ToClient,
    ToDaemon, Upkeep,
};
use rustix::process::Signal;

use crate::support::{Chance, Home, eventually, is_alive, seed, setting, signal};

/// Memories that an operation changes.
const WIDE: usize = 300;
/// A store is used for so many rounds, then a new one is begun: its upkeep should not grow with the campaign.
const ROUNDS_PER_STORE: u64 = 12;
/// As many rounds as may be needed at most.
const ROUNDS_MAX: u64 = 1_000;
const KINDS: [&str; 4] = ["merge", "rollback", "erasure", "compaction"];

type State = BTreeMap<MemoryId, VersionId>;

/// One operation that is going to be killed.
struct Doomed {
    request: Request,
    /// What `main` holds before it and after it.
    before: State,
    after: State,
    /// What must be in no file once it is done.
    canary: Option<String>,
    /// What must be gone once it is done.
    forgotten: Option<CommitId>,
    /// Of `main`, before it.
    commits: u32,
}

struct Stage {
    home: Home,
    paths: Paths,
    runtime: tokio::runtime::Runtime,
    open: Open,
    asked: u64,
    /// Names made so far.
    made: u64,
}

/// How far an operation had come when the daemon died.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Fate {
    NotDone,
    DoneAndNotSaid,
    Said,
}

impl Stage {
    fn new() -> Self {
        let home = Home::new();
        let folder = |name: &str| home.path().join(name);
        let [config_dir, data_dir, state_dir, runtime_dir] = ["config", "data", "state", "run"].map(folder);
        let paths = Paths { config_dir, data_dir, state_dir, runtime_dir };
        // The daemon makes its folders.
        kill(home.start());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (client, nonce) = (ClientKind::Cli, OpId::nonce());
        let open = Open { client, nonce, project: None, cwd: "/".into(), pid: std::process::id() };
        let stage = Self { home, paths, runtime, open, asked: 0, made: 0 };
        stage.inside(async |store| {
            let texts = (0..2 * WIDE).map(|n| format!("note {n} about the build cache"));
            apply(store, &Name::main(), texts.map(|text| Change::Store(memory(&text))).collect()).await;
        });
        stage
    }

    /// Looks at the store, or changes it, while no daemon runs.
    fn inside<T>(&self, what: impl AsyncFnOnce(&Embedded) -> T) -> T {
        let store =
            Embedded::open(&self.paths.store_file(), &self.paths.index_folder(), &self.paths.vectors_folder(), 8 << 20)
                .unwrap();
        self.runtime.block_on(what(&store))
    }

    fn name(&mut self, what: &str) -> Name {
        self.made += 1;
        format!("{what}{}", self.made).parse().unwrap()
    }

    /// Makes the store ready for one operation of this kind.
    fn prepared(&mut self, kind: &str, chance: &mut Chance) -> Doomed {
        let (name, number) = (self.name(kind), self.made);
        let salt = chance.below(u64::MAX);
        self.inside(async |store| {
            let main = Name::main();
            let old = state(store, &main).await;
            let (mut canary, mut forgotten) = (None, None);
            let (request, after) = match kind {
                "merge" => {
                    create(store, &name, NameKind::Branch).await;
                    apply(store, &name, edits(store, &old, number).await).await;
                    let source = name.to_string();
                    let (into, note, page) = (None, None, Page::default());
                    let merge = Merge { source, into, rule: Rule::Fail, note, mode: Mode::Do, page };
                    (Request::Merge(merge), state(store, &name).await)
                }
                "rollback" => {
                    create(store, &name, NameKind::Snapshot).await;
                    apply(store, &main, edits(store, &old, number).await).await;
                    let what = Back::To(name.to_string());
                    (Request::Rollback(Rollback { branch: None, what, mode: Mode::Do, page: Page::default() }), old)
                }
                "erasure" => {
                    let secret = format!("canary{salt:016x}");
                    let told = |n: usize| memory(&format!("the {secret} number {n} of round {number}"));
                    let told: Vec<Memory> = (0..20).map(told).collect();
                    apply(store, &main, told.iter().cloned().map(Change::Store).collect()).await;
                    create(store, &name, NameKind::Snapshot).await;
                    let again = |memory: &Memory| Memory { text: format!("{} again", memory.text), ..memory.clone() };
                    let again = |memory| Change::Replace { memory: again(memory), expect: Expect::Live };
                    apply(store, &main, told[..10].iter().map(again).collect()).await;
                    // What is on disk in every form before is to be in no form after.
                    store.rest().await.unwrap();
                    canary = Some(secret);
                    let ids = told.iter().map(|memory| memory.id.to_string()).collect();
                    let (target, depth) = (PurgeTarget::Ids(ids), Depth::Bytes);
                    (Request::Purge(Purge { branch: None, target, depth, reason: None }), old)
                }
                _ => {
                    create(store, &name, NameKind::Branch).await;
                    let texts = (0..WIDE).map(|n| Change::Store(memory(&format!("draft {n} of {number}"))));
                    forgotten = Some(apply(store, &name, texts.collect()).await);
                    names(store, NameChange::Delete { name: name.clone() }).await;
                    (Request::Upkeep(Upkeep::Compact), old)
                }
            };
            let (before, commits) = (state(store, &main).await, commits(store).await);
            Doomed { request, before, after, canary, forgotten, commits }
        })
    }

    async fn connection(&self) -> connect::Connection {
        connect::connect(&self.paths, &self.open).await.unwrap().expect("a daemon was just started")
    }

    /// Sends a request under this operation, and kills the daemon after a while; the answer, if it came.
    fn killed_after(&self, op: OpId, request: &Request, pause: Option<Duration>) -> Option<Response> {
        let pid = self.home.start();
        let answer = self.runtime.block_on(async {
            let mut connection = self.connection().await;
            // Opening the store is not what is to be interrupted.
            let page = Page { offset: 0, limit: 1 };
            say(&mut connection, 1, op_of(&self.open, u64::MAX), Request::List(List { page, ..List::default() })).await;
            hear(&mut connection, 1).await.expect("the store opens");
            say(&mut connection, 2, op, request.clone()).await;
            match pause {
                Some(pause) => tokio::time::timeout(pause, hear(&mut connection, 2)).await.ok().flatten(),
                None => hear(&mut connection, 2).await,
            }
        });
        kill(pid);
        answer
    }

    /// How the store is, after a check of all of it.
    fn judged(&self, doomed: &Doomed) -> (State, u32, bool) {
        self.inside(async |store| {
            // An erasure that was cut short is finished by the writer, behind which this waits.
            store.rest().await.unwrap();
            for check in store.verify().await.unwrap() {
                assert!(check.problems.is_empty(), "{check:?}");
            }
            let is_forgotten = match doomed.forgotten {
                None => false,
                Some(commit) => {
                    let found = store.resolve(&Revision::Commit(commit.to_string()), clock::now()).await;
                    found.is_err_and(|error| error.kind == ErrorKind::NotFound)
                }
            };
            (state(store, &Name::main()).await, commits(store).await, is_forgotten)
        })
    }

    fn round(&mut self, kind: &str, pause: Duration, chance: &mut Chance) -> Fate {
        let doomed = self.prepared(kind, chance);
        if let Some(canary) = &doomed.canary {
            assert!(!holders(self.home.path(), canary).is_empty(), "the canary was never on disk");
        }
        self.asked += 1;
        let op = op_of(&self.open, self.asked);
        let said = self.killed_after(op, &doomed.request, Some(pause));
        let (found, commits, is_forgotten) = self.judged(&doomed);
        let is_done = if kind == "compaction" { is_forgotten } else { commits > doomed.commits };
        assert_eq!(commits, doomed.commits + u32::from(is_done && kind != "compaction"), "{kind}: too many commits");
        assert!(found == *if is_done { &doomed.after } else { &doomed.before }, "half of a {kind} was done");
        assert!(is_done || said.is_none(), "a {kind} was acknowledged and is not done: {said:?}");
        let fate = match (is_done, &said) {
            (_, Some(_)) => Fate::Said,
            (true, None) => Fate::DoneAndNotSaid,
            (false, None) => Fate::NotDone,
        };
        self.must_be_erased(&doomed, fate == Fate::Said);

        // Sent again, it is done once, and says what it said.
        let again = self.killed_after(op, &doomed.request, None).expect("an answer");
        let (found, commits_after, is_forgotten) = self.judged(&doomed);
        assert!(found == doomed.after, "a {kind} that was sent again is not done");
        assert_eq!(commits_after, doomed.commits + u32::from(kind != "compaction"), "a {kind} was done twice");
        assert!(kind != "compaction" || is_forgotten, "compaction forgot nothing");
        if let Some(said) = said {
            assert_eq!(commit_of(&said), commit_of(&again), "{kind}: two answers");
        }
        self.must_be_erased(&doomed, true);
        fate
    }

    fn must_be_erased(&self, doomed: &Doomed, is_said: bool) {
        if let Some(canary) = doomed.canary.as_ref().filter(|_| is_said) {
            let holders = holders(self.home.path(), canary);
            assert!(holders.is_empty(), "what was erased is still in {holders:?}");
        }
    }
}

#[test]
fn history_survives_kill9_whole() {
    let rounds = setting("MEMORIA_ROUNDS", 24);
    let mut chance = Chance(seed());
    let mut met: BTreeMap<(&str, Fate), u64> = BTreeMap::new();
    // How long each kind takes, about: learned, so that half of the daemons die in time.
    let mut about_us = [20_000, 20_000, 30_000, 90_000];
    let mut stage = None;
    for n in 0..rounds.max(ROUNDS_MAX) {
        // A machine that is far quicker or slower than that goes on until it has been learned.
        if n >= rounds && is_enough(&met, rounds) {
            break;
        }
        if n % ROUNDS_PER_STORE == 0 {
            stage = Some(Stage::new());
        }
        let kind = n as usize % KINDS.len();
        let pause = Duration::from_micros(chance.below(2 * about_us[kind]));
        let fate = stage.as_mut().unwrap().round(KINDS[kind], pause, &mut chance);
        about_us[kind] = if fate == Fate::NotDone { about_us[kind] * 5 / 4 } else { about_us[kind] * 4 / 5 };
        *met.entry((KINDS[kind], fate)).or_default() += 1;
    }
    println!("{} rounds: {met:?}; about {about_us:?} us each", met.values().sum::<u64>());
    assert!(is_enough(&met, rounds), "daemons died too late or too soon");
}

/// Whether daemons died before an operation was done, and after: in a long campaign, of each kind.
fn is_enough(met: &BTreeMap<(&str, Fate), u64>, rounds: u64) -> bool {
    let is_of = |fits: &dyn Fn(&str) -> bool| {
        let fates: BTreeSet<Fate> = met.keys().filter(|(kind, _)| fits(kind)).map(|(_, fate)| *fate).collect();
        fates.contains(&Fate::NotDone) && fates.len() > 1
    };
    let is_each = || KINDS.iter().all(|kind| is_of(&|other| other == *kind));
    (rounds < 24 || is_of(&|_| true)) && (rounds < 200 || is_each())
}

/// Until nothing of it is left, its locks included.
fn kill(pid: u32) {
    signal(pid, Signal::KILL);
    eventually("the killed daemon is gone", || !is_alive(pid));
}

fn op_of(open: &Open, line: u64) -> OpId {
    OpId { nonce: open.nonce, line }
}

async fn say(connection: &mut connect::Connection, serial: u32, op: OpId, request: Request) {
    let ask = Ask { op, attempt: 1, is_replay: false, request };
    connection.send(serial, &ToDaemon::Ask(ask)).await.unwrap();
}

/// `None` when the daemon has gone.
async fn hear(connection: &mut connect::Connection, serial: u32) -> Option<Response> {
    loop {
        let envelope = connection.receive().await.ok().flatten()?;
        match envelope.body {
            ToClient::Done(answer) if envelope.serial == serial => return Some(*answer),
            ToClient::Failed(error) if envelope.serial == serial => panic!("refused: {error}"),
            _ => {}
        }
    }
}

fn commit_of(response: &Response) -> Option<CommitId> {
    match response {
        Response::Moved(moved) => moved.commit,
        Response::Purged(purged) => purged.commit,
        Response::Compacted(_) => None,
        other => panic!("{other:?}"),
    }
}

async fn apply(store: &Embedded, branch: &Name, changes: Vec<Change>) -> CommitId {
    let write = Write { branch: branch.clone(), ..write(Verb::Store, changes).unwrap() };
    store.apply(op(), write).await.unwrap().commit.expect("a preparation that does something")
}

async fn names(store: &Embedded, change: NameChange) {
    let write = Write { names: vec![change], ..write(Verb::Store, vec![]).unwrap() };
    store.apply(op(), write).await.unwrap();
}

/// At the head of `main`.
async fn create(store: &Embedded, name: &Name, kind: NameKind) {
    let commit = head(store, &Name::main()).await.commit;
    names(store, NameChange::Create { name: name.clone(), kind, commit, note: None }).await;
}

async fn head(store: &Embedded, branch: &Name) -> At {
    store.resolve(&Revision::Name(branch.clone()), clock::now()).await.unwrap()
}

async fn state(store: &Embedded, branch: &Name) -> State {
    let listing = store.page(&head(store, branch).await, &Filter::default(), ALL).await.unwrap();
    listing.memories.into_iter().map(|version| (version.memory.id, version.id)).collect()
}

/// Commits that `main` reaches.
async fn commits(store: &Embedded) -> u32 {
    let at = head(store, &Name::main()).await;
    let newest = Page { offset: 0, limit: 1 };
    store.history(&at, &CommitFilter::default(), Walk::Branch, newest).await.unwrap().1
}

/// Half of what is there is corrected, a tenth goes, as much comes.
async fn edits(store: &Embedded, old: &State, number: u64) -> Vec<Change> {
    let ids: Vec<MemoryId> = old.keys().copied().take(WIDE).collect();
    let at = head(store, &Name::main()).await;
    let live = store.read(&at, &ids).await.unwrap().into_iter().flatten();
    let edit = |(n, version): (usize, memoria::model::Version)| match n % 5 {
        0 => Change::Remove { id: version.memory.id, expect: Expect::Live },
        1 => Change::Store(memory(&format!("new note {n} of {number} about deploys"))),
        _ => {
            let memory = Memory { text: format!("note {n} as of {number}"), ..version.memory };
            Change::Replace { memory, expect: Expect::Live }
        }
    };
    live.enumerate().map(edit).collect()
}

/// Files below a folder that hold these bytes.
fn holders(folder: &Path, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(holders(&entry, needle));
        } else if let Ok(bytes) = std::fs::read(&entry)
            && bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
        {
            found.push(entry.display().to_string());
        }
    }
    found
}
