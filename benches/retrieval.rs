//! `cargo bench --bench retrieval [-- MEMORIES...]`: how fast a question is answered by words and vectors, in process:
//! candidates within a state, fusion, ranking. The question's vector is given, as when it was asked before. Without a
//! number: 1,000, 10,000 and 100,000 memories; a million takes minutes and 3 GB of disk. What answers are worth is
//! measured by `memoria benchmark`.

mod retrieval {
    pub mod made_up;
}

use std::time::{Duration, Instant};

use memoria::clock;
use memoria::engine::conformance::samples::{memory, op, write};
use memoria::engine::embedded::Embedded;
use memoria::engine::{At, Engine};
use memoria::model::{
    Asked, Calibration, Change, Embedding, Filter, Memory, Moment, Name, Revision, SessionId, Space, Unembedded, Verb,
};
use memoria::search::{self, Meaning, Question, Ranking};
use retrieval::made_up::{Vectors, Vocabulary};

/// As many as MiniLM has: the built-in model has fewer.
const DIMS: u16 = 384;
const CALIBRATION: Calibration = Calibration { floor: 0.2, ceiling: 0.6 };
const TEXT_WORDS: usize = 25;
const QUESTION_WORDS: usize = 6;
const QUESTIONS: u64 = 300;
const SESSION_MEMORIES: usize = 200;
const BATCH: usize = 4_000;
const GOALS: [(usize, &str); 2] = [(100_000, "< 5 ms"), (1_000_000, "< 25 ms")];

fn main() {
    let asked: Vec<usize> =
        std::env::args().skip(1).filter_map(|word| word.replace([',', '_'], "").parse().ok()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!("{:<66} {:>12}   goal", "what", "measured");
    for memories in if asked.is_empty() { vec![1_000, 10_000, 100_000] } else { asked } {
        runtime.block_on(measure(memories));
    }
}

fn row(what: &str, measured: impl std::fmt::Display, goal: &str) {
    println!("{what:<66} {measured:>12}   {goal}");
}

async fn measure(memories: usize) {
    let folder = tempfile::tempdir().unwrap();
    let [truth, index, vectors] = ["memoria.redb", "index", "vectors"].map(|name| folder.path().join(name));
    let engine = Embedded::open(&truth, &index, &vectors, 8 << 20).unwrap();
    let (vocabulary, made_up) = (Vocabulary::new(40_000), Vectors::new(DIMS));
    let space = Space { model: "bench-1".parse().unwrap(), dims: DIMS };
    let begun = Instant::now();
    fill(&engine, memories, &vocabulary).await;
    let stored = begun.elapsed();
    let begun = Instant::now();
    embed(&engine, &space, &made_up).await;
    let embedded = begun.elapsed();
    engine.rest().await.unwrap();
    let rate = |took: Duration| format!("{:.0}/s", memories as f64 / took.as_secs_f64());
    row(&format!("{memories} memories: stored, in batches of {BATCH}"), rate(stored), "");
    row(&format!("{memories} memories: vectors of {DIMS} numbers taken in"), rate(embedded), "");
    let at = engine.resolve(&Revision::Name(Name::main()), clock::now()).await.unwrap();
    let resting = resident_bytes();
    let goal = GOALS.iter().find(|(size, _)| *size == memories).map_or("", |(_, goal)| goal);
    for (what, with, goal) in [("words alone", With::Words, ""), ("words and vectors", With::Both, goal)] {
        let took = ask_all(&engine, &at, &space, (&vocabulary, &made_up), with).await;
        let ms = |share: f64| format!("{:.2} ms", took[(took.len() as f64 * share) as usize]);
        row(&format!("{memories} memories: retrieve by {what}, p50 of {QUESTIONS}"), ms(0.5), goal);
        row(&format!("{memories} memories: retrieve by {what}, p99"), ms(0.99), "");
    }
    let searching = format!("{:.0} MB", resident_bytes().saturating_sub(resting) as f64 / 1e6);
    row(&format!("{memories} memories: what searching added to this process, RSS"), searching, "");
}

async fn fill(engine: &Embedded, memories: usize, vocabulary: &Vocabulary) {
    let made = |number: usize| Memory {
        session: SessionId::new(format!("session {}", number / SESSION_MEMORIES)).ok(),
        ..memory(&vocabulary.text(number as u64, TEXT_WORDS))
    };
    for first in (0..memories).step_by(BATCH) {
        let changes = (first..memories.min(first + BATCH)).map(|number| Change::Store(made(number))).collect();
        engine.apply(op(), write(Verb::Import, changes).unwrap()).await.unwrap();
    }
}

async fn embed(engine: &Embedded, space: &Space, made_up: &Vectors) {
    loop {
        let missing = engine.unembedded(space, BATCH as u32).await.unwrap();
        if missing.is_empty() {
            return;
        }
        let vector = |Unembedded { slot, version, .. }| Embedding { slot, version, vector: made_up.passage(slot) };
        engine.embed(space, missing.into_iter().map(vector).collect()).await.unwrap();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum With {
    Words,
    Both,
}

/// Milliseconds for each question, sorted.
async fn ask_all(
    engine: &Embedded,
    at: &At,
    space: &Space,
    (vocabulary, made_up): (&Vocabulary, &Vectors),
    with: With,
) -> Vec<f64> {
    let ranking = Ranking {
        top_k: 5,
        max_tokens: 0,
        min_score: memoria::config::Config::default().search.min_score as f32,
        project: None,
        session: None,
        moment: Moment::Now(clock::now()),
    };
    let mut took = Vec::new();
    for number in 0..QUESTIONS {
        let text = vocabulary.text(1_000_000_000 + number, QUESTION_WORDS);
        let asked = || Asked { space: space.clone(), vector: made_up.question(number * 97 % u64::from(at.live)) };
        let meaning = (with == With::Both).then(|| Meaning { asked: asked(), calibration: CALIBRATION });
        let question = Question { text: &text, meaning };
        let begun = Instant::now();
        search::retrieve(engine, at, &question, Filter::default(), &ranking).await.unwrap();
        took.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    took
}

/// 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}
