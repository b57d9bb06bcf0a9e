//! Visual Studio Code with Copilot: servers in the profile's `mcp.json` or a project's `.vscode/mcp.json`, under
//! `servers`; the rule as an instructions file, which the stable build and Insiders share. Insiders keeps its profile
//! in a folder of its own beside the other. Its hooks are a preview that reads Claude Code's files, so none are written
//! here. Profiles beside the default one, portable installations and VSCodium keep their own folders and are not looked
//! for.

use std::path::PathBuf;

use super::ours;
use super::{Agent, Dialect, Machine, Reach, Source, Step, Tried};

pub const AGENT: Agent = Agent {
    name: "vscode",
    title: "VS Code (Copilot)",
    source: SOURCE,
    is_installed: |machine| machine.has_program("code") || machine.config.join(STABLE).is_dir(),
    plan: |machine, reach| plan(machine, STABLE, reach),
};

pub const INSIDERS: Agent = Agent {
    name: "vscode-insiders",
    title: "VS Code Insiders (Copilot)",
    source: SOURCE,
    is_installed: |machine| machine.has_program("code-insiders") || machine.config.join(NIGHTLY).is_dir(),
    plan: |machine, reach| plan(machine, NIGHTLY, reach),
};

const SOURCE: Source = Source {
    page: "https://code.visualstudio.com/docs/copilot/reference/mcp-configuration",
    read: "2026-11-23",
    tried: Tried::Documentation,
};

const STABLE: &str = "Code";
const NIGHTLY: &str = "Code - Insiders";

const FRONT: &str =
    "---\nname: Memoria\ndescription: When and how to use the memory that agents share\napplyTo: '**'\n---\n";

fn plan(machine: &Machine, build: &str, reach: &Reach) -> Vec<Step> {
    let (servers, rules): (PathBuf, PathBuf) = match reach {
        Reach::User => (machine.config.join(build).join("User"), machine.home.join(".copilot")),
        Reach::Project(project) => (project.join(".vscode"), project.join(".github")),
    };
    vec![
        ours::server(servers.join("mcp.json"), "servers", ours::stdio(machine, reach), Dialect::Comments),
        ours::own_rule(rules.join("instructions").join("memoria.instructions.md"), FRONT),
    ]
}
