//! Many memories in and out: what is imported is there once, whoever dies meanwhile, and what is exported can be read.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Home, eventually};
use crate::{code, said, texts};

/// A file of so many memories, each with a text of its own.
fn file(home: &Home, name: &str, memories: u32) -> PathBuf {
    let mut text = String::new();
    for number in 0..memories {
        let _ = writeln!(
            text,
            "{{\"text\":\"fact {number}: the service in rack {} listens on port {}\",\"tags\":[\"t{}\"]}}",
            number % 97,
            number + 1000,
            number % 7
        );
    }
    let path = home.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn total(home: &Home) -> u64 {
    home.json(&["list", "--limit", "1", "--project", "*"])["total"].as_u64().unwrap()
}

#[test]
fn a_file_is_imported_in_batches_of_one_commit_each_and_once_more_on_demand() {
    let home = Home::new();
    let path = file(&home, "facts.jsonl", 12_000);
    let path = path.to_str().unwrap();
    let imported = home.json(&["import", path, "--agent", "crawler"]);
    let numbers =
        |answer: &Value| ["stored", "existing", "earlier", "batches"].map(|name| answer[name].as_u64().unwrap());
    assert_eq!(numbers(&imported), [12_000, 0, 0, 3], "{imported}");
    assert_eq!(home.json(&["log"])["total"], 4);
    assert_eq!(total(&home), 12_000);
    let found = home.json(&["retrieve", "which port does fact 4711 listen on?", "--top-k", "1"]);
    let memory = &found["memories"][0];
    assert_eq!((&memory["origin"]["source"], &memory["origin"]["agent"]), (&json!("import"), &json!("crawler")));
    assert_eq!(memory["trust"], "T4");
    // It was acknowledged: the same file again is a new import, which finds everything there.
    assert_eq!(numbers(&home.json(&["import", path, "--agent", "crawler"])), [0, 12_000, 0, 3]);
    assert!(said(&home.run(&["import", path])).contains("known already"));
    assert_eq!(total(&home), 12_000);
}

#[test]
fn lines_that_are_no_memory_are_refused_by_number_and_the_others_taken() {
    let home = Home::new();
    let path = home.path().join("mixed.jsonl");
    let long = "x".repeat(70_000);
    let text = format!(
        "{{\"text\":\"one\",\"planet\":\"mars\"}}\nnot json\n\n{{\"text\":\"\"}}\n{{\"text\":\"{long}\"}}\n{{\"text\":\"six\",\"trust\":\"T9\"}}\n{{\"text\":\"seven\"}}"
    );
    std::fs::write(&path, text).unwrap();
    let output = home.run(&["import", path.to_str().unwrap(), "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((code(&output), &answer["stored"], &answer["refused_total"]), (6, &json!(2), &json!(4)), "{answer}");
    let lines: Vec<_> = answer["refused"].as_array().unwrap().iter().map(|refused| refused["line"].clone()).collect();
    assert_eq!(lines, [2, 4, 5, 6]);
    assert_eq!(answer["ignored"], json!({"planet": 1}));
    let told = said(&home.run(&["import", path.to_str().unwrap()]));
    assert!(told.contains("line 2: ") && told.contains("planet (1 line)") && told.contains("T9"), "{told}");
    assert_eq!(total(&home), 2);
    assert_eq!(code(&home.run(&["import", "/nowhere/at/all.jsonl"])), 4);
}

#[test]
fn stdin_is_imported_onto_the_branch_that_is_named() {
    let home = Home::new();
    home.json(&["branch", "idea"]);
    let mut child = home.memoria();
    child.args(["import", "-", "--branch", "idea", "--project", "global", "--json"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"{\"text\":\"from a pipe\"}\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["branch"], &answer["stored"]), (&json!("idea"), &json!(1)));
    assert_eq!(texts(&home.json(&["list", "--branch", "idea"])), ["from a pipe"]);
    assert_eq!(total(&home), 0);
}

/// Everything about a memory but what another store or another moment makes different.
fn said_by(home: &Home, branch: &str) -> Vec<Value> {
    let listed = home.json(&["list", "--limit", "0", "--project", "*", "--branch", branch]);
    let mut all: Vec<Value> = listed["memories"].as_array().unwrap().clone();
    for memory in &mut all {
        let fields = memory.as_object_mut().unwrap();
        ["id", "short_id", "version"].iter().for_each(|name| drop(fields.remove(*name)));
    }
    all.sort_by_key(|memory| memory["text"].as_str().unwrap().to_owned());
    all
}

#[test]
fn what_is_exported_imports_as_the_same_memories() {
    let home = Home::new();
    home.json(&["store", "plain"]);
    home.json(&[
        "store",
        "tagged \u{1F980}\n\"second\" line",
        "--tag",
        "b",
        "--tag",
        "a",
        "--trust",
        "T3",
        "--kind",
        "procedural",
    ]);
    home.json(&["store", "everywhere", "--project", "global", "--subject", "ada", "--session", "s-1"]);
    let lines = "{\"text\":\"odd\",\"metadata\":{\"z\":[1,{\"a\":null}]},\"confidence\":0.123,\"pinned\":true,\
        \"expires_at\":\"2999-01-01\",\"created_at\":\"2020-02-02T02:02:02.123Z\",\
        \"origin\":{\"source\":\"tool\",\"tool\":\"grep\",\
        \"file\":\"a.rs\",\"agent\":\"cursor\",\"agent_version\":\"1\"}}\n";
    let odd = home.path().join("odd.jsonl");
    std::fs::write(&odd, lines).unwrap();
    home.json(&["import", "--keep-trust", odd.to_str().unwrap()]);
    for (memory, signal) in [(0, "useful"), (0, "useful"), (0, "irrelevant"), (1, "wrong")] {
        let id = home.json(&["list"])["memories"][memory]["id"].as_str().unwrap().to_owned();
        home.json(&["feedback", &id, signal]);
    }
    let path = home.path().join("all.jsonl");
    let exported = home.json(&["export", path.to_str().unwrap()]);
    assert_eq!(exported["memories"], 4);
    home.json(&["store", "later"]);

    let other = Home::new();
    let imported = other.json(&["import", "--keep-trust", path.to_str().unwrap()]);
    assert_eq!((&imported["stored"], &imported["ignored"]), (&json!(4), &json!({})), "{imported}");
    let again = other.json(&["import", "--keep-trust", path.to_str().unwrap()]);
    assert_eq!((&again["stored"], &again["existing"]), (&json!(0), &json!(4)), "{again}");
    let before = home.json(&["export", "--at", exported["commit"].as_str().unwrap(), path.to_str().unwrap()]);
    assert_eq!(before["memories"], 4);
    let past = std::fs::read_to_string(&path).unwrap();
    assert!(!past.contains("feedback"), "what was said of it by now is not of a past state: {past}");
    home.json(&["purge", "--topic", "later"]);
    assert_eq!(said_by(&other, "main"), said_by(&home, "main"), "what was said of it came along, and counts once");

    let some = home.run(&["export", "--kind", "procedural", "--tag", "a"]);
    assert_eq!(said(&some).lines().count(), 1, "{}", said(&some));
    assert!(
        std::fs::read_dir(home.path()).unwrap().all(|e| !e.unwrap().file_name().to_string_lossy().contains(".part-"))
    );
}

#[test]
fn an_export_is_of_one_state_however_many_pages_it_takes() {
    let home = Home::new();
    let path = file(&home, "facts.jsonl", 9_000);
    home.json(&["import", path.to_str().unwrap()]);
    let output = home.run(&["export"]);
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut texts: Vec<_> = lines.iter().map(|line| line["text"].as_str().unwrap()).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!((lines.len(), texts.len()), (9_000, 9_000));
}

/// Imports while `interrupt` strikes now and then; whatever happens, everything is there once in the end.
fn import_through(home: &Home, memories: u32, mut interrupt: impl FnMut(&mut std::process::Child) -> bool) {
    let path = file(home, "facts.jsonl", memories);
    home.start();
    loop {
        let mut importer = home.memoria();
        importer.args(["import", path.to_str().unwrap(), "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut importer = importer.spawn().unwrap();
        let is_left_alone = interrupt(&mut importer);
        let output = importer.wait_with_output().unwrap();
        if output.status.success() {
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            let told = ["stored", "existing", "earlier"].map(|name| answer[name].as_u64().unwrap());
            assert_eq!((told.iter().sum::<u64>(), told[1]), (u64::from(memories), 0), "nothing came twice: {answer}");
            break;
        }
        assert!(!is_left_alone, "{output:?}");
    }
    let verified = home.json(&["verify"]);
    assert_eq!(verified["ok"], true, "{verified}");
    assert_eq!(total(home), u64::from(memories));
    let mut texts: Vec<String> = String::from_utf8(home.run(&["export"]).stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["text"].as_str().unwrap().to_owned())
        .collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), memories as usize, "nothing is lost or doubled");
}

#[test]
fn an_import_goes_on_through_the_daemons_death() {
    let home = Home::new();
    import_through(&home, 40_000, |importer| {
        for _ in 0..2 {
            std::thread::sleep(std::time::Duration::from_millis(300));
            if importer.try_wait().unwrap().is_none() {
                home.kill_9();
            }
        }
        true
    });
}

#[test]
fn an_import_that_was_killed_goes_on_where_it_was() {
    let home = Home::new();
    let mut strikes = 0;
    import_through(&home, 40_000, |importer| {
        strikes += 1;
        if strikes > 2 {
            return true;
        }
        let commits = || home.json(&["log", "--limit", "1"])["total"].as_u64().unwrap();
        let before = commits();
        eventually("another batch is in", || commits() > before || importer.try_wait().unwrap().is_some());
        let _ = importer.kill();
        false
    });
}
