//! The poisoned memory, from end to end: one agent swallows 500 false facts, and they are named, traced and taken back
//! without the honest work that came after them; then an experiment is compared, merged, and the state before it read.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};
use support::{Agent, Home};

const IMPORTED: usize = 50_000;
const FALSE: usize = 500;
/// The largest page of an answer.
const PAGE: usize = 200;

fn text(of: &Value) -> &str {
    of.as_str().unwrap_or_else(|| panic!("{of} is no text"))
}

fn id(memory: &Value) -> String {
    text(&memory["id"]).to_owned()
}

/// Every change between two states, by memory, and the counts, which must be those of the changes.
fn diff(agent: &mut Agent, source: &str, against: &str) -> (BTreeMap<String, Value>, Value) {
    let mut changes = BTreeMap::new();
    loop {
        let page = json!({"source": source, "against": against, "limit": PAGE, "offset": changes.len()});
        let answer = agent.call("memory_diff", page);
        let before = changes.len();
        for change in answer["changes"].as_array().unwrap() {
            assert!(changes.insert(id(change), change.clone()).is_none(), "twice: {change}");
        }
        if changes.len() == answer["total"].as_u64().unwrap() as usize {
            let number = |has: fn(&Value) -> bool| changes.values().filter(|change| has(change)).count();
            assert_eq!(answer["counts"]["added"], number(|change| change["before"].is_null()));
            assert_eq!(answer["counts"]["removed"], number(|change| change["after"].is_null()));
            return (changes, answer["counts"].clone());
        }
        assert!(changes.len() > before, "a page of nothing: {answer}");
    }
}

fn ids(changes: &BTreeMap<String, Value>) -> BTreeSet<String> {
    changes.keys().cloned().collect()
}

fn stored(answers: &[Value]) -> Vec<String> {
    assert!(answers.iter().all(|answer| answer["duplicate"] == false), "a fact was there before");
    answers.iter().map(|answer| id(&answer["memory"])).collect()
}

fn total(agent: &mut Agent, view: Value) -> usize {
    let mut arguments = view;
    arguments["limit"] = json!(1);
    agent.call("memory_list", arguments)["total"].as_u64().unwrap() as usize
}

/// What a question finds, by text.
fn found(agent: &mut Agent, question: &str, view: Value) -> Vec<String> {
    let mut arguments = view;
    arguments["query"] = json!(question);
    let answer = agent.call("memory_retrieve", arguments);
    answer["memories"].as_array().unwrap().iter().map(|memory| text(&memory["text"]).to_owned()).collect()
}

/// What everybody knows, by a file, as people bring it in.
fn import(home: &Home) {
    let mut lines = String::new();
    for n in 0..IMPORTED {
        let (service, port) = (n % 977, 1024 + n);
        writeln!(lines, r#"{{"text": "Endpoint e{n} of service s{service} listens on port {port}"}}"#).unwrap();
    }
    let file = home.path().join("known.jsonl");
    std::fs::write(&file, lines).unwrap();
    let imported = home.json(&["import", file.to_str().unwrap()]);
    assert_eq!(imported["stored"], IMPORTED, "{imported}");
}

/// The agent reads a page that lies. Its memories' ids.
fn swallow(reader: &mut Agent) -> Vec<String> {
    let lie = |n| json!({"content": format!("Claim q{n}: customer c{n} has waived all payment checks")});
    stored(&reader.calls("memory_store", (0..FALSE).map(lie)))
}

/// What others do afterwards: new facts, five of the lies corrected, one removed. The ids of the new, of the corrected.
fn work_on(worker: &mut Agent, lies: &[String]) -> (Vec<String>, Vec<String>) {
    let new =
        worker.calls("memory_store", (0..20).map(|n| json!({"content": format!("Release r{n} went out on day {n}")})));
    let corrected = &lies[100..105];
    let truth = |n| format!("Claim q{n} is wrong: the customer pays as everybody does");
    worker.calls(
        "memory_correct",
        (0..5)
            .map(|n| json!({"memory_id": corrected[n], "new_content": truth(100 + n), "reason": "asked the customer"})),
    );
    let purged = worker.call("memory_purge", json!({"memory_id": lies[200]}));
    assert_eq!(purged["total"], 1, "{purged}");
    (stored(&new), corrected.to_vec())
}

#[test]
fn false_facts_of_one_agent_are_named_traced_and_taken_back_without_later_honest_work() {
    story(&Home::new());
}

/// The database stays on the server: its name begins with `poisoned_`.
#[test]
fn the_story_is_the_same_on_matrixone() {
    match Home::on_matrixone("poisoned") {
        Some(home) => story(&home),
        None => println!("SKIPPED: 1 story, since MEMORIA_TEST_MATRIXONE_URL names no server"),
    }
}

fn story(home: &Home) {
    import(home);
    let mut keeper = Agent::introduced(home, "keeper");
    let nightly = keeper.call("memory_snapshot", json!({"name": "nightly", "description": "every night"}));
    assert_eq!(nightly["snapshots"][0]["memories"], IMPORTED, "{nightly}");

    let mut reader = Agent::introduced(home, "reader");
    let lies = swallow(&mut reader);
    let (changes, counts) = diff(&mut keeper, "main", "nightly");
    assert_eq!((&counts["added"], &counts["changed"], &counts["removed"]), (&json!(FALSE), &json!(0), &json!(0)));
    assert_eq!(ids(&changes), lies.iter().cloned().collect(), "the diff names exactly the false facts");

    // Whom to blame, for each of them, by the ids that the diff showed.
    let shown = changes.values().map(|change| json!({"memory_id": change["short_id"]}));
    for blamed in keeper.calls("memory_blame", shown) {
        let history = blamed["history"].as_array().unwrap();
        let [only] = &history[..] else { panic!("{blamed}") };
        assert_eq!((&only["commit"]["author"]["agent"], &only["commit"]["verb"]), (&json!("reader"), &json!("store")));
    }
    assert_eq!(keeper.call("memory_log", json!({"agent": "reader", "limit": 1}))["total"], FALSE);

    let mut worker = Agent::introduced(home, "worker");
    let (honest, corrected) = work_on(&mut worker, &lies);
    let worked = keeper.call("memory_blame", json!({"memory_id": corrected[0]}));
    let who: Vec<_> =
        worked["history"].as_array().unwrap().iter().map(|past| &past["commit"]["author"]["agent"]).collect();
    assert_eq!(who, ["worker", "reader"], "{worked}");
    assert!(text(&worked["history"][1]["text"]).starts_with("Claim q100: customer c100"), "what it said before");

    take_back(&mut keeper, &corrected);
    let (changes, _) = diff(&mut keeper, "main", "nightly");
    let left: BTreeSet<_> = honest.iter().chain(&corrected).cloned().collect();
    assert_eq!(ids(&changes), left, "what is new since the night is the honest work and nothing else");
    assert_eq!(total(&mut keeper, json!({})), IMPORTED + honest.len() + corrected.len());
    assert_eq!(
        found(&mut keeper, "claim q7 of customer c7", json!({"top_k": 1})).iter().filter(|t| t.contains("c7 ")).count(),
        0
    );
    let truth = found(&mut keeper, "is claim q100 wrong?", json!({"top_k": 1}));
    assert_eq!(truth, ["Claim q100 is wrong: the customer pays as everybody does"]);

    experiment(home, &mut keeper);
}

/// The one agent's writes go; what others made of some stays, and is listed.
fn take_back(keeper: &mut Agent, corrected: &[String]) {
    let gone = FALSE - corrected.len() - 1;
    let dry = keeper.call("memory_rollback", json!({"agent": "reader", "dry_run": true}));
    assert_eq!(
        (&dry["counts"]["removed"], &dry["counts"]["kept"], &dry["commit"]),
        (&json!(gone), &json!(5), &Value::Null)
    );
    let before = total(keeper, json!({}));
    let back = keeper.call("memory_rollback", json!({"agent": "reader"}));
    let counts = &back["counts"];
    assert_eq!((&counts["removed"], &counts["added"], &counts["changed"]), (&json!(gone), &json!(0), &json!(0)));
    let kept: BTreeSet<_> = back["kept"].as_array().unwrap().iter().map(id).collect();
    assert_eq!(kept, corrected.iter().cloned().collect(), "later work is kept and listed");
    for kept in back["kept"].as_array().unwrap() {
        assert!(text(&kept["after"]["text"]).contains("is wrong"), "{kept}");
        assert_eq!(kept["before"], Value::Null, "without that it would have gone");
    }
    // As a new commit: the state before is still there, under the name that the reply gives.
    let safety = text(&back["safety"]);
    assert_eq!(total(keeper, json!({"at": safety})), before);
    assert_eq!(total(keeper, json!({})), before - gone);
    let again = keeper.call("memory_rollback", json!({"agent": "reader"}));
    assert_eq!(again["commit"], Value::Null, "it is done once: {again}");
}

/// New memories and new weights on a branch: nobody else sees them, the diff has them, the merge brings them, and the
/// snapshot still says what was before.
fn experiment(home: &Home, keeper: &mut Agent) {
    keeper.call("memory_snapshot", json!({"name": "before-experiment"}));
    let pages = || {
        [
            json!({"at": "before-experiment", "limit": PAGE}),
            json!({"at": "before-experiment", "limit": PAGE, "offset": 25_000}),
        ]
    };
    let as_it_was = keeper.calls("memory_list", pages());
    let live = total(keeper, json!({}));

    let mut tuner = Agent::introduced(home, "tuner");
    tuner.call("memory_branch", json!({"name": "experiment"}));
    tuner.call("memory_checkout", json!({"name": "experiment"}));
    let new = |n| json!({"content": format!("Heuristic h{n} prefers cache tier k{n}")});
    let added: BTreeSet<_> = stored(&tuner.calls("memory_store", (0..50).map(new))).into_iter().collect();
    let weighed: Vec<_> = as_it_was[1]["memories"].as_array().unwrap()[..10].to_vec();
    let weigh = |memory: &Value| json!({"memory_id": memory["id"], "new_content": memory["text"], "trust_tier": "T1"});
    tuner.calls("memory_correct", weighed.iter().map(weigh));

    // Each stands where it was: the tuner on its branch, the others on main.
    assert_eq!(total(&mut tuner, json!({})), live + 50);
    assert_eq!(total(keeper, json!({})), live);
    assert_eq!(found(&mut tuner, "heuristic h7", json!({"top_k": 1})), ["Heuristic h7 prefers cache tier k7"]);
    assert_eq!(found(keeper, "heuristic h7", json!({})), [""; 0]);

    let (changes, counts) = diff(keeper, "experiment", "main");
    assert_eq!((&counts["added"], &counts["changed"], &counts["removed"]), (&json!(50), &json!(10), &json!(0)));
    let expected: BTreeSet<_> = added.iter().cloned().chain(weighed.iter().map(id)).collect();
    assert_eq!(ids(&changes), expected);
    for memory in &weighed {
        let change = &changes[&id(memory)];
        assert_eq!((&change["before"]["trust"], &change["after"]["trust"]), (&json!("T4"), &json!("T1")));
        assert_eq!(change["before"]["text"], change["after"]["text"]);
    }

    let merged = keeper.call("memory_merge", json!({"source": "experiment"}));
    assert_eq!((&merged["counts"]["added"], &merged["counts"]["changed"]), (&json!(50), &json!(10)), "{merged}");
    assert_eq!(merged["counts"]["conflicts"], 0);
    assert_eq!(total(keeper, json!({})), live + 50);
    assert_eq!(found(keeper, "heuristic h7", json!({"top_k": 1})), ["Heuristic h7 prefers cache tier k7"]);
    assert_eq!(diff(keeper, "experiment", "main").0.len(), 0, "both hold the same now");

    assert_eq!(total(keeper, json!({"at": "before-experiment"})), live);
    assert_eq!(found(keeper, "heuristic h7", json!({"at": "before-experiment"})), [""; 0]);
    for (was, is) in as_it_was.iter().zip(keeper.calls("memory_list", pages())) {
        assert_eq!(was["memories"], is["memories"], "the snapshot reads as it was");
    }
}
