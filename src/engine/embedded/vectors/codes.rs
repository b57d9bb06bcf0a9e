//! The codes of all vectors of a space, which a scan of very many looks at: in memory while questions come, and in a
//! file of pages, so that not every vector has to be read for them. A page says whose codes it holds; one that is
//! damaged, or of other vectors than there are now, is made anew from the slots.

use std::fs::File;
use std::io;

use memoria_kernel::bits::Bits;
use memoria_kernel::checksum::checksum;
use memoria_kernel::signs::{Code, code};
use roaring::RoaringBitmap;

use super::super::positioned::{read_up_to, write_at};
use super::slot::Slot;

/// Codes of a page: as many as a word of a set has members.
const PAGE_CODES: usize = 64;
const CODE_BYTES: usize = size_of::<Code>();
/// Which vids have a code, the codes, and a check over both and the page's number.
pub const PAGE_BYTES: usize = 8 + PAGE_CODES * CODE_BYTES + 8;
/// Pages that are read at once.
const PAGES_AT_ONCE: usize = 64;

/// Reads slots: calls the second with each of the first.
type Each<'a> = &'a dyn Fn(&RoaringBitmap, &mut dyn FnMut(u32, Option<Slot>));

/// Codes by vid; zeros where there is no vector.
#[derive(Default)]
pub struct Codes(pub Vec<Code>);

impl Codes {
    /// From the pages, and from the slots where these are of no use; then they are written again.
    pub fn load(file: &File, have: &RoaringBitmap, each: Each) -> Self {
        let wanted = filled(have);
        let mut codes = vec![Code::default(); wanted.len() * PAGE_CODES];
        let mut bytes = vec![0; PAGES_AT_ONCE * PAGE_BYTES];
        for first in (0..wanted.len()).step_by(PAGES_AT_ONCE) {
            let read = read_up_to(file, &mut bytes, (first * PAGE_BYTES) as u64).unwrap_or(0);
            let mut pages = bytes[..read].chunks_exact(PAGE_BYTES);
            for (number, filled) in (first..wanted.len()).zip(&wanted[first..]).take(PAGES_AT_ONCE) {
                let held = &mut codes[number * PAGE_CODES..][..PAGE_CODES];
                if !pages.next().is_some_and(|page| decode(page, number, *filled, held)) && *filled != 0 {
                    derive(number, *filled, each, held);
                    if let Err(error) = write_at(file, &encode(number, *filled, held), (number * PAGE_BYTES) as u64) {
                        tracing::warn!("codes of vectors could not be written, and are made anew when needed: {error}");
                    }
                }
            }
        }
        Self(codes)
    }

    /// A vector that came.
    pub fn set(&mut self, vid: u32, code: Code) {
        let at = vid as usize;
        if self.0.len() <= at {
            // By a sixteenth, where a vector of this size would double itself.
            if self.0.capacity() <= at {
                self.0.reserve_exact(at + 1 + at / 16 - self.0.len());
            }
            self.0.resize(at + 1, Code::default());
        }
        self.0[at] = code;
    }

    /// Vectors that went.
    pub fn forget(&mut self, gone: &RoaringBitmap) {
        for vid in gone {
            if let Some(code) = self.0.get_mut(vid as usize) {
                *code = Code::default();
            }
        }
    }
}

/// Brings codes that came, in rising order of vid, to their pages. `had` is whose codes there were before.
pub fn add(file: &File, had: &RoaringBitmap, came: &[(u32, Code)], each: Each) -> io::Result<()> {
    let page_of = |vid: u32| vid as usize / PAGE_CODES;
    let mut bytes = vec![0; PAGE_BYTES];
    for came in came.chunk_by(|a, b| page_of(a.0) == page_of(b.0)) {
        let Some(number) = came.first().map(|(vid, _)| page_of(*vid)) else { continue };
        let place = (number * PAGE_BYTES) as u64;
        let held = (0..PAGE_CODES as u32).filter(|at| had.contains(first_of(number) + at));
        let held = held.fold(0u64, |set, at| set | 1 << at);
        let mut codes = [Code::default(); PAGE_CODES];
        let read = read_up_to(file, &mut bytes, place)?;
        if held != 0 && !decode(&bytes[..read], number, held, &mut codes) {
            derive(number, held, each, &mut codes);
        }
        let mut filled = held;
        for (vid, code) in came {
            let at = *vid as usize % PAGE_CODES;
            codes[at] = *code;
            filled |= 1 << at;
        }
        write_at(file, &encode(number, filled, &codes), place)?;
    }
    Ok(())
}

/// The codes of a page from the slots.
fn derive(number: usize, filled: u64, each: Each, codes: &mut [Code]) {
    let vids = (0..PAGE_CODES as u32).filter(|at| filled >> at & 1 == 1).map(|at| first_of(number) + at);
    each(&vids.collect(), &mut |vid, slot| {
        if let Some(slot) = slot {
            codes[vid as usize % PAGE_CODES] = code(slot.codes);
        }
    });
}

/// Takes the codes of these vids out of their pages. What is of no use as a page is emptied.
pub fn erase(file: &File, gone: &RoaringBitmap) -> io::Result<()> {
    let len = file.metadata()?.len();
    let mut pages: Vec<u32> = gone.iter().map(|vid| vid / PAGE_CODES as u32).collect();
    pages.dedup();
    let mut bytes = vec![0; PAGE_BYTES];
    for number in pages {
        let (number, place) = (number as usize, u64::from(number) * PAGE_BYTES as u64);
        if place >= len {
            break;
        }
        let read = read_up_to(file, &mut bytes, place)?;
        if bytes[..read].iter().all(|byte| *byte == 0) {
            continue;
        }
        let is_gone = |at: usize| gone.contains(first_of(number) + at as u32);
        let left = whole(&bytes[..read], number).unwrap_or(0);
        let left = (0..PAGE_CODES).filter(|at| left >> at & 1 == 1 && !is_gone(*at)).fold(0, |set, at| set | 1 << at);
        let mut codes = [Code::default(); PAGE_CODES];
        if left != 0 {
            read_codes(&bytes, &mut codes);
            (0..PAGE_CODES).filter(|at| is_gone(*at)).for_each(|at| codes[at] = Code::default());
        }
        write_at(file, &encode(number, left, &codes), place)?;
    }
    Ok(())
}

fn first_of(page: usize) -> u32 {
    (page * PAGE_CODES) as u32
}

/// Which vids have a vector, page by page.
fn filled(have: &RoaringBitmap) -> Vec<u64> {
    let next = have.max().map_or(0, |last| last.saturating_add(1));
    let mut ranges = have.iter();
    let ranges = std::iter::from_fn(|| ranges.next_range().map(std::ops::RangeInclusive::into_inner));
    Bits::of(ranges, next).words().to_vec()
}

fn encode(number: usize, filled: u64, codes: &[Code]) -> Vec<u8> {
    let mut page = filled.to_le_bytes().to_vec();
    for at in 0..PAGE_CODES {
        let code = codes.get(at).filter(|_| filled >> at & 1 == 1).copied().unwrap_or_default();
        code.iter().for_each(|word| page.extend_from_slice(&word.to_le_bytes()));
    }
    let sum = checksum(&page) ^ number as u64;
    page.extend_from_slice(&sum.to_le_bytes());
    page
}

/// Whose codes a page holds; `None` when it is not whole.
fn whole(page: &[u8], number: usize) -> Option<u64> {
    let (body, sum) = page.split_last_chunk::<8>().filter(|_| page.len() == PAGE_BYTES)?;
    let is_whole = u64::from_le_bytes(*sum) == checksum(body) ^ number as u64;
    body.first_chunk::<8>().filter(|_| is_whole).map(|filled| u64::from_le_bytes(*filled))
}

fn read_codes(page: &[u8], codes: &mut [Code]) {
    for (code, bytes) in codes.iter_mut().zip(page[8..].chunks_exact(CODE_BYTES)) {
        for (word, bytes) in code.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
    }
}

/// Whether the page holds the codes of exactly these.
fn decode(page: &[u8], number: usize, filled: u64, codes: &mut [Code]) -> bool {
    let is_right = whole(page, number) == Some(filled);
    if is_right {
        read_codes(page, codes);
    }
    is_right
}
