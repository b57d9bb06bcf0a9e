//! A piece of the index on disk: the lists and columns of a range of vids, written once, never changed, read by
//! position. Whatever is read is checked first: lists and dictionary pages by page, the rest at open.
//!
//! Layout: lists in the order of their terms, dictionary pages, columns, fences (the first term of each page),
//! trailer. Integers are little-endian. Another layout, or another analysis of text, is another [`FORMAT`].

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memoria_kernel::postings::{Growing, Postings};
use roaring::RoaringBitmap;

use super::Watermark;
use super::terms::{TermId, mix};
use crate::error::{Error, Result};
use crate::model::canon::{Reader, Writer};

/// Raise it with every change of this layout, of the columns, or of what `lexical::analyse` makes of a text.
const FORMAT: u64 = 2;
const MAGIC: u64 = u64::from_le_bytes(*b"memoidx\n");
const ENTRY_BYTES: usize = 32;
/// A page is read and checked at once: small enough to read for one term, large enough that fences are few.
const PAGE_ENTRIES: usize = 64;
const PAGE_BYTES: usize = PAGE_ENTRIES * ENTRY_BYTES + 8;
const TRAILER_BYTES: usize = 88;

/// Where a term's list is.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub term: TermId,
    offset: u64,
    len: u32,
    pub count: u32,
    pub last: u32,
    checksum: u32,
}

/// An open segment.
pub struct Segment {
    file: File,
    pub path: PathBuf,
    /// The vids that it covers.
    pub first: u32,
    pub next: u32,
    pub bytes: u64,
    dictionary: u64,
    terms: u64,
    fences: Vec<TermId>,
    /// Offset, length and checksum of the columns.
    columns: (u64, u64, u64),
}

/// A hash that tells damage, not malice: 8 bytes a step.
fn checksum(bytes: &[u8]) -> u64 {
    let step = |hash: u64, word: u64| (hash.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut hash = step(0, bytes.len() as u64);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        hash = step(hash, word.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)));
    }
    mix(words.remainder().iter().fold(hash, |hash, byte| step(hash, u64::from(*byte))))
}

fn damaged(path: &Path) -> Error {
    Error::corrupt(format!("the search index is damaged ({}); it is rebuilt from the store", path.display()))
}

impl Segment {
    /// Writes the lists (in rising order of term) and columns of the vids from `first` to before `next`.
    pub fn write(
        folder: &Path,
        truth: &Watermark,
        (first, next): (u32, u32),
        columns: &[u8],
        lists: impl FnMut(&mut dyn FnMut(TermId, &Growing) -> Result<()>) -> Result<()>,
    ) -> Result<Self> {
        let path = folder.join(format!("{first}-{next}.segment"));
        let unready = path.with_extension("unready");
        let written = Self::write_file(&unready, truth, (first, next), columns, lists).and_then(|()| {
            let failed = |error: std::io::Error| Error::io(format_args!("name {}", path.display()), &error);
            fs::rename(&unready, &path).map_err(failed)
        });
        if let Err(error) = written {
            // Half a file is of no use, least of all on a full disk; one that cannot be removed goes at opening.
            let _ = fs::remove_file(&unready);
            return Err(error);
        }
        Self::open(&path, truth)?.ok_or_else(|| damaged(&path))
    }

    fn write_file(
        unready: &Path,
        truth: &Watermark,
        (first, next): (u32, u32),
        columns: &[u8],
        mut lists: impl FnMut(&mut dyn FnMut(TermId, &Growing) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        let failed = |error: std::io::Error| Error::io(format_args!("write {}", unready.display()), &error);
        let mut out = BufWriter::with_capacity(1 << 16, File::create(unready).map_err(failed)?);
        let (mut entries, mut fences, mut end) = (Writer::default(), Writer::default(), 0u64);
        let mut terms = 0u64;
        lists(&mut |term, list| {
            if terms.is_multiple_of(PAGE_ENTRIES as u64) {
                fences.u64(term);
            }
            entries.u64(term).u64(end).u32(list.bytes.len() as u32).u32(list.count).u32(list.last);
            entries.u32(checksum(&list.bytes) as u32);
            end += list.bytes.len() as u64;
            terms += 1;
            out.write_all(&list.bytes).map_err(failed)
        })?;
        for page in entries.0.chunks(PAGE_ENTRIES * ENTRY_BYTES) {
            out.write_all(page).and_then(|()| out.write_all(&checksum(page).to_le_bytes())).map_err(failed)?;
        }
        let mut trailer = Writer::default();
        trailer.u64(MAGIC).u64(FORMAT).fixed(&truth.store_id).u64(truth.generation).u32(first).u32(next);
        trailer.u64(end).u64(terms).u64(columns.len() as u64).u64(checksum(columns));
        trailer.u64(checksum(&[&fences.0[..], &trailer.0].concat()));
        out.write_all(columns).and_then(|()| out.write_all(&fences.0)).map_err(failed)?;
        out.write_all(&trailer.0).map_err(failed)?;
        out.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
        Ok(())
    }

    /// Opens a segment; `None` when it is not whole, or of another store or format.
    pub fn open(path: &Path, truth: &Watermark) -> Result<Option<Self>> {
        let failed = |error: std::io::Error| Error::io(format_args!("read {}", path.display()), &error);
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let Some(trailer_at) = bytes.checked_sub(TRAILER_BYTES as u64) else { return Ok(None) };
        let mut trailer = [0; TRAILER_BYTES];
        read_at(&file, &mut trailer, trailer_at).map_err(failed)?;
        let mut from = Reader(&trailer);
        if from.u64()? != MAGIC || from.u64()? != FORMAT || from.fixed(16)? != truth.store_id {
            return Ok(None);
        }
        if from.u64()? != truth.generation {
            return Ok(None);
        }
        let (first, next) = (from.u32()?, from.u32()?);
        let (dictionary, terms) = (from.u64()?, from.u64()?);
        let (columns_len, columns_sum, sum) = (from.u64()?, from.u64()?, from.u64()?);
        let pages = terms.div_ceil(PAGE_ENTRIES as u64);
        // Every number is checked against the file's length before it is believed: pages have a checksum and a fence.
        let parts = [dictionary, terms.saturating_mul(ENTRY_BYTES as u64), pages.saturating_mul(16), columns_len];
        if parts.iter().fold(0u64, |sum, part| sum.saturating_add(*part)) != trailer_at || first >= next {
            return Ok(None);
        }
        let fences_at = trailer_at - pages * 8;
        let mut sealed = vec![0; (bytes - fences_at) as usize - 8];
        read_at(&file, &mut sealed, fences_at).map_err(failed)?;
        if checksum(&sealed) != sum {
            return Ok(None);
        }
        let fences = sealed[..(pages * 8) as usize].chunks_exact(8);
        let fences = fences.map(|term| Reader(term).u64()).collect::<Result<_>>()?;
        let columns = (fences_at - columns_len, columns_len, columns_sum);
        Ok(Some(Self { file, path: path.to_owned(), first, next, bytes, dictionary, terms, fences, columns }))
    }

    /// What `Columns::decode` reads.
    pub fn columns(&self) -> Result<Vec<u8>> {
        let (offset, len, sum) = self.columns;
        let bytes = self.bytes_at(offset, len)?;
        if checksum(&bytes) == sum { Ok(bytes) } else { Err(damaged(&self.path)) }
    }

    /// A term's postings: bytes and count.
    pub fn list(&self, term: TermId) -> Result<Option<(Vec<u8>, u32)>> {
        let Some(page) = self.fences.partition_point(|first| *first <= term).checked_sub(1) else { return Ok(None) };
        let entries = self.page(page)?;
        let Ok(at) = entries.binary_search_by_key(&term, |entry| entry.term) else { return Ok(None) };
        let entry = entries[at];
        let bytes = self.bytes_at(entry.offset, u64::from(entry.len))?;
        self.check(&entry, &bytes)?;
        Ok(Some((bytes, entry.count)))
    }

    fn page(&self, page: usize) -> Result<Vec<Entry>> {
        let len = (self.terms as usize - page * PAGE_ENTRIES).min(PAGE_ENTRIES) * ENTRY_BYTES;
        let bytes = self.bytes_at(self.dictionary + (page * PAGE_BYTES) as u64, len as u64 + 8)?;
        let (entries, sum) = bytes.split_at(len);
        if checksum(entries).to_le_bytes() != sum {
            return Err(damaged(&self.path));
        }
        entries.chunks_exact(ENTRY_BYTES).map(entry).collect()
    }

    fn check(&self, entry: &Entry, bytes: &[u8]) -> Result<()> {
        if checksum(bytes) as u32 == entry.checksum { Ok(()) } else { Err(damaged(&self.path)) }
    }

    fn bytes_at(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        if offset.saturating_add(len) > self.bytes {
            return Err(damaged(&self.path));
        }
        let mut bytes = vec![0; len as usize];
        read_at(&self.file, &mut bytes, offset).map_err(|_| damaged(&self.path))?;
        Ok(bytes)
    }

    /// Reads all lists, in rising order of term.
    pub fn lists(&self) -> Lists<'_> {
        Lists { segment: self, page: 0, entries: Vec::new().into_iter(), bytes: Vec::new(), start: 0 }
    }
}

fn entry(bytes: &[u8]) -> Result<Entry> {
    let mut from = Reader(bytes);
    Ok(Entry {
        term: from.u64()?,
        offset: from.u64()?,
        len: from.u32()?,
        count: from.u32()?,
        last: from.u32()?,
        checksum: from.u32()?,
    })
}

/// The lists of a segment one after the other; a page's lists stand together, and are read at once.
pub struct Lists<'a> {
    segment: &'a Segment,
    page: usize,
    entries: std::vec::IntoIter<Entry>,
    bytes: Vec<u8>,
    start: u64,
}

impl Lists<'_> {
    /// The next term and its postings.
    pub fn next(&mut self) -> Result<Option<(Entry, &[u8])>> {
        let segment = self.segment;
        if self.entries.len() == 0 {
            if self.page == segment.fences.len() {
                return Ok(None);
            }
            let entries = segment.page(self.page)?;
            let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(None) };
            let end = last.offset.saturating_add(u64::from(last.len));
            self.start = first.offset;
            self.bytes = segment.bytes_at(first.offset, end.saturating_sub(first.offset))?;
            self.page += 1;
            self.entries = entries.into_iter();
        }
        let Some(entry) = self.entries.next() else { return Ok(None) };
        let from = entry.offset.wrapping_sub(self.start) as usize;
        let bytes = self.bytes.get(from..from.saturating_add(entry.len as usize));
        let bytes = bytes.ok_or_else(|| damaged(&segment.path))?;
        segment.check(&entry, bytes)?;
        Ok(Some((entry, bytes)))
    }
}

/// Writes adjacent segments as one, without the postings of the vids in `gone`.
pub fn merge(
    folder: &Path,
    truth: &Watermark,
    parts: &[Arc<Segment>],
    columns: &[u8],
    gone: &RoaringBitmap,
) -> Result<Segment> {
    let range = (parts.first().map_or(0, |part| part.first), parts.last().map_or(0, |part| part.next));
    Segment::write(folder, truth, range, columns, |emit| {
        let mut sources: Vec<Lists> = parts.iter().map(|part| part.lists()).collect();
        let mut heads: Vec<Option<(Entry, Vec<u8>)>> = vec![None; sources.len()];
        let pull = |source: &mut Lists| source.next().map(|list| list.map(|(entry, bytes)| (entry, bytes.to_vec())));
        for (head, source) in heads.iter_mut().zip(&mut sources) {
            *head = pull(source)?;
        }
        while let Some(term) = heads.iter().flatten().map(|(entry, _)| entry.term).min() {
            let mut joined = Growing::default();
            for (head, source) in heads.iter_mut().zip(&mut sources) {
                if let Some((entry, bytes)) = head.take_if(|(entry, _)| entry.term == term) {
                    joined.append(&bytes, entry.count, entry.last);
                    *head = pull(source)?;
                }
            }
            if !gone.is_empty() {
                let mut kept = Growing::default();
                let left = Postings::new(&joined.bytes).filter(|(vid, _)| !gone.contains(*vid));
                left.for_each(|(vid, frequency)| kept.push(vid, frequency));
                joined = kept;
            }
            if joined.count > 0 {
                emit(term, &joined)?;
            }
        }
        Ok(())
    })
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, bytes, offset)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[read..];
        offset += read as u64;
    }
    Ok(())
}
