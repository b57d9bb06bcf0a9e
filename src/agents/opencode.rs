//! opencode: `mcp` in `opencode.json`, of the user (beside an `opencode.jsonc`, if there is one: it merges them) or of
//! a project; the rule in `AGENTS.md`. Its hooks are plug-ins in JavaScript, which are not written.

use serde_json::json;

use super::ours;
use super::{Agent, Dialect, Machine, Reach, Source, Step, Tried};

pub const AGENT: Agent = Agent {
    name: "opencode",
    title: "opencode",
    source: Source {
        page: "https://opencode.ai/docs/mcp-servers",
        read: "2026-11-23",
        tried: Tried::Client("opencode-ai 1.18.33"),
    },
    is_installed: |machine| machine.has_program("opencode") || ours::dot_config(machine).join("opencode").is_dir(),
    plan,
};

fn plan(machine: &Machine, reach: &Reach) -> Vec<Step> {
    let folder = match reach {
        Reach::User => ours::dot_config(machine).join("opencode"),
        Reach::Project(project) => project.clone(),
    };
    let entry = json!({"type": "local", "command": [machine.program(reach), "mcp"], "enabled": true});
    vec![
        ours::server(folder.join("opencode.json"), "mcp", entry, Dialect::Comments),
        ours::shared_rule(folder.join("AGENTS.md")),
    ]
}
