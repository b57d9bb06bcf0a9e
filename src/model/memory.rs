//! A memory: one thing worth remembering, with where it came from.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::{MemoryId, ProjectId, SessionId, SubjectId, VersionId};
use super::time::Time;
use crate::error::{Error, Result};

/// In a filter's tags: memories that are pinned. A tag holds no control character.
pub const PINNED: &str = "\u{1}pinned";

/// One immutable state of a memory. Two states of one memory share `id` and nothing else by necessity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    pub id: MemoryId,
    pub kind: Kind,
    pub text: String,
    pub tags: BTreeSet<String>,
    pub trust: Trust,
    pub confidence: Confidence,
    /// `None` is global: every project sees it.
    pub project: Option<ProjectId>,
    pub session: Option<SessionId>,
    pub subject: Option<SubjectId>,
    pub origin: Origin,
    /// When the memory was first stored; a correction keeps it.
    pub created_at: Time,
    /// When the fact was observed; a correction renews it.
    pub observed_at: Time,
    pub expires_at: Option<Time>,
    pub pinned: bool,
    /// The text of a JSON object, or empty for none.
    pub metadata: String,
}

/// A memory's state together with the id of that state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub id: VersionId,
    pub memory: Memory,
}

macro_rules! named_enum {
    ($(#[$doc:meta])* $name:ident, $what:literal, {
        $($(#[$vdoc:meta])* $variant:ident = $number:literal, $word:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $number,)* }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The number is part of the canonical encoding: only append.
            pub fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(Error::invalid(format!(
                        "`{}` is not a {}: use one of {}",
                        text.chars().take(80).collect::<String>(), $what, [$($word),*].join(", ")))),
                }
            }
        }
    };
}

pub(super) use named_enum;

named_enum!(
/// What sort of knowledge it is; see `research/memoria-features.md` for the existing product's use of them.
Kind, "kind", {
    /// A fact about the project or the world.
    Semantic = 0, "semantic";
    /// A fact or preference of the user; global unless told otherwise.
    Profile = 1, "profile";
    /// How to do something.
    Procedural = 2, "procedural";
    /// Of use during one session.
    Working = 3, "working";
    /// What happened.
    Episodic = 4, "episodic";
    /// What a tool printed.
    ToolResult = 5, "tool_result";
});

named_enum!(
/// How far a memory may be relied on.
Trust, "trust tier", {
    /// Verified by the user.
    T1 = 1, "T1";
    /// Curated: corrected or reviewed.
    T2 = 2, "T2";
    /// Inferred by an agent.
    T3 = 3, "T3";
    /// Unverified: tools, files, imports.
    T4 = 4, "T4";
});

named_enum!(
/// Who brought a memory in.
Source, "source", {
    User = 0, "user";
    Agent = 1, "agent";
    Tool = 2, "tool";
    Import = 3, "import";
    File = 4, "file";
});

impl Trust {
    /// The existing Memoria's initial confidences.
    pub fn initial_confidence(self) -> Confidence {
        Confidence(match self {
            Self::T1 => 950,
            Self::T2 => 850,
            Self::T3 => 650,
            Self::T4 => 400,
        })
    }
}

/// Thousandths, 0 to 1000: exact, so that it hashes and compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Confidence(pub u16);

impl Confidence {
    pub fn as_fraction(self) -> f32 {
        f32::from(self.0) / 1000.0
    }
}

/// Who taught us this, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub source: Source,
    pub agent: Option<String>,
    pub agent_version: Option<String>,
    pub session: Option<SessionId>,
    pub tool: Option<String>,
    pub file: Option<String>,
}

impl Memory {
    /// Whether both say the same: everything but where it came from and when. What merging compares too.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let said = |memory: &Self| (memory.kind, memory.trust, memory.confidence, memory.expires_at, memory.pinned);
        said(self) == said(other)
            && self.text == other.text
            && self.tags == other.tags
            && self.project == other.project
            && self.subject == other.subject
            && self.metadata == other.metadata
    }

    /// What it is found by beside its words: its tags, and where it is pinned a mark that nobody can give as a tag.
    pub fn marks(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().map(String::as_str).chain(self.pinned.then_some(PINNED))
    }

    /// A judgement of expiry at a moment: reads at a past commit use the commit's time.
    pub fn is_expired_at(&self, at: Time) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= at)
    }
}
