//! `cargo bench --bench versions`: the numbers of version control at a million memories, through a real daemon in a
//! temporary home, each beside its goal. Nothing is asserted: machines differ, so read the ratios.
//!
//! `-- --memories N` takes another size, `-- --home FOLDER` keeps the store in that empty folder.

mod versions {
    pub mod story;
}

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use memoria::client::Client;
use memoria::model::{Filter, Name, Page, Rule};
use memoria::wire::message::{
    Back, Branch, ClientKind, Diff, Lookalikes, Merge, Mode, Moved, Place, Request, Response, Retrieve, Rollback,
    Snapshot, View,
};
use versions::story;

const MEMORIA: &str = env!("CARGO_BIN_EXE_memoria");

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let given = |name: &str| arguments.iter().position(|word| word == name).and_then(|at| arguments.get(at + 1));
    let memories = given("--memories").map_or(1_000_000, |text| text.parse().expect("--memories N"));
    let kept = given("--home").map(PathBuf::from);
    let folder = tempfile::tempdir().unwrap();
    let home = kept.unwrap_or_else(|| folder.path().to_owned());
    std::fs::create_dir_all(&home).unwrap();
    // Before any thread exists: the client finds its daemon by it, and commands inherit it.
    let environment = story::Environment { memoria: MEMORIA.into(), home };
    println!("{:<66} {:>12}   goal", "what", "measured");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir_in(&environment.home).unwrap();
    let small = story::Environment { memoria: MEMORIA.into(), home: folder.path().to_owned() };
    small.import(&story::write_facts(folder.path(), "facts.jsonl", 0, 10_000), "main");
    run(&environment, &runtime, memories, &small);
    small.run(&["stop"]);
    environment.run(&["stop"]);
}

fn row(what: &str, measured: impl std::fmt::Display, goal: &str) {
    println!("{what:<66} {measured:>12}   {goal}");
}

fn ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

/// A daemon's client that times what it asks.
struct Bench<'a> {
    runtime: &'a tokio::runtime::Runtime,
    client: Client,
    /// Memories that were changed on some branch.
    used: HashSet<String>,
}

impl<'a> Bench<'a> {
    fn new(environment: &story::Environment, runtime: &'a tokio::runtime::Runtime) -> Self {
        environment.run(&["start"]);
        let paths = environment.paths();
        let client = runtime.block_on(Client::connect_or_start(&paths, ClientKind::Cli)).unwrap();
        Self { runtime, client, used: HashSet::new() }
    }

    fn ask(&mut self, request: Request) -> (Response, Duration) {
        let begin = Instant::now();
        let answer = self.runtime.block_on(self.client.ask(request)).unwrap();
        (answer, begin.elapsed())
    }

    fn moved(&mut self, request: Request) -> (Moved, Duration) {
        match self.ask(request) {
            (Response::Moved(moved), time) => {
                assert!(moved.commit.is_some(), "nothing was done: {:?}", moved.counts);
                (*moved, time)
            }
            (other, _) => panic!("{other:?}"),
        }
    }

    fn branch(&mut self, name: &str, from: Option<&str>) -> Duration {
        let (name, from) = (name.parse().unwrap(), from.map(str::to_owned));
        self.ask(Request::Branch(Branch::Create { name, from, note: None })).1
    }

    fn snapshot(&mut self, name: &str) -> Duration {
        let name: Name = name.parse().unwrap();
        self.ask(Request::Snapshot(Snapshot::Create { name, at: View::default(), note: None })).1
    }

    fn diff(&mut self, from: &str, to: &str, limit: u32) -> (memoria::wire::message::Diffed, Duration) {
        let request = Request::Diff(Diff {
            from: Some(from.to_owned()),
            to: Some(to.to_owned()),
            branch: None,
            place: Place::Everywhere,
            filter: Filter::default(),
            page: Page { offset: 0, limit },
            alike: Lookalikes::Skip,
        });
        match self.ask(request) {
            (Response::Diffed(diffed), time) => (*diffed, time),
            (other, _) => panic!("{other:?}"),
        }
    }

    fn merge(&mut self, source: &str, into: &str) -> (Moved, Duration) {
        self.moved(Request::Merge(Merge {
            source: source.to_owned(),
            into: Some(into.parse().unwrap()),
            rule: Rule::Fail,
            note: None,
            mode: Mode::Do,
            page: Page { offset: 0, limit: 50 },
        }))
    }

    fn roll_back(&mut self, branch: &str, to: &str) -> (Moved, Duration) {
        self.moved(Request::Rollback(Rollback {
            branch: Some(branch.parse().unwrap()),
            what: Back::To(to.to_owned()),
            mode: Mode::Do,
            page: Page { offset: 0, limit: 50 },
        }))
    }

    fn retrieve(&mut self, branch: &str, question: &str) -> Duration {
        let view = View { branch: Some(branch.parse().unwrap()), at: None };
        let request = Retrieve { view, question: question.to_owned(), place: Place::Everywhere, ..Retrieve::default() };
        self.ask(Request::Retrieve(request)).1
    }
}

/// What names cost, large beside small store beside a bare commit, in turns: a disk is not the same at any two moments.
fn names(large: &mut Bench, small: &mut Bench, folder: &Path, memories: u32) {
    // What the import left in the page cache is not what is measured.
    story::sync();
    let mut bare = BareCommit::new(folder);
    let mut times: [Vec<Duration>; 5] = Default::default();
    for n in 0..100 {
        let (branch, snapshot) = (format!("b{n}"), format!("s{n}"));
        let round = [
            bare.commit(n),
            large.branch(&branch, None),
            small.branch(&branch, None),
            large.snapshot(&snapshot),
            small.snapshot(&snapshot),
        ];
        times.iter_mut().zip(round).for_each(|(samples, time)| samples.push(time));
    }
    let [bare, branch, small_branch, snapshot, small_snapshot] = times.map(median);
    row("one bare durable redb commit here, p50 of 100", ms(bare), "(the yardstick)");
    row("create a branch, asked over the socket, p50 of 100", ms(branch), &format!("< {}", ms(bare * 2)));
    row("create a snapshot, the same", ms(snapshot), &format!("< {}", ms(bare * 2)));
    row(&format!("branch at {memories} / at 10,000"), ratio(branch, small_branch), "< 1.3");
    row(&format!("snapshot at {memories} / at 10,000"), ratio(snapshot, small_snapshot), "< 1.3");
}

fn ratio(one: Duration, other: Duration) -> String {
    format!("{:.2}", one.as_secs_f64() / other.as_secs_f64())
}

fn run(environment: &story::Environment, runtime: &tokio::runtime::Runtime, memories: u32, small: &story::Environment) {
    let home = &environment.home;
    let file = story::write_facts(home, "facts.jsonl", 0, memories);
    let mut bench = Bench::new(environment, runtime);
    let pid = environment.daemon_pid();
    let watch = Watch::start(pid);
    let begin = Instant::now();
    environment.import(&file, "main");
    let rate = f64::from(memories) / begin.elapsed().as_secs_f64();
    row(&format!("import of {memories} memories, `memoria import`, a second"), format!("{rate:.0}"), "> 20,000");

    names(&mut bench, &mut Bench::new(small, runtime), home, memories);
    bench.snapshot("before");
    let (few, many) = (1_000.min(memories / 10), memories / 10);
    for (name, changes) in [("few", few), ("many", many)] {
        bench.branch(name, None);
        bench.edit(name, changes, memories);
    }
    let (diffed, _) = bench.diff("main", "few", 50);
    let total = diffed.counts.moved();
    let time = median((0..20).map(|_| bench.diff("main", "few", 50).1).collect());
    row(&format!("diff, {total} changed, with the first 50 texts, p50 of 20"), ms(time), "< 5 ms");
    let (diffed, _) = bench.diff("main", "many", 50);
    let total = diffed.counts.moved();
    let time = median((0..10).map(|_| bench.diff("main", "many", 50).1).collect());
    row(&format!("diff, {total} changed, with the first 50 texts, p50 of 10"), ms(time), "< 150 ms");

    let questions = story::questions(memories);
    let on = |bench: &mut Bench, branch: &str| {
        median(questions.iter().map(|question| bench.retrieve(branch, question)).collect())
    };
    on(&mut bench, "main");
    let (main, diverged) = (on(&mut bench, "main"), on(&mut bench, "many"));
    row(&format!("retrieve on main, p50 of {}", questions.len()), ms(main), "");
    row("retrieve on a branch that diverged by 10 %", ms(diverged), "");
    row("the second / the first", ratio(diverged, main), "< 1.2");
    // A main on which nothing was ever corrected is read by whole stretches; this one is lived in.
    bench.branch("lived", None);
    bench.edit("lived", memories / 100, memories);
    let lived = on(&mut bench, "lived");
    row("retrieve on a branch that diverged by 1 %", ms(lived), "");
    row("10 % / 1 %", ratio(diverged, lived), "");

    story::sync();
    let (mut merges, mut large, mut back) = (Vec::new(), Vec::new(), Vec::new());
    let mut moved = [0; 3];
    for round in 0..5 {
        let target = format!("target{round}");
        bench.branch(&target, None);
        for (at, samples, (what, time)) in [
            (0, &mut merges, bench.merge("few", &target)),
            (1, &mut large, bench.merge("many", &target)),
            (2, &mut back, bench.roll_back(&target, "before")),
        ] {
            samples.push(time);
            moved[at] = what.counts.moved();
        }
    }
    row(&format!("merge, {} changed, p50 of 5", moved[0]), ms(median(merges)), "< 20 ms");
    row(&format!("merge, {} changed, p50 of 5", moved[1]), ms(median(large)), "< 1,000 ms");
    row(&format!("rollback across {} changes, p50 of 5", moved[2]), ms(median(back)), "< 300 ms");
    row("daemon, largest RSS during all that", mb(watch.peak()), "< 150 MB");
    std::thread::sleep(Duration::from_secs(45));
    row("daemon, RSS when idle again", mb(story::rss(pid)), "< 40 MB");
    drop(bench);
    environment.run(&["stop"]);
    engine_diffs(home, runtime);
}

impl Bench<'_> {
    /// Changes so many memories on a branch: four of ten are new, four of ten corrected, two of ten purged.
    fn edit(&mut self, branch: &str, changes: u32, memories: u32) {
        self.runtime.block_on(story::edit(&mut self.client, branch, changes, memories, &mut self.used));
    }
}

/// The diff alone, without socket, texts or JSON: counts and every id.
fn engine_diffs(home: &Path, runtime: &tokio::runtime::Runtime) {
    use memoria::engine::Engine;
    use memoria::engine::embedded::Embedded;
    use memoria::model::Revision;
    let paths = story::paths(home);
    let engine = Embedded::open(&paths.store_file(), &paths.index_folder(), &paths.vectors_folder(), 8 << 20).unwrap();
    runtime.block_on(async {
        let now = memoria::clock::now();
        let at = async |name: &str| engine.resolve(&Revision::Name(name.parse().unwrap()), now).await.unwrap();
        let main = at("main").await;
        for (name, goal) in [("few", "< 2 ms"), ("many", "")] {
            let to = at(name).await;
            let mut samples = Vec::new();
            let mut total = 0;
            for _ in 0..20 {
                let begin = Instant::now();
                let diff = engine.diff(&main, &to, &Filter::default(), Page::default()).await.unwrap();
                samples.push(begin.elapsed());
                total = diff.differences.len();
            }
            row(&format!("diff in the engine, counts and ids of all {total}, p50 of 20"), ms(median(samples)), goal);
        }
    });
}

fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// One row, durable, with what the store sets: two phases are not needed, quick repair is.
struct BareCommit(redb::Database, PathBuf);

impl BareCommit {
    const TABLE: redb::TableDefinition<'static, u64, &'static [u8]> = redb::TableDefinition::new("rows");

    fn new(folder: &Path) -> Self {
        let path = folder.join("bare.redb");
        Self(redb::Database::create(&path).unwrap(), path)
    }

    fn commit(&mut self, number: u64) -> Duration {
        let begin = Instant::now();
        let mut transaction = self.0.begin_write().unwrap();
        transaction.set_quick_repair(true);
        transaction.open_table(Self::TABLE).unwrap().insert(number, [7; 100].as_slice()).unwrap();
        transaction.commit().unwrap();
        begin.elapsed()
    }
}

impl Drop for BareCommit {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.1);
    }
}

/// Looks at a process's memory all the time.
struct Watch(Arc<AtomicU64>, Arc<AtomicBool>);

impl Watch {
    fn start(pid: u32) -> Self {
        let (peak, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, stop) = (Arc::clone(&peak), Arc::clone(&done));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                seen.fetch_max(story::rss(pid), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self(peak, done)
    }

    fn peak(&self) -> u64 {
        self.1.store(true, Ordering::Relaxed);
        self.0.load(Ordering::Relaxed)
    }
}
