//! What people type, end to end: the real programs, a home per test, and the shapes that scripts rely on.
#![cfg(unix)]

mod support;

#[path = "cli/benchmark.rs"]
mod benchmark;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/hooks.rs"]
mod hooks;
#[path = "cli/marks.rs"]
mod marks;
#[path = "cli/program.rs"]
mod program;
#[path = "cli/rules.rs"]
mod rules;
#[path = "cli/setup.rs"]
mod setup;
#[path = "cli/transfer.rs"]
mod transfer;
#[path = "cli/versions.rs"]
mod versions;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Output, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Agent, Home, signal};

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Exit code and `(kind, message)` of a request that must fail, by `--json`.
fn failure(home: &Home, words: &[&str]) -> (i32, String, String) {
    let output = home.run(&[words, &["--json"]].concat());
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{words:?}: {e}: {output:?}"));
    let field = |name: &str| answer["error"][name].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    (code(&output), field("kind"), field("message"))
}

fn store_from_stdin(home: &Home, bytes: &[u8]) -> Output {
    let mut child = home.memoria();
    child.args(["store", "-", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    // The command may refuse before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    child.wait_with_output().unwrap()
}

fn texts(answer: &Value) -> Vec<&str> {
    answer["memories"].as_array().unwrap().iter().map(|memory| memory["text"].as_str().unwrap()).collect()
}

#[test]
fn what_is_stored_is_found_shown_listed_corrected_and_purged() {
    let home = Home::new();
    let stored = home.json(&["store", "We deploy with GitHub Actions", "--tag", "deploy", "--kind", "procedural"]);
    let id = stored["id"].as_str().unwrap();
    assert_eq!(id.len(), 32);
    assert_eq!((&stored["kind"], &stored["tags"]), (&json!("procedural"), &json!(["deploy"])));
    assert_eq!((&stored["trust"], &stored["origin"]["source"]), (&json!("T1"), &json!("user")));
    assert_eq!((&stored["duplicate"], stored["commit"].is_string()), (&json!(false), true));
    for field in ["text", "project", "created_at", "observed_at", "short_id", "version"] {
        assert!(stored[field].is_string(), "{field}: {stored}");
    }
    assert_eq!(home.json(&["store", "We deploy with GitHub Actions", "--kind", "procedural"])["duplicate"], true);

    let found = home.json(&["retrieve", "how do we deploy?"]);
    assert_eq!(texts(&found), ["We deploy with GitHub Actions"]);
    assert!(found["memories"][0]["score"].as_f64().unwrap() > 0.0 && found["memories"][0].get("parts").is_none());
    let explained = home.json(&["retrieve", "how", "do", "we", "deploy?", "--explain"]);
    assert!(explained["memories"][0]["parts"]["terms"].is_object(), "{explained}");
    assert_eq!(texts(&home.json(&["retrieve", "how do we deploy?", "--kind", "semantic"])), [""; 0]);
    assert_eq!(texts(&home.json(&["retrieve", "how do we deploy?", "--tag", "deploy", "--top-k", "1"])).len(), 1);

    let short = stored["short_id"].as_str().unwrap();
    let corrected = home.json(&["correct", short, "We deploy with Buildkite", "--reason", "moved"]);
    assert_eq!((&corrected["id"], &corrected["before"]), (&json!(id), &json!("We deploy with GitHub Actions")));
    let again = home.json(&["correct", "--question", "how do we deploy?", "We deploy with Jenkins"]);
    assert_eq!((&again["id"], &again["before"]), (&json!(id), &json!("We deploy with Buildkite")));

    let shown = home.json(&["show", short]);
    assert_eq!((&shown["text"], &shown["live"]), (&json!("We deploy with Jenkins"), &json!(true)));
    let history: Vec<_> =
        shown["history"].as_array().unwrap().iter().map(|past| past["commit"]["verb"].clone()).collect();
    assert_eq!(history, ["correct", "correct", "store"]);
    assert_eq!(shown["history"][1]["commit"]["note"], "moved");

    let listed = home.json(&["list"]);
    assert_eq!((texts(&listed), &listed["total"]), (vec!["We deploy with Jenkins"], &json!(1)));

    let log = home.json(&["log", "--memory", short]);
    assert_eq!((log["commits"].as_array().unwrap().len(), &log["total"]), (3, &json!(3)));
    let commit = &log["commits"][0];
    assert!(commit["id"].is_string() && commit["at"].is_string() && commit["author"]["session"].is_string());

    let purged = home.json(&["purge", short, "--reason", "test"]);
    assert_eq!(purged["removed"][0]["id"], id);
    assert_eq!(home.json(&["list"])["total"], 0);
    assert_eq!(home.json(&["show", id])["live"], false);

    let verified = home.json(&["verify"]);
    assert_eq!(verified["ok"], true);
    for check in verified["checks"].as_array().unwrap() {
        assert!(check["promise"].is_string() && check["checked"].is_u64() && check["problems"] == json!([]), "{check}");
    }
}

#[test]
fn people_read_the_same_answers_as_text() {
    let home = Home::new();
    home.json(&["store", "Releases are cut on Tuesdays", "--tag", "release"]);
    for (words, expected) in [
        (&["list"][..], "Releases are cut on Tuesdays"),
        (&["retrieve", "when are releases cut?", "--explain"], "terms: "),
        (&["log"], "store"),
        (&["verify"], "Everything holds"),
        (&["status"], "1 semantic"),
        (&["config"], "search.top_k"),
        (&["store", "Releases are cut on Tuesdays"], "Known already"),
        (&["retrieve", "zebra crossing"], "Nothing is known"),
    ] {
        let output = home.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        assert!(said(&output).contains(expected), "{words:?}: {}", said(&output));
        assert!(!said(&output).contains('\x1b'), "colours where there is no terminal: {words:?}");
    }
}

#[test]
fn ids_that_do_not_fit_are_refused_with_their_own_exit_code() {
    let home = Home::new();
    home.json(&["store", "one"]);
    assert_eq!(failure(&home, &["show", "00000000"]).0, 4);
    assert_eq!(failure(&home, &["correct", "00000000", "two"]).0, 4);
    let (exit, kind, message) = failure(&home, &["show", "xyz"]);
    assert_eq!((exit, kind.as_str()), (1, "invalid"), "{message}");
    let purge = home.run(&["purge", "00000000", "--json"]);
    let answer: Value = serde_json::from_slice(&purge.stdout).unwrap();
    assert_eq!((code(&purge), &answer["missing"], &answer["removed"]), (4, &json!(["00000000"]), &json!([])));
}

#[test]
fn texts_that_are_no_memory_are_refused_in_a_sentence_and_change_nothing() {
    let home = Home::new();
    home.start();
    for text in ["", "   "] {
        let (exit, kind, message) = failure(&home, &["store", text]);
        assert_eq!((exit, kind.as_str()), (1, "invalid"), "{message}");
    }
    let large = store_from_stdin(&home, &vec![b'a'; 10_000_000]);
    let answer: Value = serde_json::from_slice(&large.stdout).unwrap();
    assert_eq!((code(&large), &answer["error"]["kind"]), (1, &json!("too_large")), "{answer}");
    let garbage = store_from_stdin(&home, b"ok until here \xff\xfe");
    let answer: Value = serde_json::from_slice(&garbage.stdout).unwrap();
    assert_eq!((code(&garbage), &answer["error"]["kind"]), (1, &json!("invalid")), "{answer}");
    assert_eq!(home.json(&["status"])["memories"], 0);
}

#[test]
fn stdin_is_stored_without_the_newline_that_ends_it() {
    let home = Home::new();
    let stored = store_from_stdin(&home, b"line one\nline two\n");
    let answer: Value = serde_json::from_slice(&stored.stdout).unwrap();
    assert_eq!(answer["text"], "line one\nline two");
}

#[test]
fn unknown_kinds_are_refused_with_the_list_of_kinds() {
    let home = Home::new();
    let (exit, kind, message) = failure(&home, &["store", "text", "--kind", "fact"]);
    assert_eq!((exit, kind.as_str()), (2, "usage"));
    for known in ["semantic", "profile", "procedural", "working", "episodic", "tool_result"] {
        assert!(message.contains(known), "{message}");
    }
    for words in [&["frobnicate"][..], &["purge"], &["list", "--since", "soon"], &["retrieve"]] {
        assert_eq!(code(&home.run(words)), 2, "{words:?}");
    }
    assert!(home.daemons().is_empty(), "a wrong command line must not start anything");
}

#[test]
fn without_a_daemon_status_and_logs_answer_and_start_nothing() {
    let home = Home::new();
    let status = home.run(&["status"]);
    assert_eq!(code(&status), 3);
    assert!(said(&status).contains("not running") && said(&status).contains("memoria start"), "{}", said(&status));
    let answer: Value = serde_json::from_slice(&home.run(&["status", "--json"]).stdout).unwrap();
    assert_eq!((&answer["running"], &answer["sessions"]), (&json!(false), &json!([])));
    assert!(answer["paths"]["socket"].is_string());
    assert!(home.run(&["logs"]).status.success());
    assert!(said(&home.run(&["stop"])).contains("No daemon was running"));
    assert!(home.daemons().is_empty());
}

#[test]
fn start_stop_and_restart_say_what_they_did() {
    let home = Home::new();
    let started = home.json(&["start"]);
    assert_eq!(started["started"], true);
    assert_eq!(started["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(home.json(&["start"]), json!({"started": false, "version": started["version"], "pid": started["pid"]}));
    let restarted = home.json(&["restart"]);
    assert_eq!((&restarted["before"], &restarted["killed"]), (&started["pid"], &json!(false)));
    assert_ne!(restarted["pid"], started["pid"]);
    assert_eq!(home.json(&["stop"]), json!({"stopped": true, "pid": restarted["pid"]}));
    assert_eq!(home.json(&["stop"]), json!({"stopped": false, "pid": null}));
}

#[test]
fn stop_and_restart_end_the_daemon_that_they_mean_while_an_agent_works() {
    let home = Home::new();
    let mut agent = Agent::introduced(&home, "claude-code");
    let before = home.pid().unwrap();
    let restarted = home.json(&["restart"]);
    assert_eq!(restarted["before"], before);
    assert_ne!(restarted["pid"], before);
    let id = agent.begin_store("stored after the restart");
    assert_eq!(agent.hear().unwrap()["id"], id);
    let pid = home.pid().unwrap();
    assert_eq!(home.json(&["stop"]), json!({"stopped": true, "pid": pid}));
    let id = agent.begin_store("stored after the stop");
    assert_eq!(agent.hear().unwrap()["id"], id);
    assert_eq!(home.json(&["list"])["total"], 2);
}

#[test]
fn restart_by_force_ends_a_daemon_that_is_deaf() {
    let home = Home::new();
    home.json(&["store", "kept"]);
    let deaf = home.pid().unwrap();
    signal(deaf, Signal::STOP);
    let output =
        home.memoria().args(["restart", "--force", "--json"]).env("MEMORIA_DAEMON_DRAIN_MS_MAX", "100").output();
    let answer: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    assert_eq!((&answer["before"], &answer["killed"]), (&json!(deaf), &json!(true)), "{answer}");
    assert_eq!(texts(&home.json(&["list"])), ["kept"]);
}

#[test]
fn two_agents_and_a_person_see_each_others_memories_at_once() {
    let home = Home::new();
    let mut claude = Agent::introduced(&home, "claude-code");
    let mut cursor = Agent::introduced(&home, "cursor");
    let call = |tool: &str, arguments: Value| json!({"name": tool, "arguments": arguments});
    claude.ask("tools/call", call("memory_store", json!({"content": "The staging database is called heron"})));
    let found =
        cursor.ask("tools/call", call("memory_retrieve", json!({"query": "what is the staging database called?"})));
    let memory = &found["result"]["structuredContent"]["memories"][0];
    assert_eq!(
        (&memory["text"], &memory["origin"]["agent"]),
        (&json!("The staging database is called heron"), &json!("claude-code"))
    );
    home.json(&["store", "The production database is called egret"]);
    let found =
        claude.ask("tools/call", call("memory_retrieve", json!({"query": "what is the production database called?"})));
    assert_eq!(found["result"]["structuredContent"]["memories"][0]["text"], "The production database is called egret");

    assert_eq!(texts(&home.json(&["list", "--agent", "claude-code"])), ["The staging database is called heron"]);
    assert_eq!(home.json(&["log", "--agent", "claude-code"])["commits"][0]["author"]["agent"], "claude-code");
    let status = home.json(&["status"]);
    let agents: Vec<_> = status["sessions"].as_array().unwrap().iter().filter(|s| s["client"] == "mcp").collect();
    assert_eq!(agents.len(), 2, "{status}");
    for agent in agents {
        assert!(["claude-code", "cursor"].contains(&agent["agent"].as_str().unwrap()), "{agent}");
        assert_eq!(agent["agent_version"], "1.0");
        assert!(agent["requests"].as_u64().unwrap() > 0 && agent["last_seen"].is_string() && agent["pid"].is_u64());
    }
    assert!(said(&home.run(&["status"])).contains("cursor 1.0"));
}

#[test]
fn session_and_topic_purges_take_what_they_say_and_projects_are_kept_apart() {
    let home = Home::new();
    home.json(&["store", "the old staging server is asterix", "--session", "s1", "--kind", "working"]);
    home.json(&["store", "the new staging server is obelix", "--session", "s2"]);
    home.json(&["store", "elsewhere", "--project", "other"]);
    home.json(&["store", "everywhere", "--project", "global"]);
    assert_eq!(home.json(&["list"])["total"], 3);
    assert_eq!(home.json(&["list", "--project", "*"])["total"], 4);
    assert_eq!(texts(&home.json(&["list", "--project", "other", "--kind", "semantic"])), ["everywhere", "elsewhere"]);
    assert_eq!(
        home.json(&["purge", "--topic", "old server"])["removed"][0]["text"],
        "the old staging server is asterix"
    );
    assert_eq!(
        home.json(&["purge", "--session", "s2", "--yes"])["removed"][0]["text"],
        "the new staging server is obelix"
    );
    assert_eq!(home.json(&["list", "--project", "*"])["total"], 2);
}

#[test]
fn a_capped_list_says_how_many_there_are() {
    let home = Home::new();
    for number in 0..3 {
        home.json(&["store", &format!("fact number {number}")]);
    }
    let listed = home.json(&["list", "--limit", "2"]);
    assert_eq!((texts(&listed).len(), &listed["total"]), (2, &json!(3)));
    assert!(said(&home.run(&["list", "--limit", "2"])).contains("2 of 3 memories"));
    assert_eq!(texts(&home.json(&["list", "--limit", "0"])).len(), 3);
    assert!(said(&home.run(&["log", "--limit", "2"])).contains("2 of 4 commits"));
    assert_eq!(texts(&home.json(&["list", "--since", "1h ago"])).len(), 3);
}

#[test]
fn secrets_are_masked_in_the_reply_and_nowhere_on_disk() {
    let home = Home::new();
    // Put together here, so that no scanner takes this file for a leak.
    let secret = ["AKIA", "Q3EGRZVHJ2XWMKLP"].concat();
    let stored = home.json(&["store", &format!("the key is {secret} for now")]);
    assert!(!stored["text"].as_str().unwrap().contains(&secret), "{stored}");
    assert_eq!(stored["masked"][0]["count"], 1);
    let told = home.run(&["store", &format!("another text with {secret}")]);
    assert!(said(&told).contains("Masked") && !said(&told).contains(&secret), "{}", said(&told));
    let id = stored["id"].as_str().unwrap();
    let corrected = home.json(&["correct", id, &format!("corrected, with {secret}")]);
    assert_eq!(corrected["masked"][0]["count"], 1);
    home.json(&["stop"]);
    assert!(holds(home.path(), b"another text with"), "the search itself must find what is there");
    assert!(!holds(home.path(), secret.as_bytes()), "the secret is on disk");
}

fn holds(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).any(|entry| {
        let kind = entry.file_type().unwrap();
        kind.is_dir() && holds(&entry.path(), bytes)
            || kind.is_file() && std::fs::read(entry.path()).unwrap().windows(bytes.len()).any(|part| part == bytes)
    })
}

#[test]
fn hidden_characters_are_spelled_out_for_people_and_exact_for_scripts() {
    let home = Home::new();
    let text = "before\u{202e}\u{1b}[31mafter";
    assert_eq!(home.json(&["store", text])["text"], text);
    for words in [&["list"][..], &["retrieve", "before after"], &["log"]] {
        let output = said(&home.run(words));
        assert!(!output.contains(['\u{202e}', '\u{1b}']), "{words:?}: {output:?}");
    }
    assert!(said(&home.run(&["list"])).contains("before\\u{202e}\\u{1b}[31mafter"));
}

#[test]
fn logs_filter_and_follow() {
    let home = Home::new();
    home.start();
    let all = said(&home.run(&["logs", "-n", "0"]));
    assert!(all.contains("listens, process"), "{all}");
    assert!(!said(&home.run(&["logs", "--level", "error"])).contains("listens"));
    assert!(!said(&home.run(&["logs", "--since", "2999-01-01"])).contains("listens"));
    let line = home.run(&["logs", "-n", "1", "--json"]);
    let line: Value = serde_json::from_slice(&line.stdout).unwrap();
    assert!(["at", "level", "target", "message"].iter().all(|field| line[*field].is_string()), "{line}");

    let mut follower = home.memoria().args(["logs", "-f", "-n", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().is_ok());
    home.json(&["restart"]);
    let followed = lines.map_while(Result::ok).find(|line| line.contains("listens, process"));
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert!(followed.is_some(), "the restart was not followed");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let home = Home::new();
    for number in 0..5 {
        home.json(&["store", &format!("{number} {}", "long text ".repeat(2000))]);
    }
    let mut child = home.memoria().args(["list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!(complaint, "");
}

#[test]
fn config_shows_where_each_value_came_from() {
    let home = Home::new();
    assert_eq!(home.json(&["config", "init"])["written"], true);
    assert_eq!(home.json(&["config", "init"])["written"], false);
    let path = home.json(&["config", "path"]);
    let file = path["path"].as_str().unwrap();
    assert_eq!(
        std::fs::read_to_string(file).unwrap(),
        String::from_utf8(home.run(&["config", "sample"]).stdout).unwrap()
    );
    std::fs::write(file, "[search]\ntop_k = 7\n").unwrap();
    let output = home.memoria().args(["config", "--json"]).env("MEMORIA_LOG_LEVEL", "warn").output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let from = |key: &str| {
        let setting = answer["settings"].as_array().unwrap().iter().find(|s| s["key"] == key).unwrap();
        setting["from"].as_str().unwrap().to_owned()
    };
    let froms = ["search.top_k", "log.level", "store.cache_mb"].map(from);
    assert_eq!(froms, ["file", "environment", "default"]);
    std::fs::write(file, "[search]\ntop_q = 7\n").unwrap();
    assert!(failure(&home, &["config"]).2.contains("top_k"));
}
