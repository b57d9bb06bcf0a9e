//! What an agent is told without having asked: at the beginning of a session, and beside what was typed.
//! Fields are in their order on the wire: only append.

use serde::{Deserialize, Serialize};

use super::{Point, Shaped};
use crate::model::{Counts, Name, ProjectId, Time};

/// Without a prompt, what is worth knowing before one begins; with one, the few memories that bear on it, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brief {
    /// Of the whole text, marks and headings included, in tokens of about four bytes; 0 is the default for either.
    pub budget_tokens: u32,
    /// As it was typed; only its beginning counts.
    pub prompt: Option<String>,
    /// By the name that `memoria init` has for it; else the caller's own. It decides what is news, and on which branch
    /// a caller without a session of its own stands.
    pub agent: Option<String>,
    pub checked: Checked,
    /// The session's where `None`.
    pub branch: Option<Name>,
    /// The agent's own id of the conversation: what was told in it is not told again beside a prompt.
    pub conversation: Option<String>,
}

/// Whether what is told now is news the next time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Checked {
    /// It stays news: somebody only looks.
    #[default]
    Leave,
    /// Once it is [`Checked::Heard`], news is what comes after this.
    Note,
    /// Nothing is told. The conversation has lost its beginning, or is over: what was told in it may be told again.
    Void,
    /// Nothing is told. What was told last has arrived: to the agent that is named, and in the conversation that is.
    Heard,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Briefed {
    /// Ready to be shown, within the budget; empty where nothing is worth a word. Memories stand in it as quoted data.
    pub text: String,
    pub point: Point,
    pub project: Option<ProjectId>,
    /// What the text quotes, in its order; texts may be cut.
    pub told: Vec<Told>,
    /// Of the same sort, and not in the text for want of room.
    pub left_out: u32,
    /// Not told unasked, since they read like instructions and nobody vouches for them.
    pub withheld: u32,
    pub news: Option<News>,
    /// Conflicts that wait, where a merge into the branch is in progress.
    pub open_conflicts: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    pub why: Why,
    pub memory: Shaped,
    pub is_shortened: bool,
}

/// Why a memory is told. The order is that of a briefing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Why {
    Pinned,
    /// A rule, a preference or a decision that somebody vouches for.
    Rule,
    /// It came or changed since the agent last looked.
    News,
    /// It bears on what was typed.
    Relevant,
}

/// What has become of the project's memories since the agent last looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    pub since: Time,
    /// Whoever changed them.
    pub counts: Counts,
    /// Of these, what the agent itself has written; counted among the newest, and not told.
    pub own: u32,
}
