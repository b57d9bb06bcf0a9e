//! goose: `extensions` in the user's `config.yaml`, the rule in `.goosehints`; in a project only the rule, in
//! `AGENTS.md`. Its hooks only look on: what they print is not shown to the model, so there are none.

use super::ours::{self, NAME};
use super::{Agent, Edit, Machine, Purpose, Reach, Source, Step, System, Tried};

pub const AGENT: Agent = Agent {
    name: "goose",
    title: "goose",
    source: Source {
        page: "https://block.github.io/goose/docs/guides/config-files",
        read: "2026-11-23",
        tried: Tried::Documentation,
    },
    is_installed: |machine| machine.has_program("goose") || settings(machine).is_dir(),
    plan,
};

/// `~/.config/goose`, also on macOS; `%APPDATA%\Block\goose\config`.
fn settings(machine: &Machine) -> std::path::PathBuf {
    match machine.system {
        System::Windows => machine.config.join("Block").join("goose").join("config"),
        System::Linux | System::MacOs => ours::dot_config(machine).join("goose"),
    }
}

fn plan(machine: &Machine, reach: &Reach) -> Vec<Step> {
    let Reach::User = reach else {
        return reach.project().map(|project| ours::shared_rule(project.join("AGENTS.md"))).into_iter().collect();
    };
    let folder = settings(machine);
    let text = format!(
        "enabled: true\ntype: stdio\nname: {NAME}\ndescription: A memory that agents share, versioned like code\n\
         cmd: {}\nargs:\n  - mcp\nenvs: {{}}\nenv_keys: []\ntimeout: 300\n",
        ours::quoted(&machine.program(reach))
    );
    let edit = Edit::Yaml { path: vec!["extensions".to_owned(), NAME.to_owned()], text };
    vec![
        Step { file: folder.join("config.yaml"), purpose: Purpose::Server, edit },
        ours::shared_rule(folder.join(".goosehints")),
    ]
}
