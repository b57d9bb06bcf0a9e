//! Erasing and compacting, cut short at any step by a kill or a power cut: never half of one. What comes after the
//! next opening is what was before, or all of it; and an erasure that began for good ends with no byte left.

use std::io;
use std::path::Path;

use memoria::clock;
use memoria::engine::conformance::samples::{ALL, apply, memory, op, write};
use memoria::engine::embedded::Embedded;
use memoria::engine::{At, Engine, Erase, Names};
use memoria::model::{
    Author, Change, Commit, CommitFilter, Expect, Filter, Memory, MemoryId, Name, NameChange, NameKind, Revision,
    SessionId, Verb, VersionId, Walk, Work, Write,
};

use crate::disks::{Fault, Folder, Lasts};
use crate::scanner::{found, traces};
use crate::{CACHE_BYTES, Rng, rounds, runtime, seed};

const CANARY: &str = "zq9canary7kvwjy";

fn open(folder: &Folder, home: &Path) -> Embedded {
    Embedded::with_opener(folder.clone(), &home.join("index"), &home.join("vectors"), CACHE_BYTES)
        .unwrap_or_else(|error| panic!("a store that was cut short does not open: {error}"))
}

async fn head(engine: &Embedded, branch: &str) -> At {
    engine.resolve(&Revision::Name(branch.parse().unwrap()), clock::now()).await.unwrap()
}

/// A store with one secret in several versions and a branch beside `main`, which is deleted.
struct Prepared {
    folder: Folder,
    home: tempfile::TempDir,
    engine: Embedded,
    secret: MemoryId,
    versions: Vec<VersionId>,
    others: Vec<Memory>,
}

async fn prepare(rng: &mut Rng) -> Prepared {
    let (folder, home) = (Folder::default(), tempfile::tempdir().unwrap());
    let engine = open(&folder, home.path());
    let secret = memory(&format!("{CANARY} first"));
    let mut others = Vec::new();
    apply(&engine, Verb::Store, vec![Change::Store(secret.clone())]).await.unwrap();
    let commit = head(&engine, "main").await.commit;
    let create = NameChange::Create { name: "aside".parse().unwrap(), kind: NameKind::Branch, commit, note: None };
    engine.apply(op(), Write { names: vec![create], ..write(Verb::Store, vec![]).unwrap() }).await.unwrap();
    for n in 0..2 + rng.below(6) {
        let other = memory(&format!("other {n} {}", "x".repeat(rng.below(2_000) as usize)));
        apply(&engine, Verb::Store, vec![Change::Store(other.clone())]).await.unwrap();
        others.push(other);
        let again = Memory { text: format!("{CANARY} again {n}"), ..secret.clone() };
        let change = Change::Replace { memory: again, expect: Expect::Live };
        let branch: Name = if n % 2 == 0 { "aside".parse().unwrap() } else { Name::main() };
        let work = Work::Changes(vec![change]);
        engine.apply(op(), Write { branch, work, ..write(Verb::Correct, vec![]).unwrap() }).await.unwrap();
        if rng.below(4) == 0 {
            engine.rest().await.unwrap();
        }
    }
    let mut versions = Vec::new();
    for branch in ["main", "aside"] {
        let at = head(&engine, branch).await;
        for entry in commits(&engine, &at).await {
            let known = engine.versions(&entry.added).await.unwrap();
            let of_it = entry.added.iter().zip(known).filter(|(_, memory)| memory.as_ref().unwrap().id == secret.id);
            versions.extend(of_it.map(|(version, _)| *version));
        }
    }
    versions.sort();
    versions.dedup();
    Prepared { folder, home, engine, secret: secret.id, versions, others }
}

async fn commits(engine: &Embedded, at: &At) -> Vec<Commit> {
    let (history, _) = engine.history(at, &CommitFilter::default(), Walk::All, ALL).await.unwrap();
    let mut commits = Vec::new();
    for entry in history {
        commits.push(engine.commit(entry.id).await.unwrap());
    }
    commits
}

/// From this step on, nothing reaches the disk.
fn armed(prepared: &Prepared, at_step: u64) {
    prepared.folder.store.set_fault(Fault { at_step, kind: io::ErrorKind::Other, lasts: Lasts::ForEver });
}

/// Ends the process or the power, and opens again.
fn accident(prepared: Prepared, rng: &mut Rng) -> Prepared {
    let Prepared { folder, home, engine, secret, versions, others } = prepared;
    if rng.below(2) == 0 {
        folder.kill()
    } else {
        folder.cut_power(rng)
    }
    drop(engine);
    let engine = open(&folder, home.path());
    Prepared { folder, home, engine, secret, versions, others }
}

async fn sound(engine: &Embedded) -> Vec<String> {
    engine.verify().await.unwrap().into_iter().flat_map(|check| check.problems).collect()
}

/// Whether the erased is gone, having made sure that all of it is or nothing.
async fn is_erased(prepared: &Prepared) -> bool {
    let Prepared { engine, secret, versions, others, .. } = prepared;
    let known = engine.versions(versions).await.unwrap();
    let mut gone = vec![known.iter().all(Option::is_none), !known.iter().all(Option::is_some)];
    for branch in ["main", "aside"] {
        let at = head(engine, branch).await;
        gone.push(engine.read(&at, &[*secret]).await.unwrap() == [None]);
        let made = commits(engine, &at).await.iter().filter(|commit| commit.verb == Verb::Erase).count();
        gone.push(made == 1);
        let (holding, _) = engine.containing(&at, &[CANARY.into()], &Filter::default(), 0).await.unwrap();
        gone.push(holding.is_empty());
    }
    let at = head(engine, "main").await;
    let ids: Vec<MemoryId> = others.iter().map(|other| other.id).collect();
    let read: Vec<Option<Memory>> = engine
        .read(&at, &ids)
        .await
        .unwrap()
        .into_iter()
        .map(|version| version.map(|version| version.memory))
        .collect();
    assert_eq!(read, others.iter().cloned().map(Some).collect::<Vec<_>>(), "others were hurt");
    assert!(gone.iter().all(|is_gone| *is_gone == gone[0]), "half of it is erased: {gone:?}");
    gone[0]
}

#[test]
fn an_erasure_that_is_cut_short_never_happened_or_ends_with_no_byte_left() {
    let (runtime, mut rng) = (runtime(), Rng(seed()));
    let (mut undone, mut done, mut finished) = (0, 0, 0);
    runtime.block_on(async {
        for round in 0..rounds(60) {
            let prepared = prepare(&mut rng).await;
            assert!(prepared.versions.len() >= 2);
            let author =
                Author { agent: None, agent_version: None, session: SessionId::new("eraser").unwrap(), project: None };
            let ask = Erase { ids: vec![prepared.secret], author, note: None, at: clock::now() };
            let op = op();
            armed(&prepared, 1 + rng.below(150));
            let answer = prepared.engine.erase(op, ask.clone()).await;
            let was_cut = prepared.folder.store.faults_met() > 0;
            let prepared = accident(prepared, &mut rng);
            let is_gone = is_erased(&prepared).await;
            match (&answer, is_gone) {
                (Ok(_), false) => panic!("round {round}: an acknowledged erasure is not there"),
                (_, false) => undone += 1,
                (Ok(_), true) => done += 1,
                (Err(_), true) => finished += 1,
            }
            // The same operation, asked again: it is done now, and was done once.
            let again = prepared.engine.erase(op, ask).await.unwrap();
            assert_eq!((again.is_replay, again.memories), (is_gone, 1), "round {round}, cut: {was_cut}");
            assert!(is_erased(&prepared).await);
            let all = traces("the secret", CANARY);
            let bytes = prepared.folder.bytes();
            let left = all.iter().find(|(_, trace)| bytes.windows(trace.len()).any(|window| window == trace));
            assert!(left.is_none(), "round {round}: {left:?} is left in the store");
            assert_eq!(found(prepared.home.path(), &all), Default::default(), "round {round}");
            assert_eq!(sound(&prepared.engine).await, [""; 0], "round {round}");
        }
    });
    println!("{undone} never happened, {done} were acknowledged, {finished} were finished at the opening");
    assert!(undone > 0 && done > 0 && finished > 0, "an outcome was never met: the test tests too little");
}

#[test]
fn an_erasure_that_was_cut_short_is_finished_without_being_asked() {
    let (runtime, mut rng) = (runtime(), Rng(seed()));
    let mut finished = 0;
    runtime.block_on(async {
        for round in 0..rounds(40) {
            let prepared = prepare(&mut rng).await;
            armed(&prepared, 8 + rng.below(60));
            let author =
                Author { agent: None, agent_version: None, session: SessionId::new("eraser").unwrap(), project: None };
            let ask = Erase { ids: vec![prepared.secret], author, note: None, at: clock::now() };
            let _ = prepared.engine.erase(op(), ask).await;
            let prepared = accident(prepared, &mut rng);
            if !is_erased(&prepared).await {
                continue;
            }
            // Whatever was first on the writer's thread is over.
            prepared.engine.rest().await.unwrap();
            finished += 1;
            let (all, bytes) = (traces("the secret", CANARY), prepared.folder.bytes());
            let left = all.iter().find(|(_, trace)| bytes.windows(trace.len()).any(|window| window == trace));
            assert!(left.is_none(), "round {round}: {left:?} is left in the store");
            assert_eq!(found(prepared.home.path(), &all), Default::default(), "round {round}");
        }
    });
    assert!(finished > 0, "no erasure was cut short after it had begun");
}

#[test]
fn a_compaction_that_is_cut_short_is_done_or_never_happened() {
    let (runtime, mut rng) = (runtime(), Rng(seed()));
    let (mut undone, mut done) = (0, 0);
    runtime.block_on(async {
        for round in 0..rounds(60) {
            let prepared = prepare(&mut rng).await;
            let lost = head(&prepared.engine, "aside").await.commit;
            let delete = NameChange::Delete { name: "aside".parse().unwrap() };
            let write = Write { names: vec![delete], ..write(Verb::Store, vec![]).unwrap() };
            prepared.engine.apply(op(), write).await.unwrap();
            let main = head(&prepared.engine, "main").await;
            let before = (main.commit, commits(&prepared.engine, &main).await);
            armed(&prepared, 1 + rng.below(110));
            let answer = prepared.engine.compact(clock::now().plus_ms(1_000)).await;
            let prepared = accident(prepared, &mut rng);
            let engine = &prepared.engine;
            let main = head(engine, "main").await;
            assert_eq!((main.commit, commits(engine, &main).await), before, "round {round}: main was hurt");
            let is_known = engine.names(Names::All).await.unwrap().len() == 2;
            let is_there = engine.commit(lost).await.is_ok();
            assert_eq!(is_known, is_there, "round {round}: half of it was done");
            assert!(answer.is_err() || !is_known, "round {round}: an acknowledged compaction is undone");
            if is_known {
                undone += 1
            } else {
                done += 1
            }
            engine.rest().await.unwrap();
            assert_eq!(sound(engine).await, [""; 0], "round {round}");
            engine.compact(clock::now().plus_ms(1_000)).await.unwrap();
            assert!(engine.commit(lost).await.is_err());
            apply(engine, Verb::Store, vec![Change::Store(memory("after"))]).await.unwrap();
            assert_eq!(sound(engine).await, [""; 0], "round {round}");
        }
    });
    println!("{undone} never happened, {done} were done");
    assert!(undone > 0 && done > 0, "an outcome was never met: the test tests too little");
}

#[test]
fn an_erasure_that_meets_a_full_disk_ends_when_it_is_asked_again() {
    let (runtime, mut rng) = (runtime(), Rng(seed()));
    let (mut at_step, mut failed) = (1, 0);
    runtime.block_on(async {
        loop {
            let prepared = prepare(&mut rng).await;
            let author =
                Author { agent: None, agent_version: None, session: SessionId::new("eraser").unwrap(), project: None };
            let ask = Erase { ids: vec![prepared.secret], author, note: None, at: clock::now() };
            let (op, kind) = (op(), io::ErrorKind::StorageFull);
            prepared.folder.store.set_fault(Fault { at_step, kind, lasts: Lasts::ForEver });
            let answer = prepared.engine.erase(op, ask.clone()).await;
            let met = prepared.folder.store.clear_fault();
            assert_eq!(answer.is_err(), met > 0, "step {at_step}: {answer:?}");
            failed += u32::from(answer.is_err());
            let again = prepared.engine.erase(op, ask).await;
            assert_eq!(again.as_ref().map(|erased| erased.memories).ok(), Some(1), "step {at_step}: {again:?}");
            assert!(is_erased(&prepared).await);
            let (all, bytes) = (traces("the secret", CANARY), prepared.folder.bytes());
            let left = all.iter().find(|(_, trace)| bytes.windows(trace.len()).any(|window| window == trace));
            assert!(left.is_none(), "step {at_step}: {left:?} is left in the store");
            apply(&prepared.engine, Verb::Store, vec![Change::Store(memory("after"))]).await.unwrap();
            assert_eq!(sound(&prepared.engine).await, [""; 0], "step {at_step}");
            if met == 0 {
                break;
            }
            at_step += 1 + rng.below(5);
        }
    });
    println!("{failed} erasures met a full disk, the last at step {at_step}");
    assert!(failed > 5, "hardly any erasure met a full disk");
}

#[test]
fn readers_meet_no_error_while_the_file_is_written_anew() {
    let (home, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let engine = std::sync::Arc::new(crate::open(home.path()).unwrap());
    let kept: Vec<Memory> = (0..30).map(|n| memory(&format!("kept {n} {}", "x".repeat(500)))).collect();
    runtime.block_on(async {
        for memory in &kept {
            apply(&*engine, Verb::Store, vec![Change::Store(memory.clone())]).await.unwrap();
        }
    });
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let read = || {
        let (runtime, mut reads) = (crate::runtime(), 0u32);
        let ids: Vec<MemoryId> = kept.iter().map(|memory| memory.id).collect();
        while !is_over.load(std::sync::atomic::Ordering::Acquire) {
            runtime.block_on(async {
                let at = head(&engine, "main").await;
                let read = engine.read(&at, &ids).await.unwrap();
                assert_eq!(read.iter().flatten().count(), kept.len());
                let listed = engine.page(&at, &Filter::default(), ALL).await.unwrap();
                assert!(listed.memories.len() >= kept.len());
                engine.history(&at, &CommitFilter::default(), Walk::Branch, ALL).await.unwrap();
            });
            reads += 1;
        }
        reads
    };
    std::thread::scope(|scope| {
        let readers = [scope.spawn(read), scope.spawn(read)];
        runtime.block_on(async {
            for _ in 0..rounds(15) {
                let gone = memory("gone");
                apply(&*engine, Verb::Store, vec![Change::Store(gone.clone())]).await.unwrap();
                let session = SessionId::new("eraser").unwrap();
                let author = Author { agent: None, agent_version: None, session, project: None };
                engine.erase(op(), Erase { ids: vec![gone.id], author, note: None, at: clock::now() }).await.unwrap();
                engine.compact(clock::now()).await.unwrap();
            }
        });
        is_over.store(true, std::sync::atomic::Ordering::Release);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
}

#[test]
fn what_a_rewrite_left_beside_the_store_is_gone_after_the_next_opening() {
    let (home, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let (path, secret) = (home.path().join("memoria.redb"), memory(CANARY));
    let engine = crate::open(home.path()).unwrap();
    runtime.block_on(apply(&engine, Verb::Store, vec![Change::Store(secret.clone())])).unwrap();
    drop(engine);
    let beside = |end: &str| path.with_extension(end);
    // Killed while the new file was filled; after the old one had got its second name; after the new one had its place.
    std::fs::write(beside("redb.new"), "half").unwrap();
    std::fs::hard_link(&path, beside("redb.old")).unwrap();
    let engine = crate::open(home.path()).unwrap();
    let there = |engine: &Embedded| {
        runtime.block_on(async { engine.read(&head(engine, "main").await, &[secret.id]).await.unwrap()[0].is_some() })
    };
    assert!(there(&engine), "the store itself was taken for what was left of it");
    drop(engine);
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 2);
    let old = std::fs::read(&path).unwrap();
    let engine = crate::open(home.path()).unwrap();
    runtime.block_on(apply(&engine, Verb::Store, vec![Change::Store(memory("and more"))])).unwrap();
    drop(engine);
    std::fs::write(beside("redb.old"), &old).unwrap();
    // A second name tells whether the bytes went, and not only the name.
    std::fs::hard_link(beside("redb.old"), home.path().join("witness")).unwrap();
    drop(crate::open(home.path()).unwrap());
    let witness = std::fs::read(home.path().join("witness")).unwrap();
    assert!(witness.len() == old.len() && witness.iter().all(|byte| *byte == 0), "the old bytes were not overwritten");
    assert!(!beside("redb.old").exists() && !beside("redb.new").exists());
    assert!(there(&crate::open(home.path()).unwrap()));
}
