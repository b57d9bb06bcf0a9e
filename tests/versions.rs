//! Version control over a real store, without a process or a socket: what a session, a branch, a snapshot, an undo and
//! an import promise to whoever uses them.

#[path = "versions/stack.rs"]
mod stack;

use std::path::Path;
use std::sync::Arc;

use memoria::config::Config;
use memoria::embed::cache::Cache;
use memoria::embed::models::Models;
use memoria::engine::embedded::Embedded;
use memoria::error::{ErrorKind, Result};
use memoria::model::{Filter, Name, OpId, Page, ProjectId, Protection, Rule, SessionId};
use memoria::service::{Caller, Checkouts, Service, Vectors};
use memoria::wire::message::{
    Blame, Branch, Checkout, ClientKind, Correct, Depth, Diff, Export, Import, List, Log, Lookalikes, Merge, Mode,
    Moved, Place, Purge, PurgeTarget, Retrieve, Row, Show, Snapshot, Store, Target, Undo, View, Way, WhichNames,
};
use tokio::sync::watch;

const ALL: Page = Page { offset: 0, limit: 0 };

struct World {
    service: Option<Service<Embedded>>,
    config: watch::Sender<Arc<Config>>,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (config, receiver) = watch::channel(Arc::new(Config::default()));
        Self { service: Some(open(folder.path(), receiver)), config, folder }
    }

    /// As when the daemon is stopped and started.
    fn restart(&mut self) {
        self.service = None;
        self.service = Some(open(self.folder.path(), self.config.subscribe()));
    }

    fn verbs(&self) -> &Service<Embedded> {
        self.service.as_ref().unwrap()
    }

    async fn store(&self, caller: &mut Caller, text: &str) -> String {
        let ask = Store { text: text.into(), ..Store::default() };
        let stored = self.verbs().store(&next(caller), ask).await.unwrap();
        assert!(!stored.is_duplicate, "{text}");
        stored.stored.memory.id.to_string()
    }

    async fn correct(&self, caller: &mut Caller, id: &str, text: &str) {
        let target = Target::Id(id.into());
        let ask = Correct {
            branch: None,
            target,
            text: text.into(),
            reason: None,
            trust: None,
            tags: None,
            marks: Default::default(),
        };
        self.verbs().correct(&next(caller), ask).await.unwrap();
    }

    async fn purge(&self, caller: &mut Caller, id: &str) -> memoria::wire::message::Purged {
        let target = PurgeTarget::Ids(vec![id.into()]);
        let ask = Purge { branch: None, target, depth: Depth::State, reason: None };
        self.verbs().purge(&next(caller), ask).await.unwrap()
    }

    async fn create(&self, caller: &mut Caller, branch: &str) {
        let ask = Branch::Create { name: name(branch), from: None, note: None };
        self.verbs().branches(&next(caller), ask).await.unwrap();
    }

    async fn check_out(&self, caller: &mut Caller, branch: &str) {
        self.verbs().check_out(&next(caller), Checkout { name: name(branch) }).await.unwrap();
    }

    async fn current(&self, caller: &mut Caller) -> String {
        let ask = Branch::List { names: WhichNames::Living };
        self.verbs().branches(&next(caller), ask).await.unwrap().current.to_string()
    }

    async fn snapshot(&self, caller: &mut Caller, snapshot: &str) {
        let ask = Snapshot::Create { name: name(snapshot), at: View::default(), note: None };
        self.verbs().snapshots(&next(caller), ask).await.unwrap();
    }

    async fn snapshots(&self, caller: &mut Caller) -> Vec<String> {
        let listed = self.verbs().snapshots(&next(caller), Snapshot::List { branch: None, page: ALL }).await.unwrap();
        listed.snapshots.into_iter().map(|entry| entry.snapshot.name.to_string()).collect()
    }

    async fn merge(&self, caller: &mut Caller, source: &str) -> Result<Moved> {
        let (source, into, note) = (source.to_owned(), None, None);
        let ask = Merge { source, into, rule: Rule::Fail, note, mode: Mode::Do, page: ALL };
        self.verbs().merge(&next(caller), ask).await
    }

    async fn undo(&self, caller: &mut Caller, way: Way, count: u32) -> Result<Moved> {
        self.verbs().undo(&next(caller), Undo { way, count, branch: None, mode: Mode::Do, page: ALL }).await
    }

    /// Every text there, in order.
    async fn texts(&self, caller: &mut Caller, view: View) -> Vec<String> {
        let ask = List { view, place: Place::Everywhere, filter: Filter::default(), page: ALL };
        let listed = self.verbs().list(&next(caller), ask).await.unwrap();
        let mut texts: Vec<String> = listed.memories.into_iter().map(|shaped| shaped.memory.text).collect();
        texts.sort_unstable();
        texts
    }

    async fn here(&self, caller: &mut Caller) -> Vec<String> {
        self.texts(caller, View::default()).await
    }
}

fn open(folder: &Path, config: watch::Receiver<Arc<Config>>) -> Service<Embedded> {
    let engine =
        Embedded::open(&folder.join("memoria.redb"), &folder.join("index"), &folder.join("vectors"), 1 << 20).unwrap();
    Service::new(engine, config, Arc::new(Checkouts::open(&folder.join("checkouts")).unwrap()), vectors(folder))
}

fn agent(project: &str) -> Caller {
    let nonce = OpId::nonce();
    Caller {
        session: SessionId::new(format!("session {}", OpId { nonce, line: 0 }.to_bytes()[0..8].escape_ascii()))
            .unwrap(),
        client: ClientKind::Shim,
        agent: Some("cursor".to_owned()),
        agent_version: None,
        project: Some(ProjectId::new(project).unwrap()),
        op: OpId { nonce, line: 0 },
    }
}

/// The same caller with its next operation.
fn next(caller: &mut Caller) -> Caller {
    caller.op.line += 1;
    caller.clone()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn at(revision: &str) -> View {
    View { branch: None, at: Some(revision.into()) }
}

fn on(branch: &str) -> View {
    View { branch: Some(name(branch)), at: None }
}

fn kind_of<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind
}

#[tokio::test]
async fn sessions_never_move_each_other() {
    let world = World::new();
    let (mut one, mut other) = (agent("p"), agent("p"));
    world.store(&mut one, "shared").await;
    assert_eq!(world.current(&mut other).await, "main");
    world.create(&mut one, "try").await;
    assert_eq!(world.current(&mut one).await, "main", "creating a branch checks nothing out");
    world.check_out(&mut one, "try").await;
    world.store(&mut one, "an experiment").await;
    world.store(&mut other, "on main").await;
    assert_eq!(world.here(&mut one).await, ["an experiment", "shared"]);
    assert_eq!(world.here(&mut other).await, ["on main", "shared"]);
    // Who begins later begins where the project was last; who is elsewhere, on `main`.
    assert_eq!(world.current(&mut agent("p")).await, "try");
    assert_eq!(world.current(&mut agent("q")).await, "main");
}

#[tokio::test]
async fn checkouts_survive_a_restart_also_of_those_who_never_checked_out() {
    let mut world = World::new();
    let (mut moved, mut stayed, mut followed) = (agent("p"), agent("p"), agent("p"));
    world.create(&mut moved, "try").await;
    world.store(&mut stayed, "on main").await;
    world.check_out(&mut moved, "try").await;
    world.store(&mut followed, "on try").await;
    world.restart();
    assert_eq!(world.current(&mut moved).await, "try");
    assert_eq!(world.current(&mut stayed).await, "main");
    // The project's last checkout changes while nobody asks; the one who began on `try` stays there.
    world.restart();
    world.check_out(&mut moved, "main").await;
    assert_eq!(world.current(&mut followed).await, "try");
    assert_eq!(world.current(&mut stayed).await, "main");
}

#[tokio::test]
async fn a_named_branch_wins_over_the_session_s_own() {
    let world = World::new();
    let mut agent = agent("p");
    world.create(&mut agent, "try").await;
    let ask = Store { branch: Some(name("try")), text: "there".into(), ..Store::default() };
    let stored = world.verbs().store(&next(&mut agent), ask).await.unwrap();
    assert_eq!(stored.branch, name("try"));
    let id = stored.stored.memory.id.to_string();
    assert!(world.here(&mut agent).await.is_empty());
    assert_eq!(world.texts(&mut agent, on("try")).await, ["there"]);
    let target = Target::Id(id.clone());
    let branch = Some(name("try"));
    let ask = Correct {
        branch,
        target,
        text: "there still".into(),
        reason: None,
        trust: None,
        tags: None,
        marks: Default::default(),
    };
    world.verbs().correct(&next(&mut agent), ask).await.unwrap();
    assert_eq!(world.texts(&mut agent, on("try")).await, ["there still"]);
    let target = PurgeTarget::Ids(vec![id]);
    let ask = Purge { branch: Some(name("try")), target, depth: Depth::State, reason: None };
    world.verbs().purge(&next(&mut agent), ask).await.unwrap();
    assert!(world.texts(&mut agent, on("try")).await.is_empty());
    assert_eq!(world.current(&mut agent).await, "main");
    let ask = Store { branch: Some(name("nowhere")), text: "lost".into(), ..Store::default() };
    assert_eq!(kind_of(world.verbs().store(&next(&mut agent), ask).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn every_read_can_look_back() {
    let world = World::new();
    let mut agent = agent("p");
    let id = world.store(&mut agent, "The staging port is 6433").await;
    world.snapshot(&mut agent, "before").await;
    world.correct(&mut agent, &id, "The staging port is 7001").await;
    world.store(&mut agent, "The staging host is db2").await;
    let (old, new) = (["The staging port is 6433"], ["The staging host is db2", "The staging port is 7001"]);
    let log = |view| Log { view, page: ALL, ..Log::default() };
    let commits = world.verbs().log(&next(&mut agent), log(View::default())).await.unwrap().commits;
    let first = commits[2].commit.to_string();
    for revision in ["before", &first, &first[..8]] {
        let view = || at(revision);
        assert_eq!(world.texts(&mut agent, view()).await, old, "list at {revision}");
        let ask = Retrieve { view: view(), question: "which staging port and host?".into(), ..Retrieve::default() };
        let found = world.verbs().retrieve(&next(&mut agent), ask).await.unwrap();
        let texts: Vec<_> = found.hits.iter().map(|hit| hit.memory.memory.text.as_str()).collect();
        assert_eq!(texts, old, "retrieve at {revision}");
        let shown = world.verbs().show(&next(&mut agent), Show { view: view(), id: id.clone() }).await.unwrap();
        assert_eq!((shown.memory.memory.text.as_str(), shown.is_live), (old[0], true), "show at {revision}");
        let blamed = world.verbs().blame(&next(&mut agent), Blame { view: view(), id: id.clone() }).await.unwrap();
        assert_eq!((blamed.memory.memory.text.as_str(), blamed.history_total), (old[0], 1), "blame at {revision}");
        let logged = world.verbs().log(&next(&mut agent), log(view())).await.unwrap();
        assert_eq!(logged.total, 2, "log at {revision}");
        let (place, filter) = (Place::Everywhere, Filter::default());
        let ask = Export { view: view(), place, filter, rest: None };
        let exported = world.verbs().export(&next(&mut agent), ask).await.unwrap();
        let texts: Vec<_> = exported.memories.iter().map(|memory| memory.text.as_str()).collect();
        assert_eq!(texts, old, "export at {revision}");
    }
    assert_eq!(world.here(&mut agent).await, new);
    let from = Some("before".to_owned());
    let (place, filter) = (Place::Everywhere, Filter::default());
    let ask = Diff { from, to: None, branch: None, place, filter, page: ALL, alike: Lookalikes::Find };
    let diff = world.verbs().diff(&next(&mut agent), ask).await.unwrap();
    assert_eq!((diff.counts.added, diff.counts.changed, diff.counts.removed), (1, 1, 0));
}

#[tokio::test]
async fn a_time_is_read_through_the_history_of_the_branch_at_hand() {
    let world = World::new();
    let mut agent = agent("p");
    world.store(&mut agent, "first").await;
    let noted = memoria::clock::rfc3339(memoria::clock::now());
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    world.create(&mut agent, "try").await;
    world.store(&mut agent, "second").await;
    assert_eq!(world.texts(&mut agent, at(&noted)).await, ["first"]);
    assert_eq!(world.texts(&mut agent, at(&format!("main@{noted}"))).await, ["first"]);
    let early = at(&format!("try@{noted}"));
    let ask = List { view: early, place: Place::Everywhere, filter: Filter::default(), page: ALL };
    assert_eq!(kind_of(world.verbs().list(&next(&mut agent), ask).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn the_prefix_of_a_commit_that_reads_like_days_is_a_commits_all_the_same() {
    let world = World::new();
    let mut agent = agent("p");
    let ask = List { view: at("1234567d"), place: Place::Everywhere, filter: Filter::default(), page: ALL };
    let error = world.verbs().list(&next(&mut agent), ask).await.unwrap_err();
    assert!(error.message.contains("no commit has an id that starts with 1234567d"), "{error}");
}

#[tokio::test]
async fn names_that_would_read_as_something_else_are_refused() {
    let world = World::new();
    let mut agent = agent("p");
    for text in ["yesterday", "2026-05-01", "2h", "deadbeef", "auto/mine"] {
        let ask = Branch::Create { name: name(text), from: None, note: None };
        assert_eq!(kind_of(world.verbs().branches(&next(&mut agent), ask).await), ErrorKind::Invalid, "{text}");
        let ask = Snapshot::Create { name: name(text), at: View::default(), note: None };
        assert_eq!(kind_of(world.verbs().snapshots(&next(&mut agent), ask).await), ErrorKind::Invalid, "{text}");
    }
    world.create(&mut agent, "feature").await;
    let ask = Snapshot::Create { name: name("feature"), at: View::default(), note: None };
    assert_eq!(kind_of(world.verbs().snapshots(&next(&mut agent), ask).await), ErrorKind::Conflict);
}

#[tokio::test]
async fn protected_main_takes_merges_and_what_takes_back_and_nothing_else() {
    let world = World::new();
    let mut agent = agent("p");
    let id = world.store(&mut agent, "kept").await;
    world.create(&mut agent, "try").await;
    let protect = |protection| Branch::Protect { name: Name::main(), protection };
    world.verbs().branches(&next(&mut agent), protect(Protection::MergesOnly)).await.unwrap();
    let ask = Store { text: "refused".into(), ..Store::default() };
    assert_eq!(kind_of(world.verbs().store(&next(&mut agent), ask).await), ErrorKind::Denied);
    let target = PurgeTarget::Ids(vec![id.clone()]);
    let ask = Purge { branch: None, target, depth: Depth::State, reason: None };
    assert_eq!(kind_of(world.verbs().purge(&next(&mut agent), ask).await), ErrorKind::Denied);
    let target = Target::Id(id);
    let ask = Correct {
        branch: None,
        target,
        text: "other".into(),
        reason: None,
        trust: None,
        tags: None,
        marks: Default::default(),
    };
    assert_eq!(kind_of(world.verbs().correct(&next(&mut agent), ask).await), ErrorKind::Denied);
    for ask in [Branch::Delete { name: Name::main() }, Branch::Rename { name: Name::main(), new: name("trunk") }] {
        assert_eq!(kind_of(world.verbs().branches(&next(&mut agent), ask).await), ErrorKind::Denied);
    }
    let ask = Store { branch: Some(name("try")), text: "reviewed".into(), ..Store::default() };
    world.verbs().store(&next(&mut agent), ask).await.unwrap();
    world.merge(&mut agent, "try").await.unwrap();
    assert_eq!(world.here(&mut agent).await, ["kept", "reviewed"]);
    world.undo(&mut agent, Way::Undo, 1).await.unwrap();
    assert_eq!(world.here(&mut agent).await, ["kept"]);
    world.verbs().branches(&next(&mut agent), protect(Protection::Open)).await.unwrap();
    world.store(&mut agent, "open again").await;
}

#[tokio::test]
async fn what_takes_much_away_leaves_a_snapshot_of_what_was_before() {
    let world = World::new();
    let mut agent = agent("p");
    let id = world.store(&mut agent, "wanted after all").await;
    let purged = world.purge(&mut agent, &id).await;
    let safety = purged.safety.expect("a purge makes a snapshot of what was before").to_string();
    assert!(world.here(&mut agent).await.is_empty());
    assert_eq!(world.texts(&mut agent, at(&safety)).await, ["wanted after all"]);
    world.create(&mut agent, "try").await;
    let ask = Store { branch: Some(name("try")), text: "merged".into(), ..Store::default() };
    world.verbs().store(&next(&mut agent), ask).await.unwrap();
    let merged = world.merge(&mut agent, "try").await.unwrap();
    let safety = merged.safety.expect("a merge makes a snapshot of what was before").to_string();
    assert!(world.texts(&mut agent, at(&safety)).await.is_empty());
    // Nothing happened, nothing is kept.
    let before = world.snapshots(&mut agent).await;
    assert_eq!(world.merge(&mut agent, "try").await.unwrap().safety, None);
    assert_eq!(world.purge(&mut agent, &id).await.safety, None);
    assert_eq!(world.snapshots(&mut agent).await, before);
}

#[tokio::test]
async fn of_the_safety_snapshots_the_newest_are_kept_and_own_ones_stay() {
    let world = World::new();
    let mut agent = agent("p");
    let mut config = Config::default();
    config.store.safety_snapshots = 3;
    world.config.send_replace(Arc::new(config));
    world.snapshot(&mut agent, "mine").await;
    let mut made = Vec::new();
    for n in 0..7 {
        let id = world.store(&mut agent, &format!("note {n}")).await;
        made.push(world.purge(&mut agent, &id).await.safety.unwrap().to_string());
        let mut found = world.snapshots(&mut agent).await;
        let mut expected: Vec<String> = made.iter().rev().take(3).cloned().chain(["mine".to_owned()]).collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "after purge {n}");
    }
    let distinct: std::collections::BTreeSet<&String> = made.iter().collect();
    assert_eq!(distinct.len(), made.len(), "two safety snapshots had one name");
}

#[tokio::test]
async fn a_deleted_branch_can_be_brought_back_as_it_was() {
    let world = World::new();
    let (mut one, mut other) = (agent("p"), agent("p"));
    world.create(&mut one, "try").await;
    world.check_out(&mut one, "try").await;
    world.check_out(&mut other, "try").await;
    world.store(&mut one, "worth keeping").await;
    world.verbs().branches(&next(&mut one), Branch::Delete { name: name("try") }).await.unwrap();
    assert_eq!(world.current(&mut one).await, "main", "who deletes its own branch goes to main");
    let ask = Store { text: "lost".into(), ..Store::default() };
    let told = world.verbs().store(&next(&mut other), ask).await.unwrap_err();
    assert_eq!(told.kind, ErrorKind::NotFound, "who was on it is told, and writes nowhere else: {told}");
    world.verbs().branches(&next(&mut one), Branch::Restore { name: name("try") }).await.unwrap();
    assert_eq!(world.here(&mut other).await, ["worth keeping"]);
    let ask = Branch::Rename { name: name("try"), new: name("tried") };
    world.verbs().branches(&next(&mut one), ask).await.unwrap();
    assert_eq!(world.current(&mut other).await, "tried", "a renamed branch takes along who is on it");
}

fn row(line: u32, text: &str) -> Row {
    Row { line, text: text.into(), ..Row::default() }
}

#[tokio::test]
async fn a_file_imported_twice_is_there_once() {
    let world = World::new();
    let mut agent = agent("p");
    let rows: Vec<Row> = (1..=50).map(|line| row(line, &format!("line {line} of the file"))).collect();
    let ask = |rows| Import { file: "notes.jsonl".into(), rows, ..Import::default() };
    let op = next(&mut agent);
    let first = world.verbs().import(&op, ask(rows.clone())).await.unwrap();
    assert_eq!((first.stored, first.existing, first.is_replay), (50, 0, false));
    // The same batch under its own operation, as after an interruption.
    let again = world.verbs().import(&op, ask(rows.clone())).await.unwrap();
    assert_eq!((again.stored, again.existing, again.is_replay, again.commit), (50, 0, true, first.commit));
    // The same rows as somebody else's operation.
    let other = world.verbs().import(&next(&mut agent), ask(rows)).await.unwrap();
    assert_eq!((other.stored, other.existing, other.commit), (0, 50, None));
    assert_eq!(world.here(&mut agent).await.len(), 50);
}

#[tokio::test]
async fn what_is_exported_is_imported_as_it_was() {
    let (world, fresh) = (World::new(), World::new());
    let mut agent = agent("p");
    for n in 0..30 {
        let ask = Store {
            text: format!("fact {n}"),
            tags: vec![format!("tag{}", n % 3)],
            metadata: format!("{{\"n\":{n}}}"),
            ..Store::default()
        };
        world.verbs().store(&next(&mut agent), ask).await.unwrap();
    }
    let ask = Export { place: Place::Everywhere, ..Export::default() };
    let memories = world.verbs().export(&next(&mut agent), ask).await.unwrap().memories;
    let rows = memories.iter().enumerate().map(|(n, memory)| Row {
        line: n as u32 + 1,
        text: memory.text.clone(),
        kind: Some(memory.kind),
        tags: memory.tags.iter().cloned().collect(),
        trust: Some(memory.trust),
        confidence: Some(memory.confidence),
        project: memory.project.as_ref().map(ToString::to_string),
        created_at: Some(memory.created_at),
        observed_at: Some(memory.observed_at),
        metadata: memory.metadata.clone(),
        ..Row::default()
    });
    let ask = Import { file: "out.jsonl".into(), rows: rows.collect(), ..Import::default() };
    assert_eq!(fresh.verbs().import(&next(&mut agent), ask).await.unwrap().stored, 30);
    let ask = || List { view: View::default(), place: Place::Everywhere, filter: Filter::default(), page: ALL };
    let there = fresh.verbs().list(&next(&mut agent), ask()).await.unwrap().memories;
    let here = world.verbs().list(&next(&mut agent), ask()).await.unwrap().memories;
    let said = |list: &[memoria::wire::message::Shaped]| {
        let mut said: Vec<_> = list.iter().map(|one| (one.memory.text.clone(), one.memory.clone())).collect();
        said.sort_by(|a, b| a.0.cmp(&b.0));
        said
    };
    let (here, there) = (said(&here), said(&there));
    assert_eq!(here.len(), there.len());
    for ((_, here), (_, there)) in here.iter().zip(&there) {
        assert!(here.says_the_same(there), "{here:?} came back as {there:?}");
        assert_eq!((here.created_at, here.observed_at), (there.created_at, there.observed_at));
    }
}

/// Vectors of a service that has no model but the built-in one.
fn vectors(folder: &Path) -> Arc<Vectors> {
    let models = Models::new(&folder.join("models"), &folder.join("embedding"));
    Vectors::new(models, Cache::new(&folder.join("cache"), 1 << 20))
}
