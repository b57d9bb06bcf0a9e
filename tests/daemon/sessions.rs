//! Many agents at once, each a process with a session of its own, through one daemon: each finds what it wrote on the
//! branch that it checked out, once, and nobody finds it anywhere else; and the daemon does not grow with what it is
//! asked. `MEMORIA_SESSIONS_S=120 cargo test --test daemon sixteen_sessions -- --nocapture` asks for two minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Agent, Done, Home, eventually, setting, stored};

const AGENTS: usize = 32;
const BRANCHES: usize = 4;
const WRITES: usize = 4;

fn call(agent: &mut Agent, tool: &str, arguments: Value) -> Value {
    let answer = agent.ask("tools/call", json!({"name": tool, "arguments": arguments}));
    assert_eq!(answer["result"]["isError"], false, "{tool}: {answer}");
    answer
}

#[test]
fn thirty_two_agents_on_four_branches_each_write_where_they_are() {
    let home = Home::new();
    home.start();
    for n in 0..BRANCHES {
        assert!(home.run(&["branch", &format!("branch{n}")]).status.success());
    }
    let ready = Barrier::new(AGENTS);
    std::thread::scope(|scope| {
        for number in 0..AGENTS {
            let (home, ready) = (&home, &ready);
            scope.spawn(move || {
                let mut agent = Agent::introduced(home, &format!("agent {number}"));
                call(&mut agent, "memory_checkout", json!({"name": format!("branch{}", number % BRANCHES)}));
                ready.wait();
                for write in 0..WRITES {
                    let content = format!("agent {number} wrote number {write}");
                    stored(&call(&mut agent, "memory_store", json!({"content": content})));
                }
                agent.leave();
            });
        }
    });
    let texts = |branch: &str| {
        let listed = home.json(&["list", "--branch", branch, "--project", "*", "--limit", "0"]);
        let mut texts = BTreeMap::new();
        for memory in listed["memories"].as_array().unwrap() {
            *texts.entry(memory["text"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        texts
    };
    for n in 0..BRANCHES {
        let own = (0..AGENTS).filter(|number| number % BRANCHES == n);
        let wrote = |number| (0..WRITES).map(move |write| (format!("agent {number} wrote number {write}"), 1));
        assert_eq!(texts(&format!("branch{n}")), own.flat_map(wrote).collect(), "on branch {n}");
    }
    assert!(texts("main").is_empty(), "nobody wrote on main");
}

#[test]
fn working_memories_leave_with_their_agent_and_stay_through_a_restart_of_the_daemon() {
    let home = Home::new();
    let mut agent = Agent::introduced(&home, "worker");
    let working = json!({"content": "Look at the parser next", "memory_type": "working"});
    let stored = agent.call("memory_store", working);
    assert!(stored["memory"]["expires_at"].is_string(), "a killed agent says no goodbye: {stored}");
    agent.call(
        "memory_store",
        json!({"content": "Half of the migration is done", "memory_type": "working", "pinned": true}),
    );
    agent.call("memory_store", json!({"content": "The parser is by hand"}));
    let texts = || {
        let listed = home.json(&["list", "--project", "*"]);
        let memories = listed["memories"].as_array().unwrap().iter();
        let mut texts: Vec<String> = memories.map(|memory| memory["text"].as_str().unwrap().to_owned()).collect();
        texts.sort();
        texts
    };
    home.kill_9();
    home.await_no_daemon();
    agent.call("memory_list", json!({}));
    assert_eq!(texts().len(), 3, "a restart of the daemon is no end of a session");
    agent.leave();
    eventually("the working memory has left", || texts() == ["Half of the migration is done", "The parser is by hand"]);
    let log = home.json(&["log"]);
    let last = &log["commits"][0];
    assert!(last["note"].as_str().unwrap().ends_with("is over"), "{last}");
    let commit = last["id"].as_str().unwrap();
    assert!(home.run(&["revert", commit]).status.success());
    assert_eq!(texts().len(), 3, "it can be taken back");
}

/// As their clients name themselves.
const NAMES: [&str; 16] = [
    "claude-code",
    "cursor-vscode",
    "kiro",
    "codex-mcp-client",
    "gemini-cli-mcp-client",
    "Visual Studio Code",
    "windsurf-client",
    "Zed",
    "Cline",
    "Roo Code",
    "opencode",
    "goose",
    "Junie",
    "claude-ai",
    "ein Agent, größer als andere",
    "代理",
];
/// Memories that each of them keeps up to date.
const NOTES: usize = 10;
/// Corrections before it is measured, and between: three of each agent, so that a busy machine comes to them.
const WARM_WRITES: u64 = 48;
/// What the daemon may grow by after the warm-up, whatever it is asked: caches that fill, and what an allocator keeps.
const GROWTH_BYTES_MAX: u64 = 6 << 20;
/// And for each new version, of which it keeps columns in memory.
const VERSION_BYTES_MAX: u64 = 300;

/// Keeps ten notes on a branch of its own, and sees those alone, until it is told to leave.
fn keep_notes(home: &Home, number: usize, is_done: &AtomicBool, writes: &AtomicU64) {
    let (name, branch) = (NAMES[number], format!("branch-{number}"));
    let mut agent = Agent::introduced(home, name);
    // A session begins where its project was last: on the branch of an agent that was quicker, with what it has there.
    agent.call("memory_branch", json!({"name": branch, "from": "main"}));
    agent.call("memory_checkout", json!({"name": branch}));
    let mut notes: Vec<(Value, String)> = Vec::new();
    for n in 0..NOTES {
        let text = format!("{name} keeps note {n}");
        let told = agent.call("memory_store", json!({"content": text}));
        notes.push((told["memory"]["id"].clone(), text));
    }
    let mut round = 0;
    while !is_done.load(Ordering::Relaxed) {
        round += 1;
        let (id, text) = &mut notes[round % NOTES];
        *text = format!("{name} keeps note {}, as of round {round}", round % NOTES);
        agent.call("memory_correct", json!({"memory_id": id, "new_content": text}));
        writes.fetch_add(1, Ordering::Relaxed);
        let found = agent.call("memory_retrieve", json!({"query": format!("note as of round {round}")}));
        let seen = |answer: &Value| -> BTreeSet<String> {
            answer["memories"].as_array().unwrap().iter().map(|one| one["text"].as_str().unwrap().to_owned()).collect()
        };
        let expected: BTreeSet<String> = notes.iter().map(|(_, text)| text.clone()).collect();
        assert!(seen(&found).is_subset(&expected), "{name} found {found}");
        let listed = agent.call("memory_list", json!({"limit": 100}));
        assert_eq!(seen(&listed), expected, "{name} on its branch");
        std::thread::sleep(Duration::from_millis(20));
    }
    agent.leave();
}

/// What the process has for itself, in bytes: without files that are mapped.
fn own_bytes(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn sixteen_sessions_of_differently_named_agents_go_well_and_the_daemon_does_not_grow() {
    let lasts = Duration::from_secs(setting("MEMORIA_SESSIONS_S", 6));
    // Caches of a size that is reached within the warm-up.
    let home = Home::with(&[("MEMORIA_STORE_CACHE_MB", "1"), ("MEMORIA_EMBEDDING_CACHE_MB", "1")]);
    let pid = home.start();
    let (is_done, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for number in 0..NAMES.len() {
            let (home, is_done, writes) = (&home, &is_done, &writes);
            scope.spawn(move || keep_notes(home, number, is_done, writes));
        }
        let _done = Done(&is_done);
        let everybody: BTreeSet<&str> = NAMES.into_iter().collect();
        eventually("everybody is here", || {
            let status = home.json(&["status"]);
            let here = status["sessions"].as_array().unwrap().iter().filter_map(|session| session["agent"].as_str());
            here.collect::<BTreeSet<_>>() == everybody
        });
        let until = |count| eventually("they go on writing", || writes.load(Ordering::Relaxed) >= count);
        // On a quick machine the caches are full by then.
        std::thread::sleep(lasts / 3);
        until(WARM_WRITES);
        let (before, written) = (own_bytes(pid), writes.load(Ordering::Relaxed));
        std::thread::sleep(lasts);
        until(written + WARM_WRITES);
        let (after, written) = (own_bytes(pid), writes.load(Ordering::Relaxed) - written);
        println!("{written} corrections after the warm-up; own memory {before} and then {after} bytes");
        let allowed = before + GROWTH_BYTES_MAX + written * VERSION_BYTES_MAX;
        assert!(after <= allowed, "grew from {before} to {after} bytes with {written} corrections");
        assert_eq!(home.pid(), Some(pid), "the same daemon");
    });
}
