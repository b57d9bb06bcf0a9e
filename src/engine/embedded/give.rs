//! Truth given away row by row, for another store to take (`engine/copy`). It only reads.

use std::ops::Bound;

use redb::{ReadableTableMetadata, TableDefinition};

use super::rewrite;
use super::tables::{
    self, COMMITS, FEEDBACK, NAMES, OPS, PENDING, STATES, Snapshot, TOUCHES, VERSIONS, WIDE, bitmap_bytes,
};
use crate::engine::copy::{Cut, Portion, Table, numbered};
use crate::error::Result;
use crate::model::canon::Writer;

/// What the store is now.
pub fn cut(truth: &Snapshot) -> Result<Cut> {
    let meta = rewrite::meta_of(truth)?;
    // Whatever takes rows away leaves gaps; what erases says so; what numbers anew raises the generation.
    let mut upheaval = Writer::default();
    upheaval.u64(meta.generation).fixed(&bitmap_bytes(&rewrite::erased_of(truth)?)?);
    upheaval.u64(u64::from(meta.next_vid) - truth.open(VERSIONS)?.len()?);
    upheaval.u64(u64::from(meta.next_commit) - truth.open(COMMITS)?.len()?);
    let hash = blake3::hash(&upheaval.0);
    Ok(Cut {
        store: meta.store,
        next_vid: meta.next_vid,
        next_commit: meta.next_commit,
        upheaval: std::array::from_fn(|at| hash.as_bytes()[at]),
    })
}

/// See [`Giver::give`](crate::engine::copy::Giver::give).
pub fn give(truth: &Snapshot, cut: &Cut, table: Table, after: &[u8]) -> Result<Portion> {
    let mut portion = Portion::new(table);
    match table {
        Table::Versions => give_numbered(truth, VERSIONS, after, cut.next_vid, &mut portion)?,
        Table::Commits => give_numbered(truth, COMMITS, after, cut.next_commit, &mut portion)?,
        Table::Wide => give_numbered(truth, WIDE, after, cut.next_commit, &mut portion)?,
        Table::States => give_numbered(truth, STATES, after, cut.next_commit, &mut portion)?,
        Table::Touches => {
            let from = after.try_into().map(u64::from_be_bytes).map_or(Bound::Unbounded, Bound::Excluded);
            for row in truth.open(TOUCHES)?.range((from, Bound::Unbounded))? {
                let touch = row?.0.value();
                let (memory, commit) = ((touch >> 32) as u32, touch as u32);
                let row = || [memory.to_le_bytes(), commit.to_le_bytes()].concat();
                if commit < cut.next_commit && !portion.push(row(), || touch.to_be_bytes().to_vec()) {
                    portion.share = memory as f32 / cut.next_vid.max(1) as f32;
                    break;
                }
            }
        }
        Table::Moves => {
            for row in truth.open(NAMES)?.range::<&[u8]>((Bound::Excluded(after), Bound::Unbounded))? {
                let (key, row) = row?;
                let (name, made) = tables::move_of(key.value(), row.value())?;
                let mut out = Writer::default();
                out.text(name.as_str()).time(made.at).u32(made.seq).fixed(row.value());
                if made.standing.number < cut.next_commit && !portion.push(out.0, || key.value().to_vec()) {
                    break;
                }
            }
        }
        Table::Pending => {
            let from = std::str::from_utf8(after).unwrap_or_default();
            for row in truth.open(PENDING)?.range::<&str>((Bound::Excluded(from), Bound::Unbounded))? {
                let (key, row) = row?;
                let mut out = Writer::default();
                out.text(key.value()).fixed(row.value());
                if !portion.push(out.0, || key.value().as_bytes().to_vec()) {
                    break;
                }
            }
        }
        Table::Ops => {
            let from: Result<[u8; 24], _> = after.try_into();
            let from = from.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            for row in truth.open(OPS)?.range::<&[u8; 24]>((from, Bound::Unbounded))? {
                let (key, row) = row?;
                if !portion.push([key.value(), row.value()].concat(), || key.value().to_vec()) {
                    break;
                }
            }
        }
        Table::Feedback => {
            let Some(rows) = truth.open_if_there(FEEDBACK)? else { return Ok(portion) };
            let from: Result<[u8; 16], _> = after.try_into();
            let from = from.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            for row in rows.range::<&[u8; 16]>((from, Bound::Unbounded))? {
                let (key, row) = row?;
                if !portion.push([key.value(), row.value()].concat(), || key.value().to_vec()) {
                    break;
                }
            }
        }
        Table::Erased if after.is_empty() => {
            portion.push(bitmap_bytes(&rewrite::erased_of(truth)?)?, || vec![0]);
        }
        Table::Erased => {}
    }
    Ok(portion)
}

fn give_numbered(
    truth: &Snapshot,
    table: TableDefinition<'static, u32, &'static [u8]>,
    after: &[u8],
    end: u32,
    portion: &mut Portion,
) -> Result<()> {
    let from = after.try_into().map_or(0, |after| u32::from_be_bytes(after).saturating_add(1));
    for row in truth.open(table)?.range(from..end.max(from))? {
        let (number, row) = row?;
        let number = number.value();
        if !portion.push(numbered(number, row.value()), || number.to_be_bytes().to_vec()) {
            portion.share = number as f32 / end.max(1) as f32;
            break;
        }
    }
    Ok(())
}
