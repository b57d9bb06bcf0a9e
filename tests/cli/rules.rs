//! `memoria rules`: the text, and how it is brought up to date where `memoria init` wrote it, in a made-up home folder.

use std::path::PathBuf;

use memoria::agents::ours::RULE;
use serde_json::{Value, json};

use super::{Home, code};

/// A home folder beside Memoria's own, with Gemini CLI, Cursor and Kiro set up in it.
struct Person {
    memoria: Home,
    home: tempfile::TempDir,
}

impl Person {
    fn new() -> Self {
        let person = Self { memoria: Home::new(), home: tempfile::tempdir().unwrap() };
        person.write(".gemini/GEMINI.md", "# Mine\n");
        person.run(&["init", "--agent", "gemini", "--agent", "cursor", "--agent", "kiro", "--yes"]);
        person
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().canonicalize().unwrap().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.file(name).parent().unwrap()).unwrap();
        std::fs::write(self.file(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    fn run(&self, words: &[&str]) -> Value {
        let mut command = self.memoria.memoria();
        command.env("HOME", self.home.path()).env_remove("XDG_CONFIG_HOME");
        let output = command.args(words).arg("--json").output().unwrap();
        assert_eq!(code(&output), 0, "{words:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{words:?}: {e}: {output:?}"))
    }

    fn changed(&self, words: &[&str]) -> Vec<PathBuf> {
        let said = self.run(words);
        assert_eq!(said["refused"], json!([]));
        said["changes"].as_array().unwrap().iter().map(|change| change["file"].as_str().unwrap().into()).collect()
    }
}

#[test]
fn the_rule_is_shown_as_it_is() {
    let home = Home::new();
    for words in [&["rules"][..], &["rules", "show"]] {
        assert_eq!(String::from_utf8(home.run(words).stdout).unwrap(), RULE);
    }
    assert_eq!(home.json(&["rules"])["rule"], RULE);
    assert!(home.daemons().is_empty(), "a text needs no daemon");
}

#[test]
fn an_older_rule_is_brought_up_to_date_and_nothing_else_changes() {
    let person = Person::new();
    let (shared, own) = (".gemini/GEMINI.md", ".cursor/rules/memoria.mdc");
    let fresh = [shared, own].map(|name| person.read(name));
    assert!(fresh[0].starts_with("# Mine\n") && fresh.iter().all(|text| text.contains(RULE.trim_end())));
    assert_eq!(person.changed(&["rules", "refresh"]), Vec::<PathBuf>::new());

    for name in [shared, own] {
        let older = person.read(name).replace("Use it without being asked.", "Use it.");
        person.write(name, &format!("{older}{}", if name == shared { "\nMine, too.\n" } else { "" }));
    }
    let outdated = person.run(&["rules"])["outdated"].as_array().unwrap().len();
    assert_eq!(outdated, 2);
    let planned = person.changed(&["rules", "refresh", "--dry-run"]);
    assert!(planned.contains(&person.file(shared)) && planned.len() == 2, "{planned:?}");
    assert!(!person.read(own).contains("without being asked"), "a dry run wrote");

    assert_eq!(person.changed(&["rules", "refresh"]), planned);
    assert_eq!(person.read(own), fresh[1], "the front matter stays");
    assert_eq!(person.read(shared), format!("{}\nMine, too.\n", fresh[0]));
    assert_eq!(person.changed(&["rules", "refresh"]), Vec::<PathBuf>::new());
}

#[test]
fn a_rule_that_somebody_removed_stays_away_and_hooks_are_no_rule() {
    let person = Person::new();
    std::fs::remove_file(person.file(".cursor/rules/memoria.mdc")).unwrap();
    let hooks = person.read(".kiro/hooks/memoria.json");
    person.write(".kiro/hooks/memoria.json", &hooks.replace("\"timeout\": 5", "\"timeout\": 9"));
    assert_eq!(person.changed(&["rules", "refresh"]), Vec::<PathBuf>::new());
    assert!(!person.file(".cursor/rules/memoria.mdc").exists());
    assert!(person.read(".kiro/hooks/memoria.json").contains("\"timeout\": 9"));
}

#[test]
fn what_was_refreshed_is_taken_back_whole() {
    let person = Person::new();
    let older = person.read(".gemini/GEMINI.md").replace("Use it without being asked.", "Use it.");
    person.write(".gemini/GEMINI.md", &older);
    person.run(&["rules", "refresh"]);
    person.run(&["uninstall", "--yes"]);
    assert_eq!(person.read(".gemini/GEMINI.md"), "# Mine\n");
    assert!(!person.file(".cursor").exists() && !person.file(".kiro").exists());
}
