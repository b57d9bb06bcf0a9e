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
pub(super) struct Conversations(Mutex<VecDeque<(String, VecDeque<VersionId>)>>);

impl Conversations {
    /// Whether this version was told in this conversation.
    pub fn has(&self, conversation: &str, version: VersionId) -> bool {
        self.lock().iter().any(|(id, told)| id == known(conversation) && told.contains(&version))
    }

    pub fn add(&self, conversation: &str, versions: impl Iterator<Item = VersionId>) {
        let mut all = self.lock();
        let at = all.iter().position(|(id, _)| id == known(conversation));
        let mut one =
            at.and_then(|at| all.remove(at)).unwrap_or_else(|| (known(conversation).to_owned(), <_>::default()));
        one.1.extend(versions);
        while one.1.len() > VERSIONS_MAX {
            one.1.pop_front();
        }
        all.push_back(one);
        if all.len() > CONVERSATIONS_MAX {
            all.pop_front();
        }
    }

    pub fn forget(&self, conversation: &str) {
        self.lock().retain(|(id, _)| id != known(conversation));
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(String, VecDeque<VersionId>)>> {
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

    #[test]
    fn a_conversation_knows_what_it_was_told_until_it_is_forgotten() {
        let all = Conversations::default();
        all.add("a", [version(1), version(2)].into_iter());
        all.add("b", [version(3)].into_iter());
        assert!(all.has("a", version(1)) && all.has("a", version(2)) && !all.has("a", version(3)));
        all.forget("a");
        assert!(!all.has("a", version(1)) && all.has("b", version(3)));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let all = Conversations::default();
        all.add("a", (0..1000).map(version));
        assert!(!all.has("a", version(1000 - VERSIONS_MAX as u16 - 1)) && all.has("a", version(999)));
        for other in 0..CONVERSATIONS_MAX {
            all.add(&format!("{other}{}", "x".repeat(10_000)), [version(1)].into_iter());
        }
        assert!(!all.has("a", version(999)), "the quietest is forgotten");
        assert!(all.lock().iter().all(|(id, _)| id.len() <= ID_BYTES_MAX));
    }
}
