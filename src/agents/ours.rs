//! What is ours in every agent's files: the server's entry, the rule, the hooks' commands and the tools that nobody
//! need be asked about. One text and one name for all agents. Where they go is the business of each agent's own file.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Dialect, Edit, Machine, Purpose, Reach, Step, System};
use crate::error::{Error, Result};

/// When to use the memory, and how: one text for every agent, under 2 KB.
pub const RULE: &str = include_str!("rules.md");

/// How the rule opens: by it a rule that an earlier version wrote is known.
const TITLE: &str = "# Memory (Memoria)\n";

/// Our name among an agent's servers.
pub const NAME: &str = "memoria";

/// The tools that may run unasked: they take nothing away. Merging, correcting, purging, rolling back are not among
/// them.
pub const HARMLESS: [&str; 8] = [
    "memory_retrieve",
    "memory_list",
    "memory_diff",
    "memory_store",
    "memory_feedback",
    "memory_snapshot",
    "memory_branch",
    "memory_checkout",
];

/// An event by our name: what `memoria hook` is called with. Each agent has its own name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    SessionStart,
    Prompt,
    PreCompact,
    SessionEnd,
}

impl Event {
    /// As `memoria hook` takes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SessionStart => "session-start",
            Self::Prompt => "prompt",
            Self::PreCompact => "pre-compact",
            Self::SessionEnd => "session-end",
        }
    }

    /// # Errors
    /// `Invalid` for any other word.
    pub fn parse(word: &str) -> Result<Self> {
        let all = [Self::SessionStart, Self::Prompt, Self::PreCompact, Self::SessionEnd];
        all.into_iter().find(|event| event.word() == word).ok_or_else(|| Error::invalid("there is no such event"))
    }
}

/// `{"command": …, "args": ["mcp"]}`, as most clients take it.
pub(super) fn entry(machine: &Machine, reach: &Reach) -> Value {
    json!({"command": machine.program(reach), "args": ["mcp"]})
}

/// The same, for clients that want to be told the transport.
pub(super) fn stdio(machine: &Machine, reach: &Reach) -> Value {
    json!({"type": "stdio", "command": machine.program(reach), "args": ["mcp"]})
}

/// Our entry in this file's object of servers.
pub(super) fn server(file: PathBuf, servers: &str, entry: Value, dialect: Dialect) -> Step {
    let path = vec![servers.to_owned(), NAME.to_owned()];
    Step { file, purpose: Purpose::Server, edit: Edit::Json { path, value: entry, dialect } }
}

/// The rule between markers, in a file that is not ours alone.
pub(super) fn shared_rule(file: PathBuf) -> Step {
    Step { file, purpose: Purpose::Rule, edit: Edit::Block { text: RULE.to_owned() } }
}

/// The rule as a file of its own, under this front matter.
pub(super) fn own_rule(file: PathBuf, front: &str) -> Step {
    Step { file, purpose: Purpose::Rule, edit: Edit::Whole { text: format!("{front}{RULE}") } }
}

/// Each harmless tool in the array at `path`, as this client writes a tool's name.
pub(super) fn allowed(file: PathBuf, path: &[&str], prefix: &str, dialect: Dialect) -> impl Iterator<Item = Step> {
    let path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
    HARMLESS.into_iter().map(move |tool| {
        let edit = Edit::JsonItem { path: path.clone(), value: json!(format!("{prefix}{tool}")), dialect };
        Step { file: file.clone(), purpose: Purpose::Permission, edit }
    })
}

/// The edit that puts today's rule where this one put its own; `None`: this one put no rule.
pub fn refreshed(edit: &Edit) -> Option<Edit> {
    match edit {
        Edit::Block { .. } => Some(Edit::Block { text: RULE.to_owned() }),
        Edit::Whole { text } => {
            let front = text.find(TITLE)?;
            Some(Edit::Whole { text: format!("{}{RULE}", &text[..front]) })
        }
        _ => None,
    }
}

/// The events as Claude Code names them, and Codex after it.
pub(super) const CLAUDE_EVENTS: [(&str, Event); 4] = [
    ("SessionStart", Event::SessionStart),
    ("UserPromptSubmit", Event::Prompt),
    ("PreCompact", Event::PreCompact),
    ("SessionEnd", Event::SessionEnd),
];

/// A hook for each event, at the end of the client's array for it; `shape` puts its command line into the client's
/// form. Only of the user's own files: a colleague without Memoria would see it fail.
pub(super) fn hooks(
    (file, dialect): (&Path, Dialect),
    machine: &Machine,
    agent: &str,
    events: &[(&str, Event)],
    shape: impl Fn(String) -> Value,
) -> Vec<Step> {
    let step = |(name, event): &(&str, Event)| {
        let path = vec!["hooks".to_owned(), (*name).to_owned()];
        let value = shape(hook_command(machine, *event, agent));
        Step { file: file.to_owned(), purpose: Purpose::Hooks, edit: Edit::JsonItem { path, value, dialect } }
    };
    events.iter().map(step).collect()
}

/// As Claude Code and Codex take a hook; the timeout is in seconds.
pub(super) fn claude_hook(command: String, timeout_s: u32) -> Value {
    json!({"hooks": [{"type": "command", "command": command, "timeout": timeout_s}]})
}

/// The shell's line for a hook.
pub(super) fn hook_command(machine: &Machine, event: Event, agent: &str) -> String {
    let program = machine.memoria.to_string_lossy();
    let program = match machine.system {
        // Clients run hooks by `cmd`, PowerShell or a bash that eats backslashes: all of them take slashes.
        System::Windows => program.replace('\\', "/"),
        System::Linux | System::MacOs => program.into_owned(),
    };
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@:".contains(c);
    let program = match machine.system {
        _ if program.chars().all(is_plain) => program,
        System::Windows => format!("\"{program}\""),
        System::Linux | System::MacOs => format!("'{}'", program.replace('\'', r"'\''")),
    };
    format!("{program} hook {} --agent {agent}", event.word())
}

/// A text as JSON, TOML and YAML all quote it.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Where clients that know only one convention keep their settings: `~/.config`, on macOS and Windows too.
pub(super) fn dot_config(machine: &Machine) -> PathBuf {
    match machine.system {
        System::Linux => machine.config.clone(),
        System::MacOs | System::Windows => machine.home.join(".config"),
    }
}
