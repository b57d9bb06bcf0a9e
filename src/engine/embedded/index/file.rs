//! Bytes of one index file: written once from start to end, read by position, and checked page by page. It knows
//! records of one size and nothing of what they mean.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use memoria_kernel::checksum::checksum;

use super::super::positioned::read_at;
use crate::error::{Error, Result};

/// A page is read and checked at once: small enough to read for one record, large enough that fences are few.
const PAGE_BYTES: usize = 1024;
const SUM_BYTES: usize = 8;
/// How many pages are read at once by those who want many.
const PAGES_AT_ONCE: u64 = 128;

/// An index file that is being read.
pub struct Source {
    file: File,
    pub path: PathBuf,
    pub bytes: u64,
}

impl Source {
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| Error::io(format_args!("read {}", path.display()), &error);
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        Ok(Self { file, path: path.to_owned(), bytes })
    }

    /// Bytes as they stand there, unchecked.
    pub fn read(&self, at: u64, len: u64) -> Result<Vec<u8>> {
        if at.saturating_add(len) > self.bytes {
            return Err(self.damaged());
        }
        let mut bytes = vec![0; len as usize];
        read_at(&self.file, &mut bytes, at).map_err(|_| self.damaged())?;
        Ok(bytes)
    }

    /// Bytes with their checksum behind them, checked and without it.
    pub fn checked(&self, at: u64, len: u64) -> Result<Vec<u8>> {
        let mut bytes = self.read(at, len.saturating_add(SUM_BYTES as u64))?;
        let (body, sum) = bytes.split_at(len as usize);
        if checksum(body).to_le_bytes() != sum {
            return Err(self.damaged());
        }
        bytes.truncate(len as usize);
        Ok(bytes)
    }

    pub fn damaged(&self) -> Error {
        let path = self.path.display();
        Error::corrupt(format!("the search index is damaged ({path}); it is rebuilt from the store"))
    }
}

/// An index file that is being written, from start to end.
pub struct Sink {
    out: BufWriter<File>,
    path: PathBuf,
    /// Where the next byte goes.
    pub at: u64,
}

impl Sink {
    pub fn create(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| Error::io(format_args!("write {}", path.display()), &error);
        let out = BufWriter::with_capacity(1 << 16, File::create(path).map_err(failed)?);
        Ok(Self { out, path: path.to_owned(), at: 0 })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|error| Error::io(format_args!("write {}", self.path.display()), &error))
    }

    /// Writes bytes and their checksum.
    pub fn write_checked(&mut self, bytes: &[u8]) -> Result<()> {
        self.write(bytes)?;
        self.write(&checksum(bytes).to_le_bytes())
    }

    /// Brings everything to the disk for good.
    pub fn sync(self) -> Result<()> {
        let failed = |error: std::io::Error| Error::io(format_args!("write {}", self.path.display()), &error);
        let file = self.out.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)
    }
}

/// Records of one size in a file: whole pages one after the other, the last one may be shorter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    pub at: u64,
    pub records: u64,
}

impl Pages {
    pub const fn per_page(record_bytes: usize) -> u64 {
        (PAGE_BYTES / record_bytes) as u64
    }

    pub fn count(&self, record_bytes: usize) -> u64 {
        self.records.div_ceil(Self::per_page(record_bytes))
    }

    /// How long they are in the file.
    pub fn bytes(&self, record_bytes: usize) -> u64 {
        self.records.saturating_mul(record_bytes as u64).saturating_add(self.count(record_bytes) * SUM_BYTES as u64)
    }

    /// The records of one page.
    pub fn page(&self, source: &Source, record_bytes: usize, page: u64) -> Result<Vec<u8>> {
        let per_page = Self::per_page(record_bytes);
        let records = self.records.saturating_sub(page.saturating_mul(per_page)).min(per_page);
        let stride = per_page * record_bytes as u64 + SUM_BYTES as u64;
        source.checked(self.at + page * stride, records * record_bytes as u64)
    }

    /// Reads all pages from one on until `visit` has enough, with the number of the first record of each.
    pub fn each(
        &self,
        source: &Source,
        record_bytes: usize,
        visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let per_page = Self::per_page(record_bytes);
        let stride = per_page as usize * record_bytes + SUM_BYTES;
        let (mut at, end, mut record) = (self.at, self.at + self.bytes(record_bytes), 0);
        while at < end {
            let bytes = source.read(at, (end - at).min(PAGES_AT_ONCE * stride as u64))?;
            for page in bytes.chunks(stride) {
                let (records, sum) = page.split_at(page.len().saturating_sub(SUM_BYTES));
                if checksum(records).to_le_bytes() != sum {
                    return Err(source.damaged());
                }
                visit(record, records)?;
                record += per_page;
            }
            at += bytes.len() as u64;
        }
        Ok(())
    }
}

/// Pages that are being written.
pub struct PageWriter<'a> {
    sink: &'a mut Sink,
    record_bytes: usize,
    page: Vec<u8>,
    pages: Pages,
}

impl<'a> PageWriter<'a> {
    pub fn new(sink: &'a mut Sink, record_bytes: usize) -> Self {
        let pages = Pages { at: sink.at, records: 0 };
        Self { sink, record_bytes, page: Vec::with_capacity(PAGE_BYTES), pages }
    }

    /// Appends a record, and says whether it is the first of a page.
    pub fn push(&mut self, record: &[u8]) -> Result<bool> {
        let per_page = Pages::per_page(self.record_bytes);
        if self.page.len() == per_page as usize * self.record_bytes {
            self.sink.write_checked(&self.page)?;
            self.page.clear();
        }
        self.page.extend_from_slice(record);
        self.pages.records += 1;
        Ok(self.page.len() == self.record_bytes)
    }

    pub fn end(self) -> Result<Pages> {
        if !self.page.is_empty() {
            self.sink.write_checked(&self.page)?;
        }
        Ok(self.pages)
    }
}

/// Removes a file that is not needed; one that stays is not read, and goes at the next opening.
pub fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}
