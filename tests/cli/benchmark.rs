//! `memoria benchmark`, end to end: a small file of each kind through a real daemon, whose store is gone afterwards.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, eventually, signal};
use crate::{code, failure, said};

fn file(home: &Home, name: &str, value: &Value) -> PathBuf {
    let path = home.path().join(name);
    std::fs::write(&path, value.to_string()).unwrap();
    path
}

/// Temporary folders go where this test can look for what is left.
fn measured(home: &Home, arguments: &[&str]) -> Value {
    let temporary = home.path().join("tmp");
    let _ = std::fs::create_dir(&temporary);
    let mut command = home.memoria();
    let output = command.arg("benchmark").args(arguments).arg("--json").env("TMPDIR", &temporary).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    assert_eq!(left_in(&temporary), Vec::<PathBuf>::new());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn left_in(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn plain() -> Value {
    json!({
        "memories": [
            {"id": "kettle", "text": "The kettle in the workshop trips the fuse when the kiln is on."},
            {"id": "kiln", "text": "The kiln is fired every second Thursday."},
            {"id": "glaze", "text": "Blue glaze is mixed from cobalt carbonate, twice sieved."},
            {"id": 7, "text": "Clay is ordered from the quarry in March."},
        ],
        "questions": [
            {"question": "cobalt carbonate glaze", "relevant": ["glaze"], "category": "words"},
            {"question": "when is clay ordered from the quarry?", "relevant": [7], "category": "words"},
            {"question": "zzyzx qwertz", "relevant": [], "category": "nothing"},
        ],
    })
}

#[test]
fn a_plain_file_is_measured_in_the_shape_that_scripts_rely_on() {
    let home = Home::new();
    let path = file(&home, "pots.json", &plain());
    let measured = measured(&home, &[path.to_str().unwrap()]);
    let names: Vec<&str> = measured.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names[..12],
        [
            "dataset",
            "questions",
            "hit",
            "recall",
            "ndcg_10",
            "mrr",
            "score",
            "grade",
            "latency_ms",
            "tokens_mean",
            "rss_mb",
            "by_category"
        ]
    );
    assert_eq!((&measured["dataset"], &measured["questions"]), (&json!("pots"), &json!(3)));
    assert_eq!(measured["hit"], json!({"1": 1.0, "5": 1.0, "10": 1.0}), "{measured}");
    assert_eq!(measured["recall"], json!({"5": 1.0, "10": 1.0, "20": 1.0}));
    assert_eq!([&measured["ndcg_10"], &measured["mrr"]], [&json!(1.0), &json!(1.0)]);
    assert_eq!([&measured["score"], &measured["grade"]], [&Value::Null, &Value::Null]);
    assert!(measured["latency_ms"]["p50"].as_f64().unwrap() <= measured["latency_ms"]["p99"].as_f64().unwrap());
    assert!(measured["rss_mb"].as_f64().unwrap() > 0.0 && measured["tokens_mean"].as_f64().unwrap() > 0.0);
    assert_eq!(measured["by_category"]["words"]["questions"], 2);
    assert_eq!([&measured["unanswered"], &measured["answered"]], [&json!(1.0), &json!(1.0)]);
    assert!(home.daemons().is_empty(), "the user's own daemon is nobody's business");
}

#[test]
fn relevance_may_stand_beside_the_questions() {
    let home = Home::new();
    for beside in [json!([["glaze"], ["kiln"]]), json!({"a": ["glaze"], "b": "kiln"})] {
        let mut value = plain();
        value["questions"] = json!([
            {"id": "a", "question": "cobalt carbonate glaze"},
            {"id": "b", "question": "fired every second Thursday"},
        ]);
        value["relevant"] = beside;
        let path = file(&home, "beside.json", &value);
        assert_eq!(measured(&home, &[path.to_str().unwrap()])["hit"]["1"], 1.0);
    }
}

#[test]
fn the_report_is_saved_with_every_question() {
    let home = Home::new();
    let path = file(&home, "pots.json", &plain());
    let saved = home.path().join("report.json");
    let words = ["benchmark", path.to_str().unwrap(), "--save", saved.to_str().unwrap(), "--limit", "2"];
    let output = home.run(&words);
    assert!(said(&output).contains("report.json") && said(&output).contains("HIT@1"), "{}", said(&output));
    let report: Value = serde_json::from_slice(&std::fs::read(&saved).unwrap()).unwrap();
    let details = report["reports"][0]["details"].as_array().unwrap();
    assert_eq!(details.len(), 2);
    assert_eq!(details[0]["places"], json!([1]), "{details:?}");
    assert!(said(&output).contains("first 2 of 3"), "what --limit left out is said");
    // Without a name it goes into the state folder.
    home.json(&["benchmark", path.to_str().unwrap()]);
    assert_eq!(left_in(&home.path().join("state/benchmarks")).len(), 1);
}

#[test]
fn conversations_have_a_store_each_and_the_fifth_category_stands_apart() {
    let home = Home::new();
    let conversation = |name: &str, fact: &str, question: &str| {
        json!({
            "sample_id": name,
            "conversation": {
                "speaker_a": "Ann", "speaker_b": "Bo",
                "session_1_date_time": "9:05 am on 3 March, 2024",
                "session_1": [
                    {"speaker": "Ann", "dia_id": "D1:1", "text": fact},
                    {"speaker": "Bo", "dia_id": "D1:2", "text": "I see, thank you."},
                ],
                "session_2_date_time": "7:40 pm on 5 March, 2024",
                "session_2": [{"speaker": "Bo", "dia_id": "D2:1", "text": "Nothing new here."}],
            },
            "qa": [
                {"question": question, "answer": "-", "evidence": ["D1:1; D1:9"], "category": 4},
                {"question": "Who is not there?", "answer": "-", "evidence": ["D7:7"], "category": 1},
                {"question": question, "answer": "-", "evidence": ["D2:1"], "category": 5},
            ],
        })
    };
    let both = json!([
        conversation("one", "The violin was repaired in Cremona.", "Where was the violin repaired?"),
        conversation("two", "Our ferry leaves Harwich at dawn.", "When does the Harwich ferry leave?"),
    ]);
    let path = file(&home, "talk.json", &both);
    let measured = measured(&home, &[path.to_str().unwrap(), "--unanswerable"]);
    assert_eq!((&measured["questions"], &measured["hit"]["1"]), (&json!(2), &json!(1.0)), "{measured}");
    assert_eq!(measured["by_category"]["5"]["questions"], 2);
    assert_eq!([&measured["unanswerable"], &measured["unanswered"]], [&json!(2), &json!(1.0)]);
    let notes = measured["notes"].to_string();
    assert!(notes.contains("one: 1 left out") && notes.contains("Who is not there?"), "{notes}");
    assert!(notes.contains("D1:9"), "{notes}");
}

#[test]
fn queries_with_expected_tags_are_answered_within_five_or_with_nothing() {
    let home = Home::new();
    let value = json!({
        "memories": [
            {"id": "a", "content": "Chose Ceph over NFS, since it survives a rack.", "tags": ["t:ceph"],
             "memory_type": "decision", "created_at_iso": "2025-01-02T03:04:05Z"},
            {"id": "b", "content": "Backups run at four in the morning.", "tags": ["t:b"], "memory_type": "semantic"},
        ],
        "queries": [
            {"id": "q", "category": "exact", "question": "Why Ceph over NFS?", "expected_tags": ["t:ceph", "t:x"]},
            {"id": "n", "category": "negative", "question": "Which violin strings?", "expected_tags": []},
        ],
    });
    let path = file(&home, "dev.json", &value);
    let measured = measured(&home, &[path.to_str().unwrap()]);
    assert_eq!([&measured["hit"]["5"], &measured["answered"]], [&json!(1.0), &json!(1.0)], "{measured}");
    assert!(measured["notes"].to_string().contains("decision (1)"));
}

#[test]
fn a_scenario_is_played_and_scored_by_memorias_formula() {
    let home = Home::new();
    let value = json!({
        "dataset_id": "own-v1", "version": "v1", "scenarios": [
            {
                "scenario_id": "OWN-1", "title": "-", "domain": "-", "difficulty": "L1", "horizon": "short", "tags": [],
                "seed_memories": [
                    {"content": "The staging gateway listens on port 8443.", "memory_type": "semantic"},
                    {"content": "The staging gateway listens on port 7001.", "is_outdated": true},
                    {"content": "Release notes are written by the docs guild.", "age_days": 40, "trust_tier": "T3",
                     "initial_confidence": 0.5},
                ],
                "steps": [
                    {"action": "correct", "query": "who writes the release notes?",
                     "content": "Release notes are written by whoever merged last."},
                    {"action": "correct", "query": "zzyzx qwertz", "content": "never there"},
                    {"action": "store", "content": "Canaries get a tenth of the traffic.", "age_days": 1},
                    {"action": "retrieve", "query": "canaries"},
                ],
                "assertions": [
                    {"query": "which port does the staging gateway listen on?", "top_k": 3,
                     "expected_contents": ["8443"], "excluded_contents": ["7001"]},
                    {"query": "who writes the release notes?", "top_k": 3,
                     "expected_contents": ["WHOEVER merged"], "excluded_contents": ["docs guild"]},
                ],
            },
        ],
    });
    let path = file(&home, "own.json", &value);
    let measured = measured(&home, &[path.to_str().unwrap()]);
    // Everything right, but for one step of four: AUS is (75 + 100) / 2.
    assert_eq!((&measured["score"], &measured["grade"]), (&json!(95.625), &json!("S")), "{measured}");
    assert_eq!([&measured["hit"], &measured["mrr"]], [&Value::Null, &Value::Null]);
    assert_eq!(measured["scenarios"][0]["failed_steps"].as_array().unwrap().len(), 1);
}

#[test]
fn two_settings_are_compared_side_by_side() {
    let home = Home::new();
    let path = file(&home, "pots.json", &plain());
    let words = [path.to_str().unwrap(), "--set", "search.top_k=3", "--compare", "search.min_score=0.99"];
    let compared = measured(&home, &words);
    assert_eq!(compared["first"]["settings"], json!(["search.top_k=3"]));
    assert_eq!(compared["second"]["settings"], json!(["search.top_k=3", "search.min_score=0.99"]));
    assert!(compared["difference"]["hit@10"].as_f64().unwrap() <= 0.0, "{compared}");
    let table = said(&home.run(&[&["benchmark"], &words[..]].concat()));
    assert!(table.contains("DIFFERENCE") && table.contains("search.min_score=0.99"), "{table}");
    let both = path.to_str().unwrap();
    assert_eq!(measured(&home, &[both, both]).as_array().unwrap().len(), 2);
}

#[test]
fn what_is_no_dataset_is_refused_in_a_sentence_and_starts_nothing() {
    let home = Home::new();
    let mut two = plain();
    two["memories"][1]["id"] = json!("kettle");
    let mut stranger = plain();
    stranger["questions"][0]["relevant"] = json!(["nobody"]);
    let scenario = json!({"scenarios": [{"scenario_id": "S-9", "seed_memories": [], "assertions": [],
        "steps": [{"action": "dance"}]}]});
    let talk = json!([{"conversation": {"session_1": [], "session_1_date_time": "soon"}, "qa": []}]);
    for (value, said) in [
        (json!({"facts": []}), "none of the files that a benchmark reads"),
        (json!([1, 2]), "none of the files that a benchmark reads"),
        (two, "memory 2: another one has the id `kettle`"),
        (stranger, "question 1: no memory has the id \"nobody\""),
        (json!({"memories": [{"id": "a"}], "questions": []}), "memory 1: missing field `text`"),
        (json!({"memories": [{"text": "a"}], "questions": []}), "no question in it"),
        (scenario, "scenario S-9: `dance` is no step"),
        (json!({"scenarios": [{"scenario_id": 5}]}), "scenario 1: "),
        (talk, "`soon` is no date"),
    ] {
        let path = file(&home, "odd.json", &value);
        let (exit, kind, message) = failure(&home, &["benchmark", path.to_str().unwrap()]);
        assert_eq!((exit, kind.as_str()), (1, "invalid"), "{message}");
        assert!(message.contains("odd.json: ") && message.contains(said), "{message} should say {said}");
    }
    std::fs::write(home.path().join("odd.json"), "{").unwrap();
    let odd = home.path().join("odd.json");
    let odd = odd.to_str().unwrap();
    assert!(failure(&home, &["benchmark", odd]).2.contains("no JSON"));
    assert!(failure(&home, &["benchmark", "/nowhere/at/all.json"]).2.contains("/nowhere/at/all.json"));
    assert_eq!(code(&home.run(&["benchmark", odd, "--set", "search.nothing=1"])), 2);
    let fine = file(&home, "pots.json", &plain());
    let (_, _, message) = failure(&home, &["benchmark", fine.to_str().unwrap(), "--set", "search.min_score=5"]);
    assert!(message.contains("SEARCH_MIN_SCORE"), "the daemon's own reason: {message}");
}

#[test]
fn an_interrupted_benchmark_leaves_nothing_behind() {
    let home = Home::new();
    let temporary = home.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut value = plain();
    let questions: Vec<Value> =
        (0..50_000).map(|n| json!({"question": format!("clay {n}"), "relevant": [7]})).collect();
    value["questions"] = json!(questions);
    let path = file(&home, "long.json", &value);
    let mut command = home.memoria();
    command.args(["benchmark", path.to_str().unwrap()]).env("TMPDIR", &temporary);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lock = |folder: &PathBuf| std::fs::read_to_string(folder.join("data/memoria.lock")).ok()?.trim().parse().ok();
    let mut daemon = None::<u32>;
    eventually("its daemon runs", || {
        daemon = left_in(&temporary).iter().find_map(lock);
        daemon.is_some()
    });
    std::thread::sleep(Duration::from_millis(50));
    signal(child.id(), Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(left_in(&temporary), Vec::<PathBuf>::new());
    let process = PathBuf::from(format!("/proc/{}", daemon.unwrap()));
    assert!(!process.exists(), "its daemon is gone too");
}
