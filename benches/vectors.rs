//! Questions by meaning to the embedded engine at the sizes that matter: how long they take with words and without,
//! what that costs in memory, and how much of the exact answer is found. `cargo bench --bench vectors [memories]...
//! [dims=N]`.

use std::cmp::Reverse;
use std::fs;
use std::time::Instant;

use memoria::clock;
use memoria::engine::conformance::samples::{apply, memory};
use memoria::engine::embedded::Embedded;
use memoria::engine::{At, Engine};
use memoria::lexical;
use memoria::model::{
    Asked, Change, Embedding, Filter, Memory, Name, Query, Revision, SessionId, Space, Unembedded, Verb,
};

const QUESTIONS: u64 = 200;
/// Exact answers are worked out for so many of them.
const COMPARED: u64 = 30;
const LIMIT: usize = 60;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut sizes: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![10_000, 100_000, 1_000_000];
    }
    let dims = words.iter().find_map(|word| word.strip_prefix("dims=")?.parse().ok()).unwrap_or(384);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    sizes.into_iter().for_each(|memories| runtime.block_on(measure(memories, dims)));
}

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    memoria_kernel::checksum::mix(*state)
}

/// The same for the same number. Of `groups` clusters of unequal size, with a few main directions.
fn vector(number: u64, groups: u64, dims: usize) -> Vec<f32> {
    let near = |state: &mut u64| {
        let bits = random(state);
        (0..4).map(|n| (bits >> (16 * n) & 0xffff) as f32).sum::<f32>() / 65_536.0 - 2.0
    };
    let (mut own, mut dice) = (number.wrapping_mul(77), number.wrapping_mul(31));
    let of_group = random(&mut dice) % groups;
    let mut group = (of_group % (1 + random(&mut dice) % groups)).wrapping_mul(1_000_003);
    let mixed: Vec<f32> =
        (0..dims).map(|at| (near(&mut own) + 1.2 * near(&mut group)) / (1 + at / 64) as f32).collect();
    let length = mixed.iter().map(|it| it * it).sum::<f32>().sqrt();
    mixed.into_iter().map(|it| it / length).collect()
}

/// About twenty words, by a long tail.
fn text(number: u64) -> String {
    let mut state = number.wrapping_mul(1_013);
    let mut text = String::from("it is common that");
    for _ in 0..14 {
        let dice = random(&mut state);
        text.push_str(&format!(" word{}", (dice >> 32) % (1 << (2 + dice % 15))));
    }
    format!("{text} answers {number}")
}

async fn fill(engine: &Embedded, memories: u64, dims: usize, groups: u64) {
    let begun = Instant::now();
    for first in (0..memories).step_by(1_000) {
        let of = |n: u64| Memory { session: SessionId::new(format!("s{}", n / 40)).ok(), ..memory(&text(n)) };
        let changes = (first..memories.min(first + 1_000)).map(|n| Change::Store(of(n))).collect();
        apply(engine, Verb::Import, changes).await.expect("a write");
    }
    println!("{memories} memories stored in {:.1?}", begun.elapsed());
    let (begun, space) = (Instant::now(), space(dims));
    loop {
        let pending = engine.unembedded(&space, 256).await.expect("pending");
        if pending.is_empty() {
            break;
        }
        let number = |text: &str| text.split(' ').next_back().and_then(|word| word.parse().ok()).unwrap_or(0);
        let of = |it: Unembedded| Embedding {
            slot: it.slot,
            version: it.version,
            vector: vector(number(&it.text), groups, dims),
        };
        engine.embed(&space, pending.into_iter().map(of).collect()).await.expect("vectors");
    }
    println!("their vectors kept in {:.1?}", begun.elapsed());
    let begun = Instant::now();
    engine.rest().await.expect("rest");
    println!("rest in {:.1?}, {}", begun.elapsed(), memory_of_process());
}

fn space(dims: usize) -> Space {
    Space { model: "synthetic-1".parse().expect("a model"), dims: dims as u16 }
}

async fn measure(memories: u64, dims: usize) {
    let groups = memories / 50;
    println!("\n{memories} memories, {dims} dimensions");
    let home = tempfile::tempdir().expect("a folder");
    let at = |name: &str| home.path().join(name);
    let engine = Embedded::open(&at("memoria.redb"), &at("index"), &at("vectors"), 8 << 20).expect("an engine");
    fill(&engine, memories, dims, groups).await;

    let state = engine.resolve(&Revision::Name(Name::main()), clock::now()).await.expect("main");
    let begun = Instant::now();
    ask(&engine, &state, Some(0), true, groups, dims).await;
    println!("the first question after a rest takes {:.1?}, {}", begun.elapsed(), memory_of_process());
    for (what, has_vector, has_words) in [("words", false, true), ("meaning", true, false), ("both", true, true)] {
        let mut times = Vec::new();
        for n in 0..QUESTIONS {
            let begun = Instant::now();
            ask(&engine, &state, has_vector.then_some(n), has_words, groups, dims).await;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!("by {what}: best {:.2?}, p50 {p50:.2?}, p99 {p99:.2?}, {}", times[0], memory_of_process());
    }
    recall(&engine, &state, memories, groups, dims).await;
}

/// Numbers of the memories that were found, nearest first.
async fn ask(engine: &Embedded, at: &At, n: Option<u64>, has_words: bool, groups: u64, dims: usize) -> Vec<(f32, u64)> {
    let question = format!("which word{} answers about word{} and word300", n.unwrap_or(7) % 60, n.unwrap_or(7) % 7);
    let terms = if has_words { lexical::terms_of_question(&question) } else { Vec::new() };
    let vector = n.map(|n| Asked { space: space(dims), vector: vector(u64::from(u32::MAX) + n, groups, dims) });
    let query = Query { terms, vector, filter: Filter::default(), limit: LIMIT, around: 2 };
    let found = engine.candidates(at, &query).await.expect("candidates").found;
    let of = |text: &str| text.split(' ').next_back().and_then(|word| word.parse().ok()).unwrap_or(0);
    let near = found.into_iter().filter_map(|it| Some((it.words.cosine?, of(&it.version.memory.text))));
    let mut near: Vec<(f32, u64)> = near.collect();
    near.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    near
}

async fn recall(engine: &Embedded, at: &At, memories: u64, groups: u64, dims: usize) {
    let questions: Vec<Vec<f32>> = (0..COMPARED).map(|n| vector(u64::from(u32::MAX) + n, groups, dims)).collect();
    let mut best: Vec<Vec<(Reverse<i32>, u64)>> = vec![Vec::new(); questions.len()];
    for n in 0..memories {
        let one = vector(n, groups, dims);
        for (question, best) in questions.iter().zip(&mut best) {
            let cosine: f32 = question.iter().zip(&one).map(|(a, b)| a * b).sum();
            let entry = (Reverse((cosine * 1e6) as i32), n);
            if best.len() < 10 || entry < best[9] {
                best.insert(best.partition_point(|known| *known < entry), entry);
                best.truncate(10);
            }
        }
    }
    let mut hits = 0;
    for (n, best) in best.iter().enumerate() {
        let found = ask(engine, at, Some(n as u64), false, groups, dims).await;
        hits += best.iter().filter(|(_, number)| found.iter().take(10).any(|(_, found)| found == number)).count();
    }
    println!("recall@10 {:.4} over {COMPARED} questions", hits as f64 / (COMPARED * 10) as f64);
}

/// On Linux, as it says itself.
fn memory_of_process() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("RssAnon"));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
}
