//! What was acknowledged is there, once, however often the daemon is killed while it writes.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use memoria::engine::Engine;
use memoria::engine::embedded::Embedded;
use memoria::model::{Filter, Name, Page, Revision, Time};

use crate::support::{Agent, Chance, Done, Home, eventually, is_alive, seed, setting};

const WRITERS: usize = 4;

/// Writes until told to stop; texts that were acknowledged, and those whose fate the agent was not told.
fn write(home: &Home, writer: usize, is_done: &AtomicBool, answers: &AtomicU64) -> (Vec<String>, usize) {
    let mut agent = Agent::introduced(home, &format!("writer {writer}"));
    let (mut acknowledged, mut unknown) = (Vec::new(), 0);
    let mut number = 0;
    while !is_done.load(Ordering::Relaxed) {
        let text = format!("writer {writer} wrote number {number}");
        number += 1;
        agent.begin_store(&text);
        let answer = agent.hear().expect("the shim lives on");
        if answer["result"]["isError"] == false {
            // Found there already means applied twice: by its operation id it must get its first reply.
            assert_eq!(answer["result"]["structuredContent"]["duplicate"], false, "{answer}");
            acknowledged.push(text);
            answers.fetch_add(1, Ordering::Relaxed);
        } else {
            let why = answer["error"]["message"].as_str().unwrap_or_default();
            assert!(why.contains("died"), "only five deaths in a row excuse an error: {answer}");
            unknown += 1;
        }
    }
    agent.leave();
    (acknowledged, unknown)
}

#[test]
fn acked_write_survives_kill9() {
    let kills = setting("MEMORIA_KILLS", 1000);
    let mut chance = Chance(seed());
    let home = Home::new();
    home.start();
    let (is_done, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    let results = Mutex::new(Vec::new());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (home, is_done, answers, results) = (&home, &is_done, &answers, &results);
            scope.spawn(move || {
                let result = write(home, writer, is_done, answers);
                results.lock().unwrap().push(result);
            });
        }
        let _done = Done(&is_done);
        let mut killed = None;
        for _ in 0..kills {
            eventually("somebody started the next daemon", || {
                let pid = home.pid();
                pid != killed && pid.is_some_and(is_alive)
            });
            // One in four dies while it opens and recovers, the others while they write.
            if chance.below(4) > 0 {
                let before = answers.load(Ordering::Relaxed);
                eventually("somebody was answered", || answers.load(Ordering::Relaxed) > before);
            }
            std::thread::sleep(Duration::from_micros(chance.below(40_000)));
            killed = home.pid();
            crate::support::signal(killed.unwrap(), rustix::process::Signal::KILL);
        }
    });
    let elapsed = begun.elapsed();
    let results = results.into_inner().unwrap();
    let acknowledged: Vec<&String> = results.iter().flat_map(|(texts, _)| texts).collect();
    let unknown: usize = results.iter().map(|(_, unknown)| unknown).sum();
    assert!(home.run(&["stop"]).status.success());
    let (found, checks) = contents(&home);
    let lost: Vec<_> = acknowledged.iter().filter(|text| !found.contains_key(**text)).collect();
    let doubled: Vec<_> = found.iter().filter(|(_, count)| **count > 1).collect();
    println!(
        "{kills} kills in {elapsed:.1?}: {} acknowledged, {} lost, {} doubled, {unknown} told of five deaths, {checks} checks",
        acknowledged.len(),
        lost.len(),
        doubled.len()
    );
    assert!(lost.is_empty(), "{lost:?}");
    assert!(doubled.is_empty(), "{doubled:?}");
    assert!(acknowledged.len() as u64 > kills / 2, "too few writes to say anything");
    let extra = found.len() - acknowledged.len();
    assert!(extra <= unknown, "{extra} memories were stored and never acknowledged, {unknown} can be explained");
}

/// Every live text with its count, after a check of the whole store.
fn contents(home: &Home) -> (HashMap<String, u32>, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Embedded::open(
            &home.data().join("memoria.redb"),
            &home.data().join("index"),
            &home.data().join("vectors"),
            8 << 20,
        )
        .unwrap();
        let checks = store.verify().await.unwrap();
        for check in &checks {
            assert!(check.problems.is_empty(), "{check:?}");
        }
        let at = store.resolve(&Revision::Name(Name::main()), Time::MAX).await.unwrap();
        let mut found = HashMap::new();
        let mut offset = 0;
        loop {
            let listing = store.page(&at, &Filter::default(), Page { offset, limit: 1000 }).await.unwrap();
            offset += listing.memories.len() as u32;
            for version in &listing.memories {
                *found.entry(version.memory.text.clone()).or_insert(0) += 1;
            }
            if listing.memories.is_empty() {
                break;
            }
        }
        (found, checks.iter().map(|check| check.checked).sum())
    })
}
