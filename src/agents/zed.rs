//! Zed: `context_servers` in `settings.json`, of the user or in a project's `.zed`; the rule in `AGENTS.md`. Preview
//! builds share the user's folder; the Flatpak has one of its own, whose `XDG_CONFIG_HOME` it keeps when it leaves the
//! sandbox (`cli/src/main.rs` of its source, read on the same day), so what it starts are this machine's programs. In a
//! project Zed reads the first of several files of instructions: where there is a `.rules` or `.cursorrules`, not
//! `AGENTS.md`.

use std::path::{Path, PathBuf};

use super::ours;
use super::{Agent, Dialect, Machine, Reach, Source, Step, System, Tried};

pub const AGENT: Agent = Agent {
    name: "zed",
    title: "Zed",
    source: SOURCE,
    is_installed: |machine| {
        ["zed", "zeditor"].iter().any(|name| machine.has_program(name)) || settings(machine).is_dir()
    },
    plan: |machine, reach| plan(machine, &settings(machine), reach),
};

pub const FLATPAK: Agent = Agent {
    name: "zed-flatpak",
    title: "Zed (Flatpak)",
    source: SOURCE,
    is_installed: |machine| machine.system == System::Linux && flatpak(machine).is_dir(),
    plan: |machine, reach| plan(machine, &flatpak(machine), reach),
};

const SOURCE: Source = Source { page: "https://zed.dev/docs/ai/mcp", read: "2026-11-23", tried: Tried::Documentation };

/// `~/.config/zed`, also on macOS; `%APPDATA%\Zed`.
fn settings(machine: &Machine) -> PathBuf {
    match machine.system {
        System::Windows => machine.config.join("Zed"),
        System::Linux | System::MacOs => ours::dot_config(machine).join("zed"),
    }
}

fn flatpak(machine: &Machine) -> PathBuf {
    machine.home.join(".var").join("app").join("dev.zed.Zed").join("config").join("zed")
}

fn plan(machine: &Machine, settings: &Path, reach: &Reach) -> Vec<Step> {
    let (folder, rule) = match reach {
        Reach::User => (settings.to_owned(), settings.join("AGENTS.md")),
        Reach::Project(project) => (project.join(".zed"), project.join("AGENTS.md")),
    };
    let entry = ours::entry(machine, reach);
    vec![
        ours::server(folder.join("settings.json"), "context_servers", entry, Dialect::Comments),
        ours::shared_rule(rule),
    ]
}
