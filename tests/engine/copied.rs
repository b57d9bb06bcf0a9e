//! A store that is copied row by row into another: the same afterwards, wherever the copying was cut short, and refused
//! where it would overwrite something.

use std::path::Path;

use memoria::clock;
use memoria::engine::conformance::samples::{memory, op};
use memoria::engine::copy::{Agreement, Cut, Giver, Portion, Stage, Standing, Table, Taker, agreement, carry};
use memoria::engine::embedded::{Embedded, Incoming};
use memoria::engine::{Engine, Erase};
use memoria::error::{Error, ErrorKind, Result};
use memoria::model::{Author, Name, Revision, SessionId};

use crate::eventful::{correct, eventful, marks, store};
use crate::{CACHE_BYTES, Rng, open, rounds, runtime, seed};

fn incoming(home: &Path) -> Incoming {
    Incoming::open(&home.join("memoria.redb"), CACHE_BYTES).unwrap()
}

#[track_caller]
fn sound(checks: &[memoria::model::Check]) {
    let problems: Vec<_> = checks.iter().filter(|check| !check.problems.is_empty()).collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn a_copy_is_the_same_store_and_goes_on_as_the_first_would() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let engine = open(old.path()).unwrap();
        let few = eventful(&engine, 5_000).await;
        let mut stages = Vec::new();
        carry(&engine, &incoming(new.path()), |progress| {
            stages.push((progress.stage, progress.share));
            Ok(())
        })
        .await
        .unwrap();
        assert!(stages.iter().map(|(_, share)| *share).is_sorted(), "it never goes back: {stages:?}");
        for stage in [Stage::Copying, Stage::Comparing, Stage::Sealing] {
            assert!(stages.iter().any(|(at, _)| *at == stage), "{stage:?}");
        }
        let copy = open(new.path()).unwrap();
        let same = agreement(&engine, &copy, clock::now()).await.unwrap();
        assert_eq!((same.branches, same.snapshots, same.questions), (3, 1, 20));
        sound(&copy.verify().await.unwrap());
        for at in [&engine, &copy] {
            correct(at, "main", &few[4], "both go on").await;
        }
        let known = marks(&copy, &few).await;
        assert_eq!(known, marks(&engine, &few).await, "what was said, pins and ends came along");
        assert_eq!((known[3].2.is_none(), known[4].2.useful, known[4].2.wrong), (true, 1, 1));
        assert!(known[5].0 && known[6].1.is_some());
        assert_eq!(copy.pending(&Name::main()).await.unwrap(), engine.pending(&Name::main()).await.unwrap());
        let state = async |of: &Embedded| of.resolve(&Revision::Name(Name::main()), clock::now()).await.unwrap().state;
        assert_eq!(state(&copy).await, state(&engine).await, "the next version has the same number in both");
        sound(&copy.verify().await.unwrap());
    });
}

#[test]
fn a_copy_that_is_cut_short_anywhere_goes_on_and_takes_what_came_meanwhile() {
    let mut rng = Rng(seed());
    for _ in 0..rounds(4) {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        runtime().block_on(async {
            let engine = open(old.path()).unwrap();
            eventful(&engine, 5_000).await;
            let (mut cuts, mut left) = (0, rng.below(5));
            loop {
                let done = carry(&engine, &incoming(new.path()), |_| match left.checked_sub(1) {
                    Some(less) => {
                        left = less;
                        Ok(())
                    }
                    None => Err(Error::cancelled("cut")),
                })
                .await;
                match done {
                    Ok(_) => break,
                    Err(error) => assert_eq!(error.kind, ErrorKind::Cancelled, "{error}"),
                }
                assert!(open(new.path()).is_ok_and(|_| true), "what is not whole is not in the place of a store");
                std::fs::remove_file(new.path().join("memoria.redb")).unwrap();
                cuts += 1;
                if cuts < 4 {
                    store(&engine, "main", &[memory(&format!("said meanwhile, {cuts}"))]).await;
                }
                left = 1 + rng.below(9) + cuts;
            }
            assert!(cuts > 0);
            let copy = open(new.path()).unwrap();
            let same = agreement(&engine, &copy, clock::now()).await.unwrap();
            assert_eq!(same, Agreement { questions: 20, ..same });
            sound(&copy.verify().await.unwrap());
        });
    }
}

#[test]
fn a_store_with_a_history_is_never_overwritten_and_an_empty_one_is() {
    let (old, full, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let engine = open(old.path()).unwrap();
        store(&engine, "main", &[memory("one")]).await;
        let other = open(full.path()).unwrap();
        store(&other, "main", &[memory("another")]).await;
        drop((other, open(empty.path()).unwrap()));
        let refused = carry(&engine, &incoming(full.path()), |_| Ok(())).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict, "{refused}");
        carry(&engine, &incoming(empty.path()), |_| Ok(())).await.unwrap();
        agreement(&engine, &open(empty.path()).unwrap(), clock::now()).await.unwrap();
    });
}

#[test]
fn an_erasure_while_a_copy_is_under_way_ends_it_and_nothing_of_it_is_left() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let engine = open(old.path()).unwrap();
        let secret = memory("the secret is xyzzy");
        store(&engine, "main", std::slice::from_ref(&secret)).await;
        carry(&engine, &incoming(new.path()), |_| Err(Error::cancelled("cut"))).await.unwrap_err();
        let author = Author { agent: None, agent_version: None, session: SessionId::new("s").unwrap(), project: None };
        engine.erase(op(), Erase { ids: vec![secret.id], author, note: None, at: clock::now() }).await.unwrap();
        let taker = incoming(new.path());
        let refused = carry(&engine, &taker, |_| Ok(())).await.unwrap_err();
        assert!(refused.message.contains("--abandon"), "{refused}");
        taker.abandon().await.unwrap();
        assert_eq!(std::fs::read_dir(new.path()).unwrap().count(), 0, "nothing is left");
        carry(&engine, &incoming(new.path()), |_| Ok(())).await.unwrap();
        agreement(&engine, &open(new.path()).unwrap(), clock::now()).await.unwrap();
    });
}

/// Loses the last row of everything it takes.
struct Lossy(Incoming);

impl Giver for Lossy {
    async fn cut(&self) -> Result<Cut> {
        self.0.cut().await
    }

    async fn give(&self, cut: &Cut, table: Table, after: &[u8]) -> Result<Portion> {
        self.0.give(cut, table, after).await
    }
}

impl Taker for Lossy {
    async fn standing(&self) -> Result<Option<Standing>> {
        self.0.standing().await
    }

    async fn begin(&self, standing: &Standing) -> Result<()> {
        self.0.begin(standing).await
    }

    async fn take(&self, mut portion: Portion, from_scratch: bool, then: &Standing) -> Result<()> {
        portion.rows.pop();
        self.0.take(portion, from_scratch, then).await
    }

    async fn seal(&self, standing: &Standing) -> Result<()> {
        self.0.seal(standing).await
    }

    async fn abandon(&self) -> Result<()> {
        self.0.abandon().await
    }
}

#[test]
fn a_copy_that_lost_a_row_is_never_sealed() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let engine = open(old.path()).unwrap();
        store(&engine, "main", &[memory("one"), memory("two")]).await;
        let refused = carry(&engine, &Lossy(incoming(new.path())), |_| Ok(())).await.unwrap_err();
        assert!(refused.message.contains("2 rows here and 1 there"), "{refused}");
        assert!(!new.path().join("memoria.redb").exists());
    });
}
