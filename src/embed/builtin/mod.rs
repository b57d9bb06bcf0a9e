//! The model inside the binary: a table of some 18,000 words and parts of words, each with a vector; their sum over a
//! text is the text's. `scripts/builtin-table/make.py` makes the table from all-MiniLM-L6-v2. It reads ASCII letters
//! (accents taken off): of numbers, other scripts and an empty text it has no opinion, which is a vector of zeros. It
//! never waits, and keeps nothing but the answer in memory.

mod table;
mod words;

use std::str::FromStr;

use super::{Embedder, Side};
use crate::error::{Error, Result};
use crate::model::{Calibration, ModelId, Space};
use table::Table;

/// Another table is another model: `the_table_is_the_one_that_its_id_names` holds the two together.
const MODEL: &str = "builtin-1";
static TABLE: &[u8] = include_bytes!("table.bin");

/// A static table of word vectors.
pub struct Builtin {
    table: Table<'static>,
    space: Space,
}

impl Builtin {
    /// The table that this program carries.
    ///
    /// # Errors
    /// Only if the program was built from a table of another layout.
    pub fn new() -> Result<Self> {
        let table = Table::read(TABLE).ok_or_else(|| Error::internal("the word table inside memoriad is damaged"))?;
        let space = Space { model: ModelId::from_str(MODEL)?, dims: table.dims() };
        Ok(Self { table, space })
    }

    /// Unit length, or zeros where no word is known. The sum is one of whole numbers, so it is the same on every
    /// machine and in any order.
    fn vector(&self, text: &str) -> Vec<f32> {
        let mut sums = vec![0i64; usize::from(self.space.dims)];
        words::each(text, |run| words::rows(&self.table, run, |row| self.table.add(row, &mut sums)));
        let length = sums.iter().map(|sum| (*sum as f64) * (*sum as f64)).sum::<f64>().sqrt();
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        sums.iter().map(|sum| (*sum as f64 * scale) as f32).collect()
    }
}

impl Embedder for Builtin {
    fn space(&self) -> &Space {
        &self.space
    }

    /// Measured on 72 questions of ours with their answers: 95% of the cosines with the answer to another question are
    /// below the floor, half of those with the own answer above the ceiling.
    fn calibration(&self) -> Calibration {
        Calibration { floor: 0.17, ceiling: 0.27 }
    }

    fn embed(&self, _side: Side, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        Ok(texts.iter().map(|text| self.vector(text)).collect())
    }

    fn is_quick(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        format!("{} words and parts of words inside memoriad, {} dimensions", self.table.rows(), self.space.dims)
    }
}

#[cfg(test)]
mod tests;
