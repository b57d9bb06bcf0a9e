//! Cursor: servers in `mcp.json`, rules in `rules/*.mdc`, hooks in `hooks.json`, in `~/.cursor` and in a project's
//! `.cursor`. It reads `.cursor/rules` of every folder from the project up to the root, so that a rule in
//! `~/.cursor/rules` holds in all projects below the home folder (read in the code of its SDK; the documentation names
//! only the project's).

use serde_json::json;

use super::ours::{self, Event};
use super::{Agent, Dialect, Edit, Machine, Purpose, Reach, Source, Step, Tried};

pub const AGENT: Agent = Agent {
    name: "cursor",
    title: "Cursor",
    source: Source { page: "https://cursor.com/docs/agent/hooks", read: "2026-11-23", tried: Tried::Documentation },
    is_installed: |machine| {
        let programs = ["cursor", "cursor-agent"].iter().any(|name| machine.has_program(name));
        programs || machine.home.join(".cursor").is_dir() || machine.config.join("Cursor").is_dir()
    },
    plan,
};

const FRONT: &str = "\
---
description: When and how to use Memoria, the memory that agents share
alwaysApply: true
---
";

const EVENTS: [(&str, Event); 4] = [
    ("sessionStart", Event::SessionStart),
    ("beforeSubmitPrompt", Event::Prompt),
    ("preCompact", Event::PreCompact),
    ("sessionEnd", Event::SessionEnd),
];

fn plan(machine: &Machine, reach: &Reach) -> Vec<Step> {
    let folder = reach.project().unwrap_or(&machine.home).join(".cursor");
    let mut steps = vec![
        ours::server(folder.join("mcp.json"), "mcpServers", ours::stdio(machine, reach), Dialect::Comments),
        ours::own_rule(folder.join("rules").join("memoria.mdc"), FRONT),
    ];
    if *reach == Reach::User {
        let hooks = folder.join("hooks.json");
        let version = Edit::Json { path: vec!["version".to_owned()], value: json!(1), dialect: Dialect::Comments };
        steps.push(Step { file: hooks.clone(), purpose: Purpose::Hooks, edit: version });
        let shape = |command| json!({"command": command, "timeout": 5});
        steps.extend(ours::hooks((&hooks, Dialect::Comments), machine, AGENT.name, &EVENTS, shape));
    }
    steps
}
