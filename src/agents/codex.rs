//! Codex, the CLI, the IDE extension and the app: servers in `config.toml` (as `codex mcp add` writes them), the rule
//! in `AGENTS.md`, hooks in `hooks.json`, in `~/.codex`; of a project `.codex/config.toml`, which counts only where the
//! user trusts it, and `AGENTS.md`. Codex runs a hook only after the user has looked at it with `/hooks`. Where
//! `CODEX_HOME` is set, that folder stands for `~/.codex` (https://developers.openai.com/codex/environment-variables).

use super::ours::{self, NAME};
use super::{Agent, Dialect, Edit, Machine, Purpose, Reach, Source, Step, Tried};

pub const AGENT: Agent = Agent {
    name: "codex",
    title: "Codex",
    source: Source {
        page: "https://developers.openai.com/codex/hooks",
        read: "2026-11-23",
        tried: Tried::Client("@openai/codex 0.169.0"),
    },
    is_installed: |machine| machine.has_program("codex") || machine.folder(FOLDER, ".codex").is_dir(),
    plan,
};

/// The variable that puts the user's settings elsewhere.
pub(super) const FOLDER: &str = "CODEX_HOME";

fn plan(machine: &Machine, reach: &Reach) -> Vec<Step> {
    let folder = reach.project().map_or_else(|| machine.folder(FOLDER, ".codex"), |project| project.join(".codex"));
    let rule = reach.project().unwrap_or(&folder).join("AGENTS.md");
    let text = format!("command = {}\nargs = [\"mcp\"]\n", ours::quoted(&machine.program(reach)));
    let edit = Edit::Toml { table: vec!["mcp_servers".to_owned(), NAME.to_owned()], text };
    let server = Step { file: folder.join("config.toml"), purpose: Purpose::Server, edit };
    let mut steps = vec![server, ours::shared_rule(rule)];
    if *reach == Reach::User {
        let hooks = folder.join("hooks.json");
        // It cuts the timeout of an event that ends a session to 3 s, and warns.
        let shape = |command| ours::claude_hook(command, 3);
        let place = (hooks.as_path(), Dialect::Plain);
        steps.extend(ours::hooks(place, machine, AGENT.name, &ours::CLAUDE_EVENTS, shape));
    }
    steps
}
