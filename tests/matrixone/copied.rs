//! Whole stores that go from files to a server and back.

use std::path::Path;

use memoria::clock;
use memoria::engine::Engine;
use memoria::engine::conformance::samples::memory;
use memoria::engine::copy::{Taker, agreement, carry};
use memoria::engine::embedded::{self, Embedded};
use memoria::error::{Error, ErrorKind};

use crate::eventful::{correct, eventful, marks, store};
use crate::server::{Database, runtime};

const CACHE_BYTES: usize = 1 << 20;

fn open(home: &Path) -> Embedded {
    Embedded::open(&home.join("memoria.redb"), &home.join("index"), &home.join("vectors"), CACHE_BYTES).unwrap()
}

#[test]
fn matrixone_takes_a_store_gives_it_back_and_both_are_the_same() {
    let Some(database) = Database::fresh("there_and_back") else { return };
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let engine = open(old.path());
        let few = eventful(&engine, 1_200).await;
        let (mut cuts, mut left) = (0, 3);
        while let Err(error) = carry(&engine, &database.incoming(), |_| {
            left -= 1;
            if left > 0 { Ok(()) } else { Err(Error::cancelled("cut")) }
        })
        .await
        {
            assert_eq!(error.kind, ErrorKind::Cancelled, "{error}");
            let refused = database.engine().cut_short().await;
            assert_eq!(refused.kind, ErrorKind::Unavailable, "half a store serves nobody: {refused}");
            cuts += 1;
            // Comparing begins anew each time, and has to come to its end.
            left = 8 << cuts;
        }
        let shared = database.engine();
        let same = agreement(&engine, &shared, clock::now()).await.unwrap();
        assert_eq!((same.branches, same.snapshots, same.questions), (3, 1, 20));
        let known = marks(&engine, &few).await;
        assert!(known[4].2.useful == 1 && known[5].0 && known[6].1.is_some(), "{known:?}");
        assert_eq!(marks(&shared, &few).await, known, "what was said, pins and ends came along");
        for at in 0..2 {
            correct(&engine, "main", &few[4 + at], "both go on").await;
            correct(&shared, "main", &few[4 + at], "both go on").await;
        }
        correct(&shared, "idea", &few[9], "on another branch too").await;
        let back = embedded::Incoming::open(&new.path().join("memoria.redb"), CACHE_BYTES).unwrap();
        carry(&shared, &back, |_| Ok(())).await.unwrap();
        let home = open(new.path());
        agreement(&shared, &home, clock::now()).await.unwrap();
        assert_eq!(marks(&home, &few).await, marks(&shared, &few).await, "and back");
        let problems: Vec<_> = home.verify().await.unwrap();
        assert!(problems.iter().all(|check| check.problems.is_empty()), "{problems:#?}");
    });
}

#[test]
fn matrixone_refuses_to_overwrite_a_store_and_takes_an_empty_one() {
    let Some(database) = Database::fresh("overwrite") else { return };
    let old = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let engine = open(old.path());
        store(&engine, "main", &[memory("one")]).await;
        let other = database.engine();
        other.status(clock::now()).await.unwrap();
        carry(&engine, &database.incoming(), |_| Err(Error::cancelled("cut"))).await.unwrap_err();
        database.incoming().abandon().await.unwrap();
        let other = database.engine();
        store(&other, "main", &[memory("another")]).await;
        let refused = carry(&engine, &database.incoming(), |_| Ok(())).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict, "{refused}");
        assert_eq!(other.status(clock::now()).await.unwrap().memories, 1, "it is what it was");
    });
}

/// What somebody hears who opens it now.
trait CutShort {
    async fn cut_short(&self) -> Error;
}

impl<E: Engine> CutShort for E {
    async fn cut_short(&self) -> Error {
        self.status(clock::now()).await.expect_err("it serves")
    }
}
