//! Windsurf, which is Devin Desktop since June 2026: `devin/mcp_config.json` among the user's settings, and for
//! versions from before `~/.codeium/windsurf/mcp_config.json`. Both read `global_rules.md` and a project's
//! `.windsurf/rules`; servers of a project (`.devin/mcp_config.json`) are new. Its hooks cannot add to the context, so
//! there are none.

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
        programs || machine.home.join(".codeium").join("windsurf").is_dir()
    },
    plan,
};

const FRONT: &str = "---\ntrigger: always_on\n---\n";

fn plan(machine: &Machine, reach: &Reach) -> Vec<Step> {
    let entry = ours::entry(machine, reach);
    match reach {
        Reach::User => {
            let before = machine.home.join(".codeium").join("windsurf");
            let settings = match machine.system {
                System::Windows => machine.config.join("devin"),
                System::Linux | System::MacOs => ours::dot_config(machine).join("devin"),
            };
            vec![
                ours::server(settings.join("mcp_config.json"), "mcpServers", entry.clone(), Dialect::Comments),
                ours::server(before.join("mcp_config.json"), "mcpServers", entry, Dialect::Comments),
                ours::shared_rule(before.join("memories").join("global_rules.md")),
            ]
        }
        Reach::Project(project) => vec![
            ours::server(project.join(".devin").join("mcp_config.json"), "mcpServers", entry, Dialect::Comments),
            ours::own_rule(project.join(".windsurf").join("rules").join("memoria.md"), FRONT),
        ],
    }
}
