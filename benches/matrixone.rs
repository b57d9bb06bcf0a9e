//! `MEMORIA_MATRIXONE_URL=mysql://user:password@host:port cargo bench --bench matrixone [-- MEMORIES [versions]]`: the
//! shared engine beside plain SQL on the same server in the same run. Without a number: 100,000 memories, ten projects.
//! With `versions` there are no vectors and no searches: a branch, a diff and a merge alone, for large stores.
//! Nothing is asserted: machines differ, so read the ratios. It works in a database of its own, which goes at the end.
//!
//! Plain search is the server's own: a full-text index over the same words in boolean mode, by BM25, and an exact scan
//! of vectors, each within the project. A plain store is a transaction that inserts the same rows and looks at nothing.

mod retrieval {
    pub mod made_up;
}

use std::thread;
use std::time::{Duration, Instant};

use memoria::clock;
use memoria::engine::conformance::samples::{memory, op, write};
use memoria::engine::matrixone::MatrixOne;
use memoria::engine::matrixone::pool::Pool;
use memoria::engine::matrixone::session::Session;
use memoria::engine::matrixone::settings::Settings;
use memoria::engine::{At, Engine};
use memoria::model::{
    Asked, Calibration, Change, Embedding, Expect, Filter, Memory, Moment, Name, NameChange, NameKind, Page, Plan,
    ProjectId, Revision, Rule, Scope, SessionId, Space, Unembedded, Verb, Work, Write,
};
use memoria::search::{self, Meaning, Question, Ranking};
use mysql_async::{Row, Value};
use retrieval::made_up::{Vectors, Vocabulary};
use tokio::runtime::{Builder, Handle, Runtime};

const DIMS: u16 = 384;
const CALIBRATION: Calibration = Calibration { floor: 0.2, ceiling: 0.6 };
const TEXT_WORDS: usize = 25;
const QUESTION_WORDS: usize = 6;
const QUESTIONS: u64 = 60;
const PROJECTS: usize = 10;
const SESSION_MEMORIES: usize = 200;
const BATCH: usize = 2_000;
const CHANGED: usize = 1_000;
const STORES: usize = 60;
const TOP_K: usize = 5;
const SESSIONS_AT_ONCE: usize = 32;

fn main() {
    let number = |word: String| word.replace([',', '_'], "").parse().ok();
    let memories = std::env::args().skip(1).find_map(number).unwrap_or(100_000);
    let Ok(url) = std::env::var("MEMORIA_MATRIXONE_URL") else {
        println!("MEMORIA_MATRIXONE_URL names no server (mysql://user:password@host:port): nothing was measured");
        return;
    };
    let database = format!("memoria_bench_{}", std::process::id());
    let mut settings = Settings::from_url(&format!("{}/{database}", url.trim_end_matches('/'))).unwrap();
    settings.deadline = Duration::from_secs(600);
    let engine = MatrixOne::open(&settings, driving());
    let bench = Bench {
        runtime: Builder::new_current_thread().enable_all().max_blocking_threads(16).build().unwrap(),
        plain: Pool::open(&settings, driving()),
        engine,
        vocabulary: Vocabulary::new(40_000),
        vectors: Vectors::new(DIMS),
        space: Space { model: "bench-1".parse().unwrap(), dims: DIMS },
    };
    println!("{:<56} {:>11} {:>11} {:>7}   goal", "what", "ours", "plain SQL", "ratio");
    bench.fill(memories);
    let is_versions = std::env::args().any(|word| word == "versions");
    if !is_versions {
        bench.embed(memories);
        bench.make_plain(memories);
        bench.retrieve(memories);
        bench.store();
    }
    bench.branch(memories);
    bench.diff_and_merge(memories);
    if !is_versions {
        bench.connections();
        bench.rest();
    }
    bench.text(&format!("drop database if exists `{database}`"));
}

/// A runtime whose thread does nothing but drive connections.
fn driving() -> Handle {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
}

struct Bench {
    runtime: Runtime,
    plain: Pool,
    engine: MatrixOne,
    vocabulary: Vocabulary,
    vectors: Vectors,
    space: Space,
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn row(what: &str, ours: f64, plain: f64, goal: &str) {
    println!("{what:<56} {ours:>8.1} ms {plain:>8.1} ms {:>6.2}x   {goal}", ours / plain);
}

fn only(what: &str, ours: impl std::fmt::Display, goal: &str) {
    println!("{what:<56} {ours:>11} {:>11} {:>7}   {goal}", "", "");
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, f64) {
    let begun = Instant::now();
    let answer = run();
    (answer, ms(begun.elapsed()))
}

impl Bench {
    fn text(&self, sql: &str) {
        self.plain.read(|session| session.text(sql)).unwrap();
    }

    fn first(&self, sql: &str) -> Row {
        self.plain.read(|session| session.first(sql, vec![])).unwrap().unwrap()
    }

    fn memory(&self, number: usize) -> Memory {
        Memory {
            project: ProjectId::new(format!("project {}", number % PROJECTS)).ok(),
            session: SessionId::new(format!("session {}", number / SESSION_MEMORIES)).ok(),
            ..memory(&self.vocabulary.text(number as u64, TEXT_WORDS))
        }
    }

    fn head(&self, name: &Name) -> At {
        self.runtime.block_on(self.engine.resolve(&Revision::Name(name.clone()), clock::now())).unwrap()
    }

    fn fill(&self, memories: usize) {
        let ((), took) = timed(|| {
            for first in (0..memories).step_by(BATCH) {
                let numbers = first..memories.min(first + BATCH);
                let changes = numbers.map(|number| Change::Store(self.memory(number))).collect();
                let order = write(Verb::Import, changes).unwrap();
                self.runtime.block_on(self.engine.apply(op(), order)).unwrap();
            }
        });
        only(&format!("{memories} memories stored, in batches of {BATCH}"), rate(memories, took), "");
    }

    fn embed(&self, memories: usize) {
        let ((), took) = timed(|| self.runtime.block_on(self.embed_all()));
        only(&format!("vectors of {DIMS} numbers taken in"), rate(memories, took), "");
    }

    async fn embed_all(&self) {
        loop {
            let missing = self.engine.unembedded(&self.space, BATCH as u32).await.unwrap();
            if missing.is_empty() {
                return;
            }
            let vector =
                |Unembedded { slot, version, .. }| Embedding { slot, version, vector: self.vectors.passage(slot) };
            self.engine.embed(&self.space, missing.into_iter().map(vector).collect()).await.unwrap();
        }
    }

    /// The same texts and vectors as anybody would keep them, and tables as ours for plain inserts.
    fn make_plain(&self, memories: usize) {
        self.text("set ft_relevancy_algorithm='BM25'");
        self.text("create table texts (vid bigint unsigned primary key, words varchar(65535))");
        for first in (0..memories).step_by(500) {
            let numbers = first..memories.min(first + 500);
            let text = |number| self.vocabulary.text(number as u64, TEXT_WORDS);
            let values = numbers.clone().flat_map(|number| [Value::from(number as u64), text(number).into()]);
            let sql = format!("insert into texts values {}", vec!["(?, ?)"; numbers.len()].join(","));
            self.plain.read(|session| session.run(&sql, values.clone().collect())).unwrap();
        }
        let space: u32 = mysql_async::from_row::<(u32,)>(self.first("select id from spaces")).0;
        self.text(&format!(
            "create table plain (vid bigint unsigned primary key, project varchar(512), words varchar(65535), \
             e vecf32({DIMS}))"
        ));
        self.text(&format!(
            "insert into plain select v.vid, v.project, t.words, s.e from versions v join texts t on t.vid = v.vid \
             join vectors_{space} s on s.vid = v.vid"
        ));
        self.text("create fulltext index ft on plain (words)");
        for table in ["versions", "words", "sessions", "live_1", "commits", "touches", "moves", "ops", "meta"] {
            self.text(&format!("create table plain_{table} like {table}"));
        }
        self.text("insert into plain_meta select * from meta");
    }

    fn retrieve(&self, memories: usize) {
        let ranking = Ranking {
            top_k: TOP_K,
            max_tokens: 0,
            min_score: memoria::config::Config::default().search.min_score as f32,
            project: None,
            session: None,
            moment: Moment::Now(clock::now()),
        };
        let (mut ours, mut plain, mut words, mut both) = (vec![], vec![], vec![], vec![]);
        for number in 0..QUESTIONS {
            let project = format!("project {}", number as usize % PROJECTS);
            let scope = Scope::Project(ProjectId::new(project.clone()).unwrap());
            let text = self.vocabulary.text(1_000_000_000 + number, QUESTION_WORDS);
            let vector = self.vectors.question(number * 97 % memories as u64);
            let asked = Asked { space: self.space.clone(), vector: vector.clone() };
            let meaning = Some(Meaning { asked, calibration: CALIBRATION });
            let question = Question { text: &text, meaning };
            let at = self.head(&Name::main());
            let filter = Filter { scope, ..Filter::default() };
            let ask = |filter: Filter, question: &Question<'_>| {
                let run = || self.runtime.block_on(search::retrieve(&self.engine, &at, question, filter, &ranking));
                timed(|| run().unwrap()).1
            };
            ours.push(ask(filter.clone(), &question));
            words.push(ask(filter, &Question { text: &text, meaning: None }));
            both.push(ask(Filter::default(), &question));
            plain.push(timed(|| self.plain.read(|session| plain_search(session, &project, &text, &vector)).unwrap()).1);
        }
        let whole = memories / PROJECTS;
        let what = format!("retrieve, {memories} in one project of {whole}, p50 of {QUESTIONS}");
        row(&what, median(ours), median(plain.clone()), "< 1.3x, of the two queries");
        only("the same by words alone", format!("{:.1} ms", median(words)), "");
        only("the same by both, of all projects", format!("{:.1} ms", median(both)), "");
    }

    fn store(&self) {
        let main = Name::main();
        let mut ours = Vec::new();
        for number in 0..STORES {
            let order = write(Verb::Store, vec![Change::Store(self.memory(900_000_000 + number))]).unwrap();
            ours.push(timed(|| self.runtime.block_on(self.engine.apply(op(), order)).unwrap()).1);
        }
        let newest = self.head(&main).state.max().unwrap();
        let rows = |table: &str, which: &str| {
            let sql = format!("select * from {table} where {which}");
            let rows = self.plain.read(|session| session.rows(&sql, vec![])).unwrap();
            (table.to_owned(), rows.into_iter().map(Row::unwrap).collect::<Vec<Vec<Value>>>())
        };
        let vid = format!("vid = {newest}");
        let made = [
            rows("versions", &vid),
            rows("words", &vid),
            rows("sessions", &vid),
            rows("live_1", &vid),
            rows("commits", "number = (select max(number) from commits)"),
            rows("touches", "number = (select max(number) from commits)"),
            rows("moves", "name = 'main' order by made_at desc, seq desc limit 1"),
            rows("ops", "1 = 1 order by made_at desc limit 1"),
        ];
        let mut plain = Vec::new();
        for number in 0..STORES as u64 {
            // The same rows under other keys.
            let fresh = made.clone().map(|(table, mut rows)| {
                let key = match &*table {
                    "ops" => Value::from(format!("{number}")),
                    "moves" => Value::from(format!("main {number}")),
                    _ => Value::from(1_000_000 + number),
                };
                let at = usize::from(table == "words") + 2 * usize::from(table == "sessions");
                rows.iter_mut().for_each(|row| row[at] = key.clone());
                (table, rows)
            });
            plain.push(timed(|| self.plain.write(|session| plain_store(session, &fresh)).unwrap()).1);
        }
        row("store, one writer, p50", median(ours), median(plain), "< 1.5x");
    }

    /// A branch of where `main` stands.
    fn fork(&self, name: &Name) {
        let commit = self.head(&Name::main()).commit;
        let create = NameChange::Create { name: name.clone(), kind: NameKind::Branch, commit, note: None };
        let order = Write { names: vec![create], ..write(Verb::Store, vec![]).unwrap() };
        self.runtime.block_on(self.engine.apply(op(), order)).unwrap();
    }

    fn branch(&self, memories: usize) {
        let (mut ours, mut plain) = (Vec::new(), Vec::new());
        for number in 0..7 {
            let name: Name = format!("branch-{number}").parse().unwrap();
            ours.push(timed(|| self.fork(&name)).1);
            let sql = format!("data branch create table plain_branch_{number} from live_1");
            plain.push(timed(|| self.text(&sql)).1);
        }
        row(&format!("branch of {memories}, p50 of 7"), median(ours), median(plain), "< 1.5x");
    }

    fn diff_and_merge(&self, memories: usize) {
        let (main, mut diffs, mut merges) = (Name::main(), Vec::new(), Vec::new());
        let step = (memories / CHANGED).max(1) as u32;
        let page = Page { offset: 0, limit: 50 };
        for round in 0..3u32 {
            let side: Name = format!("side-{round}").parse().unwrap();
            self.fork(&side);
            let at = self.head(&side);
            let vids: Vec<u32> = at.state.iter().skip(round as usize).step_by(step as usize).take(CHANGED).collect();
            let list = vids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            let sql = format!("select memory from versions where vid in ({list})");
            let found = self.plain.read(|session| session.text_rows(&sql)).unwrap();
            let ids = found.into_iter().map(|found| mysql_async::from_row::<(String,)>(found).0.parse().unwrap());
            let ids: Vec<_> = ids.collect();
            let versions = self.runtime.block_on(self.engine.read(&at, &ids)).unwrap();
            let corrected = |memory: Memory| Memory { text: format!("{} {round}", memory.text), ..memory };
            let replaced = versions
                .into_iter()
                .flatten()
                .map(|version| Change::Replace { memory: corrected(version.memory), expect: Expect::Live });
            let order = Write { branch: side.clone(), ..write(Verb::Correct, replaced.collect()).unwrap() };
            self.runtime.block_on(self.engine.apply(op(), order)).unwrap();
            let (ours, theirs) = (self.head(&main), self.head(&side));
            let open = Filter::default();
            let diff = self.engine.diff(&ours, &theirs, &open, page);
            diffs.push(timed(|| self.runtime.block_on(diff).unwrap()).1);
            let plan = Plan::Merge { theirs: theirs.commit, rule: Rule::Fail, resolutions: Vec::new() };
            let order = Write { work: Work::Plan(plan), ..write(Verb::Merge, vec![]).unwrap() };
            merges.push(timed(|| self.runtime.block_on(self.engine.apply(op(), order)).unwrap()).1);
        }
        let what = |verb: &str| format!("{verb} with {CHANGED} changed of {memories}, p50 of 3");
        only(&what("diff"), format!("{:.1} ms", median(diffs)), "< 100 ms of 1,000,000");
        only(&what("merge"), format!("{:.1} ms", median(merges)), "< 500 ms of 1,000,000");
    }

    fn connections(&self) {
        let at = self.head(&Name::main());
        let query = memoria::model::Query {
            terms: memoria::lexical::terms_of_question("kalo mi"),
            vector: None,
            filter: Filter::default(),
            limit: 40,
            around: 2,
        };
        let most = std::sync::atomic::AtomicUsize::new(0);
        self.runtime.block_on(async {
            let ask = || async {
                self.engine.candidates(&at, &query).await.unwrap();
                most.fetch_max(self.engine.pool().open_count(), std::sync::atomic::Ordering::Relaxed);
            };
            let mut all: Vec<_> = (0..SESSIONS_AT_ONCE).map(|_| Box::pin(ask())).collect();
            std::future::poll_fn(|context| {
                all.retain_mut(|one| one.as_mut().poll(context).is_pending());
                if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
        });
        only(&format!("connections, {SESSIONS_AT_ONCE} busy"), most.into_inner(), "at most 8");
    }

    fn rest(&self) {
        self.plain.close();
        self.runtime.block_on(self.engine.rest()).unwrap();
        thread::sleep(Duration::from_secs(25));
        only("connections, idle", self.engine.pool().open_count(), "1");
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        only("RSS of this process, idle, with the bench's own", line.unwrap_or("").trim(), "< 20 MB, the daemon");
    }
}

fn rate(memories: usize, took_ms: f64) -> String {
    format!("{:.0}/s", memories as f64 / took_ms * 1e3)
}

/// Both queries, each with what an answer needs of its best.
fn plain_search(session: &mut Session, project: &str, text: &str, vector: &[f32]) -> memoria::error::Result<()> {
    let limit = search::limit(TOP_K);
    let by_words = format!(
        "select vid, words, match(words) against(? in boolean mode) as s from plain \
         where match(words) against(? in boolean mode) and project = ? order by s desc limit {limit}"
    );
    session.rows(&by_words, vec![text.into(), text.into(), project.into()])?;
    let vector = format!("[{}]", vector.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    let by_meaning = format!(
        "select vid, words, cosine_similarity(e, ?) as s from plain where project = ? order by s desc limit {limit}"
    );
    session.rows(&by_meaning, vec![vector.into(), project.into()]).map(drop)
}

/// The rows of one store, and nothing else.
fn plain_store(session: &mut Session, made: &[(String, Vec<Vec<Value>>)]) -> memoria::error::Result<()> {
    for (table, rows) in made {
        let Some(row) = rows.first() else { continue };
        let one = format!("({})", vec!["?"; row.len()].join(","));
        let sql = format!("insert into plain_{table} values {}", vec![one; rows.len()].join(","));
        session.run(&sql, rows.iter().flatten().cloned().collect())?;
    }
    session.run("update plain_meta set next_vid = next_vid + 1, next_commit = next_commit + 1", vec![]).map(drop)
}
