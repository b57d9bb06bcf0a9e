//! What a write costs the disk, counted in bytes: the same for a small store and a large one where it should be.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memoria::clock;
use memoria::engine::Engine;
use memoria::engine::conformance::samples::{memory, op, write};
use memoria::engine::embedded::Embedded;
use memoria::model::{Change, Name, NameChange, NameKind, Revision, Verb, Write};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use crate::{CACHE_BYTES, runtime};

/// A disk in memory that counts what is written to it.
#[derive(Clone, Debug, Default)]
struct Counted(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    disk: InMemoryBackend,
    writes: AtomicU64,
    bytes: AtomicU64,
}

impl StorageBackend for Counted {
    fn len(&self) -> io::Result<u64> {
        self.0.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.disk.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.writes.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.0.disk.write(offset, data)
    }
}

/// A store of so many memories, and what is written to its disk.
struct Fixture {
    disk: Counted,
    engine: Embedded,
    _home: tempfile::TempDir,
}

impl Fixture {
    async fn of(memories: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        let disk = Counted::default();
        let plugged = disk.clone();
        let engine = Embedded::with_backend(
            move || Ok(plugged.clone()),
            &home.path().join("index"),
            &home.path().join("vectors"),
            CACHE_BYTES,
        )
        .unwrap();
        let mut number = 0;
        while number < memories {
            let stores = (number..memories.min(number + 2_000)).map(|n| Change::Store(memory(&format!("fact {n}"))));
            let stores: Vec<Change> = stores.collect();
            number += stores.len();
            engine.apply(op(), write(Verb::Import, stores).unwrap()).await.unwrap();
        }
        Self { disk, engine, _home: home }
    }

    /// Bytes that a write brings to the disk, the least of several.
    async fn cost(&self, mut make: impl FnMut(u32) -> Write) -> (u64, u64) {
        let mut costs = Vec::new();
        for turn in 0..16 {
            let write = make(turn);
            let before = self.counts();
            self.engine.apply(op(), write).await.unwrap();
            let after = self.counts();
            costs.push((after.0 - before.0, after.1 - before.1));
        }
        costs.sort_unstable();
        costs[costs.len() / 2]
    }

    fn counts(&self) -> (u64, u64) {
        (self.disk.0.writes.load(Ordering::Relaxed), self.disk.0.bytes.load(Ordering::Relaxed))
    }

    async fn branching(&self) -> (u64, u64) {
        let head = self.engine.resolve(&Revision::Name(Name::main()), clock::now()).await.unwrap();
        self.cost(|turn| Write {
            names: vec![NameChange::Create {
                name: format!("branch-{turn}").parse().unwrap(),
                kind: NameKind::Branch,
                commit: head.commit,
                note: None,
            }],
            ..write(Verb::Store, vec![]).unwrap()
        })
        .await
    }

    async fn storing(&self) -> (u64, u64) {
        self.cost(|turn| write(Verb::Store, vec![Change::Store(memory(&format!("one more {turn}")))]).unwrap()).await
    }
}

#[test]
fn making_a_branch_writes_the_same_to_the_disk_whatever_the_size_of_the_store() {
    let (small, large) = runtime().block_on(async {
        let (small, large) = (Fixture::of(10).await, Fixture::of(20_000).await);
        println!(
            "a store writes {:?} in a small store, {:?} in a large one",
            small.storing().await,
            large.storing().await
        );
        (small.branching().await, large.branching().await)
    });
    println!("a branch writes {small:?} in a small store, {large:?} in a large one");
    assert!(large.1 <= small.1 + small.1 / 4, "a branch writes {small:?} in a small store, {large:?} in a large one");
}
