//! The posting lists of a segment, in rising order of their terms: the lists of a page of terms, then that page,
//! which says where each list is. Lists are checked one by one, pages as a whole.

use memoria_kernel::checksum::checksum;
use memoria_kernel::postings::Growing;

use super::file::{Sink, Source};
use super::terms::TermId;
use crate::error::Result;
use crate::model::canon::{Reader, Writer};

const ENTRY_BYTES: u64 = 32;
const PAGE_ENTRIES: usize = 64;

/// Where a term's list is.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    pub term: TermId,
    at: u64,
    len: u32,
    pub count: u32,
    pub last: u32,
    sum: u32,
}

/// A page of terms.
struct Fence {
    first: TermId,
    /// Its lists begin where the page before ends.
    at: u64,
    entries: u32,
}

#[derive(Default)]
pub struct Dictionary {
    fences: Vec<Fence>,
}

/// A dictionary that is being written.
#[derive(Default)]
pub struct Writing {
    dictionary: Dictionary,
    page: Writer,
    entries: u32,
    first: TermId,
}

impl Writing {
    /// Appends a term's list. Terms rise.
    pub fn push(&mut self, sink: &mut Sink, term: TermId, list: &Growing) -> Result<()> {
        if self.entries == 0 {
            self.first = term;
        }
        self.page.u64(term).u64(sink.at).u32(list.bytes.len() as u32).u32(list.count).u32(list.last);
        self.page.u32(checksum(&list.bytes) as u32);
        self.entries += 1;
        sink.write(&list.bytes)?;
        if self.entries as usize == PAGE_ENTRIES { self.end_page(sink) } else { Ok(()) }
    }

    fn end_page(&mut self, sink: &mut Sink) -> Result<()> {
        self.dictionary.fences.push(Fence { first: self.first, at: sink.at, entries: self.entries });
        sink.write_checked(&self.page.0)?;
        self.page.0.clear();
        self.entries = 0;
        Ok(())
    }

    pub fn end(mut self, sink: &mut Sink) -> Result<Dictionary> {
        if self.entries > 0 {
            self.end_page(sink)?;
        }
        Ok(self.dictionary)
    }
}

impl Dictionary {
    /// What stays in memory of it.
    pub fn encode(&self, out: &mut Writer) {
        out.u32(self.fences.len() as u32);
        for fence in &self.fences {
            out.u64(fence.first).u64(fence.at).u32(fence.entries);
        }
    }

    pub fn decode(from: &mut Reader) -> Result<Self> {
        let len = from.u32()?;
        let mut fence = || Ok(Fence { first: from.u64()?, at: from.u64()?, entries: from.u32()? });
        Ok(Self { fences: (0..len).map(|_| fence()).collect::<Result<_>>()? })
    }

    /// A term's postings: bytes and count.
    pub fn list(&self, source: &Source, term: TermId) -> Result<Option<(Vec<u8>, u32)>> {
        let Some(page) = self.fences.partition_point(|fence| fence.first <= term).checked_sub(1) else {
            return Ok(None);
        };
        let entries = self.page(source, page)?;
        let Ok(at) = entries.binary_search_by_key(&term, |entry| entry.term) else { return Ok(None) };
        let entry = entries[at];
        let bytes = source.read(entry.at, u64::from(entry.len))?;
        if checksum(&bytes) as u32 != entry.sum {
            return Err(source.damaged());
        }
        Ok(Some((bytes, entry.count)))
    }

    fn page(&self, source: &Source, page: usize) -> Result<Vec<Listed>> {
        let fence = &self.fences[page];
        let bytes = source.checked(fence.at, u64::from(fence.entries).saturating_mul(ENTRY_BYTES))?;
        bytes.chunks_exact(ENTRY_BYTES as usize).map(listed).collect()
    }

    /// All lists, in rising order of term.
    pub fn lists<'a>(&'a self, source: &'a Source) -> Lists<'a> {
        Lists { dictionary: self, source, page: 0, entries: Vec::new().into_iter(), bytes: Vec::new(), start: 0 }
    }
}

fn listed(bytes: &[u8]) -> Result<Listed> {
    let mut from = Reader(bytes);
    let (term, at, len) = (from.u64()?, from.u64()?, from.u32()?);
    Ok(Listed { term, at, len, count: from.u32()?, last: from.u32()?, sum: from.u32()? })
}

/// The lists of a dictionary one after the other; a page's lists stand together, and are read at once.
pub struct Lists<'a> {
    dictionary: &'a Dictionary,
    source: &'a Source,
    page: usize,
    entries: std::vec::IntoIter<Listed>,
    bytes: Vec<u8>,
    start: u64,
}

impl Lists<'_> {
    /// The next term and its postings.
    pub fn next(&mut self) -> Result<Option<(Listed, &[u8])>> {
        if self.entries.len() == 0 {
            let Some(fence) = self.dictionary.fences.get(self.page) else { return Ok(None) };
            let entries = self.dictionary.page(self.source, self.page)?;
            self.start = entries.first().map_or(fence.at, |entry| entry.at);
            self.bytes = self.source.read(self.start, fence.at.saturating_sub(self.start))?;
            self.page += 1;
            self.entries = entries.into_iter();
        }
        let Some(entry) = self.entries.next() else { return Ok(None) };
        let from = entry.at.wrapping_sub(self.start) as usize;
        let bytes = self.bytes.get(from..from.saturating_add(entry.len as usize));
        let bytes = bytes.filter(|bytes| checksum(bytes) as u32 == entry.sum);
        Ok(Some((entry, bytes.ok_or_else(|| self.source.damaged())?)))
    }
}
