//! Roo Code, an extension of VS Code: the user's servers in its storage, a project's in `.roo/mcp.json`; rules in
//! `~/.roo/rules` and a project's `.roo/rules`.

use std::path::PathBuf;

use super::ours::{self, NAME};
use super::{Agent, Dialect, Machine, Reach, Source, Step, Tried};

pub const AGENT: Agent = Agent {
    name: "roo",
    title: "Roo Code",
    source: Source {
        page: "https://docs.roocode.com/features/mcp/using-mcp-in-roo",
        read: "2026-11-23",
        tried: Tried::Documentation,
    },
    is_installed: |machine| storage(machine).is_dir() || machine.home.join(".roo").is_dir(),
    plan,
};

fn storage(machine: &Machine) -> PathBuf {
    machine.config.join("Code").join("User").join("globalStorage").join("rooveterinaryinc.roo-cline")
}

fn plan(machine: &Machine, reach: &Reach) -> Vec<Step> {
    let servers = match reach {
        Reach::User => storage(machine).join("settings").join("mcp_settings.json"),
        Reach::Project(project) => project.join(".roo").join("mcp.json"),
    };
    let rule = reach.project().unwrap_or(&machine.home).join(".roo").join("rules").join("memoria.md");
    let entry = ours::entry(machine, reach);
    let mut steps = vec![ours::server(servers.clone(), "mcpServers", entry, Dialect::Plain), ours::own_rule(rule, "")];
    if *reach == Reach::User {
        steps.extend(ours::allowed(servers, &["mcpServers", NAME, "alwaysAllow"], "", Dialect::Plain));
    }
    steps
}
