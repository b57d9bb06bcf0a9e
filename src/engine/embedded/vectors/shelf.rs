//! The vectors of one space: a file of slots by vid, which of them are filled, and what memory holds of them. It never
//! knows a text or a state's meaning.
//!
//! `vectors` is one page that says whose vectors these are, then the slots; a version without a vector is a hole.
//! `codes` is what scans of many look at. `filled` is the set of those that have one, written after they are on disk:
//! what a crash leaves out of it is made again. Numbers are little-endian.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use memoria_kernel::checksum::checksum;
use memoria_kernel::quantise::{quantise, unit_scale};
use memoria_kernel::signs::code;
use roaring::RoaringBitmap;

use super::super::index::Watermark;
use super::super::positioned::{read_up_to, sync_folder, write_at};
use super::codes::{self, Codes};
use super::rows::Rows;
use super::slot::{Slot, TAG_BYTES, slot_bytes, tag};
use crate::error::{Error, Result};
use crate::model::canon::{Reader, Writer};
use crate::model::{Embedding, Space, VersionId};

/// Raise it with every change of this layout or of what `quantise` does.
const FORMAT: u64 = 1;
const MAGIC: u64 = u64::from_le_bytes(*b"memovec\n");
const HEADER_BYTES: usize = 4096;
/// Slots are read in stretches of about so many bytes, across holes of at most so many slots.
const STRETCH_BYTES: usize = 1 << 18;
const HOLE_SLOTS_MAX: u32 = 4;
/// So many new vectors are made to last at once; the others when the store rests.
const UNSAVED_MAX: u32 = 1_024;

pub struct Shelf {
    pub space: Space,
    folder: PathBuf,
    slots: File,
    codes: File,
    truth: Watermark,
    /// Who holds it may write files.
    writing: Mutex<()>,
    content: RwLock<Content>,
}

/// What is known of the slots.
#[derive(Default)]
pub struct Content {
    /// Those that are filled.
    pub have: RoaringBitmap,
    pub rows: Rows,
    /// Of all of them, where a scan needed them.
    pub codes: Option<Codes>,
    /// Changes of `have` that no file knows.
    unsaved: u32,
}

impl Shelf {
    /// An empty one.
    pub fn create(folder: &Path, space: &Space, truth: Watermark) -> Result<Self> {
        let failed = |error: std::io::Error| Error::io(format_args!("make {}", folder.display()), &error);
        fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join("vectors");
        let options = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let slots = options.map_err(failed)?;
        write_at(&slots, &header(space, &truth), 0).map_err(failed)?;
        slots.sync_all().map_err(failed)?;
        sync_folder(folder).map_err(failed)?;
        folder.parent().map_or(Ok(()), sync_folder).map_err(failed)?;
        Self::of(folder, space.clone(), slots, truth, Content::default())
    }

    fn of(folder: &Path, space: Space, slots: File, truth: Watermark, content: Content) -> Result<Self> {
        let path = folder.join("codes");
        let codes = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let codes = codes.map_err(|error| Error::io(format_args!("open {}", path.display()), &error))?;
        let (writing, content) = (Mutex::default(), RwLock::new(content));
        Ok(Self { space, folder: folder.to_owned(), slots, codes, truth, writing, content })
    }

    /// Opens what is there; `None` when it is of another store, of another past of this one, or of another format.
    /// `version` says which version a vid is now, if any: it is asked only where `filled` is missing or damaged.
    pub fn open(
        folder: &Path,
        truth: Watermark,
        version: &dyn Fn(u32) -> Result<Option<VersionId>>,
    ) -> Result<Option<Self>> {
        let Ok(slots) = File::options().read(true).write(true).open(folder.join("vectors")) else { return Ok(None) };
        let mut bytes = vec![0; HEADER_BYTES];
        let is_whole = read_up_to(&slots, &mut bytes, 0).is_ok_and(|read| read == HEADER_BYTES);
        let Some(space) = space_of(&bytes, &truth).filter(|_| is_whole) else { return Ok(None) };
        let saved = fs::read(folder.join("filled")).ok().and_then(|bytes| filled_of(&bytes, &truth));
        let is_known = saved.is_some();
        let content = Content { have: saved.unwrap_or_default(), ..Content::default() };
        if content.have.max().is_some_and(|last| last >= truth.next_vid) {
            return Ok(None);
        }
        let shelf = Self::of(folder, space, slots, truth, content)?;
        if !is_known {
            shelf.recount(version)?;
        }
        Ok(Some(shelf))
    }

    pub fn read(&self) -> RwLockReadGuard<'_, Content> {
        self.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, Content> {
        self.content.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot_bytes(&self) -> usize {
        slot_bytes(usize::from(self.space.dims))
    }

    fn place(&self, vid: u32) -> u64 {
        HEADER_BYTES as u64 + u64::from(vid) * self.slot_bytes() as u64
    }

    fn failed(&self, doing: &str) -> impl Fn(std::io::Error) -> Error + use<> {
        let what = format!("{doing} {}", self.folder.display());
        move |error| Error::io(&what, &error)
    }

    /// Bytes on disk; holes take none.
    pub fn bytes(&self) -> u64 {
        let of = |name: &str| fs::metadata(self.folder.join(name)).map_or(0, |file| on_disk(&file));
        of("vectors") + of("codes") + of("filled")
    }

    /// Keeps those of these whose version is still the one that `truth`, asked under the lock, has at that vid.
    pub fn add<V: Fn(u32) -> Result<Option<VersionId>>>(
        &self,
        vectors: &[Embedding],
        truth: impl FnOnce() -> Result<V>,
    ) -> Result<()> {
        let _writing = self.writing();
        let living = truth()?;
        let (mut slot, mut added, mut written) = (Vec::new(), Vec::new(), Ok(()));
        for Embedding { slot: vid, version, vector } in vectors {
            // A slot that no vid can have is unknown.
            let Ok(vid) = u32::try_from(*vid) else { continue };
            if living(vid)?.as_ref() != Some(version) {
                continue;
            }
            let (_, codes) = quantise(vector);
            let scale = unit_scale(&codes);
            slot.clear();
            Slot { codes: &codes, scale, tag: tag(version) }.encode(vid, &mut slot);
            written = write_at(&self.slots, &slot, self.place(vid)).map_err(self.failed("write a vector to"));
            if written.is_err() {
                break;
            }
            added.push((vid, code(&codes)));
        }
        added.sort_unstable_by_key(|(vid, _)| *vid);
        let had = self.read().have.clone();
        if let Err(error) = codes::add(&self.codes, &had, &added, &|vids, visit| self.each(vids, visit)) {
            // A page that is not right is made again when it is read.
            written = written.and(Err(self.failed("write a code to")(error)));
        }
        let is_much = {
            let mut content = self.write();
            if added.iter().any(|(vid, _)| content.rows.set().contains(*vid)) {
                content.rows = Rows::default();
            }
            content.unsaved += added.len() as u32;
            for (vid, code) in added {
                content.have.insert(vid);
                if let Some(codes) = &mut content.codes {
                    codes.set(vid, code);
                }
            }
            content.unsaved >= UNSAVED_MAX
        };
        written?;
        if is_much { self.save() } else { Ok(()) }
    }

    /// Takes these vectors away: when it returns, no file holds any of them, durably.
    pub fn forget(&self, gone: &RoaringBitmap) -> Result<()> {
        let _writing = self.writing();
        self.empty(gone)
    }

    /// The same under `writing`.
    fn empty(&self, gone: &RoaringBitmap) -> Result<()> {
        let failed = self.failed("erase a vector from");
        {
            let mut content = self.write();
            let Content { have, rows, codes, unsaved } = &mut *content;
            if !rows.set().is_disjoint(gone) {
                *rows = Rows::default();
            }
            *unsaved += 1;
            *have -= gone;
            if let Some(codes) = codes {
                codes.forget(gone);
            }
        }
        codes::erase(&self.codes, gone).map_err(&failed)?;
        let len = self.slots.metadata().map_err(&failed)?.len();
        let (mut slot, zeros) = (vec![0; self.slot_bytes()], vec![0; self.slot_bytes()]);
        for vid in gone.iter().take_while(|vid| self.place(*vid) < len) {
            let read = read_up_to(&self.slots, &mut slot, self.place(vid)).map_err(&failed)?;
            // A hole stays one.
            if slot[..read].iter().any(|byte| *byte != 0) {
                write_at(&self.slots, &zeros[..read], self.place(vid)).map_err(&failed)?;
            }
        }
        self.save()
    }

    /// Makes what was added and forgotten last, and gives memory back.
    pub fn rest(&self) -> Result<()> {
        let saved = {
            let _writing = self.writing();
            if self.read().unsaved > 0 { self.save() } else { Ok(()) }
        };
        let mut content = self.write();
        (content.rows, content.codes) = Default::default();
        saved
    }

    /// First the slots, then the set that says that they are there. Under `writing`.
    fn save(&self) -> Result<()> {
        let failed = self.failed("write");
        let (have, unsaved) = {
            let content = self.read();
            (content.have.clone(), content.unsaved)
        };
        self.slots.sync_data().and_then(|()| self.codes.sync_data()).map_err(&failed)?;
        let (path, unready) = (self.folder.join("filled"), self.folder.join("filled.unready"));
        let written = || {
            let mut file = File::create(&unready)?;
            file.write_all(&filled(&have, &self.truth)?)?;
            file.sync_all()?;
            fs::rename(&unready, &path)?;
            sync_folder(&self.folder)
        };
        written().map_err(&failed)?;
        self.write().unsaved -= unsaved;
        Ok(())
    }

    /// Those of which nothing can be read any more are pending again.
    pub fn disbelieve(&self, vids: impl IntoIterator<Item = u32>) {
        let mut vids = vids.into_iter().peekable();
        if vids.peek().is_none() {
            return;
        }
        let mut content = self.write();
        for vid in vids {
            tracing::warn!("the vector of version {vid} in {} is damaged, and is made again", self.folder.display());
            content.have.remove(vid);
            content.unsaved += 1;
        }
        (content.rows, content.codes) = Default::default();
    }

    /// Makes sure that the codes are in memory.
    pub fn load_codes(&self, content: &mut Content) {
        let Content { have, codes, .. } = content;
        codes.get_or_insert_with(|| Codes::load(&self.codes, have, &|vids, visit| self.each(vids, visit)));
    }

    /// Calls `visit` with the slot of each of these vids, which rise; `None` for one that is not whole.
    pub fn each(&self, vids: &RoaringBitmap, visit: &mut dyn FnMut(u32, Option<Slot>)) {
        let (slot_bytes, mut bytes) = (self.slot_bytes(), Vec::new());
        let mut vids = vids.iter().peekable();
        let mut stretch = Vec::new();
        while let Some(first) = vids.next() {
            stretch.clear();
            stretch.push(first);
            let mut last = first;
            let is_near = |last: u32, vid: u32| {
                vid - last <= HOLE_SLOTS_MAX && (vid - first + 1) as usize * slot_bytes <= STRETCH_BYTES
            };
            while let Some(vid) = vids.next_if(|vid| is_near(last, *vid)) {
                stretch.push(vid);
                last = vid;
            }
            bytes.clear();
            bytes.resize((last - first + 1) as usize * slot_bytes, 0);
            // What cannot be read is not there.
            let read = read_up_to(&self.slots, &mut bytes, self.place(first)).unwrap_or(0);
            for vid in &stretch {
                let at = (vid - first) as usize * slot_bytes;
                let slot = bytes[..read].get(at..at + slot_bytes).and_then(|bytes| Slot::decode(bytes, *vid));
                visit(*vid, slot);
            }
        }
    }

    /// What each of these vids, which rise, is recognised by; `None` for a slot that is not whole.
    pub fn tags(&self, vids: &RoaringBitmap) -> Vec<(u32, Option<[u8; TAG_BYTES]>)> {
        let mut tags = Vec::with_capacity(vids.len() as usize);
        self.each(vids, &mut |vid, slot| tags.push((vid, slot.map(|slot| slot.tag))));
        tags
    }

    /// Reads again which slots are filled with a vector of their version; others are emptied.
    pub fn recount(&self, version: &dyn Fn(u32) -> Result<Option<VersionId>>) -> Result<()> {
        let _writing = self.writing();
        let len = self.slots.metadata().map_err(self.failed("read"))?.len();
        let slots = len.saturating_sub(HEADER_BYTES as u64).div_ceil(self.slot_bytes() as u64);
        let mut all = RoaringBitmap::new();
        all.insert_range(0..slots as u32);
        let mut have = RoaringBitmap::new();
        for (vid, found) in self.tags(&all) {
            if found.is_some() && version(vid)?.map(|id| tag(&id)) == found {
                have.insert(vid);
            }
        }
        let stray = all - &have;
        *self.write() = Content { have, ..Content::default() };
        self.empty(&stray)
    }
}

/// Who the vectors are of, one page.
fn header(space: &Space, truth: &Watermark) -> Vec<u8> {
    let mut out = Writer::default();
    out.u64(MAGIC).u64(FORMAT).fixed(&truth.store_id).u64(truth.generation);
    out.text(space.model.as_str()).u32(u32::from(space.dims));
    let mut bytes = out.0;
    bytes.resize(HEADER_BYTES - 8, 0);
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

fn space_of(header: &[u8], truth: &Watermark) -> Option<Space> {
    let mut from = begun(header, truth)?;
    let model = from.text().ok()?.parse().ok()?;
    let dims = u16::try_from(from.u32().ok()?).ok().filter(|dims| *dims > 0)?;
    Some(Space { model, dims })
}

/// What follows the beginning that both files share, if that is of this store.
fn begun<'a>(bytes: &'a [u8], truth: &Watermark) -> Option<Reader<'a>> {
    let (body, sum) = bytes.split_last_chunk::<8>()?;
    let mut from = Reader(body);
    let is_ours = checksum(body).to_le_bytes() == *sum
        && from.u64().ok()? == MAGIC
        && from.u64().ok()? == FORMAT
        && from.fixed(16).ok()? == truth.store_id
        && from.u64().ok()? == truth.generation;
    is_ours.then_some(from)
}

fn filled(have: &RoaringBitmap, truth: &Watermark) -> std::io::Result<Vec<u8>> {
    let mut out = Writer::default();
    out.u64(MAGIC).u64(FORMAT).fixed(&truth.store_id).u64(truth.generation);
    have.serialize_into(&mut out.0)?;
    let sum = checksum(&out.0);
    out.0.extend_from_slice(&sum.to_le_bytes());
    Ok(out.0)
}

fn filled_of(bytes: &[u8], truth: &Watermark) -> Option<RoaringBitmap> {
    RoaringBitmap::deserialize_from(begun(bytes, truth)?.0).ok()
}

#[cfg(unix)]
fn on_disk(file: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(file) * 512
}

#[cfg(not(unix))]
fn on_disk(file: &fs::Metadata) -> u64 {
    file.len()
}
