//! `memoria move` as a person types it, with a real daemon, there and back.

use serde_json::Value;

use crate::server::Database;
use crate::support::Home;

fn texts(of: &Value) -> Vec<&str> {
    of["memories"].as_array().unwrap().iter().map(|memory| memory["text"].as_str().unwrap()).collect()
}

#[test]
fn matrixone_gets_the_store_serves_it_and_gives_it_back() {
    let Some(database) = Database::fresh("moving") else { return };
    let home = Home::new();
    let config = home.path().join("config");
    std::fs::create_dir_all(&config).unwrap();
    let settings = format!("# mine\n[matrixone]\nurl = \"{}\"\n", database.url().replace(":111@", "@"));
    std::fs::write(config.join("config.toml"), &settings).unwrap();
    let run = |arguments: &[&str]| -> Value {
        let mut command = home.memoria();
        let output = command.env("MEMORIA_MATRIXONE_PASSWORD", "111").args(arguments).arg("--json").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let stored = run(&["store", "the first"]);
    let id = stored["id"].as_str().unwrap();
    run(&["feedback", id, "useful"]);
    run(&["feedback", id, "wrong"]);
    run(&["pin", id]);
    run(&["expire", id, "2999-01-01"]);
    let marks = || {
        let shown = run(&["show", id]);
        ["feedback", "pinned", "expires_at"].map(|field| shown[field].clone())
    };
    let before = marks();
    assert!(before[0]["useful"] == 1 && before[1] == true && before[2].is_string(), "{before:?}");
    run(&["branch", "idea"]);
    let moved = run(&["move", "--to", "matrixone", "--yes"]);
    assert_eq!((&moved["branches"], &moved["commits"]), (&2.into(), &4.into()), "{moved}");
    let status = run(&["status"]);
    assert_eq!(status["engine"], "matrixone");
    assert!(!status.to_string().contains(":111@"), "no password is shown");
    assert_eq!(marks(), before, "what was said, the pin and the end came along");
    run(&["store", "the second"]);
    assert_eq!(texts(&run(&["list"])), ["the second", "the first"]);
    let kept = std::fs::read_to_string(config.join("config.toml")).unwrap();
    assert_eq!(kept, format!("{settings}\n[engine]\nkind = \"matrixone\"\n"));

    let refused = home.memoria().env("MEMORIA_MATRIXONE_PASSWORD", "111").args(["move", "--to", "embedded"]).output();
    let refused = String::from_utf8(refused.unwrap().stderr).unwrap();
    assert!(refused.contains("rename that file"), "{refused}");
    std::fs::rename(home.data().join("memoria.redb"), home.data().join("before.redb")).unwrap();
    run(&["move", "--to", "embedded", "--yes"]);
    assert_eq!(run(&["status"])["engine"], "embedded");
    assert_eq!(marks(), before, "and back");
    assert_eq!(texts(&run(&["list"])), ["the second", "the first"]);
    home.run(&["verify"]);
}
