//! The agents on this machine: one file each says what setting it up means (`plan`), `edit/` merges that into the
//! agent's own files, `ledger` remembers what was there before, and `setup` brings the three together. A plan is pure;
//! only `files` and `ledger` touch a disk.

mod claude_code;
mod claude_desktop;
mod cline;
mod codex;
mod cursor;
pub mod edit;
mod files;
mod gemini;
mod goose;
mod junie;
mod kiro;
pub mod ledger;
mod opencode;
pub mod ours;
mod roo;
pub mod setup;
mod vscode;
mod windsurf;
mod zed;

use std::path::{Path, PathBuf};

pub use edit::{Dialect, Edit, Past};

/// Every agent that can be set up, in the order in which they are shown.
pub const ALL: &[Agent] = &[
    claude_code::AGENT,
    cursor::AGENT,
    kiro::AGENT,
    codex::AGENT,
    gemini::AGENT,
    vscode::AGENT,
    vscode::INSIDERS,
    windsurf::AGENT,
    zed::AGENT,
    zed::FLATPAK,
    cline::AGENT,
    roo::AGENT,
    opencode::AGENT,
    goose::AGENT,
    junie::AGENT,
    claude_desktop::AGENT,
];

/// This user's.
///
/// # Errors
/// `Invalid` where there is none.
pub fn home() -> crate::error::Result<PathBuf> {
    let home = std::env::home_dir().filter(|home| home.is_absolute());
    home.ok_or_else(|| crate::error::Error::invalid("there is no home folder: set HOME"))
}

/// The agent of this name.
pub fn find(name: &str) -> Option<&'static Agent> {
    ALL.iter().find(|agent| agent.name == name)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    Linux,
    MacOs,
    Windows,
}

/// Where things are on this machine. Tests give a made-up home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub home: PathBuf,
    /// `XDG_CONFIG_HOME` or `~/.config`, `~/Library/Application Support`, `%APPDATA%`.
    pub config: PathBuf,
    pub system: System,
    /// The folders of `PATH`.
    pub path: Vec<PathBuf>,
    /// Where this user has put the settings of an agent, by the name of the variable that says so.
    pub moved: Vec<(&'static str, PathBuf)>,
    /// The absolute path of `memoria`.
    pub memoria: PathBuf,
}

/// For which sessions an agent is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Every session of this user.
    User,
    /// Those in this project, for all who work on it: files there hold no absolute path and no secret.
    Project(PathBuf),
}

/// One agent: `pub const AGENT` in its own file.
pub struct Agent {
    /// As people type it: `claude-code`.
    pub name: &'static str,
    /// As its makers write it: `Claude Code`.
    pub title: &'static str,
    pub source: Source,
    pub is_installed: fn(&Machine) -> bool,
    /// What setting it up means, in order; empty where the agent knows no such reach. Pure: reads nothing, writes
    /// nothing.
    pub plan: fn(&Machine, &Reach) -> Vec<Step>,
}

/// Where an agent's formats come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The address of the documentation.
    pub page: &'static str,
    /// The day on which it was read: `2026-11-23`.
    pub read: &'static str,
    pub tried: Tried,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// With the real client: its name and version, as `npm` or `PyPI` name them.
    Client(&'static str),
    /// Only against what its documentation says.
    Documentation,
}

/// One change of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub file: PathBuf,
    pub purpose: Purpose,
    pub edit: Edit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The MCP server's entry.
    Server,
    /// The text that tells an agent when to use it.
    Rule,
    Hooks,
    /// Which tools need not be asked about; never one that takes something away.
    Permission,
}

impl Purpose {
    /// For people and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Rule => "rule",
            Self::Hooks => "hooks",
            Self::Permission => "permissions",
        }
    }
}

impl Machine {
    /// As this process sees it; `memoria` is the absolute path of that program.
    ///
    /// # Errors
    /// `Invalid` where there is no home folder.
    pub fn here(memoria: PathBuf) -> crate::error::Result<Self> {
        let home = home()?;
        let system = match std::env::consts::OS {
            "windows" => System::Windows,
            "macos" => System::MacOs,
            _ => System::Linux,
        };
        let given = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
        let config = match system {
            System::Linux => given("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
            System::MacOs => home.join("Library").join("Application Support"),
            System::Windows => given("APPDATA").unwrap_or_else(|| home.join("AppData").join("Roaming")),
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect();
        let moved = |name: &'static str| {
            let folder = std::env::var_os(name).filter(|folder| !folder.is_empty())?;
            Some((name, std::path::absolute(folder).ok()?))
        };
        let moved = [claude_code::FOLDER, codex::FOLDER].into_iter().filter_map(moved).collect();
        Ok(Self { home, config, system, path, moved, memoria })
    }

    /// The folder that this variable names, or where it is not set the one of this name at home.
    fn folder(&self, variable: &str, name: &str) -> PathBuf {
        self.moved_to(variable).map_or_else(|| self.home.join(name), Path::to_owned)
    }

    /// The folder that this variable names, if it is set.
    fn moved_to(&self, variable: &str) -> Option<&Path> {
        self.moved.iter().find(|(name, _)| *name == variable).map(|(_, folder)| folder.as_path())
    }

    /// Whether a program of this name (without `.exe`) is in `PATH`.
    pub fn has_program(&self, name: &str) -> bool {
        let ends: &[&str] = if self.system == System::Windows { &[".exe", ".cmd"] } else { &[""] };
        self.path.iter().any(|dir| ends.iter().any(|end| dir.join(format!("{name}{end}")).is_file()))
    }

    /// What a file of this reach calls `memoria`: its absolute path, but the bare name where others share the file.
    pub fn program(&self, reach: &Reach) -> String {
        match reach {
            Reach::User => self.memoria.to_string_lossy().into_owned(),
            Reach::Project(_) => "memoria".to_owned(),
        }
    }
}

impl Reach {
    /// The folder of the project, if it is one.
    pub fn project(&self) -> Option<&Path> {
        match self {
            Self::User => None,
            Self::Project(folder) => Some(folder),
        }
    }
}
