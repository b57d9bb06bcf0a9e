//! Commits' rows as far as they were read: they never change, so they hold for everybody, until history itself is
//! changed by an erasure or a compaction.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::history::rows::CommitRow;
use crate::model::CommitId;

/// Rows that are kept: of single stores, 2 MB. When there are more, all go and are read again.
const ROWS_MAX: usize = 4_096;

/// Rows by number.
#[derive(Default)]
pub struct Commits(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    upheavals: u64,
    rows: HashMap<u32, CommitRow>,
    numbers: HashMap<CommitId, u32>,
}

impl Commits {
    /// What is made of a row, if it is remembered.
    pub fn with<T>(&self, number: u32, read: impl FnOnce(&CommitRow) -> T) -> Option<T> {
        self.kept().rows.get(&number).map(read)
    }

    /// The number of a commit, if it is remembered.
    pub fn number_of(&self, id: &CommitId) -> Option<u32> {
        self.kept().numbers.get(id).copied()
    }

    /// Remembers a row that was read when history had been changed so often.
    pub fn keep(&self, upheavals: u64, number: u32, row: CommitRow) {
        let mut kept = self.kept();
        if kept.upheavals != upheavals {
            return;
        }
        if kept.rows.len() >= ROWS_MAX {
            (kept.rows, kept.numbers) = Default::default();
        }
        kept.numbers.insert(row.id(), number);
        kept.rows.insert(number, row);
    }

    /// Lets everything go; what is read from now on was read when history had been changed so often.
    pub fn forget(&self, upheavals: u64) {
        *self.kept() = Kept { upheavals, ..Kept::default() };
    }

    /// Lets everything go: memory is worth more than a round trip while nobody asks.
    pub fn rest(&self) {
        let mut kept = self.kept();
        (kept.rows, kept.numbers) = Default::default();
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
