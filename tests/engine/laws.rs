//! The laws of every engine, and those that need a store to be opened again or many tasks at once.

use std::sync::Arc;

use memoria::clock;
use memoria::engine::conformance as laws;
use memoria::engine::conformance::samples::{ALL, apply, memory, op, write};
use memoria::engine::{At, Engine};
use memoria::error::ErrorKind;
use memoria::lexical;
use memoria::model::{
    Change, CommitFilter, CommitId, Expect, Filter, Memory, Name, OpId, Query, Revision, Time, Verb, Walk, Write,
};

use crate::{Rng, open, runtime, seed};

macro_rules! tests_of {
    ($($law:ident,)*) => {$(
        #[test]
        fn $law() {
            let home = tempfile::tempdir().unwrap();
            let engine = open(home.path()).unwrap();
            if let Err(error) = runtime().block_on(laws::$law(&engine)) {
                panic!("{error}");
            }
        }
    )*};
}

memoria::engine_laws!(tests_of);

async fn head(engine: &impl Engine) -> At {
    engine.resolve(&Revision::Name(Name::main()), clock::now()).await.unwrap()
}

/// Everything that a reader can see at a revision.
async fn view(engine: &impl Engine, at: &At) -> String {
    let listing = engine.page(at, &Filter::default(), ALL).await.unwrap();
    let mut out = format!("{} {} {:?}\n", at.live, at.tokens, listing);
    for question in ["build cache", "deploy", "note 3", "nothing of the kind"] {
        let terms = lexical::terms_of_question(question);
        let query = Query { terms, vector: None, filter: Filter::default(), limit: 20, around: 2 };
        out += &format!("{:?}\n", engine.candidates(at, &query).await.unwrap());
    }
    out += &format!("{:?}", engine.history(at, &CommitFilter::default(), Walk::Branch, ALL).await.unwrap());
    out
}

/// A few commits of every kind, the same for the same seed; the commits that they made.
async fn some_history(engine: &impl Engine, rng: &mut Rng) -> Vec<CommitId> {
    let mut memories: Vec<Memory> = Vec::new();
    let mut commits = Vec::new();
    for n in 0..40 {
        let pick = rng.below(memories.len() as u64) as usize;
        let change = match rng.below(4) {
            0 if !memories.is_empty() => {
                let text = format!("corrected note {n} about deploy");
                let memory = Memory { text, ..memories[pick].clone() };
                Change::Replace { memory, expect: Expect::Live }
            }
            1 if !memories.is_empty() => Change::Remove { id: memories.swap_remove(pick).id, expect: Expect::Live },
            _ => {
                memories.push(memory(&format!("note {n} on the build cache")));
                Change::Store(memories[memories.len() - 1].clone())
            }
        };
        commits.extend(apply(engine, Verb::Store, vec![change]).await.unwrap().commit);
    }
    commits
}

#[test]
fn derived_data_can_be_dropped_and_rebuilt_with_equal_answers() {
    let (home, runtime, mut rng) = (tempfile::tempdir().unwrap(), runtime(), Rng(seed()));
    let engine = open(home.path()).unwrap();
    let commits = runtime.block_on(some_history(&engine, &mut rng));
    let revisions: Vec<Revision> = commits.iter().map(|commit| Revision::Commit(commit.to_string())).collect();
    let views = |engine: &memoria::engine::embedded::Embedded| {
        runtime.block_on(async {
            let mut views = Vec::new();
            for revision in &revisions {
                let at = engine.resolve(revision, clock::now()).await.unwrap();
                views.push(view(engine, &at).await);
            }
            views
        })
    };
    let before = views(&engine);
    runtime.block_on(engine.rest()).unwrap();
    drop(engine);
    std::fs::remove_dir_all(home.path().join("derived")).unwrap();
    let engine = open(home.path()).unwrap();
    assert_eq!(views(&engine), before, "with derived data gone, answers differ");
    let checks = runtime.block_on(engine.verify()).unwrap();
    assert!(checks.iter().all(|check| check.problems.is_empty()), "{checks:?}");
}

#[test]
fn a_piece_of_the_index_that_was_not_named_before_a_kill_is_made_again() {
    let (home, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let engine = open(home.path()).unwrap();
    runtime.block_on(some_history(&engine, &mut Rng(seed())));
    runtime.block_on(engine.rest()).unwrap();
    let at = runtime.block_on(head(&engine));
    let before = runtime.block_on(view(&engine, &at));
    drop(engine);
    let files = || std::fs::read_dir(home.path().join("derived/index")).unwrap().map(|entry| entry.unwrap().path());
    for piece in files() {
        std::fs::rename(&piece, piece.with_extension("unready")).unwrap();
    }
    let engine = open(home.path()).unwrap();
    runtime.block_on(engine.rest()).unwrap();
    assert!(files().all(|file| file.extension().is_some_and(|extension| extension == "segment")), "one is half named");
    let at = runtime.block_on(head(&engine));
    assert_eq!(runtime.block_on(view(&engine, &at)), before);
}

#[test]
fn a_store_reads_the_same_after_it_was_closed_and_opened() {
    let (home, runtime, mut rng) = (tempfile::tempdir().unwrap(), runtime(), Rng(seed()));
    let engine = open(home.path()).unwrap();
    runtime.block_on(some_history(&engine, &mut rng));
    let (op, order) = (op(), write(Verb::Store, vec![Change::Store(memory("remembered"))]).unwrap());
    let first = runtime.block_on(engine.apply(op, order.clone())).unwrap();
    let at = runtime.block_on(head(&engine));
    let before = runtime.block_on(view(&engine, &at));
    drop(engine);
    let engine = open(home.path()).unwrap();
    let at = runtime.block_on(head(&engine));
    assert_eq!(runtime.block_on(view(&engine, &at)), before);
    let again = runtime.block_on(engine.apply(op, order)).unwrap();
    assert!(again.is_replay, "an operation was done again after the store was opened again");
    assert_eq!((again.commit, again.outcomes, again.memo), (first.commit, first.outcomes, first.memo));
}

#[test]
fn thirty_two_writers_lose_nothing_and_make_one_linear_history() {
    const WRITERS: u32 = 32;
    const WRITES: u32 = 20;
    let home = tempfile::tempdir().unwrap();
    let engine = Arc::new(open(home.path()).unwrap());
    let runtime = runtime();
    runtime.block_on(async {
        let writer = |writer: u32| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for write in 0..WRITES {
                    let memory = memory(&format!("writer {writer} write {write}"));
                    let applied = apply(&*engine, Verb::Store, vec![Change::Store(memory.clone())]).await.unwrap();
                    // What is acknowledged is there, whatever the others do meanwhile.
                    let at = head(&*engine).await;
                    let read = engine.read(&at, &[memory.id]).await.unwrap();
                    assert_eq!(read[0].as_ref().map(|version| &version.memory), Some(&memory));
                    acknowledged.push(applied.commit.unwrap());
                }
                acknowledged
            })
        };
        let writers: Vec<_> = (0..WRITERS).map(writer).collect();
        let mut acknowledged = Vec::new();
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
        let at = head(&*engine).await;
        let (history, total) = engine.history(&at, &CommitFilter::default(), Walk::Branch, ALL).await.unwrap();
        assert_eq!((total, at.live), (WRITERS * WRITES + 1, WRITERS * WRITES));
        for pair in history.windows(2) {
            assert_eq!(pair[0].bare.parents, [pair[1].id], "history is not one line");
            assert_eq!(pair[0].added, 1, "one commit holds two writers' work");
        }
        let mut found: Vec<_> = history[..history.len() - 1].iter().map(|entry| entry.id).collect();
        found.sort_unstable();
        acknowledged.sort_unstable();
        assert_eq!(found, acknowledged);
        for check in engine.verify().await.unwrap() {
            assert!(check.problems.is_empty(), "{check:?}");
        }
    });
}

#[test]
fn a_reply_that_nobody_asked_for_in_a_week_expires_and_is_never_applied_again() {
    let (home, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let (old, recent) = (op(), op());
    let order = |at: Time, text: &str| Write { at, ..write(Verb::Store, vec![Change::Store(memory(text))]).unwrap() };
    let (now, day_ms) = (clock::now(), 24 * 60 * 60 * 1_000);
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        engine.apply(old, order(now.plus_ms(-8 * day_ms), "old")).await.unwrap();
        engine.apply(recent, order(now.plus_ms(-6 * day_ms), "recent")).await.unwrap();
        engine.rest().await.unwrap();
    });
    let check = |engine: &memoria::engine::embedded::Embedded| {
        runtime.block_on(async {
            let again = engine.apply(old, order(now, "once more")).await;
            assert_eq!(again.unwrap_err().kind, ErrorKind::Expired);
            assert_eq!(engine.replayed(old).await.unwrap_err().kind, ErrorKind::Expired);
            assert!(engine.apply(recent, order(now, "once more")).await.unwrap().is_replay);
            assert_eq!(head(engine).await.live, 2);
        });
    };
    check(&engine);
    drop(engine);
    check(&open(home.path()).unwrap());
}

#[test]
fn acknowledged_replies_go_with_the_next_write() {
    let (home, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        let store = |text: &str| write(Verb::Store, vec![Change::Store(memory(text))]).unwrap();
        let ops: Vec<OpId> = (0..3).map(|_| op()).collect();
        engine.apply(ops[0], store("one")).await.unwrap();
        engine.apply(ops[1], store("two")).await.unwrap();
        engine.acknowledge(vec![ops[0]]);
        assert_eq!(engine.replayed(ops[0]).await.unwrap(), None, "what was acknowledged is no replay any more");
        let order = Write { acknowledged: vec![ops[1]], ..store("three") };
        engine.apply(ops[2], order).await.unwrap();
        assert_eq!(engine.replayed(ops[0]).await.unwrap(), None);
        assert_eq!(engine.replayed(ops[1]).await.unwrap(), None);
        assert!(engine.replayed(ops[2]).await.unwrap().is_some());
    });
}
