//! A file cut into batches: so many rows or bytes, each one commit. A batch knows itself by its content, so that
//! the same batch of the same file, sent again after an interruption, is recognised.

use std::collections::BTreeMap;
use std::io::{BufRead, ErrorKind, Read};

use crate::error::{Error, Result};
use crate::model::OpId;
use crate::wire::limits::LINE_BYTES_MAX;
use crate::wire::message::Row;

use super::row;

const ROWS_MAX: usize = 5_000;
/// Below what one message takes (`limits::REQUEST_BYTES_MAX`): an encoded row is never longer than its line and
/// `ROW_BYTES`, since escapes only shrink.
const BYTES_MAX: usize = 900_000;
const ROW_BYTES: usize = 48;
/// Reasons that are kept; the others are counted.
const REASONS_MAX: usize = 1_000;

pub struct Batch {
    pub op: OpId,
    pub rows: Vec<Row>,
    /// About as many as it has on the wire.
    pub bytes: usize,
    /// Where in the input it ends.
    pub end: u64,
}

pub struct Batches<R> {
    input: R,
    /// Over branch, agent and project: to another place the same lines are another import.
    identity: blake3::Hasher,
    number: u64,
    line: u32,
    read_bytes: u64,
    /// A line that did not fit the batch before.
    rest: Vec<u8>,
    pub refused: Refused,
    /// Fields that nothing is made of, and how many lines have them.
    pub ignored: BTreeMap<String, u64>,
}

/// Lines that were not taken, and why.
#[derive(Default)]
pub struct Refused {
    pub reasons: Vec<(u32, String)>,
    pub total: u64,
}

impl Refused {
    pub fn add(&mut self, line: u32, reason: String) {
        self.total += 1;
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push((line, reason));
        }
    }
}

impl<R: BufRead> Batches<R> {
    pub fn new(input: R, identity: &[&str]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in identity {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Self {
            input,
            identity: hasher,
            number: 0,
            line: 0,
            read_bytes: 0,
            rest: Vec::new(),
            refused: Refused::default(),
            ignored: BTreeMap::new(),
        }
    }

    /// `None` at the end of the input.
    pub fn next(&mut self) -> Result<Option<Batch>> {
        let mut content = self.identity.clone();
        let mut rows = Vec::new();
        let mut bytes = 0;
        let mut line = std::mem::take(&mut self.rest);
        let mut end = self.read_bytes;
        while rows.len() < ROWS_MAX {
            if line.is_empty() && !self.read_line(&mut line)? {
                break;
            }
            let cost = line.len() + ROW_BYTES;
            if !rows.is_empty() && bytes + cost > BYTES_MAX {
                self.rest = line;
                break;
            }
            end = self.read_bytes;
            match row::parse(&line, self.line) {
                Ok((row, ignored)) => {
                    content.update(&line);
                    bytes += cost;
                    rows.push(row);
                    ignored.into_iter().for_each(|field| *self.ignored.entry(field).or_default() += 1);
                }
                Err(reason) => self.refused.add(self.line, reason),
            }
            line.clear();
        }
        if rows.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&content.finalize().as_bytes()[..16]);
        Ok(Some(Batch { op: OpId { nonce, line: self.number }, rows, bytes, end }))
    }

    /// The next line that is not blank, with its newline; false at the end. One that is too long is refused here.
    fn read_line(&mut self, line: &mut Vec<u8>) -> Result<bool> {
        loop {
            line.clear();
            let mut part = (&mut self.input).take(LINE_BYTES_MAX as u64 + 1);
            let read = part.read_until(b'\n', line).map_err(|e| Error::io("read the input", &e))?;
            if read == 0 {
                return Ok(false);
            }
            self.read_bytes += read as u64;
            self.line = self.line.saturating_add(1);
            if self.line == 1 && line.starts_with(b"\xef\xbb\xbf") {
                line.drain(..3);
            }
            if read > LINE_BYTES_MAX {
                let had_newline = line.ends_with(b"\n");
                line.clear();
                if !had_newline {
                    self.skip_line()?;
                }
                self.refused.add(self.line, format!("the line has more than {} KiB", LINE_BYTES_MAX >> 10));
            } else if line.iter().any(|byte| !byte.is_ascii_whitespace()) {
                return Ok(true);
            }
        }
    }

    fn skip_line(&mut self) -> Result<()> {
        loop {
            let held = match self.input.fill_buf() {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                held => held.map_err(|e| Error::io("read the input", &e))?,
            };
            let newline = held.iter().position(|byte| *byte == b'\n');
            let (used, is_end) = (newline.map_or(held.len(), |at| at + 1), newline.is_some() || held.is_empty());
            self.input.consume(used);
            self.read_bytes += used as u64;
            if is_end {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(text: &[u8], identity: &[&str]) -> (Vec<Batch>, Refused) {
        let mut batches = Batches::new(text, identity);
        let mut all = Vec::new();
        while let Some(batch) = batches.next().unwrap() {
            all.push(batch);
        }
        (all, batches.refused)
    }

    fn file(rows: std::ops::Range<u32>) -> Vec<u8> {
        rows.flat_map(|n| format!("{{\"text\":\"fact {n}\"}}\n").into_bytes()).collect()
    }

    fn ops(batches: &[Batch]) -> Vec<OpId> {
        batches.iter().map(|batch| batch.op).collect()
    }

    #[test]
    fn the_same_batch_is_the_same_operation_and_another_is_another() {
        let (first, _) = batches(&file(0..12_000), &["main"]);
        assert_eq!(first.iter().map(|batch| batch.rows.len()).collect::<Vec<_>>(), [5_000, 5_000, 2_000]);
        assert_eq!(ops(&first), ops(&batches(&file(0..12_000), &["main"]).0));
        let (longer, _) = batches(&file(0..12_001), &["main"]);
        assert_eq!(ops(&first)[..2], ops(&longer)[..2]);
        assert_ne!(first[2].op, longer[2].op);
        assert!(ops(&batches(&file(0..12_000), &["other"]).0).iter().all(|op| !ops(&first).contains(op)));
        let twice = [file(0..5_000), file(0..5_000)].concat();
        let (twice, _) = batches(&twice, &["main"]);
        assert_ne!(twice[0].op, twice[1].op);
    }

    #[test]
    fn lines_keep_their_numbers_past_blank_bad_and_endless_ones() {
        let long = format!("{{\"text\":\"{}\"}}", "x".repeat(LINE_BYTES_MAX));
        let text = format!("\u{feff}{{\"text\":\"one\"}}\n\n  \r\nbad\n{long}\n{{\"text\":\"six\"}}");
        let (all, refused) = batches(text.as_bytes(), &[]);
        let rows: Vec<_> = all[0].rows.iter().map(|row| (row.line, row.text.as_str())).collect();
        assert_eq!(rows, [(1, "one"), (6, "six")]);
        assert_eq!(refused.reasons.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4, 5]);
        assert_eq!(all[0].end, text.len() as u64);
    }

    #[test]
    fn batches_stay_below_what_a_message_takes() {
        let line = format!("{{\"text\":\"{}\"}}\n", "x".repeat(60_000));
        let (all, _) = batches(line.repeat(40).as_bytes(), &[]);
        assert!(all.iter().all(|batch| batch.bytes <= BYTES_MAX), "too large");
        assert_eq!(all.iter().map(|batch| batch.rows.len()).sum::<usize>(), 40);
        assert_eq!(
            all.iter().flat_map(|batch| &batch.rows).map(|row| row.line).collect::<Vec<_>>(),
            (1..=40).collect::<Vec<_>>()
        );
    }
}
