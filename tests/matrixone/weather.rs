//! Bad weather on a real server, with the whole engine: connections that are cut, daemons that race, a server that is
//! killed. They need `MEMORIA_TEST_MATRIXONE_URL`; the last one also `MEMORIA_TEST_MATRIXONE_RESTART`, a command that
//! kills the server with SIGKILL and starts it again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use memoria::clock;
use memoria::engine::conformance::samples::{ALL, apply, memory, op, write};
use memoria::engine::matrixone::MatrixOne;
use memoria::engine::{At, Engine};
use memoria::error::ErrorKind;
use memoria::model::{
    Applied, Change, CommitFilter, Filter, Name, NameChange, NameKind, OpId, Outcome, Plan, Revision, Rule, Verb, Walk,
    Work, Write,
};

use crate::proxy::{Proxy, Weather};
use crate::server::{Database, port, runtime};
use crate::support::{seed, setting};

const PATIENCE: Duration = Duration::from_secs(300);

async fn head(engine: &MatrixOne) -> At {
    engine.resolve(&Revision::Name(Name::main()), clock::now()).await.unwrap()
}

/// As a shim does: what is not known is asked again under the same id. A server that was killed may take a minute to
/// come back, and meanwhile each try is refused at once.
async fn surely(engine: &MatrixOne, op: OpId, order: &Write) -> Applied {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match engine.apply(op, order.clone()).await {
            Ok(applied) => return applied,
            Err(error) => assert!(matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Unknown), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a write did not go through in {PATIENCE:?}");
}

fn storing(text: &str) -> Write {
    write(Verb::Store, vec![Change::Store(memory(text))]).unwrap()
}

/// Everything that was acknowledged is there once, nothing else is, and history is one line.
async fn hold(engine: &MatrixOne, acknowledged: &BTreeSet<String>) {
    let at = head(engine).await;
    let listing = engine.page(&at, &Filter::default(), ALL).await.unwrap();
    let texts: Vec<String> = listing.memories.into_iter().map(|version| version.memory.text).collect();
    let once: BTreeSet<String> = texts.iter().cloned().collect();
    assert_eq!(texts.len(), once.len(), "something was done twice");
    let lost: Vec<_> = acknowledged.difference(&once).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let (history, total) = engine.history(&at, &CommitFilter::default(), Walk::Branch, ALL).await.unwrap();
    assert_eq!(history.len(), total as usize);
    assert!(history.windows(2).all(|pair| pair[0].bare.parents[0] == pair[1].id), "history is not one line");
    for check in engine.verify().await.unwrap() {
        assert!(check.problems.is_empty(), "{check:?}");
    }
}

#[test]
fn acknowledged_writes_are_kept_once_though_connections_are_cut() {
    let Some(database) = Database::fresh("cuts") else { return };
    let (seed, wanted) = (seed(), setting("MEMORIA_ROUNDS", 60));
    let proxy = Proxy::to(port(), seed);
    runtime().block_on(async {
        let (straight, through) = (database.engine(), Arc::new(database.engine_through(proxy.port)));
        head(&straight).await;
        proxy.set(Weather::Cuts { bytes_max: 40_000 });
        let is_enough = Arc::new(AtomicBool::new(false));
        let writer = |writer: usize| {
            let (through, is_enough) = (Arc::clone(&through), Arc::clone(&is_enough));
            tokio::spawn(async move {
                let mut acknowledged = BTreeSet::new();
                for n in 0.. {
                    if is_enough.load(Ordering::Relaxed) {
                        break;
                    }
                    let text = format!("writer {writer} wrote note {n}");
                    let applied = surely(&through, op(), &storing(&text)).await;
                    // Of a replay the outcome is the first one's: it was stored, and not found there already.
                    assert!(matches!(applied.outcomes[..], [Outcome::Stored { .. }]), "{applied:?}");
                    acknowledged.insert(text);
                }
                acknowledged
            })
        };
        let writers: Vec<_> = (0..4).map(writer).collect();
        while proxy.cuts() < wanted {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        is_enough.store(true, Ordering::Relaxed);
        proxy.set(Weather::Clear);
        let mut acknowledged = BTreeSet::new();
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
        println!("{} cuts, {} writes", proxy.cuts(), acknowledged.len());
        assert!(!acknowledged.is_empty(), "nothing went through at all");
        hold(&straight, &acknowledged).await;
    });
}

#[test]
fn two_daemons_race_on_one_branch_and_both_win_in_turn() {
    const WRITES: usize = 15;
    let Some(database) = Database::fresh("race") else { return };
    runtime().block_on(async {
        let daemons = [Arc::new(database.engine()), Arc::new(database.engine())];
        let writer = |daemon: usize, writer: usize| {
            let engine = Arc::clone(&daemons[daemon]);
            tokio::spawn(async move {
                let mut acknowledged = BTreeSet::new();
                for n in 0..WRITES {
                    let memory = memory(&format!("daemon {daemon} writer {writer} note {n}"));
                    apply(&*engine, Verb::Store, vec![Change::Store(memory.clone())]).await.unwrap();
                    // What is acknowledged is there at once.
                    let at = head(&engine).await;
                    assert!(engine.read(&at, &[memory.id]).await.unwrap()[0].is_some());
                    acknowledged.insert(memory.text);
                }
                acknowledged
            })
        };
        let writers: Vec<_> = (0..2).flat_map(|daemon| (0..3).map(move |n| (daemon, n))).collect();
        let writers: Vec<_> = writers.into_iter().map(|(daemon, n)| writer(daemon, n)).collect();
        let mut acknowledged = BTreeSet::new();
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
        assert_eq!(head(&daemons[0]).await.commit, head(&daemons[1]).await.commit);
        for daemon in &daemons {
            hold(daemon, &acknowledged).await;
        }
    });
}

/// A branch with a few memories of its own, merged into main under bad weather.
async fn merge_one(engine: &MatrixOne, round: usize, acknowledged: &mut BTreeSet<String>) {
    let name: Name = format!("side-{round}").parse().unwrap();
    let commit = head(engine).await.commit;
    let create = NameChange::Create { name: name.clone(), kind: NameKind::Branch, commit, note: None };
    surely(engine, op(), &Write { names: vec![create], ..write(Verb::Store, vec![]).unwrap() }).await;
    let texts: Vec<String> = (0..20).map(|n| format!("round {round} of the side says {n}")).collect();
    let changes = texts.iter().map(|text| Change::Store(memory(text))).collect();
    let stored =
        surely(engine, op(), &Write { branch: name, ..write(Verb::Store, changes).unwrap() }).await.commit.unwrap();
    let plan = Plan::Merge { theirs: stored, rule: Rule::Fail, resolutions: vec![] };
    let merged = surely(engine, op(), &Write { work: Work::Plan(plan), ..write(Verb::Merge, vec![]).unwrap() }).await;
    assert_eq!(merged.counts.added, 20);
    acknowledged.extend(texts);
}

#[test]
fn a_server_killed_during_writes_and_merges_loses_nothing() {
    let restart = std::env::var("MEMORIA_TEST_MATRIXONE_RESTART").ok();
    let (Some(restart), Some(database)) = (restart, Database::fresh("kills")) else { return };
    let rounds = setting("MEMORIA_KILLS", 3);
    runtime().block_on(async {
        let engine = Arc::new(database.engine());
        head(&engine).await;
        let is_enough = Arc::new(AtomicBool::new(false));
        let (of_writer, stop) = (Arc::clone(&engine), Arc::clone(&is_enough));
        let writer = tokio::spawn(async move {
            let mut acknowledged = BTreeSet::new();
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let text = format!("note {n} under fire");
                surely(&of_writer, op(), &storing(&text)).await;
                acknowledged.insert(text);
                if n % 10 == 9 {
                    merge_one(&of_writer, n, &mut acknowledged).await;
                }
            }
            acknowledged
        });
        for _ in 0..rounds {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            let command = restart.clone();
            let restarted = tokio::task::spawn_blocking(move || {
                std::process::Command::new("sh").args(["-c", &command]).status().unwrap().success()
            });
            assert!(restarted.await.unwrap(), "the server could not be restarted");
        }
        is_enough.store(true, Ordering::Relaxed);
        let acknowledged = writer.await.unwrap();
        println!("{rounds} kills, {} memories acknowledged", acknowledged.len());
        hold(&engine, &acknowledged).await;
    });
}
