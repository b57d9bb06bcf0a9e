//! The disk is full, or fails, at the Nth step, for N = 1, 2, 3 … until a run passes without meeting it: a typed
//! error, no panic, nothing acknowledged lost, and the engine goes on by itself when there is space again.

use std::io;
use std::path::Path;

use memoria::clock;
use memoria::engine::Engine;
use memoria::engine::conformance::samples::{memory, op, write};
use memoria::engine::embedded::Embedded;
use memoria::error::{ErrorKind, Result};
use memoria::model::{Change, Expect, Memory, Name, OpId, Revision, Verb, VersionId, Write};

use crate::disks::{Disk, Fault, Lasts};
use crate::{CACHE_BYTES, runtime};

fn open(disk: &Disk, home: &Path) -> Result<Embedded> {
    let disk = disk.clone();
    Embedded::with_backend(move || Ok(disk.plug()), &home.join("index"), &home.join("vectors"), CACHE_BYTES)
}

/// Stores, a correction and a purge, one of them long enough to make the file grow.
fn script() -> Vec<(OpId, Write)> {
    let (first, second) = (memory("first"), memory(&"long ".repeat(20_000)));
    let other = Memory { text: "other".into(), ..first.clone() };
    let changes = [
        (Verb::Store, Change::Store(first.clone())),
        (Verb::Store, Change::Store(second)),
        (Verb::Correct, Change::Replace { memory: other, expect: Expect::Live }),
        (Verb::Purge, Change::Remove { id: first.id, expect: Expect::Live }),
    ];
    changes.into_iter().map(|(verb, change)| (op(), write(verb, vec![change]).unwrap())).collect()
}

async fn check(engine: &Embedded, script: &[(OpId, Write)]) {
    let at = engine.resolve(&Revision::Name(Name::main()), clock::now()).await.unwrap();
    assert_eq!(at.live, 1, "the script leaves one memory");
    for (op, _) in script {
        assert!(engine.replayed(*op).await.unwrap().is_some(), "an acknowledged write is gone");
    }
    for check in engine.verify().await.unwrap() {
        assert!(check.problems.is_empty(), "{check:?}");
    }
    assert_eq!(engine.versions(&[VersionId([0; 32])]).await.unwrap(), [None]);
}

/// One run with the fault at this step. Whether the fault was met.
async fn run(fault: Fault) -> bool {
    let (disk, home) = (Disk::default(), tempfile::tempdir().unwrap());
    drop(open(&disk, home.path()).unwrap());
    disk.set_fault(fault);
    let engine = match open(&disk, home.path()) {
        Ok(engine) => engine,
        Err(error) => {
            assert!(disk.clear_fault() > 0, "{error}");
            let is_typed = matches!(error.kind, ErrorKind::Full | ErrorKind::Unavailable);
            assert!(is_typed, "a disk that failed at opening came to {:?}: {error}", error.kind);
            open(&disk, home.path()).expect("it opens when the fault is gone")
        }
    };
    let script = script();
    for (op, order) in &script {
        if let Err(error) = engine.apply(*op, order.clone()).await {
            assert!(disk.faults_met() > 0, "{error}");
            let is_full = fault.kind == io::ErrorKind::StorageFull && error.kind == ErrorKind::Full;
            assert!(is_full || error.kind == ErrorKind::Unknown, "{:?} came to {:?}", fault.kind, error.kind);
            if fault.lasts == Lasts::ForEver {
                let again = engine.apply(*op, order.clone()).await;
                assert!(again.is_err_and(|error| error.kind != ErrorKind::Internal), "a dead disk took a write");
            }
            disk.clear_fault();
            let known = engine.replayed(*op).await.expect("reads go on when the fault is gone");
            assert!(!(is_full && known.is_some()), "nothing was said to be kept, but it was");
            let again = engine.apply(*op, order.clone()).await.expect("writes go on when the fault is gone");
            assert_eq!(again.is_replay, known.is_some());
        }
    }
    check(&engine, &script).await;
    let was_met = disk.faults_met() > 0;
    drop(engine);
    disk.clear_fault();
    check(&open(&disk, home.path()).expect("it opens afterwards"), &script).await;
    was_met
}

fn at_every_step(kind: io::ErrorKind, lasts: Lasts) {
    let runtime = runtime();
    let met = (1..).take_while(|at_step| runtime.block_on(run(Fault { at_step: *at_step, kind, lasts }))).count();
    println!("{kind:?} {lasts:?}: {met} steps, each failed once");
    assert!(met > 20, "only {met} steps could fail: the test tests nothing");
}

#[test]
fn a_disk_that_is_full_once_loses_nothing() {
    at_every_step(io::ErrorKind::StorageFull, Lasts::Once);
}

#[test]
fn a_disk_that_stays_full_loses_nothing() {
    at_every_step(io::ErrorKind::StorageFull, Lasts::ForEver);
}

#[test]
fn a_disk_that_fails_once_loses_nothing() {
    at_every_step(io::ErrorKind::Other, Lasts::Once);
}

#[test]
fn a_disk_that_keeps_failing_loses_nothing() {
    at_every_step(io::ErrorKind::Other, Lasts::ForEver);
}
