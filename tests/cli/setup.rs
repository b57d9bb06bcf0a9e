//! `memoria init` and `memoria uninstall` as they are typed, in a made-up home: what scripts rely on, what is asked,
//! and that nothing outside of that home is touched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::Home;
use crate::{code, said};

/// A person's home beside the store's.
struct Person {
    home: Home,
}

impl Person {
    fn new() -> Self {
        let person = Self { home: Home::new() };
        std::fs::create_dir_all(person.dir().join(".claude")).unwrap();
        person
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("person")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.memoria();
        // No program of this machine is to be found, and no folder of its user.
        let bin = self.dir().join("bin");
        command.env("HOME", self.dir()).env("PATH", bin).args(words);
        for moved in ["XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME"] {
            command.env_remove(moved);
        }
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn json(&self, words: &[&str]) -> Value {
        let output = self.run(&[words, &["--json"]].concat());
        assert_eq!(code(&output), 0, "{words:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.dir()];
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path.clone());
                    found.insert(path, Vec::new());
                } else {
                    found.insert(path.clone(), std::fs::read(path).unwrap());
                }
            }
        }
        found
    }
}

const CLAUDE: &str = "{\n\t\"numStartups\": 7,\n\t\"mcpServers\": {\"x\": {\"command\": \"x\"}}\n}";

#[test]
fn init_sets_up_what_is_found_and_uninstall_gives_every_byte_back() {
    let person = Person::new();
    person.write(".claude.json", CLAUDE);
    let before = person.files();
    let done = person.json(&["init", "--yes"]);
    assert_eq!(
        (&done["agents"], &done["refused"], &done["dry_run"]),
        (&json!(["claude-code"]), &json!([]), &json!(false))
    );
    let changed = done["changes"].as_array().unwrap();
    let server = changed.iter().find(|change| change["purposes"][0] == json!("server")).unwrap();
    assert_eq!(server["change"], json!("changed"));
    assert_eq!(std::fs::read_to_string(server["copy"].as_str().unwrap()).unwrap(), CLAUDE);
    let written: Value = serde_json::from_slice(&person.files()[&person.dir().join(".claude.json")]).unwrap();
    let entry = &written["mcpServers"]["memoria"];
    assert!(Path::new(entry["command"].as_str().unwrap()).is_absolute(), "{entry}");
    assert_eq!((&entry["args"], &written["numStartups"]), (&json!(["mcp"]), &json!(7)));

    let again = person.json(&["init", "--yes"]);
    assert_eq!(again["changes"], json!([]));
    let gone = person.json(&["uninstall", "--yes"]);
    assert_eq!((&gone["refused"], &gone["memories_deleted"]), (&json!([]), &json!(false)));
    assert_eq!(person.files(), before);
    assert_eq!(person.json(&["uninstall", "--yes"])["changes"], json!([]));
}

#[test]
fn a_dry_run_shows_the_exact_change_and_writes_nothing() {
    let person = Person::new();
    person.write(".claude.json", CLAUDE);
    let before = person.files();
    let output = person.run(&["init", "--dry-run"]);
    let text = said(&output);
    assert_eq!(code(&output), 0, "{text}");
    assert!(text.contains("--- ~/.claude.json\n+++ ~/.claude.json\n"), "{text}");
    assert!(text.lines().any(|line| line.starts_with('+') && line.contains("memoria")), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    assert_eq!(person.files(), before);
    assert!(!person.home.path().join("state/agents").exists());
}

#[test]
fn where_nobody_can_be_asked_nothing_is_done() {
    let person = Person::new();
    for words in [&["init"][..], &["init", "--json"], &["uninstall"], &["init", "--agent", "claude-code"]] {
        let output = person.run(words);
        assert_eq!(code(&output), 1, "{words:?}");
        assert!(said(&output).contains("--yes"), "{words:?}: {output:?}");
    }
    let output = person.run(&["init", "--agent", "emacs", "--yes"]);
    assert!(code(&output) == 2 && said(&output).contains("claude-code"), "{output:?}");
}

#[test]
fn a_broken_file_is_named_with_its_line_and_the_exit_code_says_partly() {
    let person = Person::new();
    let broken = "{\n  \"mcpServers\": {\n  oops\n}\n";
    person.write(".claude.json", broken);
    let output = person.run(&["init", "--yes"]);
    assert_eq!(code(&output), 6, "{output:?}");
    assert!(said(&output).contains("Left alone: ~/.claude.json: line 3: "), "{output:?}");
    assert_eq!(std::fs::read_to_string(person.dir().join(".claude.json")).unwrap(), broken);
}

#[test]
fn a_project_gets_files_that_everybody_can_use() {
    let person = Person::new();
    let project = person.dir().join("work/project");
    std::fs::create_dir_all(project.join(".git")).unwrap();
    std::fs::create_dir_all(project.join("src")).unwrap();
    let mut command = person.command(&["init", "--scope", "project", "--agent", "claude-code", "--yes", "--json"]);
    let output = command.current_dir(project.join("src")).output().unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
    let text = std::fs::read_to_string(project.join(".mcp.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["mcpServers"]["memoria"]["command"], json!("memoria"));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    for change in told["changes"].as_array().unwrap() {
        let text = std::fs::read_to_string(change["file"].as_str().unwrap()).unwrap();
        assert!(!text.contains(person.home.path().to_str().unwrap()), "{text}");
    }
    let mut command = person.command(&["init", "--scope", "project", "--yes"]);
    let output = command.current_dir(person.dir()).output().unwrap();
    assert!(code(&output) == 1 && said(&output).contains("no project"), "{output:?}");
}

#[test]
fn memories_are_deleted_only_by_those_who_say_so() {
    let person = Person::new();
    person.home.json(&["store", "We deploy with Buildkite"]);
    person.json(&["init", "--yes"]);
    person.json(&["uninstall", "--yes"]);
    assert_eq!(person.home.json(&["list"])["memories"].as_array().unwrap().len(), 1);
    let gone = person.json(&["uninstall", "--yes", "--delete-memories"]);
    assert_eq!(gone["memories_deleted"], json!(true), "{gone}");
    let left: Vec<_> = std::fs::read_dir(person.home.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["memoria.lock"]);
    assert_eq!(person.home.json(&["list"])["memories"], json!([]));
}

#[test]
fn many_at_once_set_up_as_one_does() {
    let (one, many) = (Person::new(), Person::new());
    for person in [&one, &many] {
        person.write(".claude.json", CLAUDE);
    }
    one.json(&["init", "--yes"]);
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| many.json(&["init", "--yes"]));
        }
    });
    let inner = |person: &Person| -> Vec<(PathBuf, Vec<u8>)> {
        let dir = person.dir();
        person.files().into_iter().map(|(path, bytes)| (path.strip_prefix(&dir).unwrap().to_owned(), bytes)).collect()
    };
    assert_eq!(inner(&one), inner(&many));
}
