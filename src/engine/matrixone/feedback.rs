//! What was said of memories: one row for each memory that anything was said of. It belongs to no branch and no commit.

use std::collections::{BTreeMap, HashMap};

use mysql_async::Value;

use super::store::Store;
use super::truth::Reader;
use super::{row, sql};
use crate::engine::history::audit::{self, Checking};
use crate::engine::history::rows::{feedback, feedback_bytes};
use crate::error::Result;
use crate::model::{Check, Feedback, MemoryId, Rating};

/// Memories in one statement.
const ASKED_AT_ONCE: usize = 500;

impl Store {
    /// What was said of these memories, in their order.
    pub fn feedback(&self, ids: &[MemoryId]) -> Result<Vec<Feedback>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.reading(|reader| said(reader, ids))
    }
}

fn said(reader: &Reader, ids: &[MemoryId]) -> Result<Vec<Feedback>> {
    let mut known: HashMap<MemoryId, Feedback> = HashMap::new();
    for some in ids.chunks(ASKED_AT_ONCE) {
        for found in reader.with(|session| session.text_rows(&sql::feedback_of(some)))? {
            let (memory, record): (String, Vec<u8>) = row(found)?;
            known.insert(memory.parse()?, feedback(&record)?);
        }
    }
    Ok(ids.iter().map(|id| known.get(id).copied().unwrap_or_default()).collect())
}

/// Takes in what a write says. Its transaction holds the row that every writer takes first, so that nobody counts
/// beside it.
pub fn put(ground: &Reader, ratings: &[Rating]) -> Result<()> {
    let mut more: BTreeMap<MemoryId, Feedback> = BTreeMap::new();
    ratings.iter().for_each(|rating| more.entry(rating.id).or_default().add(&rating.said));
    let more: Vec<(MemoryId, Feedback)> = more.into_iter().collect();
    for some in more.chunks(ASKED_AT_ONCE) {
        let ids: Vec<MemoryId> = some.iter().map(|(id, _)| *id).collect();
        let mut values: Vec<Value> = Vec::with_capacity(2 * some.len());
        for ((id, more), mut feedback) in some.iter().zip(said(ground, &ids)?) {
            feedback.add(more);
            values.extend([id.to_string().into(), feedback_bytes(&feedback).into()]);
        }
        ground.run(&sql::put_feedback(some.len()), values)?;
    }
    Ok(())
}

/// Lets go of what was said of these memories.
pub fn forget(ground: &Reader, memories: &[MemoryId]) -> Result<()> {
    for some in memories.chunks(ASKED_AT_ONCE) {
        ground.with(|session| session.text(&sql::delete_from("feedback", &sql::memory_in(some))))?;
    }
    Ok(())
}

/// Lets go of what was said of memories that have no version any more.
pub fn forget_gone(ground: &Reader) -> Result<()> {
    let gone: Vec<MemoryId> =
        every(ground)?.into_iter().filter(|(_, _, is_there)| !is_there).map(|row| row.0).collect();
    forget(ground, &gone)
}

/// Every row, and whether its memory has a version.
fn every(reader: &Reader) -> Result<Vec<(MemoryId, Vec<u8>, bool)>> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = reader.rows(sql::FEEDBACK_AFTER, vec![after.as_str().into(), (ASKED_AT_ONCE as u32).into()])?;
        let page: Vec<(String, Vec<u8>)> = page.into_iter().map(row).collect::<Result<_>>()?;
        let Some((last, _)) = page.last() else { return Ok(all) };
        after.clone_from(last);
        let asked = sql::memories_there(&sql::hexes(page.iter().map(|(memory, _)| memory.clone())));
        let there = reader.with(|session| session.text_rows(&asked))?;
        let there: Vec<String> = there.into_iter().map(|found| row(found).map(|(id,)| id)).collect::<Result<_>>()?;
        for (memory, record) in page {
            let is_there = there.contains(&memory);
            all.push((memory.parse()?, record, is_there));
        }
    }
}

/// Whether every row can be read, and is of a memory that is there.
pub fn verify(reader: &Reader) -> Result<Check> {
    let mut rows = Checking::of(audit::FEEDBACK);
    for (memory, record, is_there) in every(reader)? {
        rows.check.checked += 1;
        rows.read(|| format!("what was said of memory {memory}"), feedback(&record));
        rows.claim(is_there, || format!("memory {memory} was rated, and is not there"));
    }
    Ok(rows.done())
}
