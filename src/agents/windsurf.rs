//! Windsurf, which is Devin Desktop since June 2026: `devin/mcp_config.json` among the user's settings, and for
//! versions from before `~/.codeium/windsurf/mcp_config.json`. Both read `global_rules.md` and a project's
//! `.windsurf/rules`; servers of a project (`.devin/mcp_config.json`) are new. Its hooks cannot add to the context, so
//! there are none.

use std::path::PathBuf;

use super::ours;
use super::{Agent, Dialect, Machine, Reach, Source, Step, System, Tried};

pub const AGENT: Agent = Agent {
    name: "windsurf",
    title: "Windsurf (Devin Desktop)",
    source: Source {
        page: "https://docs.devin.ai/desktop/cascade/memories",
        read: "2026-11-23",
        tried: Tried::Documentation,
    },
    is_installed: |machine| {
        let programs = ["windsurf", "devin-desktop"].iter().any(|name| machine.has_program(name));
        programs || settings(machine).is_dir() || before(machine).is_dir()
    },
    plan,
};

const FRONT: &str = "---\ntrigger: always_on\n---\n";

/// `~/.config/devin`, also on macOS; `%APPDATA%\devin`.
fn settings(machine: &Machine) -> PathBuf {
    match machine.system {
        System::Windows => machine.config.join("devin"),
        System::Linux | System::MacOs => ours::dot_config(machine).join("devin"),
    }
}

/// Where it was under its old name, and where its rules still are.
fn before(machine: &Machine) -> PathBuf {
    machine.home.join(".codeium").join("windsurf")
}

fn plan(machine: &Machine, reach: &Reach) -> Vec<Step> {
    let entry = ours::entry(machine, reach);
    let server = |file: PathBuf| ours::server(file, "mcpServers", entry.clone(), Dialect::Comments);
    match reach {
        Reach::User => vec![
            server(settings(machine).join("mcp_config.json")),
            server(before(machine).join("mcp_config.json")),
            ours::shared_rule(before(machine).join("memories").join("global_rules.md")),
        ],
        Reach::Project(project) => vec![
            server(project.join(".devin").join("mcp_config.json")),
            ours::own_rule(project.join(".windsurf").join("rules").join("memoria.md"), FRONT),
        ],
    }
}
