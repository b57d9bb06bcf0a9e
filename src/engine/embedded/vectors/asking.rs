//! A question by meaning to one state: how near each of its versions is, and which are nearest. What a version says
//! and whether it is wanted is the index's business.

use std::sync::Arc;

use memoria_kernel::quantise::{quantise, unit_scale};
use roaring::RoaringBitmap;

use super::rows::{Cosine, Rows};
use super::shelf::Shelf;
use super::slot::tag;
use crate::model::{Cosines, VersionId};

/// Rows of states that were asked about before are kept with those of this one, up to so many.
const ROWS_MAX: usize = 40_000;

/// What a question finds by meaning.
pub struct Asking {
    shelf: Arc<Shelf>,
    /// Of every version of the state that has one, in rising order of vid.
    cosines: Vec<Cosine>,
}

impl Asking {
    pub(super) fn of(shelf: Arc<Shelf>, state: &RoaringBitmap, vector: &[f32]) -> Self {
        let (_, codes) = quantise(vector);
        let scale = unit_scale(&codes);
        let cosines = exact(&shelf, state, (&codes, scale));
        Self { shelf, cosines }
    }

    /// The statistics of the whole state.
    pub fn cosines(&self) -> Cosines {
        let (mut sum, mut squares) = (0f64, 0f64);
        for found in &self.cosines {
            let cosine = f64::from(found.cosine);
            sum += cosine;
            squares += cosine * cosine;
        }
        let count = self.cosines.len().max(1) as f64;
        let mean = sum / count;
        let deviation = (squares / count - mean * mean).max(0.0).sqrt();
        Cosines { count: self.cosines.len() as u32, mean: mean as f32, deviation: deviation as f32 }
    }

    /// The `limit` nearest that are wanted, nearest first, ties by vid.
    pub fn nearest(&self, limit: usize, is_wanted: &dyn Fn(u32) -> bool) -> Vec<u32> {
        let mut sorted: Vec<&Cosine> = self.cosines.iter().collect();
        sorted.sort_unstable_by(|a, b| b.cosine.total_cmp(&a.cosine).then(a.vid.cmp(&b.vid)));
        sorted.iter().map(|found| found.vid).filter(|vid| is_wanted(*vid)).take(limit).collect()
    }

    /// How near a version of the state is; `None` where it has no vector or either has no opinion.
    pub fn cosine(&self, vid: u32) -> Option<f32> {
        let at = self.cosines.binary_search_by_key(&vid, |found| found.vid).ok()?;
        self.cosines.get(at).map(|found| found.cosine)
    }

    /// The codes of a version's vector; empty where it has none, or no opinion. One that is damaged, or of another version
    /// because files of several stores were mixed up, is made again.
    pub fn vector(&self, vid: u32, version: &VersionId) -> Vec<i8> {
        let mut codes = Vec::new();
        if !self.shelf.read().have.contains(vid) {
            return codes;
        }
        let mut is_fine = false;
        self.shelf.each(&RoaringBitmap::from_iter([vid]), |_, slot| {
            let Some(slot) = slot.filter(|slot| slot.tag == tag(version)) else { return };
            is_fine = true;
            if slot.scale != 0.0 {
                codes = slot.codes.to_vec();
            }
        });
        if !is_fine {
            self.shelf.disbelieve([vid]);
        }
        codes
    }
}

/// From every vector of the state, which are read where memory does not hold them.
fn exact(shelf: &Shelf, state: &RoaringBitmap, question: (&[i8], f32)) -> Vec<Cosine> {
    let content = shelf.read();
    let wanted = state & &content.have;
    if wanted.is_subset(content.rows.set()) {
        return content.rows.cosines(question, &wanted);
    }
    drop(content);
    let mut content = shelf.write();
    let wanted = state & &content.have;
    let damaged = load(shelf, &mut content.rows, &wanted);
    let cosines = content.rows.cosines(question, &wanted);
    drop(content);
    if !damaged.is_empty() {
        shelf.disbelieve(damaged);
    }
    cosines
}

/// Reads what is missing, and says what could not be read.
fn load(shelf: &Shelf, rows: &mut Rows, wanted: &RoaringBitmap) -> Vec<u32> {
    let mut missing = wanted - rows.set();
    let is_behind = missing.min().is_none_or(|first| first >= rows.next());
    if !is_behind || rows.len() + missing.len() as usize > ROWS_MAX {
        // They are kept in order, so all are read again: with those of other states where there is room.
        let all = wanted | rows.set();
        missing = if all.len() as usize <= ROWS_MAX { all } else { wanted.clone() };
        *rows = Rows::default();
    }
    let mut damaged = Vec::new();
    shelf.each(&missing, |vid, slot| match slot {
        Some(slot) => rows.push(vid, &slot),
        None => damaged.push(vid),
    });
    damaged
}
