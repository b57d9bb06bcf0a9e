//! `memoria doctor`: it finds what is there and what is missing, says what mends it, and changes nothing.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::Home;

/// Its findings, with `HOME` in the test's own folder, and its exit code.
fn examined(home: &Home) -> (Vec<Value>, Option<i32>) {
    let own = home.path().join("user");
    std::fs::create_dir_all(&own).unwrap();
    let mut command = home.memoria();
    command.args(["doctor", "--json"]).env("HOME", &own).env_remove("XDG_CONFIG_HOME").env("PATH", "/usr/bin:/bin");
    let output = command.output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let checks = answer["checks"].as_array().unwrap().clone();
    let is_bad = checks.iter().any(|check| check["verdict"] == "bad");
    assert_eq!((&answer["ok"], output.status.code()), (&Value::Bool(!is_bad), Some(i32::from(is_bad))), "{answer:#}");
    for check in &checks {
        assert_eq!(
            check["verdict"] == "good",
            check["remedy"].is_null(),
            "a finding comes with what mends it: {check}"
        );
    }
    (checks, output.status.code())
}

fn of<'a>(checks: &'a [Value], what: &str) -> &'a Value {
    checks.iter().find(|check| check["what"] == what).unwrap_or_else(|| panic!("nothing about {what}: {checks:#?}"))
}

#[test]
fn a_doctor_speaks_with_memoria_as_an_agent_does() {
    let home = Home::new();
    home.json(&["store", "We deploy with Buildkite"]);
    let (checks, code) = examined(&home);
    assert_eq!(code, Some(0), "{checks:#?}");
    let names =
        ["programs", "folders", "disk", "clock", "settings", "daemon", "store", "model", "socket", "engine", "MCP"];
    for what in names {
        assert_eq!(of(&checks, what)["verdict"], "good", "{checks:#?}");
    }
    assert!(of(&checks, "MCP")["found"].as_str().unwrap().contains(" tools"), "{checks:#?}");
    assert!(of(&checks, "hooks")["found"].as_str().unwrap().contains("ms for a prompt"), "{checks:#?}");
    assert!(of(&checks, "PATH")["found"].as_str().unwrap().contains("finds no `memoria`"), "{checks:#?}");
    assert_eq!(home.json(&["list"])["memories"].as_array().unwrap().len(), 1, "it leaves nothing behind");
}

#[test]
fn a_doctor_starts_no_daemon_where_none_has_run() {
    let home = Home::new();
    let (checks, _) = examined(&home);
    assert!(of(&checks, "MCP")["found"].as_str().unwrap().contains("not tried"), "{checks:#?}");
    assert!(of(&checks, "daemon")["found"].as_str().unwrap().contains("not running"), "{checks:#?}");
    assert!(home.daemons().is_empty() && !home.socket().exists());
}

#[test]
fn a_doctor_names_the_command_that_sets_an_agent_up() {
    let home = Home::new();
    let own = home.path().join("user");
    std::fs::create_dir_all(own.join(".claude")).unwrap();
    let (checks, _) = examined(&home);
    let claude = of(&checks, "Claude Code");
    assert_eq!(claude["verdict"], "weak", "{claude}");
    assert!(claude["remedy"].as_str().unwrap().contains("memoria init --agent claude-code"), "{claude}");
    std::fs::write(own.join(".claude.json"), "{ not json").unwrap();
    let (checks, _) = examined(&home);
    let claude = of(&checks, "Claude Code");
    assert!(claude["found"].as_str().unwrap().contains(".claude.json"), "{claude}");
    assert_eq!(std::fs::read_to_string(own.join(".claude.json")).unwrap(), "{ not json", "it mends nothing");
}

#[test]
fn a_doctor_sees_folders_and_sockets_that_others_can_reach() {
    let home = Home::new();
    home.start();
    let mode = |path: std::path::PathBuf, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(home.socket(), 0o666);
    let (checks, _) = examined(&home);
    assert!(of(&checks, "socket")["remedy"].as_str().unwrap().starts_with("chmod 600"), "{checks:#?}");
    mode(home.socket(), 0o600);
    mode(home.data(), 0o755);
    let (checks, code) = examined(&home);
    assert_eq!((of(&checks, "folders")["verdict"].as_str(), code), (Some("bad"), Some(1)), "{checks:#?}");
    mode(home.data(), 0o700);
}
