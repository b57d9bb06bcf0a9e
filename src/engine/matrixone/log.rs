//! A file of records that are only ever added at its end, each with a check, each on disk before it is acknowledged.
//! What a crash left unfinished at the end is nobody's; damage before the end is told, and the file as it was kept.
//! It knows nothing of what a record says.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::engine::embedded::positioned;
use crate::error::{Error, Result};

/// The first line.
///
/// ```text
/// memoria writes that wait, 1      the header: two lines of text, the second says for which database
/// db.example.org:6001/memoria
/// 8d 4d 51 77                      a record: magic,
/// u32, little-endian               length of what it says,
/// 16 bytes                         the beginning of the BLAKE3 hash of what it says,
/// …                                what it says
/// ```
const HEADER: &str = "memoria writes that wait, 1\n";
const MAGIC: [u8; 4] = *b"\x8dMQw";
const CHECK_BYTES: usize = 16;
/// Of a record, before what it says.
const HEAD_BYTES: usize = MAGIC.len() + 4 + CHECK_BYTES;

/// Where a record's bytes are: an offset and a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(u64, usize);

/// One file. It is made with its first record, and empty when it was cleared.
pub struct Log {
    path: PathBuf,
    file: Option<File>,
    /// Where the next record goes.
    end: u64,
    target: String,
    /// The file as it was when damage was found in it.
    damaged: Option<PathBuf>,
}

impl Log {
    /// Every whole record of the file, in order; none where there is no file.
    ///
    /// # Errors
    /// `Corrupt` where it is no file of this kind; whatever reading gives.
    pub fn open(path: &Path) -> Result<(Self, Vec<(Span, Vec<u8>)>)> {
        let mut log = Self { path: path.to_owned(), file: None, end: 0, target: String::new(), damaged: None };
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok((log, Vec::new())),
            Err(e) => return Err(log.failed("read", &e)),
        };
        // Of a file whose first record was never whole nothing was acknowledged.
        let Some((start, target)) = header(&bytes) else {
            let is_begun = bytes.len() < HEADER.len() && HEADER.as_bytes().starts_with(&bytes);
            if is_begun || bytes.starts_with(HEADER.as_bytes()) {
                return Ok((log, Vec::new()));
            }
            return Err(Error::corrupt(format!("{} does not begin as it should: move it away", path.display())));
        };
        target.clone_into(&mut log.target);
        let (records, end, is_damaged) = records(&bytes, start);
        if end < bytes.len() {
            tracing::warn!("the end of {} was never whole and is passed over", path.display());
        }
        if is_damaged {
            let copy = path.with_extension("damaged");
            tracing::error!("records in {} are damaged; as it was, it is {}", path.display(), copy.display());
            std::fs::write(&copy, &bytes).map_err(|e| log.failed("copy", &e))?;
        }
        let copy = path.with_extension("damaged");
        log.damaged = copy.exists().then_some(copy);
        log.end = end as u64;
        log.file = Some(File::open(path).map_err(|e| log.failed("open", &e))?);
        Ok((log, records))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the second line says; empty while there is none.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// What the second line will say. Only of an empty file.
    pub fn aim(&mut self, target: &str) {
        target.clone_into(&mut self.target);
    }

    /// The copy of a damaged file, until somebody deletes it.
    pub fn damaged(&self) -> Option<&Path> {
        self.damaged.as_deref().filter(|copy| copy.exists())
    }

    /// How long it is.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// Adds a record; it lasts once this is `Ok`. After an error there is nothing of it.
    pub fn append(&mut self, bytes: &[u8]) -> Result<Span> {
        let is_new = !self.path.exists();
        if is_new && self.end > 0 {
            let file = self.path.display();
            return Err(Error::conflict(format!("{file} was taken away while it was used: run `memoria restart`")));
        }
        let opened = File::options().create(true).truncate(false).read(true).write(true).open(&self.path);
        let mut file = opened.map_err(|e| self.failed("open", &e))?;
        let header = if self.end == 0 { format!("{HEADER}{}\n", self.target) } else { String::new() };
        let mut record = header.clone().into_bytes();
        record.extend(MAGIC);
        record.extend((bytes.len() as u32).to_le_bytes());
        record.extend(check(bytes));
        record.extend(bytes);
        let folder = self.path.parent().filter(|_| is_new);
        // What an earlier failure left behind the end goes first.
        let written = file
            .set_len(self.end)
            .and_then(|()| positioned::write_at(&file, &record, self.end))
            .and_then(|()| file.flush())
            .and_then(|()| file.sync_all())
            .and_then(|()| folder.map_or(Ok(()), positioned::sync_folder));
        if let Err(e) = written {
            // Where this fails as well, the next one does it, or the check tells.
            let _ = file.set_len(self.end);
            return Err(self.failed("write", &e));
        }
        let start = self.end + (header.len() + HEAD_BYTES) as u64;
        self.end += record.len() as u64;
        self.file = Some(file);
        Ok(Span(start, bytes.len()))
    }

    /// What a record says.
    pub fn read(&self, Span(start, len): Span) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let file = self.file.as_ref().ok_or_else(|| Error::internal("a record of no file was asked for"))?;
        positioned::read_at(file, &mut bytes, start).map_err(|e| self.failed("read", &e))?;
        Ok(bytes)
    }

    /// Takes every record out.
    pub fn clear(&mut self) -> Result<()> {
        match File::options().write(true).open(&self.path).and_then(|file| file.set_len(0).and(file.sync_all())) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(self.failed("empty", &e)),
            Ok(()) | Err(_) => {}
        }
        self.end = 0;
        Ok(())
    }

    fn failed(&self, what: &str, why: &std::io::Error) -> Error {
        Error::io(format_args!("{what} {}", self.path.display()), why)
    }
}

/// Where the records begin, and the second line.
fn header(bytes: &[u8]) -> Option<(usize, &str)> {
    let rest = bytes.strip_prefix(HEADER.as_bytes())?;
    let len = rest.iter().position(|byte| *byte == b'\n')?;
    Some((HEADER.len() + len + 1, std::str::from_utf8(&rest[..len]).ok()?))
}

/// Every whole record from `start` on, where the last one ends, and whether something stands between them that is none.
fn records(bytes: &[u8], start: usize) -> (Vec<(Span, Vec<u8>)>, usize, bool) {
    let (mut found, mut end, mut is_damaged) = (Vec::new(), start, false);
    let mut at = start;
    while at + HEAD_BYTES <= bytes.len() {
        match whole(&bytes[at..]) {
            Some(said) => {
                is_damaged |= at > end;
                found.push((Span((at + HEAD_BYTES) as u64, said.len()), said.to_vec()));
                at += HEAD_BYTES + said.len();
                end = at;
            }
            None => at += 1,
        }
    }
    (found, end, is_damaged)
}

fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let (len, rest) = rest.split_first_chunk()?;
    let (expected, rest) = rest.split_first_chunk::<CHECK_BYTES>()?;
    let said = rest.get(..u32::from_le_bytes(*len) as usize)?;
    (check(said) == *expected).then_some(said)
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&blake3::hash(bytes).as_bytes()[..CHECK_BYTES]);
    check
}
