//! Self-evolution: three candidates grow from one point, one is merged, two are dropped, and a regression of the one
//! that was merged is taken back without what came after it.

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::{Agent, Home};

fn texts(agent: &mut Agent, view: Value) -> BTreeSet<String> {
    let listed = agent.call("memory_list", view);
    let memories = listed["memories"].as_array().unwrap();
    assert_eq!(listed["total"], memories.len(), "one page holds all");
    memories.iter().map(|memory| memory["text"].as_str().unwrap().to_owned()).collect()
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// `(before, after)` of every change, in any order.
fn changes(answer: &Value) -> BTreeSet<(Option<String>, Option<String>)> {
    let side = |side: &Value| side["text"].as_str().map(str::to_owned);
    let changes = answer["changes"].as_array().unwrap().iter();
    changes.map(|change| (side(&change["before"]), side(&change["after"]))).collect()
}

fn pair(before: Option<&str>, after: Option<&str>) -> (Option<String>, Option<String>) {
    (before.map(str::to_owned), after.map(str::to_owned))
}

const PLAN: &str = "Plan each change before the first edit";
const TEST: &str = "Run every test after each edit";
const ASK: &str = "Ask before deleting a file";

/// What a session begins with, and the ids of it.
fn begin(trainer: &mut Agent) -> [String; 3] {
    let stored = trainer.calls("memory_store", [PLAN, TEST, ASK].map(|text| json!({"content": text})));
    trainer.call("memory_snapshot", json!({"name": "generation-0"}));
    [0, 1, 2].map(|n: usize| stored[n]["memory"]["id"].as_str().unwrap().to_owned())
}

/// An agent on a branch of its own.
fn candidate(home: &Home, name: &str) -> Agent {
    let mut agent = Agent::introduced(home, name);
    agent.call("memory_branch", json!({"name": name, "from": "generation-0"}));
    agent.call("memory_checkout", json!({"name": name}));
    agent
}

#[test]
fn of_three_candidates_one_is_merged_two_are_dropped_and_a_regression_is_taken_back() {
    let home = Home::new();
    let mut trainer = Agent::introduced(&home, "trainer");
    let [plan, test, ask] = begin(&mut trainer);

    // Three at once, each on its branch: what one writes none of the others sees.
    let (mut a, mut b, mut c) = (candidate(&home, "bold"), candidate(&home, "careful"), candidate(&home, "terse"));
    a.call("memory_correct", json!({"memory_id": plan, "new_content": "Edit first, plan when lost"}));
    a.call("memory_purge", json!({"memory_id": ask}));
    b.call("memory_correct", json!({"memory_id": test, "new_content": "Run the tests near each edit"}));
    b.call("memory_store", json!({"content": "Write down why a test was skipped"}));
    c.call("memory_store", json!({"content": "Answer in one sentence"}));
    c.call("memory_store", json!({"content": "Leave greetings out"}));
    let near = "Run the tests near each edit";
    let why = "Write down why a test was skipped";
    assert_eq!(texts(&mut a, json!({})), set(&["Edit first, plan when lost", TEST]));
    assert_eq!(texts(&mut b, json!({})), set(&[PLAN, near, ASK, why]));
    assert_eq!(texts(&mut c, json!({})), set(&[PLAN, TEST, ASK, "Answer in one sentence", "Leave greetings out"]));
    assert_eq!(texts(&mut trainer, json!({})), set(&[PLAN, TEST, ASK]));

    // Judged by what each would change.
    let bold = trainer.call("memory_diff", json!({"source": "bold"}));
    let expected = [pair(Some(PLAN), Some("Edit first, plan when lost")), pair(Some(ASK), None)];
    assert_eq!(changes(&bold), expected.into());
    let careful = trainer.call("memory_diff", json!({"source": "careful", "against": "generation-0"}));
    assert_eq!(changes(&careful), [pair(Some(TEST), Some(near)), pair(None, Some(why))].into());
    let dry = trainer.call("memory_merge", json!({"source": "careful", "dry_run": true}));
    assert_eq!(changes(&dry), changes(&careful), "what a merge would do is what the branch changed");
    assert_eq!(texts(&mut trainer, json!({})), set(&[PLAN, TEST, ASK]), "a dry run writes nothing");

    // One is merged, two are dropped.
    let merged = trainer.call("memory_merge", json!({"source": "careful"}));
    assert_eq!(changes(&merged), changes(&careful));
    for name in ["bold", "terse"] {
        trainer.call("memory_branch_delete", json!({"name": name}));
    }
    assert_eq!(texts(&mut trainer, json!({})), set(&[PLAN, near, ASK, why]));
    assert_eq!(branches(&mut trainer, json!({})), set(&["main", "careful"]));
    assert_eq!(branches(&mut trainer, json!({"deleted": true})), set(&["main", "careful", "bold", "terse"]));

    regress(&mut trainer, merged["commit"].as_str().unwrap(), near, why);

    // What was dropped is not lost: it comes back as it was.
    trainer.call("memory_branch_delete", json!({"name": "bold", "restore": true}));
    assert_eq!(texts(&mut trainer, json!({"branch": "bold"})), set(&["Edit first, plan when lost", TEST]));
}

fn branches(agent: &mut Agent, arguments: Value) -> BTreeSet<String> {
    let listed = agent.call("memory_branches", arguments);
    listed["branches"].as_array().unwrap().iter().map(|branch| branch["name"].as_str().unwrap().to_owned()).collect()
}

/// The merge proves bad after more was learnt: it alone is taken back, by its commit as the log shows it.
fn regress(trainer: &mut Agent, merge: &str, near: &str, why: &str) {
    let later = "The release branch is frozen on Fridays";
    trainer.call("memory_store", json!({"content": later}));
    let log = trainer.call("memory_log", json!({}));
    let verbs: Vec<_> = log["commits"].as_array().unwrap().iter().map(|commit| &commit["verb"]).collect();
    assert_eq!(verbs, ["store", "merge", "store", "store", "store", "init"], "{log}");
    assert_eq!(log["commits"][1]["id"], merge);

    let reverted = trainer.call("memory_revert", json!({"commit": &merge[..12]}));
    assert_eq!(changes(&reverted), [pair(Some(near), Some(TEST)), pair(Some(why), None)].into());
    assert_eq!(texts(trainer, json!({})), set(&[PLAN, TEST, ASK, later]));

    // Merging again is not silently empty, and the revert can be reverted.
    let again = trainer.call("memory_merge", json!({"source": "careful"}));
    assert_eq!((&again["commit"], &again["merged"]["all"]), (&Value::Null, &json!(true)), "{again}");
    assert_eq!(again["merged"]["undone_by"], reverted["commit"], "{again}");
    trainer.call("memory_revert", json!({"commit": reverted["commit"]}));
    assert_eq!(texts(trainer, json!({})), set(&[PLAN, near, ASK, why, later]));

    // And by name: the whole branch as it was at the beginning; the state before has a name too.
    let back = trainer.call("memory_rollback", json!({"name": "generation-0"}));
    assert_eq!(texts(trainer, json!({})), set(&[PLAN, TEST, ASK]));
    assert_eq!(texts(trainer, json!({"at": back["safety"]})), set(&[PLAN, near, ASK, why, later]));
    trainer.call("memory_undo", json!({}));
    assert_eq!(texts(trainer, json!({})), set(&[PLAN, near, ASK, why, later]));
}
