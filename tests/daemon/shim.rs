//! What an agent sees of the shim: JSON-RPC and nothing else, whatever it sends and whatever happens behind it.

use std::collections::HashSet;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{AT_ONCE, Agent, Home, introduction, signal, stored};

fn resident_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn every_line_of_output_is_json_rpc_whatever_comes_in() {
    let home = Home::new();
    let mut agent = Agent::introduced(&home, "odd");
    let lines: [&[u8]; 9] = [
        b"garbage",
        b"{\"jsonrpc\":\"2.0\",\"id\":77",
        b"\xff\xfe\x00",
        b"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"ping\"}",
        b"[]",
        b"null",
        b"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":78,\"method\":\"no/such\"}",
    ];
    for line in lines {
        agent.write(line);
        agent.write(b"\n");
        // `hear` holds each line to JSON-RPC.
        let answer = agent.hear().expect("the shim lives on");
        assert!(answer["error"]["message"].is_string(), "{answer}");
    }
    agent.write(b"\n   \n\r\n");
    assert!(agent.ask("ping", json!({}))["result"].is_object(), "empty lines are nothing");
    agent.leave();
}

#[test]
fn a_line_of_ten_megabytes_is_refused_under_its_own_id_and_not_held() {
    let home = Home::new();
    let mut agent = Agent::introduced(&home, "long");
    let before = resident_kb(agent.child.id());
    let text = "x".repeat(10 << 20);
    agent.say(&json!({"jsonrpc": "2.0", "id": "the long one", "method": "tools/call",
        "params": {"name": "memory_store", "arguments": {"content": text}}}));
    let answer = agent.hear().unwrap();
    assert_eq!(answer["id"], "the long one");
    assert!(answer["error"]["message"].as_str().unwrap().contains("1 MiB"), "{answer}");
    // Its last key may well be the id.
    agent.write(b"{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"params\":{\"x\":\"");
    agent.write("y".repeat(2 << 20).as_bytes());
    agent.write(b"\"},\"id\":4242}\n");
    assert_eq!(agent.hear().unwrap()["id"], 4242);
    let grown = resident_kb(agent.child.id()) - before;
    assert!(grown < 3 << 10, "the shim grew by {grown} KiB");
    assert!(agent.ask("ping", json!({}))["result"].is_object());
    agent.leave();
}

#[test]
fn texts_at_the_edges_are_answered_in_a_sentence() {
    let home = Home::new();
    let mut agent = Agent::introduced(&home, "edges");
    for text in [String::new(), "   ".into(), "z".repeat(900 << 10)] {
        agent.begin_store(&text);
        let answer = agent.hear().unwrap();
        let is_refused = answer["result"]["isError"] == true || answer["error"].is_object();
        assert!(is_refused, "{} bytes: {answer}", text.len());
    }
    agent.begin_store("plain");
    stored(&agent.hear().unwrap());
    agent.leave();
}

#[test]
fn many_requests_at_once_each_get_their_own_answer() {
    let home = Home::new();
    let mut agent = Agent::introduced(&home, "busy");
    let mut asked: HashSet<u64> =
        (0..200).map(|number| agent.begin_store(&format!("parallel fact {number}"))).collect();
    while !asked.is_empty() {
        let answer = agent.hear().unwrap();
        stored(&answer);
        assert!(asked.remove(&answer["id"].as_u64().unwrap()), "answered twice: {answer}");
    }
    agent.leave();
}

#[test]
fn replies_in_flight_are_written_before_the_shim_ends() {
    let home = Home::new();
    let mut agent = Agent::new(&home);
    agent.begin("initialize", introduction("hasty"));
    let asked: Vec<u64> = (0..20).map(|number| agent.begin_store(&format!("last minute {number}"))).collect();
    drop(agent.input.take());
    let mut answered = HashSet::new();
    while let Some(answer) = agent.hear() {
        answered.insert(answer["id"].as_u64().unwrap());
    }
    assert!(asked.iter().all(|id| answered.contains(id)), "{answered:?}");
    assert!(agent.child.wait().unwrap().success());
}

#[test]
fn the_shim_ends_with_its_input_also_when_the_daemon_is_dead_or_hangs() {
    let home = Home::new();
    assert!(Agent::introduced(&home, "a").leave() < AT_ONCE);
    let mut left_behind = Agent::introduced(&home, "b");
    left_behind.ask("ping", json!({}));
    home.kill_9();
    home.await_no_daemon();
    assert!(left_behind.leave() < AT_ONCE);
    assert!(home.daemons().is_empty(), "a shim that only leaves starts nothing");

    let mut waiting = Agent::introduced(&home, "c");
    waiting.ask("ping", json!({}));
    signal(home.pid().unwrap(), Signal::STOP);
    assert!(waiting.leave() < AT_ONCE, "nothing was in flight");
    home.kill_9();
}

#[test]
fn sigterm_ends_the_shim_at_once() {
    let home = Home::new();
    let mut agent = Agent::introduced(&home, "a");
    let begun = Instant::now();
    signal(agent.child.id(), Signal::TERM);
    agent.child.wait().unwrap();
    assert!(begun.elapsed() < AT_ONCE);
}

#[test]
fn a_daemon_that_cannot_start_is_an_error_to_each_request_and_the_next_line_tries_again() {
    let home = Home::new();
    std::fs::write(home.data(), "a file where the folder belongs").unwrap();
    let mut agent = Agent::new(&home);
    for id in 1..=2 {
        assert_eq!(agent.begin("ping", json!({})), id);
        let answer = agent.hear().expect("the shim stays");
        assert_eq!(answer["id"], id);
        let why = answer["error"]["message"].as_str().unwrap();
        assert!(why.contains("is a file where Memoria needs a folder"), "{why}");
    }
    agent.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    std::fs::remove_file(home.data()).unwrap();
    assert!(agent.ask("ping", json!({}))["result"].is_object(), "it is mended, and works");
    agent.leave();
}

#[test]
fn a_session_survives_its_daemon_by_name() {
    let home = Home::new();
    let mut agent = Agent::introduced(&home, "faithful");
    let session = |home: &Home| {
        let status = home.json(&["status"]);
        let shim = status["sessions"].as_array().unwrap().iter().find(|s| s["agent"] == "faithful").cloned();
        shim.unwrap_or_else(|| panic!("{status}"))["session"].clone()
    };
    let before = session(&home);
    home.kill_9();
    home.await_no_daemon();
    agent.begin_store("after the fall");
    stored(&agent.hear().unwrap());
    assert_eq!(session(&home), before, "the replayed initialize says again who it is");
    agent.leave();
}

#[test]
fn the_shim_stays_small() {
    let home = Home::new();
    let mut agent = Agent::introduced(&home, "small");
    for number in 0..50 {
        agent.begin_store(&format!("small fact {number}"));
        stored(&agent.hear().unwrap());
    }
    println!("peak resident set of the shim: {} KiB", resident_kb(agent.child.id()));
    agent.leave();
}
