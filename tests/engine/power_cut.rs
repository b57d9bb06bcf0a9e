//! Power cuts: whatever was acknowledged is there when power returns, and the store opens. The control, a disk whose
//! sync does nothing, must lose data: it shows that the test would notice.

use std::io;
use std::path::Path;

use memoria::clock;
use memoria::engine::Engine;
use memoria::engine::conformance::samples::{ALL, memory, op, write};
use memoria::engine::embedded::Embedded;
use memoria::error::Result;
use memoria::model::{
    Applied, Change, CommitFilter, Expect, Memory, MemoryId, Name, OpId, Outcome, Revision, Verb, Walk,
};

use crate::disks::{Disk, Fault, Lasts};
use crate::{CACHE_BYTES, Rng, rounds, runtime, seed};

/// A store is used for so many cuts, then a new one is begun: it stays small, and each age is met often.
const CUTS_PER_STORE: u64 = 20;

struct Acknowledged {
    op: OpId,
    applied: Applied,
    memory: Option<Memory>,
}

fn open(disk: &Disk, home: &Path) -> Result<Embedded> {
    let disk = disk.clone();
    Embedded::with_backend(move || Ok(disk.plug()), &home.join("index"), &home.join("vectors"), CACHE_BYTES)
}

/// A random change of what is there, or a new memory.
fn change(rng: &mut Rng, live: &[MemoryId]) -> (Verb, Change, Option<Memory>) {
    let pick = live.get(rng.below(live.len() as u64 * 2) as usize).copied();
    let padding = "x".repeat(rng.below(3_000) as usize);
    let fresh = memory(&format!("note {} {padding}", rng.draw()));
    match (rng.below(3), pick) {
        (0, Some(id)) => (Verb::Purge, Change::Remove { id, expect: Expect::Live }, None),
        (1, Some(id)) => {
            let memory = Memory { id, ..fresh };
            (Verb::Correct, Change::Replace { memory: memory.clone(), expect: Expect::Live }, Some(memory))
        }
        _ => (Verb::Store, Change::Store(fresh.clone()), Some(fresh)),
    }
}

/// Writes, three at a time, until power goes at some step.
async fn write_until_cut(engine: &Embedded, disk: &Disk, rng: &mut Rng) -> Vec<Acknowledged> {
    let (at_step, kind) = (1 + rng.below(120), io::ErrorKind::Other);
    disk.set_fault(Fault { at_step, kind, lasts: Lasts::ForEver });
    let (mut acknowledged, mut live) = (Vec::new(), Vec::new());
    while disk.faults_met() == 0 {
        let changes: Vec<_> = (0..3).map(|_| (op(), change(rng, &live))).collect();
        let send = |(op, (verb, change, memory)): (OpId, (Verb, Change, Option<Memory>))| async move {
            let applied = engine.apply(op, write(verb, vec![change]).unwrap()).await.ok()?;
            Some(Acknowledged { op, applied, memory })
        };
        let [a, b, c] = <[_; 3]>::try_from(changes).unwrap_or_else(|_| unreachable!());
        let (a, b, c) = tokio::join!(send(a), send(b), send(c));
        for done in [a, b, c].into_iter().flatten() {
            live.extend(done.memory.as_ref().map(|memory| memory.id));
            acknowledged.push(done);
        }
    }
    acknowledged
}

/// What of the acknowledged is not as it was said to be.
async fn lost(engine: &Embedded, acknowledged: &[Acknowledged]) -> Vec<String> {
    let mut lost = Vec::new();
    let at = engine.resolve(&Revision::Name(Name::main()), clock::now()).await.unwrap();
    let (history, _) = engine.history(&at, &CommitFilter::default(), Walk::Branch, ALL).await.unwrap();
    for done in acknowledged {
        let known = engine.replayed(done.op).await.unwrap();
        if known.as_ref().map(|known| (&known.outcomes, known.commit))
            != Some((&done.applied.outcomes, done.applied.commit))
        {
            lost.push(format!("the reply to {:?}: {known:?}", done.op));
        }
        if !done.applied.commit.is_none_or(|commit| history.iter().any(|entry| entry.id == commit)) {
            lost.push(format!("the commit of {:?}", done.op));
        }
        if let [Outcome::Stored { version, .. } | Outcome::Replaced { after: version, .. }] = done.applied.outcomes[..]
            && engine.versions(&[version]).await.unwrap() != [done.memory.clone()]
        {
            lost.push(format!("the text of {:?}", done.op));
        }
    }
    for check in engine.verify().await.unwrap() {
        lost.extend(check.problems);
    }
    lost
}

/// Cuts power so often, and tells of each store that could not be opened or had lost something.
fn cut(make: fn() -> Disk, cuts: u64, rng: &mut Rng) -> (usize, Vec<String>) {
    let runtime = runtime();
    let (mut total, mut failures) = (0, Vec::new());
    let mut store = None;
    for n in 0..cuts {
        let (disk, home, mut acknowledged) = match store.take().filter(|_| n % CUTS_PER_STORE != 0) {
            Some(store) => store,
            None => (make(), tempfile::tempdir().unwrap(), Vec::new()),
        };
        let engine = open(&disk, home.path()).expect("a store that was opened before opens again");
        acknowledged.extend(runtime.block_on(write_until_cut(&engine, &disk, rng)));
        disk.cut_power(rng);
        drop(engine);
        match open(&disk, home.path()) {
            Err(error) => failures.push(format!("cut {n}: {error}")),
            Ok(engine) => {
                let lost = runtime.block_on(lost(&engine, &acknowledged));
                total += acknowledged.len();
                drop(engine);
                if lost.is_empty() {
                    store = Some((disk, home, acknowledged));
                } else {
                    failures.push(format!("cut {n}: {}", lost.join("; ")));
                }
            }
        }
    }
    (total, failures)
}

#[test]
fn an_acknowledged_write_survives_a_power_cut() {
    let (mut rng, cuts) = (Rng(seed()), rounds(2_000));
    let (total, failures) = cut(Disk::default, cuts, &mut rng);
    println!("{cuts} cuts, {total} acknowledged writes looked for");
    assert!(total as u64 > cuts, "hardly anything was acknowledged: the test tests nothing");
    assert!(failures.is_empty(), "{} of {cuts} stores failed: {failures:#?}", failures.len());
}

#[test]
fn a_disk_that_does_not_sync_loses_what_was_acknowledged() {
    let mut rng = Rng(seed());
    let (_, failures) = cut(Disk::lying, 20, &mut rng);
    assert!(failures.len() >= 10, "a disk that lies went unnoticed: {failures:?}");
}
