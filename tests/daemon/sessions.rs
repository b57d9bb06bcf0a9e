//! Thirty-two agents, each a process with a session of its own, on four branches at once through one daemon: each finds
//! what it wrote on the branch that it checked out, once, and nobody finds it anywhere else.

use std::collections::BTreeMap;
use std::sync::Barrier;

use serde_json::{Value, json};

use crate::support::{Agent, Home, eventually, stored};

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
