//! Vectors on disk and at size: what accidents make of their files, what verify and repair say of it, and how near the
//! answers of exact and of approximate search are to plain arithmetic.

use std::fs;
use std::path::{Path, PathBuf};

use memoria::clock;
use memoria::engine::conformance::samples::{apply, memory, op};
use memoria::engine::embedded::Embedded;
use memoria::engine::{At, Engine, Erase};
use memoria::model::{
    Asked, Author, Candidates, Change, Embedding, Expect, Filled, Filter, Memory, Name, Query, Revision, SessionId,
    Space, Unembedded, Verb,
};

use crate::{Rng, open, runtime, seed};

const DIMS: usize = 96;

fn space() -> Space {
    Space { model: "random-1".parse().unwrap(), dims: DIMS as u16 }
}

/// About normal, the same for the same number; numbers of one `group` are near to each other.
fn vector(number: u64, groups: u64) -> Vec<f32> {
    let gauss = |rng: &mut Rng| (0..6).map(|_| rng.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0).sum::<f32>();
    let (mut own, mut group) = (Rng(number.wrapping_mul(77)), Rng((number % groups).wrapping_mul(1_000_003)));
    let mixed: Vec<f32> = (0..DIMS).map(|_| gauss(&mut own) + 1.5 * gauss(&mut group)).collect();
    let length = mixed.iter().map(|it| it * it).sum::<f32>().sqrt();
    mixed.into_iter().map(|it| it / length).collect()
}

fn number_of(text: &str) -> u64 {
    text.split(' ').next_back().and_then(|word| word.parse().ok()).unwrap()
}

async fn store_many(engine: &Embedded, numbers: std::ops::Range<u64>) -> Vec<Memory> {
    let memories: Vec<Memory> = numbers.map(|n| memory(&format!("note {n}"))).collect();
    for some in memories.chunks(1_000) {
        let changes = some.iter().cloned().map(Change::Store).collect();
        apply(engine, Verb::Store, changes).await.unwrap();
    }
    memories
}

async fn embed_all(engine: &Embedded, groups: u64) -> usize {
    let mut made = 0;
    loop {
        let pending = engine.unembedded(&space(), 256).await.unwrap();
        if pending.is_empty() {
            return made;
        }
        made += pending.len();
        let of =
            |Unembedded { slot, version, text }| Embedding { slot, version, vector: vector(number_of(&text), groups) };
        engine.embed(&space(), pending.into_iter().map(of).collect()).await.unwrap();
    }
}

async fn head(engine: &Embedded) -> At {
    engine.resolve(&Revision::Name(Name::main()), clock::now()).await.unwrap()
}

async fn ask(engine: &Embedded, at: &At, asked: Vec<f32>, limit: usize) -> Candidates {
    let vector = Some(Asked { space: space(), vector: asked });
    let query = Query { terms: vec![], vector, filter: Filter::default(), limit, around: 0 };
    engine.candidates(at, &query).await.unwrap()
}

async fn filled(engine: &Embedded) -> Filled {
    engine.spaces().await.unwrap().into_iter().find(|filled| filled.space == space()).unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn file(home: &Path, name: &str) -> PathBuf {
    let folders = fs::read_dir(home.join("derived/vectors")).unwrap();
    folders.map(|entry| entry.unwrap().path().join(name)).next().unwrap()
}

async fn problems(engine: &Embedded) -> usize {
    engine.verify().await.unwrap().iter().map(|check| check.problems.len()).sum()
}

#[test]
fn a_damaged_vector_is_pending_again_and_no_other() {
    let (home, runtime, mut rng) = (tempfile::tempdir().unwrap(), runtime(), Rng(seed()));
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        store_many(&engine, 0..50).await;
        assert_eq!(embed_all(&engine, 5).await, 50);
        engine.rest().await.unwrap();
    });
    let before = runtime.block_on(async { ask(&engine, &head(&engine).await, vector(7, 5), 50).await });
    drop(engine);
    let path = file(home.path(), "vectors");
    let mut bytes = fs::read(&path).unwrap();
    let slot_bytes = DIMS + 12;
    let (hit, at) = (rng.below(50) as usize, rng.below(slot_bytes as u64) as usize);
    bytes[4096 + hit * slot_bytes + at] ^= 1 << rng.below(8);
    fs::write(&path, bytes).unwrap();

    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        assert_eq!(problems(&engine).await, 1, "verify does not find the one damaged vector");
        let at = head(&engine).await;
        let without = ask(&engine, &at, vector(7, 5), 50).await;
        assert_eq!(without.cosines.unwrap().count, 49);
        let pending = engine.unembedded(&space(), 9).await.unwrap();
        assert_eq!(pending.iter().map(|it| it.slot).collect::<Vec<_>>(), [hit as u64]);
        assert_eq!(embed_all(&engine, 5).await, 1);
        assert_eq!(ask(&engine, &at, vector(7, 5), 50).await, before);
        assert_eq!(problems(&engine).await, 0);
    });
}

#[test]
fn files_that_are_cut_lost_or_foreign_cost_vectors_and_nothing_else() {
    let (home, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        store_many(&engine, 0..60).await;
        embed_all(&engine, 5).await;
        engine.rest().await.unwrap();
    });
    let before = runtime.block_on(async { ask(&engine, &head(&engine).await, vector(3, 5), 60).await });
    drop(engine);
    let cut = |name: &str, len: u64| {
        fs::File::options().write(true).open(file(home.path(), name)).unwrap().set_len(len).unwrap();
    };
    let half = 4096 + 30 * (DIMS as u64 + 12) + 5;
    let foreign = home.path().join("derived/vectors/something");
    let accidents: [(&str, &dyn Fn(), usize); 6] = [
        ("the set of the filled is lost", &|| fs::remove_file(file(home.path(), "filled")).unwrap(), 0),
        ("the set of the filled is cut", &|| cut("filled", 20), 0),
        ("the codes are lost", &|| fs::remove_file(file(home.path(), "codes")).unwrap(), 0),
        ("the vectors are cut", &|| cut("vectors", half), 30),
        ("the first page is cut", &|| cut("vectors", 100), 60),
        ("a foreign folder is there", &|| fs::create_dir_all(foreign.join("x")).unwrap(), 0),
    ];
    for (accident, happen, lost) in accidents {
        happen();
        let engine = open(home.path()).unwrap();
        runtime.block_on(async {
            let at = head(&engine).await;
            let found = ask(&engine, &at, vector(3, 5), 60).await.found.len();
            assert_eq!(found, 60 - lost, "{accident}");
            assert_eq!(embed_all(&engine, 5).await, lost, "{accident}");
            assert_eq!(ask(&engine, &at, vector(3, 5), 60).await, before, "{accident}");
            assert_eq!(problems(&engine).await, 0, "{accident}");
            engine.rest().await.unwrap();
        });
    }
    assert!(!foreign.exists(), "a folder that holds no vectors stays");
}

#[test]
fn what_a_kill_interrupts_is_made_again_and_answers_the_same() {
    let (home, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        store_many(&engine, 0..40).await;
        let some = engine.unembedded(&space(), 10).await.unwrap();
        let of =
            |it: Unembedded| Embedding { slot: it.slot, version: it.version, vector: vector(number_of(&it.text), 5) };
        engine.embed(&space(), some.into_iter().map(of).collect()).await.unwrap();
    });
    // Dropped without a rest, as a kill would leave it.
    drop(engine);
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        let counts = filled(&engine).await;
        assert_eq!(counts.vectors + counts.pending, 40);
        assert_eq!(problems(&engine).await, 0);
        embed_all(&engine, 5).await;
        let at = head(&engine).await;
        let found = ask(&engine, &at, vector(9, 5), 40).await;
        assert_eq!((found.found.len(), number_of(&found.found[0].version.memory.text)), (40, 9));
        engine.forget_space(&space().model).await.unwrap();
        assert_eq!(embed_all(&engine, 5).await, 40);
        assert_eq!(ask(&engine, &at, vector(9, 5), 40).await, found, "vectors made anew answer otherwise");
    });
}

#[test]
fn an_erased_vector_is_in_no_file() {
    let (home, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        let memories = store_many(&engine, 0..30).await;
        embed_all(&engine, 5).await;
        engine.rest().await.unwrap();
        let (_, codes) = memoria_kernel::quantise::quantise(&vector(11, 5));
        let trace: Vec<u8> = codes.iter().map(|code| code.cast_unsigned()).collect();
        let is_there = || {
            let bytes = fs::read(file(home.path(), "vectors")).unwrap();
            bytes.windows(24).any(|window| trace.windows(24).any(|part| part == window))
        };
        assert!(is_there(), "the scanner finds nothing where there is something");
        let author =
            Author { agent: None, agent_version: None, session: SessionId::new("eraser").unwrap(), project: None };
        let erase = Erase { ids: vec![memories[11].id], author, note: None, at: clock::now() };
        engine.erase(op(), erase).await.unwrap();
        assert!(!is_there(), "an erased vector is still in its file");
        assert_eq!((filled(&engine).await.vectors, filled(&engine).await.pending), (29, 0));
    });
}

#[test]
fn an_exact_search_finds_what_plain_arithmetic_finds() {
    let (home, runtime, mut rng) = (tempfile::tempdir().unwrap(), runtime(), Rng(seed()));
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        let memories = store_many(&engine, 0..400).await;
        embed_all(&engine, 20).await;
        for memory in memories.iter().take(100).step_by(3) {
            let changes = vec![Change::Remove { id: memory.id, expect: Expect::Live }];
            apply(&engine, Verb::Purge, changes).await.unwrap();
        }
        let at = head(&engine).await;
        let numbers: Vec<u64> = (0..400).filter(|n| *n >= 100 || n % 3 != 0).collect();
        for _ in 0..20 {
            let asked = vector(1_000 + rng.below(1_000), 20);
            let found = ask(&engine, &at, asked.clone(), 10).await;
            let mut truth: Vec<f32> = numbers.iter().map(|n| cosine(&asked, &vector(*n, 20))).collect();
            truth.sort_unstable_by(|a, b| b.total_cmp(a));
            assert_eq!(found.found.len(), 10);
            for (candidate, expected) in found.found.iter().zip(&truth) {
                let own = cosine(&asked, &vector(number_of(&candidate.version.memory.text), 20));
                let told = candidate.words.cosine.unwrap();
                assert!((told - own).abs() < 0.01, "{told} is told of {own}");
                assert!((own - expected).abs() < 0.01, "{own} stands where {expected} belongs");
            }
            let mean = truth.iter().sum::<f32>() / truth.len() as f32;
            let cosines = found.cosines.unwrap();
            assert_eq!(cosines.count as usize, truth.len());
            assert!((cosines.mean - mean).abs() < 0.005, "a mean of {} for {mean}", cosines.mean);
        }
    });
}

#[test]
fn a_search_among_very_many_finds_nearly_what_an_exact_one_finds() {
    const COUNT: u64 = 21_000;
    let (home, runtime, mut rng) = (tempfile::tempdir().unwrap(), runtime(), Rng(seed()));
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        store_many(&engine, 0..COUNT).await;
        embed_all(&engine, 300).await;
        let at = head(&engine).await;
        let all: Vec<Vec<f32>> = (0..COUNT).map(|n| vector(n, 300)).collect();
        let (mut hits, mut asked_of) = (0, 0);
        for round in 0..20 {
            // From memory, and from what the files say after a rest.
            if round == 10 {
                engine.rest().await.unwrap();
            }
            let asked = vector(1_000_000 + rng.below(1_000_000), 300);
            let cosines: Vec<f32> = all.iter().map(|one| cosine(&asked, one)).collect();
            let mut best: Vec<usize> = (0..all.len()).collect();
            best.sort_unstable_by(|a, b| cosines[*b].total_cmp(&cosines[*a]));
            let found = ask(&engine, &at, asked, 10).await;
            let bar = cosines[best[9]] - 0.004;
            let is_hit = |n: u64| cosines[n as usize] >= bar;
            hits += found.found.iter().filter(|it| is_hit(number_of(&it.version.memory.text))).count();
            asked_of += 10;
            let mean = cosines.iter().map(|it| f64::from(*it)).sum::<f64>() / COUNT as f64;
            let variance = cosines.iter().map(|it| (f64::from(*it) - mean).powi(2)).sum::<f64>() / COUNT as f64;
            let told = found.cosines.unwrap();
            assert_eq!(u64::from(told.count), COUNT);
            // Estimated from 128 of them: six standard errors.
            let slack = 6.0 * (variance / 128.0).sqrt();
            assert!((f64::from(told.mean) - mean).abs() < slack, "a mean of {} for {mean}", told.mean);
            let ratio = f64::from(told.deviation) / variance.sqrt();
            assert!((0.8..1.25).contains(&ratio), "a deviation of {} for {}", told.deviation, variance.sqrt());
        }
        assert!(hits * 100 >= asked_of * 98, "{hits} of {asked_of} of the nearest are found");
        let again = ask(&engine, &at, vector(5, 300), 10).await;
        assert_eq!(ask(&engine, &at, vector(5, 300), 10).await, again, "the same question is answered otherwise");
        assert_eq!(problems(&engine).await, 0);
    });
}
