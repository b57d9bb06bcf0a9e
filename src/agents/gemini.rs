//! Gemini CLI: servers (as `gemini mcp add` writes them) and hooks in `settings.json`, in `~/.gemini` and in a
//! project's `.gemini`; the rule in `GEMINI.md`. Its hooks' timeouts are milliseconds. Its only permission for a server
//! is for all of its tools, so none is given.

use serde_json::json;

use super::ours::{self, Event};
use super::{Agent, Dialect, Machine, Reach, Source, Step, Tried};

pub const AGENT: Agent = Agent {
    name: "gemini",
    title: "Gemini CLI",
    source: Source {
        page: "https://github.com/google-gemini/gemini-cli/blob/main/docs/hooks/reference.md",
        read: "2026-11-23",
        tried: Tried::Client("@google/gemini-cli 0.61.0"),
    },
    is_installed: |machine| machine.has_program("gemini") || machine.home.join(".gemini").is_dir(),
    plan,
};

const EVENTS: [(&str, Event); 4] = [
    ("SessionStart", Event::SessionStart),
    ("BeforeAgent", Event::Prompt),
    ("PreCompress", Event::PreCompact),
    ("SessionEnd", Event::SessionEnd),
];

fn plan(machine: &Machine, reach: &Reach) -> Vec<Step> {
    let folder = reach.project().unwrap_or(&machine.home).join(".gemini");
    let rule = reach.project().unwrap_or(&folder).join("GEMINI.md");
    let settings = folder.join("settings.json");
    let entry = ours::entry(machine, reach);
    let mut steps =
        vec![ours::server(settings.clone(), "mcpServers", entry, Dialect::Comments), ours::shared_rule(rule)];
    if *reach == Reach::User {
        let shape =
            |command| json!({"hooks": [{"name": "memoria", "type": "command", "command": command, "timeout": 5000}]});
        steps.extend(ours::hooks((&settings, Dialect::Comments), machine, AGENT.name, &EVENTS, shape));
    }
    steps
}
