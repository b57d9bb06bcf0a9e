//! Many shims start at once, and exactly one daemon comes of it, whatever was left lying around.

use std::time::{Duration, Instant};

use memoria::wire::limits::START_WITHIN;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Agent, Home, eventually, setting, signal};

/// What the shims find.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    StaleSocket,
    StaleLockFile,
    /// The daemon was killed at this moment, and may still be dying.
    JustKilled,
}

/// What an agent does that was told that nobody answered in time.
const ASKED_AGAIN_MAX: usize = 10;
const ALL: [Before; 4] = [Before::Nothing, Before::StaleSocket, Before::StaleLockFile, Before::JustKilled];

fn prepare(home: &Home, before: Before) {
    match before {
        Before::Nothing => {
            home.daemons().into_iter().for_each(|pid| signal(pid, Signal::TERM));
            home.await_no_daemon();
            assert!(!home.socket().exists(), "a daemon that ends in order removes its socket");
        }
        Before::StaleSocket => {
            home.kill_9();
            home.await_no_daemon();
        }
        Before::StaleLockFile => {
            home.kill_9();
            home.await_no_daemon();
            let _ = std::fs::remove_file(home.socket());
        }
        Before::JustKilled => home.kill_9(),
    }
}

/// One round; how long the slowest shim waited for its answer.
fn race(home: &Home, shims: usize, round: usize) -> Duration {
    let before = ALL[round % ALL.len()];
    prepare(home, before);
    let (births, impatient) = (home.births(), format!("{} seconds", START_WITHIN.as_secs()));
    let begun = Instant::now();
    let mut agents: Vec<Agent> = (0..shims).map(|_| Agent::new(home)).collect();
    for agent in &mut agents {
        agent.begin("ping", json!({}));
    }
    for agent in &mut agents {
        let mut answer = agent.hear().expect("every shim is answered");
        // A machine that is busy with two hundred programs may keep one for longer than it is patient.
        for _ in 0..ASKED_AGAIN_MAX {
            if !answer["error"]["message"].as_str().is_some_and(|why| why.contains(&impatient)) {
                break;
            }
            agent.begin("ping", json!({}));
            answer = agent.hear().expect("every shim is answered");
        }
        assert!(answer["result"].is_object(), "round {round}, {before:?}: {answer}");
    }
    let slowest = begun.elapsed();
    // The forks' parents end by themselves; what remains is the daemon.
    eventually("one daemon is left", || home.daemons().len() == 1);
    eventually("its birth is logged", || home.births() > births);
    assert_eq!(home.births(), births + 1, "round {round}, {before:?}");
    assert_eq!(home.pid(), home.daemons().first().copied(), "the lock names the daemon");
    for agent in agents {
        agent.leave();
    }
    slowest
}

fn rounds(count: u64, shims: usize) {
    let mut slowest = Vec::new();
    let mut home = Home::new();
    let begun = Instant::now();
    for round in 0..count as usize {
        if round % 20 == 0 {
            home.kill_9();
            home = Home::new();
        }
        slowest.push(race(&home, shims, round));
    }
    slowest.sort();
    println!(
        "{count} rounds of {shims} shims in {:.1?}: slowest answer p50 {} ms, max {} ms",
        begun.elapsed(),
        slowest[slowest.len() / 2].as_millis(),
        slowest[slowest.len() - 1].as_millis()
    );
}

#[test]
fn fifty_shims_at_once_start_exactly_one_daemon() {
    rounds(setting("MEMORIA_ROUNDS", 100), 50);
}

#[test]
fn two_hundred_shims_at_once_start_exactly_one_daemon() {
    rounds(setting("MEMORIA_ROUNDS", 100).div_ceil(10), 200);
}
