//! What is asked about memories beside what they say: how they served, whether they are pinned, when they end, who
//! somebody is.
//! Fields are in their order on the wire: only append.

use serde::{Deserialize, Serialize};

use super::{Place, Point, Shaped, View};
use crate::model::{CommitId, Feedback, MemoryId, Name, SessionId, Signal, SubjectId, Time};

/// How a memory served whoever was shown it. It belongs to the memory, whatever the branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// A whole id or a unique prefix.
    pub id: String,
    pub signal: Signal,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rated {
    pub id: MemoryId,
    pub short_len: u8,
    pub signal: Signal,
    /// All that was said so far, this included.
    pub feedback: Feedback,
}

impl Rated {
    /// What people and agents see and may type back.
    pub fn short_id(&self) -> String {
        let mut id = self.id.to_string();
        id.truncate(usize::from(self.short_len));
        id
    }
}

/// What is to become of a memory's pin and of its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// `None` leaves it.
    pub pinned: Option<bool>,
    pub expiry: Expiry,
}

/// When a memory leaves every answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiry {
    /// As it was. A `working` memory has an end (a week from now where it had none) unless it is pinned; then it has
    /// none.
    #[default]
    Keep,
    Never,
    At(Time),
}

/// New marks on memories that say what they said; one commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The session's where `None`.
    pub branch: Option<Name>,
    /// Whole ids or unique prefixes.
    pub ids: Vec<String>,
    pub marks: Marks,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Marked {
    pub branch: Name,
    /// As they are now, those that were so already among them.
    pub memories: Vec<Shaped>,
    /// How many were so already.
    pub unchanged: u32,
    /// What was asked for and is not there.
    pub missing: Vec<String>,
    pub commit: Option<CommitId>,
}

/// Who somebody is: the memories of kind `profile`, the surest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    pub view: View,
    pub place: Place,
    /// Where `None`, what is about no subject in particular: the user.
    pub subject: Option<SubjectId>,
    /// At most this many; 0 is 50.
    pub limit: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profiled {
    pub point: Point,
    pub subject: Option<SubjectId>,
    /// Pinned ones first, then by what is left of their confidence, then the newest.
    pub memories: Vec<Shaped>,
    /// How many there are about this subject.
    pub total: u32,
    /// Who else there are memories about, and how many.
    pub others: Vec<(Option<SubjectId>, u32)>,
}

/// A session is over for good: its `working` memories leave its branch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndSession {
    /// The caller's where `None`.
    pub session: Option<SessionId>,
    /// The caller's where `None`.
    pub branch: Option<Name>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionEnded {
    pub branch: Name,
    /// Memories that left.
    pub removed: u32,
    pub commit: Option<CommitId>,
}
