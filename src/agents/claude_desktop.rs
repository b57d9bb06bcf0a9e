//! Claude Desktop: `claude_desktop_config.json` among the user's settings. It has no projects and no file of rules.

use super::ours;
use super::{Agent, Dialect, Machine, Reach, Source, Step, Tried};

pub const AGENT: Agent = Agent {
    name: "claude-desktop",
    title: "Claude Desktop",
    source: Source {
        page: "https://modelcontextprotocol.io/docs/develop/connect-local-servers",
        read: "2026-11-23",
        tried: Tried::Documentation,
    },
    is_installed: |machine| machine.config.join("Claude").is_dir(),
    plan,
};

fn plan(machine: &Machine, reach: &Reach) -> Vec<Step> {
    let Reach::User = reach else { return Vec::new() };
    let file = machine.config.join("Claude").join("claude_desktop_config.json");
    vec![ours::server(file, "mcpServers", ours::entry(machine, reach), Dialect::Plain)]
}
