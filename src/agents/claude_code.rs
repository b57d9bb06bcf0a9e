//! Claude Code: its server's entry is in `~/.claude.json`, or in a project's `.mcp.json`.

use serde_json::json;

use super::{Agent, Dialect, Edit, Machine, Purpose, Reach, Source, Step, Tried};

pub const AGENT: Agent = Agent {
    name: "claude-code",
    title: "Claude Code",
    source: Source { page: "https://code.claude.com/docs/en/mcp", read: "2026-11-23", tried: Tried::Documentation },
    is_installed: |machine| machine.has_program("claude") || machine.home.join(".claude").is_dir(),
    plan,
};

fn plan(machine: &Machine, reach: &Reach) -> Vec<Step> {
    let file = match reach {
        Reach::User => machine.home.join(".claude.json"),
        Reach::Project(folder) => folder.join(".mcp.json"),
    };
    let value = json!({"type": "stdio", "command": machine.program(reach), "args": ["mcp"]});
    let path = vec!["mcpServers".to_owned(), "memoria".to_owned()];
    vec![Step { file, purpose: Purpose::Server, edit: Edit::Json { path, value, dialect: Dialect::Plain } }]
}
