//! Junie, in JetBrains IDEs and as a CLI: servers in `.junie/mcp/mcp.json` of the home folder or of a project; the rule
//! in `~/.junie/AGENTS.md`, in a project in `AGENTS.md` at its root (one in `.junie` would hide that).

use super::ours;
use super::{Agent, Dialect, Machine, Reach, Source, Step, Tried};

pub const AGENT: Agent = Agent {
    name: "junie",
    title: "JetBrains Junie",
    source: Source {
        page: "https://junie.jetbrains.com/docs/guidelines-and-memory.html",
        read: "2026-11-23",
        tried: Tried::Documentation,
    },
    is_installed: |machine| machine.has_program("junie") || machine.home.join(".junie").is_dir(),
    plan,
};

fn plan(machine: &Machine, reach: &Reach) -> Vec<Step> {
    let folder = reach.project().unwrap_or(&machine.home).join(".junie");
    let rule = reach.project().unwrap_or(&folder).join("AGENTS.md");
    let entry = ours::entry(machine, reach);
    vec![
        ours::server(folder.join("mcp").join("mcp.json"), "mcpServers", entry, Dialect::Comments),
        ours::shared_rule(rule),
    ]
}
