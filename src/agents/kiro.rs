//! Kiro, the IDE (1.0) and the CLI (3.0): servers in `settings/mcp.json`, rules in `steering/`, hooks as files of their
//! own in `hooks/`, in `~/.kiro` and in a project's `.kiro`. Of the triggers only those are used that both have had
//! from the start of this format: an unknown one could cost the whole file.

use serde_json::json;

use super::ours::{self, Event, NAME};
use super::{Agent, Dialect, Edit, Machine, Purpose, Reach, Source, Step, Tried};

pub const AGENT: Agent = Agent {
    name: "kiro",
    title: "Kiro",
    source: Source { page: "https://kiro.dev/docs/mcp/configuration", read: "2026-11-23", tried: Tried::Documentation },
    is_installed: |machine| {
        let programs = ["kiro", "kiro-cli"].iter().any(|name| machine.has_program(name));
        programs || machine.home.join(".kiro").is_dir()
    },
    plan,
};

const FRONT: &str = "---\ninclusion: always\n---\n";

const TRIGGERS: [(&str, Event); 2] = [("SessionStart", Event::SessionStart), ("UserPromptSubmit", Event::Prompt)];

fn plan(machine: &Machine, reach: &Reach) -> Vec<Step> {
    let folder = reach.project().unwrap_or(&machine.home).join(".kiro");
    let servers = folder.join("settings").join("mcp.json");
    let mut steps = vec![
        ours::server(servers.clone(), "mcpServers", ours::entry(machine, reach), Dialect::Comments),
        ours::own_rule(folder.join("steering").join("memoria.md"), FRONT),
    ];
    if *reach == Reach::User {
        let hooks = TRIGGERS.map(|(trigger, event)| {
            let action = json!({"type": "command", "command": ours::hook_command(machine, event, AGENT.name)});
            json!({"name": format!("memoria-{}", event.word()), "trigger": trigger, "action": action, "timeout": 5})
        });
        let text = format!("{:#}\n", json!({"version": "v1", "hooks": hooks}));
        let file = folder.join("hooks").join("memoria.json");
        steps.push(Step { file, purpose: Purpose::Hooks, edit: Edit::Whole { text } });
        steps.extend(ours::allowed(servers, &["mcpServers", NAME, "autoApprove"], "", Dialect::Comments));
    }
    steps
}
