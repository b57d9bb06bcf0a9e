//! Another model, and back: nothing is lost meanwhile, and the vectors of the one before answer until the new ones are
//! complete.

use crate::cache;
use crate::meaning::{embedding, patiently, until_serving};
use crate::support::Home;

const MEMORIES: usize = 200;

fn import(home: &Home) {
    let rooms = ["kitchen", "garage", "library", "garden", "attic"];
    let things = ["ladder", "kettle", "map", "lamp", "violin", "compass", "bicycle"];
    let line = |i: usize| {
        let (room, thing) = (rooms[i % rooms.len()], things[i % things.len()]);
        format!("{{\"text\": \"In year {i} somebody left a {thing} in the {room}\"}}\n")
    };
    let file = home.path().join("memories.jsonl");
    std::fs::write(&file, (0..MEMORIES).map(line).collect::<String>()).unwrap();
    assert!(home.run(&["import", file.to_str().unwrap()]).status.success());
}

fn answers(home: &Home) -> bool {
    let answer = home.json(&["retrieve", "year 123 violin attic"]);
    answer["memories"].as_array().is_some_and(|found| !found.is_empty())
}

#[test]
fn the_old_vectors_answer_until_the_new_ones_are_complete() {
    let Some(models) = cache::with(&["minilm"]) else { return };
    let home = cache::home(&models);
    assert!(home.run(&["model", "use", "builtin"]).status.success());
    import(&home);
    until_serving(&home, "builtin");
    let begun = home.json(&["model", "use", "minilm"]);
    assert_eq!((&begun["serving"], &begun["wanted"]), (&"builtin".into(), &"minilm".into()), "{begun}");
    let mut seen = Vec::new();
    patiently("minilm serves", || {
        let now = embedding(&home);
        let pending = now["pending"].as_u64().unwrap();
        // Complete or not, it is never without an answer, and never of a half-filled model.
        let is_complete = now["serving"] == "minilm";
        assert!(is_complete || now["serving"] == "builtin", "{now}");
        assert!(answers(&home));
        seen.push(pending);
        is_complete && pending == 0
    });
    assert!(seen.windows(2).all(|pair| pair[0] >= pair[1]), "progress only: {seen:?}");
    let back = home.run(&["model", "use", "builtin", "--wait"]);
    assert!(back.status.success(), "{back:?}");
    assert_eq!(embedding(&home)["serving"], "builtin");
    assert!(answers(&home));
}

#[test]
fn a_switch_goes_on_after_the_daemon_was_killed_in_the_middle() {
    let Some(models) = cache::with(&["minilm"]) else { return };
    let home = cache::home(&models);
    assert!(home.run(&["model", "use", "builtin"]).status.success());
    import(&home);
    until_serving(&home, "builtin");
    assert!(home.run(&["model", "use", "minilm"]).status.success());
    patiently("some are done", || embedding(&home)["vectors"].as_u64().unwrap() > 0);
    home.kill_9();
    home.await_no_daemon();
    home.start();
    assert!(answers(&home));
    until_serving(&home, "minilm");
    assert_eq!(embedding(&home)["vectors"], MEMORIES);
}

#[test]
fn what_answers_is_not_removed_and_what_does_not_is() {
    let Some(shared) = cache::with(&["minilm"]) else { return };
    // A folder of its own, since something is removed from it.
    let home = Home::new();
    let models = home.path().join("models");
    copy(&shared.join("minilm"), &models.join("minilm"));
    let home = cache::home(&models);
    home.run(&["store", "one memory"]);
    until_serving(&home, "minilm");
    let refused = home.run(&["model", "remove", "minilm"]);
    assert!(!refused.status.success() && cache::said(&refused).contains("answers now"), "{refused:?}");
    assert!(home.run(&["model", "use", "builtin", "--wait"]).status.success());
    assert!(home.run(&["model", "remove", "minilm"]).status.success());
    assert!(!models.join("minilm").exists());
    assert_eq!(embedding(&home)["serving"], "builtin");
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}
