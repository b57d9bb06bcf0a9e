//! Sorted records in a file, of one size, that compare as bytes and end in a vid: a search goes by fences in memory
//! to one page. What the bytes mean is said where they are made, in `keys`.

use memoria_kernel::among::Among;

use super::file::{PageWriter, Pages, Sink, Source};
use crate::error::Result;
use crate::model::canon::{Reader, Writer};

/// A run of records of `N` bytes.
pub struct Run<const N: usize> {
    pages: Pages,
    /// The first record of each page.
    fences: Vec<[u8; N]>,
    /// Of the first eight bytes of each record.
    among: Among,
}

/// The first eight bytes of a key: what a filter goes by.
fn head(key: &[u8]) -> u64 {
    key.iter().take(8).fold(0, |head, byte| head << 8 | u64::from(*byte))
}

/// The vid that a record ends in.
pub fn vid(record: &[u8]) -> u32 {
    record.iter().rev().take(4).rev().fold(0, |vid, byte| vid << 8 | u32::from(*byte))
}

/// Takes one record after the other.
type Take<'a, const N: usize> = dyn FnMut(&[u8; N]) -> Result<()> + 'a;

impl<const N: usize> Run<N> {
    /// Writes records that come in rising order; there are `room` of them at most.
    pub fn write(sink: &mut Sink, room: u64, records: &mut dyn FnMut(&mut Take<N>) -> Result<()>) -> Result<Self> {
        let (mut fences, mut among) = (Vec::new(), Among::with_room(room as usize));
        let mut pages = PageWriter::new(sink, N);
        records(&mut |record| {
            if pages.push(record)? {
                fences.push(*record);
            }
            among.insert(head(record));
            Ok(())
        })?;
        Ok(Self { pages: pages.end()?, fences, among })
    }

    /// What stays in memory of it.
    pub fn encode(&self, out: &mut Writer) {
        out.u64(self.pages.at).u64(self.pages.records);
        self.fences.iter().for_each(|fence| {
            out.fixed(fence);
        });
        out.u32(self.among.words().len() as u32);
        self.among.words().iter().for_each(|word| {
            out.u64(*word);
        });
    }

    /// `None` when it does not fit into the file.
    pub fn decode(from: &mut Reader, file_bytes: u64) -> Result<Option<Self>> {
        let pages = Pages { at: from.u64()?, records: from.u64()? };
        if pages.at.saturating_add(pages.bytes(N)) > file_bytes {
            return Ok(None);
        }
        let fences = (0..pages.count(N)).map(|_| from.array()).collect::<Result<_>>()?;
        let words = from.u32()?;
        let words = from.fixed(words as usize * 8)?.chunks_exact(8);
        let among = Among::of(words.map(|word| Reader(word).u64()).collect::<Result<_>>()?);
        Ok(among.map(|among| Self { pages, fences, among }))
    }

    pub fn len(&self) -> u64 {
        self.pages.records
    }

    /// Whether there may be a record that has these first eight bytes.
    pub fn may_have(&self, key: &[u8]) -> bool {
        self.among.may_have(head(key))
    }

    /// The vids of the records that begin with `key`, rising. At least eight bytes.
    pub fn vids(&self, source: &Source, key: &[u8]) -> Result<Vec<u32>> {
        let mut vids = Vec::new();
        if self.may_have(key) {
            let mut at = self.seek(source, key)?;
            while let Some(record) = at.next()?.filter(|record| record.starts_with(key)) {
                vids.push(vid(&record));
            }
        }
        Ok(vids)
    }

    /// The place before the first record that is not below `key`.
    pub fn seek<'a>(&'a self, source: &'a Source, key: &[u8]) -> Result<Place<'a, N>> {
        let page = self.fences.partition_point(|fence| fence[..] < *key).saturating_sub(1) as u64;
        let mut place = Place { run: self, source, page, records: Vec::new(), next: 0 };
        place.load(page)?;
        let (mut below, mut end) = (0, place.records.len() / N);
        while below < end {
            let middle = below.midpoint(end);
            if place.record(middle).is_some_and(|record| record < key) { below = middle + 1 } else { end = middle }
        }
        place.next = below;
        Ok(place)
    }

    /// Every record, in order.
    pub fn each(&self, source: &Source, visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.pages.each(source, N, &mut |_, records| records.chunks_exact(N).try_for_each(&mut *visit))
    }
}

/// A place between two records of a run.
pub struct Place<'a, const N: usize> {
    run: &'a Run<N>,
    source: &'a Source,
    page: u64,
    records: Vec<u8>,
    next: usize,
}

impl<const N: usize> Place<'_, N> {
    /// Steps over the next record and gives it.
    pub fn next(&mut self) -> Result<Option<[u8; N]>> {
        if self.next * N == self.records.len() {
            if self.page + 1 >= self.run.pages.count(N) {
                return Ok(None);
            }
            self.load(self.page + 1)?;
            self.next = 0;
        }
        self.next += 1;
        self.record(self.next - 1).map(|record| Reader(record).array()).transpose()
    }

    /// Steps back over the record before and gives it.
    pub fn previous(&mut self) -> Result<Option<[u8; N]>> {
        if self.next == 0 {
            let Some(page) = self.page.checked_sub(1) else { return Ok(None) };
            self.load(page)?;
            self.next = self.records.len() / N;
        }
        self.next = self.next.saturating_sub(1);
        self.record(self.next).map(|record| Reader(record).array()).transpose()
    }

    fn record(&self, number: usize) -> Option<&[u8]> {
        self.records.get(number * N..number * N + N)
    }

    fn load(&mut self, page: u64) -> Result<()> {
        if self.run.pages.records > 0 {
            self.records = self.run.pages.page(self.source, N, page)?;
        }
        self.page = page;
        Ok(())
    }
}

/// Writes several runs as one, without the records that `is_kept` refuses.
pub fn merge<const N: usize>(
    sink: &mut Sink,
    parts: &[(&Run<N>, &Source)],
    is_kept: &dyn Fn(u32) -> bool,
) -> Result<Run<N>> {
    let room = parts.iter().map(|(run, _)| run.len()).sum();
    let mut places = parts.iter().map(|(run, source)| run.seek(source, &[])).collect::<Result<Vec<_>>>()?;
    let mut heads = places.iter_mut().map(Place::next).collect::<Result<Vec<_>>>()?;
    Run::write(sink, room, &mut |emit| {
        while let Some((least, record)) =
            heads.iter().enumerate().filter_map(|(at, head)| Some((at, (*head)?))).min_by_key(|(_, record)| *record)
        {
            heads[least] = places[least].next()?;
            if is_kept(vid(&record)) {
                emit(&record)?;
            }
        }
        Ok(())
    })
}
