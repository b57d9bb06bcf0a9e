//! What setting up each agent writes: golden files for every agent and every state that its files may be in, and what
//! must hold of all plans. `MEMORIA_BLESS=1` writes the golden files anew; read what `git diff` says then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use memoria::agents::ours::{HARMLESS, RULE};
use memoria::agents::{ALL, Agent, Dialect, Edit, Machine, Past, Purpose, Reach, Step, System, Tried};
use serde_json::Value;

/// `tests/agents/golden/<agent>/<case>/{before,after}/<file>`; `project` is the empty project of another reach.
const CASES: [&str; 6] = ["absent", "empty", "commented", "unusual", "broken", "project"];

fn machine(system: System) -> Machine {
    let home = PathBuf::from("/home/ann");
    let config = match system {
        System::Linux => home.join(".config"),
        System::MacOs => home.join("Library/Application Support"),
        System::Windows => home.join("AppData/Roaming"),
    };
    Machine { home, config, system, path: vec![], moved: vec![], memoria: PathBuf::from("/opt/memoria/bin/memoria") }
}

fn golden(agent: &Agent, case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agents/golden").join(agent.name).join(case)
}

/// By path from the home folder (or the project). The rule stands in golden files as one line, so that a better rule
/// does not change a hundred of them.
type Files = BTreeMap<String, String>;

const RULE_HERE: &str = "{{ the rule }}";

fn read(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/");
                files.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

fn folded(files: Files) -> Files {
    let (rule, other) = (RULE.trim_end(), RULE.trim_end().replace('\n', "\r\n"));
    let fold = |text: String| text.replace(rule, RULE_HERE).replace(&other, RULE_HERE);
    files.into_iter().map(|(name, text)| (name, fold(text))).collect()
}

fn reach(case: &str) -> Reach {
    if case == "project" { Reach::Project("/home/ann/shop".into()) } else { Reach::User }
}

fn relative(step: &Step, reach: &Reach) -> String {
    let root = reach.project().unwrap_or(Path::new("/home/ann"));
    step.file.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/")
}

/// As `init` does it: all of a file's steps, or none where one is refused. Answers with the refusals too.
fn set_up(steps: &[Step], reach: &Reach, before: &Files) -> (Files, BTreeMap<String, String>) {
    let (mut after, mut refused) = (before.clone(), BTreeMap::new());
    for step in steps {
        let name = relative(step, reach);
        if refused.contains_key(&name) {
            continue;
        }
        match step.edit.apply(after.get(&name).map(String::as_str)) {
            Ok(text) => drop(after.insert(name, text)),
            Err(error) => {
                match before.get(&name) {
                    Some(text) => after.insert(name.clone(), text.clone()),
                    None => after.remove(&name),
                };
                refused.insert(name, error.to_string());
            }
        }
    }
    (after, refused)
}

fn each_case(mut check: impl FnMut(&Agent, &str, &[Step], &Reach)) {
    for agent in ALL {
        for case in CASES {
            let reach = reach(case);
            check(agent, case, &(agent.plan)(&machine(System::Linux), &reach), &reach);
        }
    }
}

#[test]
fn every_agent_writes_what_its_golden_files_hold() {
    let mut differences = Vec::new();
    each_case(|agent, case, steps, reach| {
        let folder = golden(agent, case);
        let (after, _) = set_up(steps, reach, &read(&folder.join("before")));
        let after = folded(after);
        if std::env::var_os("MEMORIA_BLESS").is_some() {
            let _ = std::fs::remove_dir_all(folder.join("after"));
            for (name, text) in &after {
                let path = folder.join("after").join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
        }
        let expected = read(&folder.join("after"));
        assert!(!expected.is_empty() || steps.is_empty(), "{} has no golden file for {case}", agent.name);
        for name in after.keys().chain(expected.keys()) {
            let (is, must) = (after.get(name), expected.get(name));
            if is != must {
                differences.push(format!("{} {case} {name}\n--- is\n{is:?}\n--- must be\n{must:?}", agent.name));
            }
        }
    });
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

#[test]
fn setting_up_twice_changes_nothing() {
    each_case(|agent, case, steps, reach| {
        let (once, _) = set_up(steps, reach, &read(&golden(agent, case).join("before")));
        let (twice, _) = set_up(steps, reach, &once);
        assert_eq!(once, twice, "{} {case}", agent.name);
    });
}

#[test]
fn taking_back_leaves_every_byte_as_it_was() {
    each_case(|agent, case, steps, reach| {
        let before = read(&golden(agent, case).join("before"));
        let (mut files, refused) = set_up(steps, reach, &before);
        for step in steps.iter().rev().filter(|step| !refused.contains_key(&relative(step, reach))) {
            let name = relative(step, reach);
            let past = before.get(&name).map_or(Past::Absent, |text| Past::Text(text));
            if let Some(text) = files.remove(&name)
                && let Some(left) = step.edit.remove(&text, past).unwrap()
            {
                files.insert(name, left);
            }
        }
        assert_eq!(files, before, "{} {case}", agent.name);
    });
}

#[test]
fn a_file_that_cannot_be_read_is_left_alone_and_named() {
    for agent in ALL {
        let before = read(&golden(agent, "broken").join("before"));
        let steps = (agent.plan)(&machine(System::Linux), &Reach::User);
        let (after, refused) = set_up(&steps, &Reach::User, &before);
        assert!(!before.is_empty(), "{} has no broken file", agent.name);
        for (name, text) in &before {
            assert_eq!(after.get(name), Some(text), "{} {name}", agent.name);
            let refusal = refused.get(name).unwrap_or_else(|| panic!("{} {name} was not refused", agent.name));
            assert!(refusal.contains("line "), "{} {name}: {refusal}", agent.name);
        }
    }
}

/// The configuration as its client's parser reads it. `None`: a file that is text.
fn parsed(name: &str, text: &str, has_comments: bool) -> Option<Value> {
    let text = text.trim_start_matches('\u{feff}');
    match name.rsplit('.').next()? {
        "json" if has_comments => jsonc_parser::parse_to_serde_value(text, &Default::default()).unwrap(),
        "json" => Some(serde_json::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}\n{text}"))),
        "toml" => Some(serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()),
        "yaml" => Some(serde_yaml::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}\n{text}"))),
        _ => None,
    }
}

/// The command line of our entry, in whatever words this client has for it.
fn command_line(entry: &Value) -> Vec<String> {
    let first = ["command", "cmd"].iter().find_map(|key| entry.get(key)).unwrap_or_else(|| panic!("{entry}"));
    let words = [first.clone(), entry.get("args").cloned().unwrap_or_default()];
    let flat = words.iter().flat_map(|word| word.as_array().cloned().unwrap_or_else(|| vec![word.clone()]));
    flat.filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

fn server_path(edit: &Edit) -> &[String] {
    match edit {
        Edit::Json { path, .. } | Edit::Yaml { path, .. } => path,
        Edit::Toml { table, .. } => table,
        other => panic!("a server's entry by {other:?}"),
    }
}

#[test]
fn a_real_parser_finds_the_server_and_all_that_was_there() {
    each_case(|agent, case, steps, reach| {
        if case == "broken" {
            return;
        }
        let before = read(&golden(agent, case).join("before"));
        let (after, _) = set_up(steps, reach, &before);
        for step in steps {
            let name = relative(step, reach);
            let has_comments = match &step.edit {
                Edit::Json { dialect, .. } | Edit::JsonItem { dialect, .. } => *dialect == Dialect::Comments,
                _ => false,
            };
            let Some(value) = parsed(&name, &after[&name], has_comments) else { continue };
            if step.purpose == Purpose::Server {
                let entry = server_path(&step.edit).iter().fold(&value, |value, key| &value[key]);
                let program = if case == "project" { "memoria" } else { "/opt/memoria/bin/memoria" };
                assert_eq!(command_line(entry), [program, "mcp"], "{} {case} {name}: {entry}", agent.name);
            }
            if let Some(old) = before.get(&name).and_then(|text| match text.trim() {
                "" => None,
                _ => parsed(&name, text, has_comments),
            }) {
                assert!(holds(&value, &old), "{} {case} {name} lost some of {old}: {value}", agent.name);
            }
        }
    });
}

/// Whether every key and item of `small` is in `large`.
fn holds(large: &Value, small: &Value) -> bool {
    match (large, small) {
        (Value::Object(large), Value::Object(small)) => {
            small.iter().all(|(key, value)| large.get(key).is_some_and(|larger| holds(larger, value)))
        }
        (Value::Array(large), Value::Array(small)) => small.iter().all(|item| large.contains(item)),
        _ => large == small,
    }
}

#[test]
fn project_files_hold_no_path_of_this_machine_no_hook_and_no_permission() {
    for agent in ALL {
        for step in (agent.plan)(&machine(System::Linux), &Reach::Project("/home/ann/shop".into())) {
            let text = step.edit.apply(None).unwrap();
            assert!(!text.contains("/opt/") && !text.contains("/home/"), "{}: {text}", agent.name);
            assert!(step.file.starts_with("/home/ann/shop"), "{} writes {:?}", agent.name, step.file);
            assert!(matches!(step.purpose, Purpose::Server | Purpose::Rule), "{}: {:?}", agent.name, step.purpose);
        }
    }
}

#[test]
fn user_files_lie_in_the_home_folder_on_every_system() {
    for (agent, system) in ALL.iter().flat_map(|a| [System::Linux, System::MacOs, System::Windows].map(|s| (a, s))) {
        let steps = (agent.plan)(&machine(system), &Reach::User);
        assert!(steps.iter().any(|step| step.purpose == Purpose::Server), "{} has no server", agent.name);
        for step in steps {
            assert!(step.file.starts_with("/home/ann"), "{} writes {:?}", agent.name, step.file);
        }
    }
}

#[test]
fn nothing_that_takes_away_runs_unasked() {
    let tools: Value = serde_json::from_str(include_str!("../src/mcp/tools.json")).unwrap();
    let is_harmless = |name: &str| {
        let tool = tools["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == name);
        tool.is_some_and(|tool| tool["annotations"]["destructiveHint"] == false)
    };
    assert!(HARMLESS.iter().all(|tool| is_harmless(tool)), "{HARMLESS:?}");
    for agent in ALL {
        for step in (agent.plan)(&machine(System::Linux), &Reach::User) {
            if let (Purpose::Permission, Edit::JsonItem { value, .. }) = (step.purpose, &step.edit) {
                let tool = value.as_str().unwrap().trim_start_matches("mcp__memoria__");
                assert!(is_harmless(tool), "{} allows {tool}", agent.name);
            }
        }
    }
}

#[test]
fn the_rule_is_short_and_names_only_tools_parameters_and_values_that_exist() {
    assert!(RULE.len() < 2048, "{} bytes", RULE.len());
    let tools: Value = serde_json::from_str(include_str!("../src/mcp/tools.json")).unwrap();
    let tools: BTreeMap<_, _> =
        tools["tools"].as_array().unwrap().iter().map(|tool| (tool["name"].as_str().unwrap(), tool)).collect();
    let properties = |tool: &Value| tool["inputSchema"]["properties"].as_object().cloned().unwrap_or_default();
    let values: Vec<Value> = tools
        .values()
        .flat_map(|tool| properties(tool).into_iter().map(|(_, schema)| schema))
        .flat_map(|schema| schema["enum"].as_array().cloned().unwrap_or_default())
        .collect();
    let mut named = 0;
    for line in RULE.lines() {
        // A parameter is one of the tools that its line names, or of `memory_store` in the list under it.
        let words: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        let here: Vec<&str> = words.iter().copied().filter(|word| word.starts_with("memory_")).collect();
        for word in &words {
            let is_tool = tools.contains_key(word);
            let of = if line.starts_with("- ") { &["memory_store"][..] } else { &here[..] };
            let is_parameter = of.iter().filter_map(|tool| tools.get(tool)).any(|t| properties(t).contains_key(*word));
            let is_value = values.iter().any(|value| value == word) || ["main", "memoria"].contains(word);
            assert!(is_tool || is_parameter || is_value, "the rule names `{word}`: {line}");
            named += usize::from(is_tool);
        }
    }
    assert!(named >= 8, "the rule names {named} tools");
    let bare = RULE.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.starts_with("memory_"));
    let unknown: Vec<_> =
        bare.filter(|word| !tools.contains_key(word) && !["memory_type", "memory_id"].contains(word)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn every_agent_says_where_its_formats_come_from() {
    for agent in ALL {
        assert!(agent.source.page.starts_with("https://"), "{}", agent.name);
        assert_eq!(agent.source.read.len(), "2026-11-23".len(), "{}", agent.name);
        if let Tried::Client(client) = agent.source.tried {
            assert!(client.contains(' '), "{} was tried with {client}, of which version?", agent.name);
        }
        let readme = include_str!("../README.md");
        assert!(readme.contains(agent.title), "README.md does not name {}", agent.title);
    }
    let names: Vec<_> = ALL.iter().map(|agent| agent.name).collect();
    let wanted = "claude-code cursor kiro codex gemini vscode windsurf zed cline opencode goose junie claude-desktop";
    assert!(wanted.split(' ').all(|name| names.contains(&name)), "{names:?}");
}

#[test]
fn hooks_run_also_from_a_path_with_spaces() {
    let line = |system, path: &str| {
        let machine = Machine { memoria: path.into(), ..machine(system) };
        let steps = (ALL[0].plan)(&machine, &Reach::User);
        let hook = steps.into_iter().find(|step| step.purpose == Purpose::Hooks).unwrap();
        let Edit::JsonItem { value, .. } = hook.edit else { panic!("{:?}", hook.edit) };
        value["hooks"][0]["command"].as_str().unwrap().to_owned()
    };
    let end = "hook session-start --agent claude-code";
    assert_eq!(line(System::Linux, "/opt/memoria"), format!("/opt/memoria {end}"));
    assert_eq!(line(System::MacOs, "/Ann's Mac/memoria"), format!(r"'/Ann'\''s Mac/memoria' {end}"));
    assert_eq!(line(System::Windows, r"C:\Apps\memoria.exe"), format!("C:/Apps/memoria.exe {end}"));
    assert_eq!(line(System::Windows, r"C:\My Apps\memoria.exe"), format!("\"C:/My Apps/memoria.exe\" {end}"));
}

#[test]
fn files_lie_where_each_system_has_them() {
    let mut shown = String::new();
    for agent in ALL {
        shown += &format!("{} ({})\n", agent.title, agent.name);
        for (word, system) in [("linux", System::Linux), ("macos", System::MacOs), ("windows", System::Windows)] {
            for (scope, reach) in [("user", reach("")), ("project", reach("project"))] {
                let steps = (agent.plan)(&machine(system), &reach);
                let mut seen: Vec<String> = Vec::new();
                for step in &steps {
                    let line = format!("  {word} {scope} {:?} {}\n", step.purpose, relative(step, &reach));
                    if !seen.contains(&line) {
                        shown += &line;
                        seen.push(line);
                    }
                }
            }
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agents/golden/places.txt");
    if std::env::var_os("MEMORIA_BLESS").is_some() {
        std::fs::write(&file, &shown).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), shown);
}

#[test]
fn an_agent_is_found_by_its_program_or_by_what_it_left() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().to_owned();
    let path = vec![home.join("bin")];
    let machine = Machine { config: home.join(".config"), path, home: home.clone(), ..machine(System::Linux) };
    let found =
        || ALL.iter().filter(|agent| (agent.is_installed)(&machine)).map(|agent| agent.name).collect::<Vec<_>>();
    assert_eq!(found(), Vec::<&str>::new(), "on an empty machine");
    std::fs::create_dir_all(home.join("bin")).unwrap();
    for program in ["claude", "codex", "goose"] {
        std::fs::write(home.join("bin").join(program), "").unwrap();
    }
    assert_eq!(found(), ["claude-code", "codex", "goose"]);
    let zed = ".var/app/dev.zed.Zed/config/zed";
    for folder in [".cursor", ".kiro", ".gemini", ".cline", ".roo", ".junie", ".codeium/windsurf", zed] {
        std::fs::create_dir_all(home.join(folder)).unwrap();
    }
    for folder in ["Code", "Code - Insiders", "Claude", "zed", "opencode"] {
        std::fs::create_dir_all(home.join(".config").join(folder)).unwrap();
    }
    assert_eq!(found().len(), ALL.len(), "{:?}", found());
}

#[test]
fn settings_that_were_moved_by_the_environment_are_found_there() {
    let here = machine(System::Linux);
    for (name, variable, usual) in [
        ("claude-code", "CLAUDE_CONFIG_DIR", [".claude.json", ".claude"].as_slice()),
        ("codex", "CODEX_HOME", &[".codex"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("elsewhere");
        let there = Machine { moved: vec![(variable, folder.clone())], ..here.clone() };
        let agent = ALL.iter().find(|agent| agent.name == name).unwrap();
        assert!(!(agent.is_installed)(&there));
        std::fs::create_dir(&folder).unwrap();
        assert!((agent.is_installed)(&there), "{name} is in {variable}");
        let (moved, plain) = ((agent.plan)(&there, &Reach::User), (agent.plan)(&here, &Reach::User));
        assert_eq!(moved.len(), plain.len());
        for (moved, plain) in moved.iter().zip(&plain) {
            assert!(moved.file.starts_with(&folder), "{name} writes {}", moved.file.display());
            let plain = plain.file.strip_prefix(&here.home).unwrap();
            assert!(usual.iter().any(|usual| plain.starts_with(usual)), "{name} writes {}", plain.display());
        }
        let project = Reach::Project("/home/ann/shop".into());
        assert_eq!((agent.plan)(&there, &project), (agent.plan)(&here, &project), "a project's files stay in it");
    }
}
