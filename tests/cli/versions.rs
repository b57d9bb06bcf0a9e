//! Version control as people and scripts use it: every command that looks at history or changes it.

use serde_json::{Value, json};

use crate::support::{Agent, Home};
use crate::{code, failure, said, texts};

fn id(memory: &Value) -> &str {
    memory["short_id"].as_str().unwrap_or_else(|| panic!("{memory}"))
}

/// Added, changed, removed.
fn counts(answer: &Value) -> [u64; 3] {
    ["added", "changed", "removed"].map(|name| answer["counts"][name].as_u64().unwrap_or_else(|| panic!("{answer}")))
}

fn list(home: &Home, more: &[&str]) -> Vec<String> {
    let mut all: Vec<String> =
        texts(&home.json(&[&["list", "--limit", "0"], more].concat())).into_iter().map(str::to_owned).collect();
    all.sort();
    all
}

fn short(commit: &Value) -> &str {
    &commit.as_str().unwrap_or_else(|| panic!("{commit}"))[..8]
}

#[test]
fn a_branch_is_made_shown_renamed_protected_deleted_and_restored() {
    let home = Home::new();
    home.json(&["store", "on main"]);
    let made = home.json(&["branch", "idea", "--message", "to try"]);
    assert_eq!((&made["branches"][0]["name"], &made["branches"][0]["live"]), (&json!("idea"), &json!(1)), "{made}");
    home.json(&["store", "on idea", "--branch", "idea"]);
    let named = |answer: &Value, name: &str| {
        let all = answer["branches"].as_array().unwrap().clone();
        all.into_iter().find(|branch| branch["name"] == name)
    };
    let listed = home.json(&["branch"]);
    assert_eq!(listed["current"], "main");
    assert_eq!(named(&listed, "idea").unwrap()["live"], 2);
    assert_eq!(named(&listed, "idea").unwrap()["note"], "to try");
    assert_eq!(named(&listed, "main").unwrap()["current"], true);

    home.json(&["branch", "idea", "--rename", "plan"]);
    home.json(&["branch", "plan", "--protect"]);
    assert_eq!(named(&home.json(&["branch"]), "plan").unwrap()["protected"], true);
    assert_eq!(failure(&home, &["store", "refused", "--branch", "plan"]).1, "denied");
    home.json(&["branch", "plan", "--unprotect"]);
    home.json(&["store", "taken", "--branch", "plan"]);

    home.json(&["branch", "plan", "--delete"]);
    assert!(named(&home.json(&["branch"]), "plan").is_none());
    assert_eq!(named(&home.json(&["branch", "--all"]), "plan").unwrap()["deleted"], true);
    assert_eq!(failure(&home, &["list", "--branch", "plan"]).0, 4);
    home.json(&["branch", "plan", "--restore"]);
    assert_eq!(list(&home, &["--branch", "plan"]), ["on idea", "on main", "taken"]);
    assert_eq!(failure(&home, &["branch", "main", "--delete"]).1, "denied");
    assert!(said(&home.run(&["branch"])).contains("*  main"), "{}", said(&home.run(&["branch"])));
}

#[test]
fn a_checkout_holds_for_what_is_typed_next_in_the_project() {
    let home = Home::new();
    home.json(&["store", "on main"]);
    home.json(&["branch", "idea"]);
    assert_eq!(home.json(&["checkout", "idea"])["current"], "idea");
    home.json(&["store", "on idea"]);
    assert_eq!(list(&home, &[]), ["on idea", "on main"]);
    assert_eq!(list(&home, &["--branch", "main"]), ["on main"]);
    home.json(&["restart"]);
    assert_eq!(list(&home, &[]), ["on idea", "on main"]);
    assert!(said(&home.run(&["store", "again"])).contains(" on idea"), "a reply says where it wrote");
    assert!(said(&home.run(&["checkout", "main"])).contains("On main now"));
    assert_eq!(list(&home, &[]), ["on main"]);
    assert_eq!(failure(&home, &["checkout", "nowhere"]).0, 4);
}

#[test]
fn what_is_on_a_branch_is_found_there_and_nowhere_else() {
    let home = Home::new();
    home.json(&["store", "We deploy with GitHub Actions"]);
    home.json(&["branch", "idea"]);
    let there = home.json(&["store", "The canary is called heron", "--branch", "idea"]);
    assert_eq!(there["branch"], "idea");
    let ask = |more: &[&str]| {
        home.await_vectors();
        home.json(&[&["retrieve", "what is the canary called?"], more].concat())
    };
    assert_eq!(texts(&ask(&["--branch", "idea"])), ["The canary is called heron"]);
    assert_eq!(texts(&ask(&[])), [""; 0]);
    home.json(&["correct", id(&there), "The canary is called egret", "--branch", "idea"]);
    let commit = there["commit"].as_str().unwrap();
    assert_eq!(texts(&ask(&["--at", commit])), ["The canary is called heron"]);
    assert_eq!(home.json(&["show", id(&there), "--at", commit])["text"], "The canary is called heron");
    home.json(&["purge", id(&there), "--branch", "idea"]);
    assert_eq!(texts(&ask(&["--branch", "idea"])), [""; 0]);
    assert_eq!(list(&home, &["--at", commit]).len(), 2);
}

#[test]
fn snapshots_stand_still_say_what_changed_and_go_by_name_prefix_or_age() {
    let home = Home::new();
    home.json(&["store", "before"]);
    home.json(&["snapshot", "nightly", "--message", "as it was"]);
    home.json(&["store", "after"]);
    let listed = home.json(&["snapshot"]);
    let snapshot = &listed["snapshots"][0];
    assert_eq!(
        (&snapshot["name"], &snapshot["live"], &snapshot["since"]["added"]),
        (&json!("nightly"), &json!(1), &json!(1))
    );
    assert_eq!(list(&home, &["--at", "nightly"]), ["before"]);
    assert!(said(&home.run(&["snapshot"])).contains("+1"), "{}", said(&home.run(&["snapshot"])));
    for name in ["old/1", "old/2", "kept"] {
        home.json(&["snapshot", name, "--at", "nightly"]);
    }
    assert_eq!(home.json(&["snapshot", "--delete-prefix", "old/"])["total"], 2);
    assert_eq!(home.json(&["snapshot", "kept", "--delete"])["total"], 1);
    assert_eq!(failure(&home, &["snapshot", "kept", "--delete"]).0, 4);
    home.json(&["snapshot", "kept", "--restore"]);
    assert_eq!(home.json(&["snapshot", "--delete-older", "1h"])["total"], 0);
    assert_eq!(home.json(&["snapshot"])["total"], 2);
    assert!(said(&home.run(&["snapshot", "--limit", "1"])).contains("1 of 2 snapshots"));
}

#[test]
fn a_diff_counts_first_and_compares_word_by_word() {
    let home = Home::new();
    let first = home.json(&["store", "We deploy with GitHub Actions to production"]);
    let gone = home.json(&["store", "The old wiki is at wiki.example.com"]);
    home.json(&["store", "Unchanged"]);
    home.json(&["branch", "idea"]);
    home.json(&["correct", id(&first), "We deploy with Buildkite to production", "--branch", "idea"]);
    home.json(&["purge", id(&gone), "--branch", "idea"]);
    home.json(&["store", "The staging server is called heron", "--branch", "idea"]);
    let diff = home.json(&["diff", "main", "idea"]);
    assert_eq!(
        (counts(&diff), &diff["from"]["name"], &diff["to"]["name"]),
        ([1, 1, 1], &json!("main"), &json!("idea"))
    );
    let change = |what: &str| diff["changes"].as_array().unwrap().iter().find(|c| c["change"] == what).unwrap();
    assert_eq!(change("changed")["before"]["text"], "We deploy with GitHub Actions to production");
    assert_eq!(change("changed")["after"]["text"], "We deploy with Buildkite to production");
    assert_eq!((&change("removed")["after"], &change("added")["before"]), (&Value::Null, &Value::Null));
    let told = said(&home.run(&["diff", "main", "idea"]));
    assert!(told.starts_with("main -> idea: 1 added, 1 changed, 1 removed.\n"), "{told}");
    assert!(told.contains("We deploy with [-GitHub Actions-] {+Buildkite+} to production"), "{told}");
    let capped = said(&home.run(&["diff", "main", "idea", "--limit", "1"]));
    assert!(capped.contains("1 of 3 changes; `memoria diff main idea --limit 0` shows all."), "{capped}");
    assert_eq!(counts(&home.json(&["diff", "idea", "main"])), [1, 1, 1]);
    assert_eq!(counts(&home.json(&["diff", "main", "main"])), [0, 0, 0]);
    assert_eq!(failure(&home, &["diff", "main", "nowhere"]).0, 4);
}

#[test]
fn near_duplicates_of_the_other_side_are_pointed_out() {
    let home = Home::new();
    home.json(&["store", "The integration tests need a Postgres 16 database on port 5433"]);
    home.json(&["branch", "idea"]);
    home.json(&["store", "The integration tests need a Postgres 17 database on port 5433", "--branch", "idea"]);
    let told = said(&home.run(&["diff", "main", "idea"]));
    assert!(told.contains("says almost the same as"), "{told}");
    assert!(home.json(&["diff", "main", "idea"])["changes"][0]["alike"][0]["percent"].as_u64().unwrap() > 50);
}

/// Both sides changed one memory, and each added one of its own.
fn divided(home: &Home) -> String {
    let shared = home.json(&["store", "We deploy with GitHub Actions"]);
    home.json(&["branch", "idea"]);
    home.json(&["correct", id(&shared), "We deploy with Buildkite", "--branch", "idea"]);
    home.json(&["store", "only on idea", "--branch", "idea"]);
    home.json(&["correct", id(&shared), "We deploy with Jenkins"]);
    home.json(&["store", "only on main"]);
    id(&shared).to_owned()
}

#[test]
fn a_merge_brings_what_came_and_is_undone_by_undo() {
    let home = Home::new();
    home.json(&["store", "shared"]);
    home.json(&["branch", "idea"]);
    home.json(&["store", "only on idea", "--branch", "idea"]);
    home.json(&["store", "only on main"]);
    let dry = home.json(&["merge", "idea", "--dry-run"]);
    assert_eq!((counts(&dry), &dry["commit"], &dry["dry_run"]), ([1, 0, 0], &Value::Null, &json!(true)));
    assert_eq!(list(&home, &[]), ["only on main", "shared"]);
    let told = said(&home.run(&["merge", "idea"]));
    assert!(told.starts_with("Merged idea into main as ") && told.contains("1 added"), "{told}");
    assert!(told.contains("only on idea") && told.contains("memoria undo"), "{told}");
    assert_eq!(list(&home, &[]), ["only on idea", "only on main", "shared"]);
    let again = home.json(&["merge", "idea"]);
    assert_eq!((counts(&again), &again["commit"]), ([0, 0, 0], &Value::Null));
    let undone = home.json(&["undo"]);
    assert_eq!(counts(&undone), [0, 0, 1]);
    assert_eq!(list(&home, &[]), ["only on main", "shared"]);
    let told = said(&home.run(&["merge", "idea"]));
    assert!(told.contains("taken back by") && told.contains("memoria revert "), "{told}");
    assert_eq!(counts(&home.json(&["redo"])), [1, 0, 0]);
    assert_eq!(list(&home, &[]), ["only on idea", "only on main", "shared"]);
}

#[test]
fn conflicts_are_shown_with_all_sides_and_settled_one_by_one() {
    let home = Home::new();
    let shared = divided(&home);
    let merge = home.run(&["merge", "idea"]);
    let told = said(&merge);
    assert_eq!(code(&merge), 5, "{told}");
    for part in
        ["base    We deploy with GitHub Actions", "ours    We deploy with Jenkins", "theirs  We deploy with Buildkite"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(told.contains(&format!("memoria resolve {shared} --take theirs")), "{told}");
    assert_eq!(list(&home, &[]), ["We deploy with Jenkins", "only on main"], "nothing of it is written yet");
    let merging = home.json(&["branch"]);
    assert!(merging["branches"].as_array().unwrap().iter().any(|b| b["name"] == "main" && b["merging"] == true));

    let open = home.run(&["resolve", "--json"]);
    let answer: Value = serde_json::from_slice(&open.stdout).unwrap();
    assert_eq!((code(&open), &answer["counts"]["conflicts"], &answer["pending"]), (5, &json!(1), &json!(true)));
    assert_eq!(answer["conflicts"][0]["theirs"]["text"], "We deploy with Buildkite");
    assert_eq!(code(&home.run(&["resolve", "--commit"])), 5, "not while something is open");
    let settled = home.json(&["resolve", &shared, "--text", "We deploy with Buildkite and Jenkins"]);
    assert_eq!((&settled["counts"]["conflicts"], &settled["pending"]), (&json!(0), &json!(true)), "{settled}");
    let done = home.json(&["resolve", "--commit"]);
    assert_eq!((counts(&done), done["commit"].is_string()), ([1, 1, 0], true), "{done}");
    assert_eq!(list(&home, &[]), ["We deploy with Buildkite and Jenkins", "only on idea", "only on main"]);
    assert_eq!(code(&home.run(&["resolve", "--abort"])), 4, "the merge is over");
}

#[test]
fn a_merge_is_given_up_or_decided_by_rule() {
    let home = Home::new();
    let shared = divided(&home);
    assert_eq!(code(&home.run(&["merge", "idea", "--dry-run"])), 5);
    assert_eq!(code(&home.run(&["merge", "idea"])), 5);
    home.json(&["resolve", &shared, "--take", "theirs"]);
    home.json(&["resolve", "--abort"]);
    assert_eq!(list(&home, &[]), ["We deploy with Jenkins", "only on main"]);
    assert_eq!(code(&home.run(&["merge", "idea"])), 5);
    home.json(&["resolve", "--all", "--take", "theirs"]);
    home.json(&["resolve", "--commit"]);
    assert_eq!(list(&home, &[]), ["We deploy with Buildkite", "only on idea", "only on main"]);
    home.json(&["undo"]);
    for (strategy, text) in [("append", "We deploy with Jenkins"), ("replace", "We deploy with Buildkite")] {
        let home = Home::new();
        divided(&home);
        home.json(&["merge", "idea", "--strategy", strategy]);
        assert_eq!(list(&home, &[]), [text, "only on idea", "only on main"]);
    }
}

#[test]
fn memories_and_commits_are_picked_and_parts_of_a_diff_applied() {
    let home = Home::new();
    home.json(&["store", "shared"]);
    home.json(&["branch", "idea"]);
    let one = home.json(&["store", "one", "--branch", "idea"]);
    let two = home.json(&["store", "two", "--branch", "idea"]);
    let three = home.json(&["store", "three", "--branch", "idea"]);
    assert_eq!(counts(&home.json(&["pick", id(&one), "--from", "idea", "--dry-run"])), [1, 0, 0]);
    assert_eq!(counts(&home.json(&["pick", id(&one), "--from", "idea"])), [1, 0, 0]);
    assert_eq!(counts(&home.json(&["pick", short(&two["commit"]), "--from", "idea"])), [1, 0, 0]);
    assert_eq!(list(&home, &[]), ["one", "shared", "two"]);
    assert_eq!(counts(&home.json(&["apply", "main", "idea", id(&three)])), [1, 0, 0]);
    assert_eq!(counts(&home.json(&["diff", "main", "idea"])), [0, 0, 0]);
    assert_eq!(home.json(&["show", id(&one)])["id"], one["id"], "a picked memory is the same memory");
    assert_eq!(code(&home.run(&["pick", "ffffffff", "--from", "idea"])), 4);
}

#[test]
fn a_pick_that_meets_another_change_asks_for_a_strategy() {
    let home = Home::new();
    let shared = divided(&home);
    let refused = home.run(&["pick", &shared, "--from", "idea"]);
    assert!(!refused.status.success() && said(&refused).contains("strategy"), "{}", said(&refused));
    assert_eq!(counts(&home.json(&["pick", &shared, "--from", "idea", "--strategy", "theirs"])), [0, 1, 0]);
    assert_eq!(list(&home, &[]), ["We deploy with Buildkite", "only on main"]);
}

#[test]
fn a_rollback_takes_a_branch_back_and_is_itself_taken_back() {
    let home = Home::new();
    home.json(&["store", "before"]);
    home.json(&["snapshot", "nightly"]);
    home.json(&["store", "after"]);
    assert_eq!(counts(&home.json(&["rollback", "--to", "nightly", "--dry-run"])), [0, 0, 1]);
    let told = said(&home.run(&["rollback", "--to", "nightly"]));
    assert!(told.contains("1 removed") && told.contains("after") && told.contains("memoria undo"), "{told}");
    assert!(told.contains("snapshot "), "the safety snapshot is named: {told}");
    assert_eq!(list(&home, &[]), ["before"]);
    home.json(&["undo"]);
    assert_eq!(list(&home, &[]), ["after", "before"]);
    assert_eq!(code(&home.run(&["rollback"])), 2);
    assert_eq!(code(&home.run(&["rollback", "--to", "nightly", "--agent", "x"])), 2);
}

#[test]
fn what_one_agent_wrote_goes_and_later_work_of_others_stays_unless_forced() {
    let home = Home::new();
    let mut cursor = Agent::introduced(&home, "cursor");
    let mut stored = |text: &str| {
        let call = json!({"name": "memory_store", "arguments": {"content": text}});
        let answer = cursor.ask("tools/call", call);
        answer["result"]["structuredContent"]["memory"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    let kept = stored("half true");
    stored("quite false");
    home.json(&["store", "typed by a person"]);
    home.json(&["correct", &kept, "true by now"]);
    let dry = home.json(&["rollback", "--agent", "cursor", "--dry-run"]);
    assert_eq!((counts(&dry), &dry["counts"]["kept"]), ([0, 0, 1], &json!(1)), "{dry}");
    let back = home.run(&["rollback", "--agent", "cursor"]);
    let told = said(&back);
    assert!(back.status.success() && told.contains("quite false") && told.contains("1 memory is kept"), "{told}");
    assert!(told.contains("true by now") && told.contains("--force"), "{told}");
    assert_eq!(list(&home, &[]), ["true by now", "typed by a person"]);
    let forced = home.json(&["rollback", "--agent", "cursor", "--force"]);
    assert_eq!((counts(&forced), &forced["counts"]["kept"]), ([0, 0, 1], &json!(0)), "{forced}");
    assert_eq!(list(&home, &[]), ["typed by a person"]);
}

#[test]
fn a_commit_is_reverted_and_operations_are_undone_and_redone() {
    let home = Home::new();
    let one = home.json(&["store", "one"]);
    home.json(&["store", "two"]);
    let reverted = home.json(&["revert", short(&one["commit"])]);
    assert_eq!((counts(&reverted), &reverted["commits"][0]["id"]), ([0, 0, 1], &one["commit"]));
    assert_eq!(list(&home, &[]), ["two"]);
    assert_eq!(counts(&home.json(&["undo", "2"])), [1, 0, 1]);
    assert_eq!(list(&home, &[]), ["one"]);
    assert_eq!(counts(&home.json(&["redo"])), [1, 0, 1]);
    assert_eq!(list(&home, &[]), ["two"]);
    assert!(said(&home.run(&["undo", "--dry-run"])).starts_with("Would undo"));
    assert_eq!(code(&home.run(&["redo"])), 4);
}

#[test]
fn a_log_follows_branches_and_draws_a_criss_cross() {
    let home = Home::new();
    home.json(&["store", "root"]);
    home.json(&["branch", "idea"]);
    home.json(&["store", "a on main"]);
    home.json(&["store", "b on idea", "--branch", "idea"]);
    home.json(&["snapshot", "main-before"]);
    home.json(&["snapshot", "idea-before", "--branch", "idea"]);
    home.json(&["merge", "idea-before"]);
    home.json(&["merge", "main-before", "--into", "idea"]);
    home.json(&["merge", "idea"]);
    let log = home.json(&["log", "--all", "--limit", "0"]);
    assert_eq!(log["total"], 7, "{log}");
    let seen: Vec<_> = log["commits"].as_array().unwrap().iter().map(|commit| commit["id"].clone()).collect();
    for (at, commit) in log["commits"].as_array().unwrap().iter().enumerate() {
        for parent in commit["parents"].as_array().unwrap() {
            assert!(seen.iter().position(|id| id == parent).unwrap() > at, "a parent before its child: {log}");
        }
    }
    let graph = said(&home.run(&["log", "--graph"]));
    let drawn =
        |line: &str| line.chars().take_while(|c| "* │├┤╮╯┼─".contains(*c)).collect::<String>().trim_end().to_owned();
    let lines: Vec<String> = graph.lines().map(drawn).collect();
    assert_eq!(lines.iter().filter(|line| line.contains('*')).count(), 7, "{graph}");
    assert_eq!(lines.iter().filter(|line| line.contains('╮')).count(), 2, "{graph}");
    assert_eq!(lines[0], "*");
    assert_eq!(lines.last().unwrap(), "*");
    assert!(graph.contains("(main)") && graph.contains("snapshot idea-before"), "{graph}");
    assert_eq!(
        home.json(&["log", "idea-before"])["commits"][0]["id"],
        home.json(&["log", "--branch", "idea", "--limit", "0"])["commits"][1]["id"]
    );
    assert!(home.json(&["log"])["total"].as_u64().unwrap() < 7, "only what happened on main");
    assert_eq!(home.json(&["log", "--session", "nobody"])["total"], 0);
    assert_eq!(code(&home.run(&["log", "--graph", "--agent", "x"])), 2);
}

#[test]
fn blame_names_the_teacher_and_what_it_said_before() {
    let home = Home::new();
    let mut cursor = Agent::introduced(&home, "cursor");
    let call = json!({"name": "memory_store", "arguments": {"content": "The API speaks XML to its clients"}});
    let stored = cursor.ask("tools/call", call);
    let memory = stored["result"]["structuredContent"]["memory"]["id"].as_str().unwrap();
    home.json(&["correct", memory, "The API speaks JSON to its clients", "--reason", "since v2"]);
    let blamed = home.json(&["blame", memory]);
    let who: Vec<_> =
        blamed["history"].as_array().unwrap().iter().map(|past| past["commit"]["author"]["agent"].clone()).collect();
    assert_eq!((who, &blamed["live"]), (vec![Value::Null, json!("cursor")], &json!(true)));
    let told = said(&home.run(&["blame", memory]));
    for part in [
        "The API speaks [-XML-] {+JSON+} to its clients",
        "\"since v2\"",
        "cursor",
        "The API speaks XML to its clients",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn an_erasure_wants_a_yes_and_leaves_nothing_to_show() {
    let home = Home::new();
    let secret = home.json(&["store", "the canary sings at 5"]);
    home.json(&["branch", "idea"]);
    let (exit, kind, message) = failure(&home, &["purge", id(&secret), "--erase"]);
    assert_eq!((exit, kind.as_str()), (1, "invalid"), "{message}");
    let erased = home.json(&["purge", id(&secret), "--erase", "--yes"]);
    assert_eq!(erased["erased"]["memories"], 1, "{erased}");
    assert_eq!(list(&home, &["--branch", "idea"]), [""; 0]);
    assert!(!said(&home.run(&["log", "--limit", "0"])).contains("canary sings"));
    assert_eq!(home.json(&["verify"])["ok"], true);
}

#[test]
fn upkeep_says_what_it_did() {
    let home = Home::new();
    home.json(&["store", "kept"]);
    home.json(&["branch", "gone"]);
    home.json(&["store", "forgotten", "--branch", "gone"]);
    home.json(&["branch", "gone", "--delete"]);
    assert_eq!(code(&home.run(&["compact"])), 2, "without --now the daemon does it itself");
    let compacted = home.json(&["compact", "--now"]);
    assert_eq!(compacted["versions"], 1, "{compacted}");
    assert_eq!(home.json(&["repair"])["ok"], true);
    assert_eq!(list(&home, &[]), ["kept"]);
}
