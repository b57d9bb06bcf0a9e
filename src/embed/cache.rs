//! Vectors by (model, side, hash of the text), so that no text is embedded twice: for questions that are asked again,
//! and for texts that come again on another branch or in another memory. One file of fixed size for each model, made
//! of sets of eight places; the place that was used longest ago gives way. It is never waited for and never trusted:
//! what does not fit its check is a miss, and a file that cannot be used is one without anything in it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use memoria_kernel::quantise::{dequantise, quantise};

use super::Side;
use crate::clock;
use crate::model::{ModelId, Space};

const MAGIC: &[u8; 16] = b"memoria cache 1\n";
/// Magic and the hash of the space.
const HEADER_BYTES: u64 = 48;
/// Places in a set: a full cache forgets nearly what an exact LRU list would.
const WAYS: usize = 8;
/// Check 8, key 16, last use in minutes 4, scale 4; the numbers follow, a byte each.
const RECORD_HEAD_BYTES: usize = 32;
const KEY: std::ops::Range<usize> = 8..24;
const USED: std::ops::Range<usize> = 24..28;
const SCALE: std::ops::Range<usize> = 28..32;

/// How well it serves, since the daemon began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    pub entries: u32,
    /// On disk at most.
    pub bytes: u64,
    pub hits: u64,
    pub misses: u64,
}

/// The vectors of this machine's texts.
pub struct Cache {
    folder: PathBuf,
    /// What one model's file may take.
    bytes_max: u64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// `None` where the file cannot be used.
    tables: HashMap<ModelId, Option<Table>>,
    hits: u64,
    misses: u64,
}

/// One model's file.
struct Table {
    file: File,
    dims: usize,
    sets: u64,
    entries: u32,
}

impl Cache {
    /// Touches no file yet.
    pub fn new(folder: &Path, bytes_max: u64) -> Self {
        Self { folder: folder.to_owned(), bytes_max, inner: Mutex::default() }
    }

    /// The vector of a text, if it was made before.
    pub fn get(&self, space: &Space, side: Side, text: &str) -> Option<Vec<f32>> {
        let key = key(side, text);
        let mut inner = self.inner();
        let found = inner.table(self, space).and_then(|table| table.get(&key));
        match &found {
            Some(_) => inner.hits += 1,
            None => inner.misses += 1,
        }
        found
    }

    /// Keeps a vector. What cannot be written is not kept.
    pub fn put(&self, space: &Space, side: Side, text: &str, vector: &[f32]) {
        if let Some(table) = self.inner().table(self, space) {
            table.put(&key(side, text), vector);
        }
    }

    /// Forgets everything: what was erased must not live on in here.
    pub fn clear(&self) -> std::io::Result<()> {
        self.keep_only(&[])
    }

    /// Forgets every model but these.
    pub fn keep_only(&self, models: &[&ModelId]) -> std::io::Result<()> {
        let mut inner = self.inner();
        inner.tables.retain(|model, _| models.contains(&model));
        let kept: Vec<PathBuf> = models.iter().map(|model| self.path_of(model)).collect();
        let files = match fs::read_dir(&self.folder) {
            Ok(files) => files,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        for file in files {
            let path = file?.path();
            if path.extension().is_some_and(|end| end == "vectors") && !kept.contains(&path) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    pub fn counts(&self) -> CacheCounts {
        let inner = self.inner();
        let tables = inner.tables.values().flatten();
        let (entries, bytes) =
            tables.fold((0, 0), |(entries, bytes), table| (entries + table.entries, bytes + table.bytes()));
        CacheCounts { entries, bytes, hits: inner.hits, misses: inner.misses }
    }

    fn path_of(&self, model: &ModelId) -> PathBuf {
        let hash = blake3::hash(model.as_str().as_bytes()).to_hex();
        self.folder.join(&hash[..16]).with_extension("vectors")
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn table(&mut self, cache: &Cache, space: &Space) -> Option<&mut Table> {
        if !self.tables.contains_key(&space.model) {
            let path = cache.path_of(&space.model);
            let table = Table::open(&path, space, cache.bytes_max);
            if let Err(error) = &table {
                tracing::warn!("vectors are not cached: {error}");
            }
            self.tables.insert(space.model.clone(), table.ok());
        }
        self.tables.get_mut(&space.model)?.as_mut().filter(|table| table.dims == usize::from(space.dims))
    }
}

impl Table {
    fn open(path: &Path, space: &Space, bytes_max: u64) -> std::io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let dims = usize::from(space.dims);
        let set_bytes = (WAYS * (RECORD_HEAD_BYTES + dims)) as u64;
        let sets = (bytes_max.saturating_sub(HEADER_BYTES) / set_bytes).max(1);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut table = Self { file, dims, sets, entries: 0 };
        let header = header(space);
        let mut there = [0; HEADER_BYTES as usize];
        let is_ours = read_at(&table.file, 0, &mut there).is_ok() && there == header;
        if !is_ours || table.file.metadata()?.len() != table.bytes() {
            table.file.set_len(0)?;
            table.file.set_len(table.bytes())?;
            write_at(&table.file, 0, &header)?;
        }
        let mut set = table.room();
        for number in 0..table.sets {
            table.read(number, &mut set)?;
            table.entries += set.chunks_exact(table.record_bytes()).filter(|record| is_whole(record)).count() as u32;
        }
        Ok(table)
    }

    fn record_bytes(&self) -> usize {
        RECORD_HEAD_BYTES + self.dims
    }

    fn room(&self) -> Vec<u8> {
        vec![0; WAYS * self.record_bytes()]
    }

    fn bytes(&self) -> u64 {
        HEADER_BYTES + self.sets * (WAYS * self.record_bytes()) as u64
    }

    fn place(&self, set: u64, way: usize) -> u64 {
        HEADER_BYTES + (set * WAYS as u64 + way as u64) * self.record_bytes() as u64
    }

    fn read(&self, set: u64, into: &mut [u8]) -> std::io::Result<()> {
        read_at(&self.file, self.place(set, 0), into)
    }

    fn set_of(&self, key: &[u8; 16]) -> u64 {
        key.first_chunk().map_or(0, |start| u64::from_le_bytes(*start)) % self.sets
    }

    fn get(&self, key: &[u8; 16]) -> Option<Vec<f32>> {
        let (number, mut set) = (self.set_of(key), self.room());
        self.read(number, &mut set).ok()?;
        let is_it = |record: &&[u8]| record[KEY] == *key && is_whole(record);
        let (way, record) = set.chunks_exact(self.record_bytes()).enumerate().find(|(_, record)| is_it(record))?;
        let now = minutes();
        if record[USED] != now {
            // Best effort: a use that is not noted makes the vector seem older.
            let _ = write_at(&self.file, self.place(number, way) + USED.start as u64, &now);
        }
        let scale = f32::from_le_bytes(record[SCALE].try_into().ok()?);
        Some(dequantise(scale, record[RECORD_HEAD_BYTES..].iter().map(|byte| byte.cast_signed())))
    }

    fn put(&mut self, key: &[u8; 16], vector: &[f32]) {
        let (number, mut set) = (self.set_of(key), self.room());
        if vector.len() != self.dims || self.read(number, &mut set).is_err() {
            return;
        }
        let age = |record: &[u8]| match is_whole(record) {
            false => (0, [0; 4]),
            true if record[KEY] == *key => (0, [0; 4]),
            true => (1, record[USED].try_into().map(|used| u32::from_le_bytes(used).to_be_bytes()).unwrap_or_default()),
        };
        let ways = set.chunks_exact(self.record_bytes()).enumerate();
        let Some((way, old)) = ways.min_by_key(|(_, record)| age(record)) else { return };
        let (scale, codes) = quantise(vector);
        let mut record = vec![0; RECORD_HEAD_BYTES];
        record[KEY].copy_from_slice(key);
        record[USED].copy_from_slice(&minutes());
        record[SCALE].copy_from_slice(&scale.to_le_bytes());
        record.extend(codes.into_iter().map(i8::cast_unsigned));
        let check = check(&record);
        record[..8].copy_from_slice(&check);
        if write_at(&self.file, self.place(number, way), &record).is_ok() {
            self.entries += u32::from(!is_whole(old));
        }
    }
}

fn header(space: &Space) -> [u8; HEADER_BYTES as usize] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(space.model.as_str().as_bytes()).update(&space.dims.to_le_bytes());
    let mut header = [0; HEADER_BYTES as usize];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    header[MAGIC.len()..].copy_from_slice(hasher.finalize().as_bytes());
    header
}

fn key(side: Side, text: &str) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(match side {
        Side::Question => b"q",
        Side::Passage => b"p",
    });
    hasher.update(text.as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    key
}

/// Of everything but when it was last used, which changes by itself.
fn check(record: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&record[KEY]).update(&record[SCALE.start..]);
    let mut check = [0; 8];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    check
}

fn is_whole(record: &[u8]) -> bool {
    record[..8] != [0; 8] && record[..8] == check(record)
}

fn minutes() -> [u8; 4] {
    ((clock::now().0 / 60_000) as u32).to_le_bytes()
}

/// Only ever under the cache's lock, so that nobody else moves the place.
fn read_at(mut file: &File, at: u64, into: &mut [u8]) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(into)
}

fn write_at(mut file: &File, at: u64, bytes: &[u8]) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(dims: u16) -> Space {
        Space { model: format!("test-{dims}").parse().unwrap(), dims }
    }

    fn vector(seed: u32, dims: usize) -> Vec<f32> {
        let raw: Vec<f32> = (0..dims).map(|at| ((seed as f32 + 1.0) * (at as f32 + 1.3)).sin()).collect();
        let (scale, codes) = quantise(&raw);
        dequantise(scale, codes.into_iter())
    }

    #[test]
    fn a_vector_comes_back_in_the_next_life_too() {
        let folder = tempfile::tempdir().unwrap();
        let (space, kept) = (space(20), vector(1, 20));
        let cache = Cache::new(folder.path(), 100_000);
        assert_eq!(cache.get(&space, Side::Question, "a"), None);
        cache.put(&space, Side::Question, "a", &kept);
        assert_eq!(cache.get(&space, Side::Question, "a"), Some(kept.clone()));
        assert_eq!(cache.get(&space, Side::Passage, "a"), None, "a prefix may make another vector of it");
        let counts = cache.counts();
        assert_eq!((counts.entries, counts.hits, counts.misses), (1, 1, 2));

        let cache = Cache::new(folder.path(), 100_000);
        assert_eq!(cache.get(&space, Side::Question, "a"), Some(kept));
        assert_eq!(cache.counts().entries, 1);
    }

    #[test]
    fn it_never_grows_beyond_its_bound_and_forgets_what_is_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let (space, cache) = (space(20), Cache::new(folder.path(), 10_000));
        for number in 0..1_000 {
            cache.put(&space, Side::Passage, &number.to_string(), &vector(number, 20));
        }
        let bytes: u64 = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(bytes <= 10_000, "{bytes}");
        assert!(u64::from(cache.counts().entries) <= 10_000 / 52);
        let number = 999;
        assert_eq!(cache.get(&space, Side::Passage, "999"), Some(vector(number, 20)), "the newest is there");
    }

    #[test]
    fn damage_is_a_miss_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (space, cache) = (space(20), Cache::new(folder.path(), 10_000));
        for number in 0..50 {
            cache.put(&space, Side::Passage, &number.to_string(), &vector(number, 20));
        }
        let path = cache.path_of(&space.model);
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            fs::write(&path, bytes).unwrap();
            let cache = Cache::new(folder.path(), 10_000);
            for number in 0..50 {
                let found = cache.get(&space, Side::Passage, &number.to_string());
                assert!(found.is_none_or(|found| found == vector(number, 20)), "byte {at}");
            }
        }
        fs::write(&path, b"short").unwrap();
        assert_eq!(Cache::new(folder.path(), 10_000).get(&space, Side::Passage, "1"), None);
    }

    #[test]
    fn what_is_cleared_is_gone_from_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), 10_000);
        cache.put(&space(20), Side::Passage, "secret", &vector(1, 20));
        cache.put(&space(30), Side::Passage, "secret", &vector(1, 30));
        cache.keep_only(&[&space(30).model]).unwrap();
        assert_eq!(cache.get(&space(20), Side::Passage, "secret"), None);
        assert!(cache.get(&space(30), Side::Passage, "secret").is_some());
        cache.clear().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
