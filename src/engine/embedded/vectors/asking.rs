//! A question by meaning to one state: which of its versions are nearest, and how near others are. What a version says
//! and whether it is wanted is the index's business.
//!
//! Up to [`EXACT_MAX`] vectors each one is compared, and the answer depends on nothing but the vectors. Of more, the
//! codes of all are looked at, and the best of these compared; mean and deviation are then estimated from a few vectors
//! spread evenly over the state, by the line that leads from their codes' differences to their cosines.

use std::sync::{Arc, RwLockReadGuard, RwLockWriteGuard};

use memoria_kernel::best::{Best, best};
use memoria_kernel::bits::Bits;
use memoria_kernel::dots::dot;
use memoria_kernel::quantise::{cosine, quantise, unit_scale};
use memoria_kernel::signs::{Scanned, code, scan};
use roaring::RoaringBitmap;

use super::rows::Rows;
use super::shelf::{Content, Shelf};
use super::slot::{Slot, tag};
use crate::model::{Cosines, VersionId};

/// Vectors of a state that are all compared: 0.24 ms and 8 MB at 384 dimensions. In time it pays up to about 80,000,
/// which would be 32 MB.
const EXACT_MAX: u64 = 20_000;
/// Rows of states that were asked about before are kept with those of this one, up to so many.
const ROWS_MAX: usize = 30_000;
/// How many are compared of those whose codes are nearest, at least, and for each one that is wanted: of 32,000
/// sentences by MiniLM 98% of the ten nearest are among the first 97. Each costs a read.
const RESCORED_MIN: usize = 320;
const RESCORED_FOR_ONE: usize = 5;
/// No cosine is lower.
const LOWEST: f32 = -2.0;

/// A question to one state of a space.
pub struct Asking {
    shelf: Arc<Shelf>,
    codes: Vec<i8>,
    scale: f32,
    /// The versions of the state that have a vector.
    members: RoaringBitmap,
    /// Every cosine, where all were compared.
    exact: Option<Exact>,
}

/// Cosines in rising order of vid.
#[derive(Default)]
pub struct Exact {
    pub vids: Vec<u32>,
    pub cosines: Vec<f32>,
}

/// What is nearest.
pub struct Nearest {
    /// By vid.
    pub best: Best,
    /// The statistics of the whole state.
    pub cosines: Cosines,
}

impl Asking {
    pub(super) fn of(shelf: Arc<Shelf>, state: &RoaringBitmap, vector: &[f32]) -> Self {
        let (_, codes) = quantise(vector);
        let scale = unit_scale(&codes);
        let members = state & &shelf.read().have;
        let mut asking = Self { shelf, codes, scale, members, exact: None };
        if scale == 0.0 {
            asking.exact = Some(Exact::default());
        } else if asking.members.len() <= EXACT_MAX {
            asking.exact = Some(asking.compared());
        }
        asking
    }

    /// Whether it takes long enough to be done beside other work.
    pub fn is_long(&self) -> bool {
        self.exact.is_none()
    }

    /// The `limit` nearest that are wanted.
    pub fn nearest(&self, limit: usize, is_wanted: &dyn Fn(u32) -> bool) -> Nearest {
        match &self.exact {
            Some(exact) => {
                let count = exact.cosines.len() as f64;
                let (sum, squares) = moments(exact.cosines.iter().map(|cosine| f64::from(*cosine)));
                let mean = sum / count.max(1.0);
                let cosines = described(exact.cosines.len() as u64, mean, squares / count.max(1.0) - mean * mean);
                exact.nearest(limit, is_wanted, cosines)
            }
            None => self.looked_up(limit, is_wanted),
        }
    }

    /// How near each of these versions is, which rise; `None` where one has no vector or no opinion.
    pub fn cosines(&self, vids: &[u32]) -> Vec<Option<f32>> {
        let known;
        let exact = match &self.exact {
            Some(exact) => exact,
            None => {
                known = self
                    .read(&(RoaringBitmap::from_sorted_iter(vids.iter().copied()).unwrap_or_default() & &self.members));
                &known
            }
        };
        let of = |vid: &u32| exact.vids.binary_search(vid).ok().map(|at| exact.cosines[at]);
        vids.iter().map(of).collect()
    }

    /// The codes of a version's vector; empty where it has none, or no opinion. One that is damaged, or of another
    /// version because files of several stores were mixed up, is made again.
    pub fn vector(&self, vid: u32, version: &VersionId) -> Vec<i8> {
        let mut codes = Vec::new();
        if !self.members.contains(vid) {
            return codes;
        }
        let mut is_fine = false;
        self.shelf.each(&RoaringBitmap::from_iter([vid]), &mut |_, slot| {
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

    fn cosine(&self, slot: &Slot) -> f32 {
        cosine(dot(&self.codes, slot.codes), self.scale, slot.scale)
    }

    /// From every vector of the state, which are read where memory does not hold them.
    fn compared(&self) -> Exact {
        let content = self.shelf.read();
        if self.members.is_subset(content.rows.set()) {
            return content.rows.cosines((&self.codes, self.scale), &self.members);
        }
        drop(content);
        let mut content = self.shelf.write();
        let damaged = load(&self.shelf, &mut content.rows, &self.members);
        let cosines = content.rows.cosines((&self.codes, self.scale), &self.members);
        drop(content);
        self.shelf.disbelieve(damaged);
        cosines
    }

    /// From the slots of a few.
    fn read(&self, vids: &RoaringBitmap) -> Exact {
        let (mut found, mut damaged) = (Exact::default(), Vec::new());
        self.shelf.each(vids, &mut |vid, slot| match slot {
            Some(slot) if slot.scale != 0.0 => {
                found.vids.push(vid);
                found.cosines.push(self.cosine(&slot));
            }
            Some(_) => {}
            None => damaged.push(vid),
        });
        self.shelf.disbelieve(damaged);
        found
    }

    fn looked_up(&self, limit: usize, is_wanted: &dyn Fn(u32) -> bool) -> Nearest {
        let keep = RESCORED_MIN.max(limit.saturating_mul(RESCORED_FOR_ONE));
        let scanned = {
            let content = self.with_codes();
            let codes = content.codes.as_ref().map_or(&[][..], |codes| &codes.0[..]);
            scan(&code(&self.codes), codes, &bits(&self.members), keep, is_wanted)
        };
        let near = self.read(&RoaringBitmap::from_sorted_iter(scanned.nearest.iter().copied()).unwrap_or_default());
        near.nearest(limit, is_wanted, self.estimated(&scanned))
    }

    /// The shelf's content with the codes in memory.
    fn with_codes(&self) -> RwLockReadGuard<'_, Content> {
        let content = self.shelf.read();
        if content.codes.is_some() {
            return content;
        }
        drop(content);
        let mut content = self.shelf.write();
        self.shelf.load_codes(&mut content);
        RwLockWriteGuard::downgrade(content)
    }

    /// The regression estimator of mean and variance (Cochran, "Sampling Techniques", chapter 7): differences are
    /// known of all, cosines of the sample.
    fn estimated(&self, scanned: &Scanned) -> Cosines {
        let sample = self.read(&RoaringBitmap::from_iter(scanned.sample.iter().map(|(vid, _)| *vid)));
        let of = |vid: &u32| scanned.sample.binary_search_by_key(vid, |(vid, _)| *vid).map(|at| scanned.sample[at].1);
        let xs: Vec<f64> = sample.vids.iter().map(|vid| of(vid).map_or(0.0, f64::from)).collect();
        let ys: Vec<f64> = sample.cosines.iter().map(|cosine| f64::from(*cosine)).collect();
        let n = xs.len().max(1) as f64;
        let (mean_x, mean_y) = (xs.iter().sum::<f64>() / n, ys.iter().sum::<f64>() / n);
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for (x, y) in xs.iter().zip(&ys) {
            let (x, y) = (x - mean_x, y - mean_y);
            (xx, xy, yy) = (xx + x * x, xy + x * y, yy + y * y);
        }
        let slope = if xx > 0.0 { xy / xx } else { 0.0 };
        let left = (yy - slope * xy).max(0.0) / n;
        let count = scanned.count.max(1) as f64;
        let mean_of_all = scanned.sum as f64 / count;
        let variance_of_all = scanned.squares as f64 / count - mean_of_all * mean_of_all;
        let mean = mean_y + slope * (mean_of_all - mean_x);
        described(scanned.count, mean, slope * slope * variance_of_all + left)
    }
}

impl Exact {
    fn nearest(&self, limit: usize, is_wanted: &dyn Fn(u32) -> bool, cosines: Cosines) -> Nearest {
        let Best { sure, tied } = best(&self.cosines, LOWEST, limit, &|at| is_wanted(self.vids[at as usize]));
        let vid = |at: u32| self.vids[at as usize];
        let sure = sure.into_iter().map(|(at, cosine)| (vid(at), cosine)).collect();
        Nearest { best: Best { sure, tied: tied.into_iter().map(vid).collect() }, cosines }
    }
}

fn moments(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers.fold((0.0, 0.0), |(sum, squares), number| (sum + number, squares + number * number))
}

fn described(count: u64, mean: f64, variance: f64) -> Cosines {
    Cosines { count: count as u32, mean: mean as f32, deviation: variance.max(0.0).sqrt() as f32 }
}

fn bits(members: &RoaringBitmap) -> Bits {
    let next = members.max().map_or(0, |last| last.saturating_add(1));
    let mut ranges = members.iter();
    Bits::of(std::iter::from_fn(|| ranges.next_range().map(std::ops::RangeInclusive::into_inner)), next)
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
    shelf.each(&missing, &mut |vid, slot| match slot {
        Some(slot) => rows.push(vid, &slot),
        None => damaged.push(vid),
    });
    damaged
}
