//! Setting up and taking back on disk: a made-up home for each test, a made-up agent whose files are of every format.
//! Nothing here touches a real home.
#![cfg(unix)]

mod misfortune;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use memoria::agents::ledger::{Ledger, Record};
use memoria::agents::setup::{Work, prepare, take_back};
use memoria::agents::{Dialect, Edit, Purpose, Reach, Step};
use proptest::prelude::*;
use serde_json::json;

const RULE: &str = "## Memoria\n\nAsk it first.";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn home(&self) -> PathBuf {
        self.0.path().join("home")
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("state/agents")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.home().join(name)).unwrap()
    }

    fn ledger(&self) -> Ledger {
        Ledger::open(&self.folder(), &self.home(), "2026-11-23").unwrap()
    }

    /// Every file of the home, with its bytes.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.home()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                    found.insert(entry.path(), Vec::new());
                } else {
                    found.insert(entry.path(), fs::read(entry.path()).unwrap());
                }
            }
        }
        found
    }

    fn steps(&self, agent: &'static str) -> Vec<(&'static str, Step)> {
        let home = self.home();
        let path = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        let hook =
            json!({"hooks": [{"type": "command", "command": format!("/opt/memoria hook prompt --agent {agent}")}]});
        let dialect = Dialect::Comments;
        let step = |name: &str, purpose, edit| (agent, Step { file: home.join(name), purpose, edit });
        vec![
            step(
                &format!("{agent}.json"),
                Purpose::Server,
                Edit::Json {
                    path: path(&["mcpServers", "memoria"]),
                    value: json!({"command": "/opt/memoria"}),
                    dialect,
                },
            ),
            step(
                &format!("{agent}.json"),
                Purpose::Hooks,
                Edit::JsonItem { path: path(&["hooks", "Prompt"]), value: hook, dialect },
            ),
            step(
                "new/folder/config.toml",
                Purpose::Server,
                Edit::Toml { table: path(&["mcp", agent]), text: "command = \"/opt/memoria\"\n".into() },
            ),
            step(
                "config.yaml",
                Purpose::Server,
                Edit::Yaml { path: path(&["extensions", agent]), text: "cmd: /opt/memoria\n".into() },
            ),
            step("AGENTS.md", Purpose::Rule, Edit::Block { text: RULE.into() }),
            step(&format!("rules/{agent}.md"), Purpose::Rule, Edit::Whole { text: format!("{RULE}\n") }),
        ]
    }

    fn init(&self, agents: &[&'static str]) -> Work {
        let mut ledger = self.ledger();
        let steps: Vec<_> = agents.iter().flat_map(|agent| self.steps(agent)).collect();
        let work = prepare(&ledger, &Reach::User, &steps);
        carry_out(&work, &mut ledger);
        work
    }

    fn uninstall(&self, agents: Option<&[&str]>) -> Work {
        let mut ledger = self.ledger();
        let work = take_back(&ledger, agents, None);
        carry_out(&work, &mut ledger);
        work
    }
}

fn carry_out(work: &Work, ledger: &mut Ledger) {
    for change in &work.changes {
        change.carry_out(ledger).unwrap();
    }
}

fn furnished() -> Place {
    let place = Place::new();
    place.write("a.json", "{\n    // mine\n    \"theme\": \"dark\",\n}\n");
    place.write("config.yaml", "# mine\nextensions:\n    other:\n        cmd: x # y\n");
    place.write("AGENTS.md", "# Ours\r\n\r\nBe kind.");
    place
}

#[test]
fn taking_back_gives_every_byte_and_leaves_no_folder() {
    let place = furnished();
    let before = place.files();
    let work = place.init(&["a"]);
    assert!(work.refused.is_empty(), "{:?}", work.refused);
    assert_ne!(place.files(), before);
    assert!(place.text("AGENTS.md").ends_with("memoria:end -->\r\n"));
    assert!(place.text("new/folder/config.toml").contains("[mcp.a]"));
    let work = place.uninstall(None);
    assert!(work.refused.is_empty(), "{:?}", work.refused);
    assert_eq!(place.files(), before);
    assert!(Record::read(&place.folder()).unwrap().files.is_empty());
}

#[test]
fn twice_changes_nothing_more() {
    let place = furnished();
    place.init(&["a"]);
    let (files, record) = (place.files(), Record::read(&place.folder()).unwrap());
    let work = place.init(&["a"]);
    assert!(work.changes.is_empty() && work.refused.is_empty(), "{work:?}");
    assert_eq!((place.files(), Record::read(&place.folder()).unwrap()), (files, record));
}

#[test]
fn what_a_person_wrote_since_survives_the_taking_back() {
    let place = furnished();
    place.init(&["a"]);
    let json = place.text("a.json").replace("\"dark\"", "\"light\"");
    place.write("a.json", &json);
    place.write("config.yaml", &place.text("config.yaml").replace("cmd: x # y", "cmd: x # z"));
    place.write("AGENTS.md", &format!("{}More.\r\n", place.text("AGENTS.md")));
    place.write("new/folder/config.toml", &format!("mine = 1\n{}", place.text("new/folder/config.toml")));
    place.write("new/other.txt", "mine");
    assert!(place.uninstall(None).refused.is_empty());
    assert_eq!(place.text("a.json"), "{\n    // mine\n    \"theme\": \"light\",\n}\n");
    assert_eq!(place.text("config.yaml"), "# mine\nextensions:\n    other:\n        cmd: x # z\n");
    assert_eq!(place.text("AGENTS.md"), "# Ours\r\n\r\nBe kind.More.\r\n");
    assert_eq!(place.text("new/folder/config.toml"), "mine = 1\n");
    assert_eq!(place.text("new/other.txt"), "mine");
    assert!(!place.home().join("rules").exists());
}

#[test]
fn an_edit_between_two_inits_is_not_lost_by_the_bytes_of_before() {
    let place = furnished();
    place.init(&["a"]);
    place.write("AGENTS.md", &place.text("AGENTS.md").replace("Be kind.", "Be brave."));
    place.init(&["a", "b"]);
    place.write("a.json", &place.text("a.json").replace("/opt/memoria\"", "/old/memoria\""));
    place.init(&["a", "b"]);
    assert!(place.text("a.json").contains("\"/opt/memoria\""));
    place.uninstall(None);
    assert_eq!(place.text("AGENTS.md"), "# Ours\r\n\r\nBe brave.");
    assert_eq!(place.text("a.json"), "{\n    // mine\n    \"theme\": \"dark\",\n}\n");
}

#[test]
fn what_two_agents_share_stays_until_the_last_one_goes() {
    let place = furnished();
    let before = place.files();
    place.init(&["a", "b"]);
    place.uninstall(Some(&["a"]));
    assert!(place.text("AGENTS.md").contains("Ask it first."));
    assert!(!place.text("config.yaml").contains("a:") && place.text("config.yaml").contains("b:"));
    assert!(!place.home().join("rules/a.md").exists() && place.home().join("rules/b.md").exists());
    place.uninstall(Some(&["b"]));
    assert_eq!(place.files(), before);
}

#[test]
fn what_was_there_before_us_is_not_ours_to_take() {
    let place = furnished();
    place.init(&["a"]);
    let all = place.files();
    fs::remove_dir_all(place.folder()).unwrap();
    assert!(place.init(&["a"]).changes.is_empty());
    assert!(place.uninstall(None).changes.is_empty());
    assert_eq!(place.files(), all);
}

#[test]
fn broken_files_are_left_alone_and_named_and_the_others_are_set_up() {
    let place = furnished();
    place.write("a.json", "{\n  \"theme\": \"dark\"\n  \"x\": 1\n}\n");
    place.write("config.yaml", "a: 1\n\tb: 2\n");
    fs::write(place.home().join("AGENTS.md"), b"one\ntwo \xff\n").unwrap();
    let before = place.files();
    let work = place.init(&["a"]);
    let said: Vec<_> =
        work.refused.iter().map(|refused| (refused.file.file_name().unwrap(), &refused.error.message)).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    for ((name, message), (file, line)) in said.iter().zip([("a.json", 3), ("config.yaml", 2), ("AGENTS.md", 2)]) {
        assert!(*name == file && message.starts_with(&format!("line {line}: ")), "{said:?}");
    }
    let after = place.files();
    assert!(before.iter().all(|(path, bytes)| after[path] == *bytes));
    assert!(place.home().join("rules/a.md").exists());
}

#[test]
fn links_are_followed_and_rights_are_kept() {
    let place = Place::new();
    let real = place.write("dotfiles/a.json", "{}");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&real, place.home().join("a.json")).unwrap();
    symlink(place.home().join("nowhere"), place.home().join("config.yaml")).unwrap();
    let work = place.init(&["a"]);
    assert!(fs::symlink_metadata(place.home().join("a.json")).unwrap().is_symlink());
    assert!(place.text("dotfiles/a.json").contains("memoria"));
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(work.refused.len(), 1);
    assert!(work.refused[0].error.message.contains("leads nowhere"), "{:?}", work.refused);
    place.uninstall(None);
    assert_eq!(place.text("dotfiles/a.json"), "{}");
    let left: Vec<_> = fs::read_dir(place.home()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("memoria")), "{left:?}");
}

#[test]
fn one_reach_is_taken_back_without_the_other() {
    let place = furnished();
    let project = Reach::Project(place.home().join("shop"));
    let edit = Edit::Block { text: RULE.into() };
    let step = Step { file: place.home().join("shop/AGENTS.md"), purpose: Purpose::Rule, edit };
    let mut ledger = place.ledger();
    carry_out(&prepare(&ledger, &project, &[("a", step)]), &mut ledger);
    drop(ledger);
    place.init(&["a"]);
    let mut ledger = place.ledger();
    carry_out(&take_back(&ledger, None, Some(&project)), &mut ledger);
    assert!(!place.home().join("shop").exists() && place.text("AGENTS.md").contains("Ask it first."));
    assert!(take_back(&ledger, None, Some(&project)).changes.is_empty());
    assert!(!take_back(&ledger, None, Some(&Reach::User)).changes.is_empty());
}

#[test]
fn looking_writes_nothing() {
    let place = furnished();
    let ledger = Ledger::look(&place.folder(), &place.home()).unwrap();
    assert!(!prepare(&ledger, &Reach::User, &place.steps("a")).changes.is_empty());
    assert!(!place.folder().exists());
}

/// What people and agents may do, in any order.
#[derive(Clone, Debug)]
enum Act {
    Init(&'static str),
    Uninstall(&'static str),
    /// A line of a person's at the start of a file.
    Write(&'static str, &'static str),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let files = proptest::sample::select(vec![
        ("AGENTS.md", "A line.\n"),
        ("config.yaml", "# a line\n"),
        ("a.json", "// a line\n"),
        ("b.json", "\n"),
        ("new/folder/config.toml", "# a line\n"),
    ]);
    let agent = || proptest::sample::select(vec!["a", "b"]);
    let act = prop_oneof![
        agent().prop_map(Act::Init),
        agent().prop_map(Act::Uninstall),
        files.prop_map(|(file, line)| Act::Write(file, line)),
    ];
    proptest::collection::vec(act, 0..9)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    /// The model: what only the person did. After everything is taken back, that is what is there.
    #[test]
    fn whatever_happens_the_end_is_what_the_person_wrote(acts in acts()) {
        let (place, model) = (furnished(), furnished());
        for act in &acts {
            match act {
                Act::Init(agent) => drop(place.init(&[agent])),
                Act::Uninstall(agent) => drop(place.uninstall(Some(&[agent]))),
                // Files that we made go with us: a person writes only into those of their own.
                Act::Write(name, line) if model.home().join(name).exists() => {
                    for place in [&place, &model] {
                        place.write(name, &format!("{line}{}", place.text(name)));
                    }
                }
                Act::Write(..) => {}
            }
        }
        let refused = place.uninstall(None).refused;
        prop_assert!(refused.is_empty(), "{:?}", refused);
        for path in model.files().keys().filter(|path| path.is_file()) {
            let name = path.strip_prefix(model.home()).unwrap().to_str().unwrap();
            prop_assert_eq!(place.text(name), model.text(name), "{}", name);
        }
        prop_assert_eq!(place.files().len(), model.files().len());
        prop_assert!(Record::read(&place.folder()).unwrap().files.is_empty());
    }
}
