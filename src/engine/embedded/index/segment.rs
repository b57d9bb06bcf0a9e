//! A piece of the index on disk: everything about a range of vids, written once, never changed, read by position.
//! Whatever is read is checked first: lists and pages when they are read, what stays in memory at open.
//!
//! Layout: the dictionary with its lists, the key runs, the columns page by page, the vocabulary, the head (where all
//! that is, fences and filters), and the head's place. Integers are little-endian, keys big-endian. Another layout,
//! or another analysis of text, is another [`FORMAT`].

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use roaring::RoaringBitmap;

use super::Watermark;
use super::columns::Columns;
use super::dictionary::Dictionary;
use super::file::{Pages, Sink, Source, remove};
use super::keys::{MEMORY_BYTES, SESSION_BYTES, TEXT_BYTES, VERSION_BYTES};
use super::runs::Run;
use super::vocabulary::Vocabulary;
use crate::error::{Error, Result};
use crate::model::canon::{Reader, Writer};
use crate::model::{MemoryId, Time, VersionId};

/// Raise it with every change of this layout, of the columns, or of what `lexical::analyse` makes of a text.
const FORMAT: u64 = 5;
const MAGIC: u64 = u64::from_le_bytes(*b"memoidx\n");
const END_BYTES: u64 = 16;

/// What a segment keeps of each version, in the order of the vids; the number is the place in `Head::columns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Ids,
    VersionIds,
    Firsts,
    Class,
    Tags,
    ObservedAt,
    Lens,
    /// Not by vid: vid and time of those that expire.
    ExpiresAt,
}

impl Column {
    pub const ALL: [Self; 8] = [
        Self::Ids,
        Self::VersionIds,
        Self::Firsts,
        Self::Class,
        Self::Tags,
        Self::ObservedAt,
        Self::Lens,
        Self::ExpiresAt,
    ];

    pub const fn record_bytes(self) -> usize {
        match self {
            Self::Ids => 16,
            Self::VersionIds => 32,
            Self::Firsts | Self::Class | Self::Tags | Self::Lens => 4,
            Self::ObservedAt => 8,
            Self::ExpiresAt => 12,
        }
    }
}

/// What of a segment stays in memory.
pub struct Head {
    pub dictionary: Dictionary,
    pub memories: Run<MEMORY_BYTES>,
    pub versions: Run<VERSION_BYTES>,
    pub texts: Run<TEXT_BYTES>,
    pub sessions: Run<SESSION_BYTES>,
    pub columns: [Pages; Column::ALL.len()],
    /// Where the vocabulary is, and how long.
    pub vocabulary: (u64, u64),
    /// Of these versions nothing but the ids is known any more.
    pub erased: RoaringBitmap,
}

/// An open segment.
pub struct Segment {
    pub source: Source,
    /// The vids that it covers.
    pub first: u32,
    pub next: u32,
    pub head: Head,
    /// What questions need, from the first one on until the index rests.
    columns: Mutex<Option<Arc<Columns>>>,
    firsts: Mutex<Option<Arc<Vec<u32>>>>,
}

impl Segment {
    /// Writes a segment of the vids from `first` to before `next`, and opens it. It is there as a whole or not at all.
    pub fn write(
        folder: &Path,
        truth: &Watermark,
        (first, next): (u32, u32),
        content: impl FnOnce(&mut Sink) -> Result<Head>,
    ) -> Result<Self> {
        let path = folder.join(format!("{first}-{next}.segment"));
        let unready = path.with_extension("unready");
        let written = Sink::create(&unready).and_then(|mut sink| {
            let head = content(&mut sink)?;
            let at = sink.at;
            sink.write_checked(&head.encode(truth, (first, next))?)?;
            let len = sink.at - at - 8;
            sink.write(&len.to_le_bytes())?;
            sink.write(&MAGIC.to_le_bytes())?;
            sink.sync()?;
            let failed = |error: std::io::Error| Error::io(format_args!("name {}", path.display()), &error);
            fs::rename(&unready, &path).map_err(failed)
        });
        if let Err(error) = written {
            // Half a file is of no use, least of all on a full disk; one that cannot be removed goes at opening.
            remove(&unready);
            return Err(error);
        }
        Self::open(&path, truth)?.ok_or_else(|| {
            Error::corrupt(format!("{} cannot be read back as it was written: check the disk", path.display()))
        })
    }

    /// Opens a segment; `None` when it is not whole, or of another store or format.
    pub fn open(path: &Path, truth: &Watermark) -> Result<Option<Self>> {
        let source = Source::open(path)?;
        let Some(end) = source.bytes.checked_sub(END_BYTES) else { return Ok(None) };
        let bytes = source.read(end, END_BYTES)?;
        let mut from = Reader(&bytes);
        let (len, magic) = (from.u64()?, from.u64()?);
        let at = end.checked_sub(len.saturating_add(8));
        let Some(at) = at.filter(|_| magic == MAGIC) else { return Ok(None) };
        let Ok(bytes) = source.checked(at, len) else { return Ok(None) };
        let mut from = Reader(&bytes);
        if from.u64()? != FORMAT || from.fixed(16)? != truth.store_id || from.u64()? != truth.generation {
            return Ok(None);
        }
        let (first, next) = (from.u32()?, from.u32()?);
        let Some(head) = Head::decode(from, at)? else { return Ok(None) };
        let vids = u64::from(next.saturating_sub(first));
        let is_whole = Column::ALL.iter().zip(head.columns).all(|(column, pages)| {
            let is_by_vid = *column != Column::ExpiresAt;
            pages.at.saturating_add(pages.bytes(column.record_bytes())) <= at && (!is_by_vid || pages.records == vids)
        });
        let (columns, firsts) = Default::default();
        Ok((is_whole && first < next).then_some(Self { source, first, next, head, columns, firsts }))
    }

    /// The columns, from memory if they were asked for before.
    pub fn columns(&self) -> Result<Arc<Columns>> {
        let mut kept = self.columns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(columns) = &*kept {
            return Ok(Arc::clone(columns));
        }
        let mut columns = Columns::new(self.first, self.vocabulary()?);
        columns.class = self.all(Column::Class, |from| from.u32())?;
        columns.tags = self.all(Column::Tags, |from| from.u32())?;
        columns.observed_at = self.all(Column::ObservedAt, |from| Ok(from.time()?.0))?;
        columns.lens = self.all(Column::Lens, |from| from.u32())?;
        columns.expires_at = self.all(Column::ExpiresAt, |from| Ok((from.u32()?, from.time()?)))?;
        let columns = Arc::new(columns);
        *kept = Some(Arc::clone(&columns));
        Ok(columns)
    }

    /// The vids of the first versions of these vids' memories. Where they stand on few pages, only those are read.
    pub fn firsts_of(&self, vids: &[u32], out: &mut Vec<u32>) -> Result<()> {
        let per_page = Pages::per_page(Column::Firsts.record_bytes()) as u32;
        let page = |vid: &u32| (*vid - self.first) / per_page;
        let pages = vids.chunk_by(|a, b| page(a) == page(b)).count() as u32;
        let is_here = self.firsts.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if !is_here && pages.saturating_mul(4) <= (self.next - self.first) / per_page {
            return self.some(Column::Firsts, vids, number, out);
        }
        let firsts = self.firsts()?;
        out.extend(vids.iter().filter_map(|vid| firsts.get((*vid - self.first) as usize)));
        Ok(())
    }

    /// The vid of the first version of each version's memory.
    pub fn firsts(&self) -> Result<Arc<Vec<u32>>> {
        let mut kept = self.firsts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(firsts) = &*kept {
            return Ok(Arc::clone(firsts));
        }
        let firsts = Arc::new(self.all(Column::Firsts, |from| from.u32())?);
        *kept = Some(Arc::clone(&firsts));
        Ok(firsts)
    }

    /// Lets go of what can be read again.
    pub fn rest(&self) {
        *self.columns.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.firsts.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub fn vocabulary(&self) -> Result<Vocabulary> {
        let (at, len) = self.head.vocabulary;
        Vocabulary::decode(&self.source.checked(at, len)?)
    }

    /// Calls `visit` with the records of page after page of a column.
    pub fn each(&self, column: Column, visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        self.head.columns[column as usize].each(&self.source, column.record_bytes(), visit)
    }

    fn all<T>(&self, column: Column, read: impl Fn(&mut Reader) -> Result<T>) -> Result<Vec<T>> {
        let mut all = Vec::with_capacity(self.head.columns[column as usize].records as usize);
        self.each(column, &mut |_, records| {
            let mut from = Reader(records);
            while !from.0.is_empty() {
                all.push(read(&mut from)?);
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// What a column says of these vids, which rise and are all of this segment.
    pub fn some<T>(&self, column: Column, vids: &[u32], read: impl Fn(&[u8]) -> T, out: &mut Vec<T>) -> Result<()> {
        let (record_bytes, pages) = (column.record_bytes(), &self.head.columns[column as usize]);
        let per_page = Pages::per_page(record_bytes);
        let place = |vid: &u32| u64::from(*vid - self.first);
        for same_page in vids.chunk_by(|a, b| place(a) / per_page == place(b) / per_page) {
            let page = same_page.first().map_or(0, |vid| place(vid) / per_page);
            let records = pages.page(&self.source, record_bytes, page)?;
            for vid in same_page {
                let at = (place(vid) % per_page) as usize * record_bytes;
                let record = records.get(at..at + record_bytes).ok_or_else(|| self.source.damaged())?;
                out.push(read(record));
            }
        }
        Ok(())
    }

    /// The memories' ids of these vids.
    pub fn ids(&self, vids: &[u32], out: &mut Vec<MemoryId>) -> Result<()> {
        let id = |record: &[u8]| {
            let mut id = [0; 16];
            id.copy_from_slice(record);
            MemoryId(id)
        };
        self.some(Column::Ids, vids, id, out)
    }

    pub fn version_ids(&self, vids: &[u32], out: &mut Vec<VersionId>) -> Result<()> {
        let id = |record: &[u8]| {
            let mut id = [0; 32];
            id.copy_from_slice(record);
            VersionId(id)
        };
        self.some(Column::VersionIds, vids, id, out)
    }
}

impl Head {
    fn encode(&self, truth: &Watermark, (first, next): (u32, u32)) -> Result<Vec<u8>> {
        let mut out = Writer::default();
        out.u64(FORMAT).fixed(&truth.store_id).u64(truth.generation).u32(first).u32(next);
        self.dictionary.encode(&mut out);
        self.memories.encode(&mut out);
        self.versions.encode(&mut out);
        self.texts.encode(&mut out);
        self.sessions.encode(&mut out);
        for pages in &self.columns {
            out.u64(pages.at).u64(pages.records);
        }
        out.u64(self.vocabulary.0).u64(self.vocabulary.1);
        let mut erased = Vec::new();
        self.erased.serialize_into(&mut erased).map_err(|source| Error::io("write a bitmap", &source))?;
        out.bytes(&erased);
        Ok(out.0)
    }

    /// `None` when a part would lie beyond `end`.
    fn decode(mut from: Reader, end: u64) -> Result<Option<Self>> {
        let dictionary = Dictionary::decode(&mut from)?;
        let (memories, versions) = (Run::decode(&mut from, end)?, Run::decode(&mut from, end)?);
        let (texts, sessions) = (Run::decode(&mut from, end)?, Run::decode(&mut from, end)?);
        let mut columns = [Pages::default(); Column::ALL.len()];
        for pages in &mut columns {
            *pages = Pages { at: from.u64()?, records: from.u64()? };
        }
        let vocabulary = (from.u64()?, from.u64()?);
        let Ok(erased) = RoaringBitmap::deserialize_from(from.bytes()?) else { return Ok(None) };
        from.end()?;
        let (Some(memories), Some(versions), Some(texts), Some(sessions)) = (memories, versions, texts, sessions)
        else {
            return Ok(None);
        };
        Ok(Some(Self { dictionary, memories, versions, texts, sessions, columns, vocabulary, erased }))
    }
}

/// A record that is a number.
pub fn number(record: &[u8]) -> u32 {
    record.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// A time as a record of a column.
pub fn expiry_record(vid: u32, at: Time) -> [u8; 12] {
    let mut record = [0; 12];
    record[..4].copy_from_slice(&vid.to_le_bytes());
    record[4..].copy_from_slice(&at.0.to_le_bytes());
    record
}
