//! Search at any revision, by words and by meaning: a state answers as a fresh store that holds nothing but that state
//! would, and what is derived can be thrown away without changing an answer. Random histories over the real service,
//! the embedded engine and the built-in model; exact, since states are small and every vector is there.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use memoria::config::Config;
use memoria::embed::cache::Cache;
use memoria::embed::models::Models;
use memoria::engine::Engine;
use memoria::engine::conformance::samples::{op, write};
use memoria::engine::embedded::Embedded;
use memoria::model::{
    Change, Expect, Filter, Kind, Memory, MemoryId, Name, OpId, Page, ProjectId, Rule, SessionId, Time, Verb, Walk,
};
use memoria::service::{Caller, Checkouts, Service, Vectors, follow};
use memoria::wire::message::{
    Back, Branch, ClientKind, Correct, Depth, Export, List, Log, Merge, Mode, Place, Purge, PurgeTarget, Retrieve,
    Retrieved, Rollback, Store, Target, View,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const ALL: Page = Page { offset: 0, limit: 0 };
const TOLERANCE: f32 = 1e-5;

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % end.max(1) as u64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Words that mean something, words that only look like something, and a script that the model may not know.
const WORDS: &[&str] = &[
    "database",
    "deploy",
    "server",
    "music",
    "piano",
    "garden",
    "doctor",
    "ship",
    "river",
    "cheap",
    "fast",
    "broken",
    "meeting",
    "friday",
    "invoice",
    "customer",
    "password",
    "compiler",
    "memory",
    "test",
    "failure",
    "bread",
    "kitchen",
    "train",
    "city",
    "car",
    "engine",
    "repair",
    "holiday",
    "school",
    "teacher",
    "dog",
    "cat",
    "storage",
    "backup",
    "color",
    "auth_middleware",
    "src/main.rs",
    "v2.4.1",
    "PORT-77",
    "parseConfig",
    "数据库",
    "部署",
    "音乐",
];

/// What may be known, and a question that shares no word with it.
const KNOWN: &[(&str, &str)] = &[
    ("The ship leaves the harbour at noon.", "when does our boat depart?"),
    ("Her doctor prescribed a new medicine.", "which drug did a physician give?"),
    ("He purchased an inexpensive automobile.", "cheap car bought"),
    ("The orchestra rehearses every evening.", "musicians practise at night"),
    ("All records are stored in Postgres.", "which database keeps our data?"),
    ("A puppy destroyed my shoes.", "dog broke footwear"),
];

fn text(rng: &mut Rng) -> String {
    if rng.below(4) == 0 {
        return rng.one(KNOWN).0.to_owned();
    }
    let len = 3 + rng.below(9);
    (0..len).map(|_| *rng.one(WORDS)).collect::<Vec<_>>().join(" ")
}

/// A service with its follower, over a folder.
struct Live {
    service: Arc<Service<Embedded>>,
    vectors: Arc<Vectors>,
    follower: JoinHandle<()>,
    _config: watch::Sender<Arc<Config>>,
}

impl Live {
    fn over(folder: &Path) -> Self {
        Self::with(engine(folder), folder)
    }

    fn with(engine: Embedded, folder: &Path) -> Self {
        let mut config = Config::default();
        config.embedding.model = "builtin".to_owned();
        let (sender, receiver) = watch::channel(Arc::new(config));
        let models = Models::new(&folder.join("models"), &folder.join("embedding"));
        let vectors = Vectors::new(models, Cache::new(&folder.join("cache"), 1 << 20));
        let checkouts = Arc::new(Checkouts::open(&folder.join("checkouts")).unwrap());
        let service = Arc::new(Service::new(engine, receiver.clone(), checkouts, Arc::clone(&vectors)));
        let follower = tokio::spawn(follow(Arc::downgrade(&service), receiver));
        Self { service, vectors, follower, _config: sender }
    }

    /// Until every version has its vector, those that only history holds too.
    async fn complete(&self, erased: u32) {
        // As the daemon does after every write.
        self.vectors.wake();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let (all, embedding) =
                (self.service.status().await.unwrap(), self.service.embedding_status().await.unwrap());
            let is_served = embedding.serving.as_deref() == Some("builtin");
            if is_served && embedding.vectors + erased == all.versions && embedding.pending == 0 {
                assert_eq!(embedding.problem, None);
                return;
            }
            assert!(Instant::now() < deadline, "vectors never came: {embedding:?}, of {} versions", all.versions);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn close(self) {
        self.follower.abort();
        let _ = self.follower.await;
        assert_eq!(Arc::strong_count(&self.service), 1, "somebody still uses the service");
    }

    async fn answer(&self, asked: &Retrieve) -> Answer {
        let found = self.service.retrieve(&caller(), asked.clone()).await.unwrap();
        Answer::of(&found)
    }

    async fn exported(&self, view: View) -> Vec<Memory> {
        let (mut memories, place) = (Vec::new(), Place::Everywhere);
        let mut ask = Export { view, place, ..Export::default() };
        loop {
            let exported = self.service.export(&caller(), ask.clone()).await.unwrap();
            memories.extend(exported.memories);
            ask.rest = exported.rest;
            if ask.rest.is_none() {
                return memories;
            }
        }
    }
}

fn engine(folder: &Path) -> Embedded {
    let [truth, index, vectors] = ["memoria.redb", "index", "vectors"].map(|name| folder.join(name));
    Embedded::open(&truth, &index, &vectors, 1 << 20).unwrap()
}

/// One person in one project, in one session; every operation is a new one.
fn caller() -> Caller {
    Caller {
        session: SessionId::new("the session").unwrap(),
        client: ClientKind::Cli,
        agent: None,
        agent_version: None,
        project: Some(ProjectId::new("p").unwrap()),
        op: OpId { nonce: OpId::nonce(), line: 1 },
    }
}

/// What must not differ.
#[derive(Clone, Debug)]
struct Answer {
    hits: Vec<(MemoryId, f32, String)>,
    left_out: u32,
    lexical_only: bool,
    /// Hits to which their vectors added something.
    by_meaning: usize,
}

impl Answer {
    fn of(found: &Retrieved) -> Self {
        let hit = |hit: &memoria::wire::message::Hit| (hit.memory.memory.id, hit.score, hit.memory.memory.text.clone());
        let hits = found.hits.iter().map(hit).collect();
        let parts = found.hits.iter().filter_map(|hit| hit.parts.as_ref());
        let by_meaning = parts.filter(|parts| parts.vector > 0.0).count();
        Self { hits, left_out: found.left_out, lexical_only: found.lexical_only, by_meaning }
    }

    fn assert_is(&self, other: &Self, asked: &Retrieve) {
        let said = |answer: &Self| answer.hits.iter().map(|(id, _, text)| (*id, text.clone())).collect::<Vec<_>>();
        let rest = |answer: &Self| (answer.left_out, answer.lexical_only);
        let is_near = self.hits.iter().zip(&other.hits).all(|(a, b)| (a.1 - b.1).abs() <= TOLERANCE);
        assert!(said(self) == said(other) && is_near && rest(self) == rest(other), "{asked:?}: {self:#?} {other:#?}");
    }
}

/// A history of branches, and what tests need to know of it.
struct History {
    live: Live,
    branches: Vec<Name>,
    erased: u32,
}

impl History {
    async fn ids(&self, branch: &Name) -> Vec<MemoryId> {
        let view = View { branch: Some(branch.clone()), at: None };
        let ask = List { view, place: Place::Everywhere, filter: Filter::default(), page: ALL };
        let listed = self.live.service.list(&caller(), ask).await.unwrap();
        listed.memories.into_iter().map(|shaped| shaped.memory.id).collect()
    }

    async fn commits(&self, branch: &Name) -> Vec<String> {
        let view = View { branch: Some(branch.clone()), at: None };
        let ask = Log {
            view,
            walk: Walk::All,
            project: None,
            memory: None,
            agent: None,
            session: None,
            since: None,
            until: None,
            page: Page { offset: 0, limit: 150 },
        };
        let logged = self.live.service.log(&caller(), ask).await.unwrap();
        logged.commits.into_iter().map(|entry| entry.commit.to_string()).collect()
    }

    /// One operation of some kind, on some branch. What is refused changes nothing, and is no matter here.
    async fn step(&mut self, rng: &mut Rng) {
        let (service, who) = (Arc::clone(&self.live.service), caller());
        let branch = rng.one(&self.branches).clone();
        let ids = self.ids(&branch).await;
        let some = ids.get(rng.below(ids.len())).map(ToString::to_string);
        match (rng.below(14), some) {
            (7..9, Some(id)) => {
                let (branch, target) = (Some(branch), Target::Id(id));
                let ask = Correct {
                    branch,
                    target,
                    text: text(rng),
                    reason: None,
                    trust: None,
                    tags: None,
                    marks: Default::default(),
                };
                service.correct(&who, ask).await.unwrap();
            }
            (9, Some(id)) => {
                let depth = if rng.below(4) == 0 { Depth::Bytes } else { Depth::State };
                let ask = Purge { branch: Some(branch), target: PurgeTarget::Ids(vec![id]), depth, reason: None };
                self.erased += service.purge(&who, ask).await.unwrap().erased_versions;
            }
            (10, _) if self.branches.len() < 5 => {
                let name: Name = format!("branch{}", self.branches.len()).parse().unwrap();
                let ask = Branch::Create { name: name.clone(), from: Some(branch.to_string()), note: None };
                service.branches(&who, ask).await.unwrap();
                self.branches.push(name);
            }
            (11..13, _) => {
                let source = rng.one(&self.branches).to_string();
                let rule = *rng.one(&[Rule::Ours, Rule::Theirs]);
                let into = Some(branch);
                let _ = service.merge(&who, Merge { source, into, rule, note: None, mode: Mode::Do, page: ALL }).await;
            }
            (13, _) if rng.below(3) == 0 => {
                let to = rng.one(&self.commits(&branch).await).clone();
                let ask = Rollback { branch: Some(branch), what: Back::To(to), mode: Mode::Do, page: ALL };
                let _ = service.roll_back(&who, ask).await;
            }
            _ => {
                let ask = Store {
                    branch: Some(branch),
                    text: text(rng),
                    kind: Some(*rng.one(&[Kind::Semantic, Kind::Episodic, Kind::Profile])),
                    place: rng.one(&[Place::Here, Place::Global]).clone(),
                    session: SessionId::new(format!("talk {}", rng.below(3))).ok(),
                    // Few moments, so that some are the same.
                    observed_at: Some(Time(1_790_000_000_000 + 60_000 * rng.below(20) as i64)),
                    ..Store::default()
                };
                service.store(&who, ask).await.unwrap();
            }
        }
    }

    /// A branch as it is, or any commit that it reaches.
    async fn revision(&self, rng: &mut Rng) -> View {
        let branch = rng.one(&self.branches).clone();
        let commits = self.commits(&branch).await;
        match rng.below(3) {
            0 => View { branch: Some(branch), at: None },
            _ => View { branch: None, at: Some(rng.one(&commits).clone()) },
        }
    }
}

fn question(rng: &mut Rng, there: &[Memory]) -> Retrieve {
    let question = match (rng.below(5), there) {
        (0, [_, ..]) => rng.one(there).text.clone(),
        (1, _) => rng.one(KNOWN).1.to_owned(),
        (2, _) => (*rng.one(&["zzyzx", "数据"])).to_owned(),
        _ => (0..1 + rng.below(4)).map(|_| *rng.one(WORDS)).collect::<Vec<_>>().join(" "),
    };
    let kinds = if rng.below(4) == 0 { vec![Kind::Semantic, Kind::Profile] } else { Vec::new() };
    Retrieve {
        question,
        top_k: *rng.one(&[1, 5, 20]),
        max_tokens: *rng.one(&[0, 0, 40]),
        place: rng.one(&[Place::Here, Place::Everywhere, Place::Global]).clone(),
        filter: Filter { kinds, ..Filter::default() },
        explain: true,
        ..Retrieve::default()
    }
}

/// A new store that holds these memories, under their own ids, in this order.
async fn holding(memories: &[Memory], folder: &Path) -> Live {
    let engine = engine(folder);
    let mut said = BTreeSet::new();
    let mut together = Vec::new();
    for memory in memories {
        let what = (memory.text.clone(), memory.project.clone(), memory.kind.as_str(), memory.subject.clone());
        if said.insert(what) {
            together.push(Change::Store(memory.clone()));
            continue;
        }
        // A merge brought what was there under another id, and a store would fold the two into one.
        let text = format!("stands in for {}", memory.id);
        together.push(Change::Store(Memory { text, ..memory.clone() }));
        apply(&engine, std::mem::take(&mut together)).await;
        apply(&engine, vec![Change::Replace { memory: memory.clone(), expect: Expect::Live }]).await;
    }
    apply(&engine, together).await;
    let live = Live::with(engine, folder);
    assert_eq!(live.service.status().await.unwrap().memories as usize, memories.len());
    live
}

async fn apply(engine: &Embedded, changes: Vec<Change>) {
    engine.apply(op(), write(Verb::Import, changes).unwrap()).await.unwrap();
}

/// How many of the answers had hits, and to how many hits their vectors added something.
#[derive(Debug, Default)]
struct Met {
    with_hits: usize,
    by_meaning: usize,
}

impl Met {
    fn count(&mut self, answer: &Answer) {
        self.with_hits += usize::from(!answer.hits.is_empty());
        self.by_meaning += answer.by_meaning;
    }
}

async fn grown(rng: &mut Rng, folder: &Path, steps: usize) -> History {
    let branches = vec!["main".parse().unwrap()];
    let mut history = History { live: Live::over(folder), branches, erased: 0 };
    for _ in 0..steps {
        history.step(rng).await;
    }
    history.live.complete(history.erased).await;
    history
}

fn seed() -> u64 {
    let given = std::env::var("MEMORIA_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| memoria::clock::now().0 as u64);
    println!("SEED={seed}");
    seed
}

fn rounds(default: u64) -> u64 {
    std::env::var("MEMORIA_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(default)
}

#[tokio::test]
async fn any_revision_answers_as_a_fresh_store_of_that_state_would() {
    let mut rng = Rng(seed());
    let mut met = Met::default();
    for _ in 0..rounds(2) {
        let folder = tempfile::tempdir().unwrap();
        let history = grown(&mut rng, folder.path(), 120).await;
        for _ in 0..5 {
            let view = history.revision(&mut rng).await;
            let state = history.live.exported(view.clone()).await;
            let elsewhere = tempfile::tempdir().unwrap();
            let fresh = holding(&state, elsewhere.path()).await;
            fresh.complete(0).await;
            for _ in 0..12 {
                let asked = question(&mut rng, &state);
                let there = history.live.answer(&Retrieve { view: view.clone(), ..asked.clone() }).await;
                met.count(&there);
                there.assert_is(&fresh.answer(&asked).await, &asked);
            }
            fresh.close().await;
        }
        history.live.close().await;
    }
    assert!(met.with_hits > 0 && met.by_meaning > 0, "one half found nothing, so it was not compared: {met:?}");
}

#[tokio::test]
async fn building_derived_data_anew_changes_no_answer() {
    let mut rng = Rng(seed());
    let mut met = Met::default();
    for _ in 0..rounds(2) {
        let folder = tempfile::tempdir().unwrap();
        let history = grown(&mut rng, folder.path(), 100).await;
        let mut answers = Vec::new();
        for _ in 0..40 {
            let view = history.revision(&mut rng).await;
            let state = history.live.exported(view.clone()).await;
            let asked = Retrieve { view, ..question(&mut rng, &state) };
            let answer = history.live.answer(&asked).await;
            met.count(&answer);
            answers.push((asked, answer));
        }
        let erased = history.erased;
        history.live.close().await;
        for derived in ["index", "vectors", "cache"] {
            let path = folder.path().join(derived);
            if path.exists() {
                std::fs::remove_dir_all(path).unwrap();
            }
        }
        let anew = Live::over(folder.path());
        anew.complete(erased).await;
        for (asked, answer) in &answers {
            answer.assert_is(&anew.answer(asked).await, asked);
        }
        anew.close().await;
    }
    assert!(met.with_hits > 0 && met.by_meaning > 0, "one half found nothing, so it was not compared: {met:?}");
}
