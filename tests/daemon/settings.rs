//! Settings and the log as a person sees them: edits while the daemon runs, and what never reaches the log.

use serde_json::json;

use crate::support::{Agent, Home, eventually, stored};

fn edit(home: &Home, text: &str) {
    let dir = home.path().join("config");
    std::fs::create_dir_all(&dir).unwrap();
    // As editors do, so that half an edit is never read, however long this thread is kept from writing the rest.
    std::fs::write(dir.join("edited"), text).unwrap();
    std::fs::rename(dir.join("edited"), dir.join("config.toml")).unwrap();
}

#[test]
fn a_bad_edit_is_reported_in_log_and_status_while_the_old_values_stay() {
    let home = Home::new();
    let pid = home.start();
    edit(&home, "[daemon]\nidle_exit_min = 77\n");
    eventually("the edit is in force", || home.json(&["status"])["idle_exit_min"] == 77);
    edit(&home, "[daemon]\nidle_exit_min = 78\nidle_exit_mni = 1\n");
    eventually("the edit is refused", || home.json(&["status"])["config_error"].is_string());
    let status = home.json(&["status"]);
    let error = status["config_error"].as_str().unwrap();
    assert!(error.contains("did you mean `daemon.idle_exit_min`?"), "{error}");
    assert_eq!(status["idle_exit_min"], 77);
    assert!(home.log().contains("the edited settings were refused"), "{}", home.log());
    edit(&home, "[daemon]\nidle_exit_min = 79\n");
    eventually("the edit is mended", || home.json(&["status"])["idle_exit_min"] == 79);
    assert!(home.json(&["status"])["config_error"].is_null());
    assert_eq!(home.pid(), Some(pid), "all of that in one process");
}

#[test]
fn an_agent_is_told_when_another_profile_or_another_branch_changes_what_it_may_ask_for() {
    let home = Home::new();
    let mut agent = Agent::introduced(&home, "listener");
    let tools = |agent: &mut Agent| agent.ask("tools/list", json!({}))["result"]["tools"].as_array().unwrap().len();
    let core = tools(&mut agent);
    edit(&home, "[mcp]\nprofile = \"full\"\n");
    assert_eq!(agent.line().unwrap()["method"], "notifications/tools/list_changed");
    assert!(tools(&mut agent) > core);
    // Another setting changes no list, and is not told: the next line is about the branch.
    edit(&home, "[mcp]\nprofile = \"full\"\n[search]\ntop_k = 7\n");
    eventually("the edit is in force", || home.log().contains("search.top_k is now 7"));
    assert!(home.run(&["branch", "elsewhere"]).status.success());
    assert_eq!(agent.line().unwrap()["method"], "notifications/resources/list_changed");
    let listed = agent.ask("resources/list", json!({}));
    let uris: Vec<_> = listed["result"]["resources"].as_array().unwrap().iter().map(|it| it["uri"].clone()).collect();
    assert_eq!(uris, ["memoria://briefing", "memoria://branch/elsewhere/log", "memoria://branch/main/log"]);
    assert_eq!(agent.told, [""; 0]);
}

#[test]
fn the_log_never_holds_the_text_of_a_memory_or_a_question() {
    let home = Home::new();
    edit(&home, "[log]\nlevel = \"trace\"\n");
    let mut agent = Agent::introduced(&home, "talker");
    stored(&agent.ask(
        "tools/call",
        json!({"name": "memory_store", "arguments": {"content": "the zanzibar deployment uses AKIAQWERTYUIOPASDFGH"}}),
    ));
    agent.ask("tools/call", json!({"name": "memory_retrieve", "arguments": {"query": "where is the xylophone?"}}));
    agent.ask("tools/call", json!({"name": "memory_list", "arguments": {"kind": "mnemosyne"}}));
    agent.leave();
    home.run(&["stop"]);
    home.await_no_daemon();
    let log = home.log();
    assert!(log.contains(" listens, process "), "there is a log: {log}");
    for word in ["zanzibar", "AKIA", "xylophone", "mnemosyne"] {
        assert!(!log.contains(word), "{word} is in the log:\n{log}");
    }
}
