//! What people say of memories beside what they say: feedback, pins, ends, profiles.

use serde_json::json;

use crate::support::Home;
use crate::{code, failure, said, texts};

#[test]
fn feedback_is_counted_shown_and_answered_with_what_to_do() {
    let home = Home::new();
    let id = home.json(&["store", "We deploy with Buildkite"])["short_id"].as_str().unwrap().to_owned();
    let rated = home.json(&["feedback", &id, "useful"]);
    assert_eq!((&rated["signal"], &rated["feedback"]["useful"]), (&json!("useful"), &json!(1)));
    let told = said(&home.run(&["feedback", &id, "wrong"]));
    assert!(told.contains("1 useful, 1 wrong") && told.contains("memoria correct"), "{told}");
    let shown = home.json(&["show", &id]);
    assert_eq!((&shown["confidence"], &shown["initial_confidence"]), (&json!(0.95), &json!(0.95)));
    assert_eq!(shown["feedback"]["wrong"], 1);
    assert!(said(&home.run(&["show", &id])).contains("1 useful, 1 wrong"));
    let explained = said(&home.run(&["retrieve", "how do we deploy?", "--explain"]));
    assert!(explained.contains("× feedback") && explained.contains("confidence 0.95"), "{explained}");
    assert_eq!(home.json(&["log"])["commits"].as_array().unwrap().len(), 2, "what is said is no commit");
    assert_eq!(failure(&home, &["feedback", "ffffffff", "useful"]).0, 4);
    assert_eq!(code(&home.run(&["feedback", &id, "splendid"])), 2);
}

#[test]
fn a_pin_and_an_end_are_set_shown_and_taken_back() {
    let home = Home::new();
    let stored = home.json(&["store", "Never push to main", "--pin", "--expires", "3d"]);
    assert_eq!((&stored["pinned"], stored["expires_at"].is_string()), (&json!(true), true));
    let id = stored["short_id"].as_str().unwrap();
    let unpinned = home.json(&["unpin", id]);
    assert_eq!((&unpinned["memories"][0]["pinned"], unpinned["commit"].is_string()), (&json!(false), true));
    let same = home.json(&["unpin", id]);
    assert_eq!((&same["unchanged"], &same["commit"]), (&json!(1), &json!(null)));
    assert_eq!(home.json(&["expire", id, "never"])["memories"][0]["expires_at"], json!(null));
    let ending = said(&home.run(&["expire", id, "2030-12-01"]));
    assert!(ending.contains("until 2030-12-01"), "{ending}");
    assert!(home.run(&["undo"]).status.success());
    assert_eq!(home.json(&["show", id])["expires_at"], json!(null));
    assert!(failure(&home, &["expire", id, "2020-01-01"]).2.contains("is past"));
    let missing = home.run(&["pin", id, "ffffffff"]);
    assert_eq!(code(&missing), 4);
    assert!(said(&missing).contains("Not there: ffffffff"), "{}", said(&missing));
    assert_eq!(home.json(&["show", id])["pinned"], json!(true), "the others are marked all the same");
}

#[test]
fn a_profile_is_shown_and_a_session_and_a_subject_narrow_what_is_listed() {
    let home = Home::new();
    home.json(&["store", "Prefers small commits", "--kind", "profile"]);
    home.json(&["store", "Prefers long lunches", "--kind", "profile", "--subject", "ann", "--session", "s1"]);
    home.json(&["store", "The build takes a minute", "--session", "s1"]);
    let own = home.json(&["profile"]);
    assert_eq!(texts(&own), ["Prefers small commits"]);
    assert_eq!(own["others"], json!([{"subject": "ann", "count": 1}]));
    assert_eq!(texts(&home.json(&["profile", "--subject", "ann"])), ["Prefers long lunches"]);
    assert!(said(&home.run(&["profile"])).contains("1 more memory: --subject ann"));
    let listed = home.json(&["list", "--session", "s1"]);
    assert_eq!(texts(&listed), ["The build takes a minute", "Prefers long lunches"]);
    assert_eq!(texts(&home.json(&["list", "--subject", "ann"])), ["Prefers long lunches"]);
    home.await_vectors();
    let question = ["retrieve", "what is preferred?", "--session", "s1"];
    assert_eq!(texts(&home.json(&question)), ["Prefers long lunches"]);
    let preferred = home.json(&[&question[..], &["--session-scope", "prefer"]].concat());
    assert_eq!(texts(&preferred), ["Prefers long lunches", "Prefers small commits"]);
    assert_eq!(code(&home.run(&["retrieve", "what?", "--session-scope", "only"])), 2);
}
