//! Zed: `context_servers` in `settings.json`, of the user or in a project's `.zed`; the rule in `AGENTS.md`. In a
//! project Zed reads the first of several files of instructions: where there is a `.rules` or `.cursorrules`, not
//! `AGENTS.md`.

use super::ours;
use super::{Agent, Dialect, Machine, Reach, Source, Step, System, Tried};

pub const AGENT: Agent = Agent {
    name: "zed",
    title: "Zed",
    source: Source { page: "https://zed.dev/docs/ai/mcp", read: "2026-11-23", tried: Tried::Documentation },
    is_installed: |machine| {
        ["zed", "zeditor"].iter().any(|name| machine.has_program(name)) || settings(machine).is_dir()
    },
    plan,
};

/// `~/.config/zed`, also on macOS; `%APPDATA%\Zed`.
fn settings(machine: &Machine) -> std::path::PathBuf {
    match machine.system {
        System::Windows => machine.config.join("Zed"),
        System::Linux | System::MacOs => ours::dot_config(machine).join("zed"),
    }
}

fn plan(machine: &Machine, reach: &Reach) -> Vec<Step> {
    let (folder, rule) = match reach {
        Reach::User => (settings(machine), settings(machine).join("AGENTS.md")),
        Reach::Project(project) => (project.join(".zed"), project.join("AGENTS.md")),
    };
    let entry = ours::entry(machine, reach);
    vec![
        ours::server(folder.join("settings.json"), "context_servers", entry, Dialect::Comments),
        ours::shared_rule(rule),
    ]
}
