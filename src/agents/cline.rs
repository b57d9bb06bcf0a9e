//! Cline, the extension and the CLI: both read `~/.cline`: servers in `data/settings/cline_mcp_settings.json` (strict
//! JSON), rules in `rules/`. A project has rules (`.clinerules/`) and no servers of its own.

use super::ours::{self, NAME};
use super::{Agent, Dialect, Machine, Reach, Source, Step, Tried};

pub const AGENT: Agent = Agent {
    name: "cline",
    title: "Cline",
    source: Source {
        page: "https://docs.cline.bot/getting-started/config",
        read: "2026-11-23",
        tried: Tried::Client("cline 3.0.65"),
    },
    is_installed: |machine| {
        let extension = machine.config.join("Code").join("User").join("globalStorage").join("saoudrizwan.claude-dev");
        machine.has_program("cline") || machine.home.join(".cline").is_dir() || extension.is_dir()
    },
    plan,
};

fn plan(machine: &Machine, reach: &Reach) -> Vec<Step> {
    let home = machine.home.join(".cline");
    match reach {
        Reach::User => {
            let file = home.join("data").join("settings").join("cline_mcp_settings.json");
            let entry = ours::stdio(machine, reach);
            let server = ours::server(file.clone(), "mcpServers", entry, Dialect::Plain);
            let allowed = ours::allowed(file, &["mcpServers", NAME, "autoApprove"], "", Dialect::Plain);
            let rule = ours::own_rule(home.join("rules").join("memoria.md"), "");
            [server, rule].into_iter().chain(allowed).collect()
        }
        Reach::Project(project) => vec![ours::own_rule(project.join(".clinerules").join("memoria.md"), "")],
    }
}
