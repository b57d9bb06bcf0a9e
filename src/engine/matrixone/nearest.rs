//! A question by meaning to one state: which of its versions are nearest, how near others are, and how cosines lie in
//! the whole state. Vectors stand in their tables as codes, whole numbers, so that the server's products are exact and
//! its cosines are ours but for the last rounding.
//!
//! Up to [`EXACT_MAX`] versions statistics are of all; of more, they are of a few that are spread evenly over the
//! state.

use std::collections::HashMap;

use memoria_kernel::dots::dot;
use memoria_kernel::quantise::{cosine, quantise, unit_scale};
use roaring::RoaringBitmap;

use super::candidates::{Chosen, Question};
use super::truth::Reader;
use super::within::Within;
use super::{sql, vectors};
use crate::error::Result;
use crate::model::{Asked, Cosines};

/// Versions of a state whose cosines are all looked at for its statistics: 10 ms at 384 dimensions.
const EXACT_MAX: u64 = 20_000;
/// Of a larger state, so many: the mean is then off by a fiftieth of the deviation.
const SAMPLE: u64 = 2_048;

/// A question in a space.
pub struct Near {
    /// The table of the space; `None` where it has no vectors, or where the question has no opinion.
    table: Option<String>,
    codes: Vec<i8>,
    scale: f32,
    /// The codes as the server reads them.
    text: String,
}

/// How many, the sum of their cosines, and of the squares.
type Moments = (u64, Option<f64>, Option<f64>);

impl Near {
    pub fn of(reader: &Reader, asked: &Asked) -> Result<Self> {
        let (_, codes) = quantise(&asked.vector);
        let scale = unit_scale(&codes);
        let space = if scale == 0.0 { None } else { vectors::space_of(reader, &asked.space)? };
        Ok(Self { table: space.map(sql::vectors), text: vectors::text(&codes), codes, scale })
    }

    /// The nearest that the server finds.
    pub fn nearest(&self, question: &Question, limit: usize) -> Result<Chosen> {
        let Some(table) = &self.table else { return Ok(Chosen::default()) };
        let from = question.within.of_table(table, question.has_filter());
        let sql = sql::nearest(&from, &self.text, &question.which(), limit);
        Ok(Chosen::of(question.numbers::<(u32, f64)>(&sql, question.values())?, limit))
    }

    /// Of one that has these codes.
    pub fn cosine(&self, codes: &[i8]) -> f32 {
        cosine(dot(&self.codes, codes), self.scale, unit_scale(codes))
    }

    /// The codes of those of these versions that have any.
    pub fn vectors(&self, question: &Question, vids: &RoaringBitmap) -> Result<HashMap<u32, Vec<i8>>> {
        let Some(table) = self.table.as_ref().filter(|_| !vids.is_empty()) else { return Ok(HashMap::new()) };
        let found = question.numbers::<(u32, String)>(&sql::codes(table, vids), &[])?;
        found.into_iter().map(|(vid, text)| Ok((vid, vectors::codes(&text, self.codes.len())?))).collect()
    }

    /// How near these are, those of them that have a vector.
    pub fn cosines_of(&self, question: &Question, vids: &RoaringBitmap) -> Result<Vec<(u32, f32)>> {
        let Some(table) = self.table.as_ref().filter(|_| !vids.is_empty()) else { return Ok(Vec::new()) };
        let found = question.numbers::<(u32, f64)>(&sql::cosines(table, &self.text, vids), &[])?;
        Ok(found.into_iter().map(|(vid, cosine)| (vid, cosine.clamp(-1.0, 1.0) as f32)).collect())
    }

    /// The statistics of the whole state.
    pub fn cosines(&self, question: &Question) -> Result<Cosines> {
        let state = &*question.at.state;
        let Some(table) = self.table.as_ref().filter(|_| !state.is_empty()) else { return Ok(Cosines::default()) };
        let (from, which, part) = if state.len() > EXACT_MAX {
            let step = state.len() as f64 / SAMPLE as f64;
            let sample = (0..SAMPLE).filter_map(|at| state.select((at as f64 * step) as u32));
            (sql::alone(table), format!(" and t.vid in ({})", sql::numbers(sample)), step)
        } else if *question.within == Within::Unsaid {
            return self.compared(question, table);
        } else {
            (question.within.of_table(table, false), question.within.and(), 1.0)
        };
        let found = question.numbers::<Moments>(&sql::moments(&from, &self.text, &which), &[])?;
        Ok(found.first().map_or_else(Cosines::default, |found| described(*found, part)))
    }

    /// From every cosine there is, of a state that the server cannot be told of.
    fn compared(&self, question: &Question, table: &str) -> Result<Cosines> {
        let mut found: Moments = (0, Some(0.0), Some(0.0));
        let (first, last) = (question.at.state.min().unwrap_or(0), question.at.state.max().unwrap_or(0));
        let all = sql::cosines_between(table, &self.text, first, last);
        for (vid, cosine) in question.numbers::<(u32, f64)>(&all, &[])? {
            if question.at.state.contains(vid) {
                let (count, sum, squares) = &mut found;
                *count += 1;
                *sum = sum.map(|sum| sum + cosine);
                *squares = squares.map(|squares| squares + cosine * cosine);
            }
        }
        Ok(described(found, 1.0))
    }
}

/// `part` is how many versions of the state each of these stands for.
fn described((count, sum, squares): Moments, part: f64) -> Cosines {
    let n = count.max(1) as f64;
    let mean = sum.unwrap_or(0.0) / n;
    let variance = squares.unwrap_or(0.0) / n - mean * mean;
    Cosines {
        count: (count as f64 * part).round() as u32,
        mean: mean as f32,
        deviation: variance.max(0.0).sqrt() as f32,
    }
}
