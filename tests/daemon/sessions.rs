//! Thirty-two agents, each a process with a session of its own, on four branches at once through one daemon: each finds
//! what it wrote on the branch that it checked out, once, and nobody finds it anywhere else.

use std::collections::BTreeMap;
use std::sync::Barrier;

use serde_json::{Value, json};

use crate::support::{Agent, Home, stored};

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
