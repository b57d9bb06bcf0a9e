//! The loops that a search spends its time in: reading posting lists, adding up scores, picking the best, checking
//! what was read; and those of an encoder that makes vectors of texts.
//! A package of its own because Cargo sets `opt-level` by package: this one is compiled for speed, the rest of
//! Memoria for size. Nothing in here knows a memory, a store or a query. What is `unsafe` (instructions that only some
//! CPUs have) is so in files that say why.

pub mod among;
pub mod best;
pub mod bits;
pub mod bm25;
pub mod checksum;
pub mod dots;
pub mod matrix;
pub mod neural;
pub mod postings;
pub mod quantise;
pub mod sets;
pub mod signs;
