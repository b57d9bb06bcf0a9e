//! What was told unasked in which conversation, so that the same memory does not come back with every prompt. It is
//! kept in memory only, and little of it: whoever is told something twice has lost a few tokens.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::VersionId;

/// Conversations at once; the one that was quiet longest is forgotten.
const CONVERSATIONS_MAX: usize = 64;
/// Versions in each; the oldest is forgotten, and may be told again.
const VERSIONS_MAX: usize = 64;
/// Of an agent's id of a conversation.
const ID_BYTES_MAX: usize = 128;

/// Conversations, that of the last word last.
#[derive(Default)]
pub(super) struct Conversations(Mutex<VecDeque<Conversation>>);

#[derive(Default)]
struct Conversation {
    id: String,
    told: VecDeque<VersionId>,
    /// Said last, and not known to have been heard.
    offered: Vec<VersionId>,
}

impl Conversations {
    /// Whether this version was told, and heard, in this conversation.
    pub fn has(&self, conversation: &str, version: VersionId) -> bool {
        self.lock().iter().any(|one| one.id == known(conversation) && one.told.contains(&version))
    }

    /// These are being told.
    pub fn offer(&self, conversation: &str, versions: impl Iterator<Item = VersionId>) {
        let mut all = self.lock();
        let at = all.iter().position(|one| one.id == known(conversation));
        let fresh = || Conversation { id: known(conversation).to_owned(), ..Conversation::default() };
        let mut one = at.and_then(|at| all.remove(at)).unwrap_or_else(fresh);
        one.offered = versions.take(VERSIONS_MAX).collect();
        all.push_back(one);
        if all.len() > CONVERSATIONS_MAX {
            all.pop_front();
        }
    }

    /// What was told last has arrived.
    pub fn heard(&self, conversation: &str) {
        let mut all = self.lock();
        let Some(one) = all.iter_mut().find(|one| one.id == known(conversation)) else { return };
        one.told.extend(one.offered.drain(..));
        while one.told.len() > VERSIONS_MAX {
            one.told.pop_front();
        }
    }

    pub fn forget(&self, conversation: &str) {
        self.lock().retain(|one| one.id != known(conversation));
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Conversation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id as it is kept. Two that differ only behind this are one conversation, which costs a repetition at most.
fn known(conversation: &str) -> &str {
    let mut end = conversation.len().min(ID_BYTES_MAX);
    while !conversation.is_char_boundary(end) {
        end -= 1;
    }
    &conversation[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u16) -> VersionId {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_le_bytes());
        VersionId(bytes)
    }

    fn tell(all: &Conversations, conversation: &str, numbers: std::ops::Range<u16>) {
        all.offer(conversation, numbers.map(version));
        all.heard(conversation);
    }

    #[test]
    fn a_conversation_knows_what_it_heard_until_it_is_forgotten() {
        let all = Conversations::default();
        tell(&all, "a", 1..3);
        tell(&all, "b", 3..4);
        all.offer("a", [version(4)].into_iter());
        assert!(all.has("a", version(1)) && all.has("a", version(2)) && !all.has("a", version(3)));
        assert!(!all.has("a", version(4)), "nobody has heard that yet");
        all.forget("a");
        assert!(!all.has("a", version(1)) && all.has("b", version(3)));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let all = Conversations::default();
        for first in (0..1000).step_by(50) {
            tell(&all, "a", first..first + 50);
        }
        assert!(!all.has("a", version(1000 - VERSIONS_MAX as u16 - 1)) && all.has("a", version(999)));
        for other in 0..CONVERSATIONS_MAX {
            tell(&all, &format!("{other}{}", "x".repeat(10_000)), 1..2);
        }
        assert!(!all.has("a", version(999)), "the quietest is forgotten");
        assert!(all.lock().iter().all(|one| one.id.len() <= ID_BYTES_MAX));
    }
}
