//! Visual Studio Code with Copilot: servers in the profile's `mcp.json` or a project's `.vscode/mcp.json`, under
//! `servers`; the rule as an instructions file. Its hooks are a preview that reads Claude Code's files, so none are
//! written here. Profiles beside the default one, Insiders and VSCodium keep their own folders and are not looked for.

use super::ours;
use super::{Agent, Dialect, Machine, Reach, Source, Step, Tried};

pub const AGENT: Agent = Agent {
    name: "vscode",
    title: "VS Code (Copilot)",
    source: Source {
        page: "https://code.visualstudio.com/docs/copilot/reference/mcp-configuration",
        read: "2026-11-23",
        tried: Tried::Documentation,
    },
    is_installed: |machine| machine.has_program("code") || machine.config.join("Code").is_dir(),
    plan,
};

const FRONT: &str =
    "---\nname: Memoria\ndescription: When and how to use the memory that agents share\napplyTo: '**'\n---\n";

fn plan(machine: &Machine, reach: &Reach) -> Vec<Step> {
    let (servers, rules) = match reach {
        Reach::User => (machine.config.join("Code").join("User"), machine.home.join(".copilot")),
        Reach::Project(project) => (project.join(".vscode"), project.join(".github")),
    };
    vec![
        ours::server(servers.join("mcp.json"), "servers", ours::stdio(machine, reach), Dialect::Comments),
        ours::own_rule(rules.join("instructions").join("memoria.instructions.md"), FRONT),
    ]
}
