//! The installed models at work: what is asked in other words is found.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cache;
use crate::support::Home;

/// A memory, and a question in other words than its own.
const PAIRS: &[(&str, &str)] = &[
    ("The nightly backup goes to the bucket in Frankfurt", "where are copies of our data kept in case of a disaster?"),
    ("Jonas prefers tabs to spaces in Go files", "which indentation does the developer like?"),
    ("Payments are retried three times before the order is cancelled", "what happens when charging a card fails?"),
    ("The office cat is called Turing and sleeps on the router", "name of the pet at work"),
    ("Integration tests need Docker to be running", "why do the checks fail without containers?"),
    ("Invoices are rendered with a headless browser", "how are bills turned into PDF?"),
    ("The train to Bern leaves at seven every morning", "when does my railway connection depart?"),
    ("Maria owns the login service", "who is responsible for authentication?"),
    ("We dropped Redis because its memory bill was too high", "reason for giving up the cache"),
    ("The kitchen tap drips; a plumber comes on Thursday", "who will repair the leak?"),
    ("Releases are frozen during the last week of December", "can we ship at Christmas?"),
    ("The intern is allergic to peanuts", "food that must be avoided for a colleague"),
];
/// In the first three of twelve by meaning; words alone find hardly any.
const FOUND_MIN: usize = 9;

fn fill(home: &Home) {
    for (text, _) in PAIRS {
        assert!(home.run(&["store", text]).status.success());
    }
}

pub fn embedding(home: &Home) -> Value {
    home.json(&["status"])["embedding"].clone()
}

pub fn until_serving(home: &Home, name: &str) {
    patiently(&format!("{name} serves"), || {
        let now = embedding(home);
        assert!(now["problem"].is_null(), "{now}");
        now["serving"] == name && now["pending"] == 0
    });
}

/// Hundreds of texts take a model its time where all tests run at once.
pub fn patiently(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(180);
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn found(home: &Home) -> usize {
    let is_found = |(text, question): &&(&str, &str)| {
        let answer = home.json(&["retrieve", question]);
        let hits = answer["memories"].as_array().unwrap_or_else(|| panic!("{answer}"));
        hits.iter().take(3).any(|hit| hit["text"] == *text)
    };
    PAIRS.iter().filter(is_found).count()
}

fn is_sound(home: &Home, name: &str) -> Value {
    let tested = home.json(&["model", "test", name]);
    assert_eq!((&tested["sound"], &tested["dims"]), (&Value::Bool(true), &Value::from(384)), "{tested}");
    tested
}

#[test]
fn minilm_serves_once_it_is_installed_and_finds_what_is_asked_in_other_words() {
    let Some(models) = cache::with(&["minilm"]) else { return };
    let home = cache::home(&models);
    fill(&home);
    until_serving(&home, "minilm");
    let found = found(&home);
    assert!(found >= FOUND_MIN, "{found} of {}", PAIRS.len());
    let tested = is_sound(&home, "minilm");
    assert_eq!(tested["id"].as_str().unwrap().split('-').next(), Some("minilm"), "{tested}");
    let list = home.json(&["model", "list"]);
    let minilm = list["models"].as_array().unwrap().iter().find(|model| model["name"] == "minilm").unwrap();
    assert_eq!((&minilm["state"], &minilm["licence"]), (&"serves".into(), &"Apache-2.0".into()), "{minilm}");
    assert_eq!(minilm["vectors"], PAIRS.len());
}

#[test]
fn a_folder_with_an_onnx_model_serves_in_a_process_of_its_own() {
    let Some(models) = cache::with(&["onnxruntime", "minilm-onnx-int8"]) else { return };
    let home = cache::home(&models);
    fill(&home);
    // By its path, as a model of somebody's own.
    let folder = models.join("minilm-onnx-int8");
    let output = home.run(&["model", "use", folder.to_str().unwrap(), "--wait"]);
    assert!(output.status.success(), "{output:?}");
    let found = found(&home);
    assert!(found >= FOUND_MIN, "{found} of {}", PAIRS.len());
    is_sound(&home, "minilm-onnx-int8");
    assert!(!maps(home.pid().unwrap()).contains("onnxruntime"), "the daemon itself never loads the runtime");
}

fn maps(pid: u32) -> String {
    std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("maps")).unwrap()
}
