//! What an erasure writes on each branch: a commit by which the memory leaves. Taking the bytes away is an engine's.

use std::collections::HashMap;

use roaring::RoaringBitmap;

use super::Brief;
use super::draft::Draft;
use super::rows::Delta;
use super::state::Head;
use crate::engine::Erase;
use crate::model::{MemoryId, Name, Pending, Progress, Verb, Work, Write};

/// The versions that lose their bytes, by vid, each with its length in terms.
pub type Losing = HashMap<u32, (Brief, u32)>;

/// These versions leave a state; all of them are among `losing`.
pub fn draft<W>(head: &Head, gone: RoaringBitmap, losing: &Losing) -> Draft<W> {
    let rows: Vec<&(Brief, u32)> = gone.iter().filter_map(|vid| losing.get(&vid)).collect();
    let terms: u64 = rows.iter().map(|(_, terms)| u64::from(*terms)).sum();
    Draft {
        removed: rows.iter().map(|(brief, _)| brief.version).collect(),
        touched: rows.iter().map(|(brief, _)| brief.first).collect(),
        live: head.live.saturating_sub(rows.len() as u32),
        tokens: head.tokens.saturating_sub(terms),
        delta: Delta { added: RoaringBitmap::new(), removed: gone },
        ..Draft::default()
    }
}

/// Whose commit that is, and why.
pub fn write(branch: &Name, ask: &Erase) -> Write {
    Write {
        branch: branch.clone(),
        author: ask.author.clone(),
        verb: Verb::Erase,
        note: ask.note.clone(),
        at: ask.at,
        work: Work::Changes(Vec::new()),
        safety: None,
        names: Vec::new(),
        progress: Progress::Keep,
        memo: Vec::new(),
        ratings: Vec::new(),
        brought: Vec::new(),
        acknowledged: Vec::new(),
    }
}

/// A text that settles a conflict is a version in the making: whether one of these memories' was among them.
pub fn forget_resolutions(pending: &mut Pending, memories: &[MemoryId]) -> bool {
    let before = pending.resolutions.len();
    pending.resolutions.retain(|resolution| !memories.contains(&resolution.id));
    pending.resolutions.len() != before
}
