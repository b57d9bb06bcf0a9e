//! Claude Code. Servers of the user are in `~/.claude.json`, those of a project in `.mcp.json`; rules are files of
//! their own in `.claude/rules`; hooks and permissions of the user are in `~/.claude/settings.json`. All of these are
//! strict JSON: the client leaves a file with a comment aside. Its own `claude mcp add --scope user` writes the same
//! entry; the file is edited so that nothing depends on `claude` in `PATH`. Where `CLAUDE_CONFIG_DIR` is set, that
//! folder stands for `~/.claude`, and holds `.claude.json` too
//! (https://code.claude.com/docs/en/claude-directory, and what the client's own `mcp add` does).

use super::ours;
use super::{Agent, Dialect, Machine, Reach, Source, Step, Tried};

pub const AGENT: Agent = Agent {
    name: "claude-code",
    title: "Claude Code",
    source: Source {
        page: "https://code.claude.com/docs/en/hooks",
        read: "2026-11-23",
        tried: Tried::Client("@anthropic-ai/claude-code 2.1.197"),
    },
    is_installed: |machine| machine.has_program("claude") || machine.folder(FOLDER, ".claude").is_dir(),
    plan,
};

/// The variable that puts the user's settings elsewhere.
pub(super) const FOLDER: &str = "CLAUDE_CONFIG_DIR";

fn plan(machine: &Machine, reach: &Reach) -> Vec<Step> {
    let (servers, folder) = match reach {
        Reach::User => {
            (machine.moved_to(FOLDER).unwrap_or(&machine.home).join(".claude.json"), machine.folder(FOLDER, ".claude"))
        }
        Reach::Project(project) => (project.join(".mcp.json"), project.join(".claude")),
    };
    let entry = ours::stdio(machine, reach);
    let mut steps = vec![
        ours::server(servers, "mcpServers", entry, Dialect::Plain),
        ours::own_rule(folder.join("rules").join("memoria.md"), ""),
    ];
    if *reach == Reach::User {
        let settings = folder.join("settings.json");
        let shape = |command| ours::claude_hook(command, 5);
        let place = (settings.as_path(), Dialect::Plain);
        steps.extend(ours::hooks(place, machine, AGENT.name, &ours::CLAUDE_EVENTS, shape));
        steps.extend(ours::allowed(settings, &["permissions", "allow"], "mcp__memoria__", Dialect::Plain));
    }
    steps
}
