//! The vectors of versions, by vid, a folder for each space: derived data, which can be thrown away at any time and is
//! then pending again. It never makes a vector, and never touches truth.
//!
//! `slot` is the bytes of one vector, `shelf` the files of one space, `rows` and `codes` what memory holds while
//! questions come, `asking` a question.

mod asking;
mod codes;
mod rows;
mod shelf;
mod slot;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use roaring::RoaringBitmap;

use super::index::Watermark;
use crate::error::{Error, Result};
use crate::model::{Asked, Embedding, ModelId, Space, VersionId};

pub use asking::Asking;
use shelf::Shelf;

/// Of a model's id, in the name of its folder.
const SHOWN_BYTES_MAX: usize = 40;

/// Every vector of one store. Every method blocks, for about as long as its work takes.
pub struct Vectors {
    folder: PathBuf,
    truth: Watermark,
    /// By the name of the folder.
    shelves: RwLock<BTreeMap<String, Arc<Shelf>>>,
}

impl Vectors {
    /// Opens what there is, as far as it fits `truth`; everything else in the folder goes. `version` says which version
    /// a vid is, if any: it is asked only for what is doubtful.
    pub fn open(folder: &Path, truth: Watermark, version: &dyn Fn(u32) -> Result<Option<VersionId>>) -> Result<Self> {
        let failed = |error: std::io::Error| Error::io(format_args!("open {}", folder.display()), &error);
        if folder.is_file() {
            fs::remove_file(folder).map_err(failed)?;
        }
        fs::create_dir_all(folder).map_err(failed)?;
        let mut shelves = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            match Shelf::open(&path, truth, version)? {
                Some(shelf) if path.file_name().is_some_and(|name| name == &*folder_of(&shelf.space)) => {
                    shelves.insert(folder_of(&shelf.space), Arc::new(shelf));
                }
                _ => {
                    tracing::info!("{} holds no vectors of this store, and goes", path.display());
                    let is_folder = path.is_dir();
                    if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.map_err(failed)?;
                }
            }
        }
        Ok(Self { folder: folder.to_owned(), truth, shelves: RwLock::new(shelves) })
    }

    /// The versions that have a vector of this space.
    pub fn filled(&self, space: &Space) -> RoaringBitmap {
        self.shelf(space).map_or_else(RoaringBitmap::new, |shelf| shelf.read().have.clone())
    }

    /// Every space with its vectors and the bytes that they take.
    pub fn spaces(&self) -> Vec<(Space, RoaringBitmap, u64)> {
        let of = |shelf: &Arc<Shelf>| (shelf.space.clone(), shelf.read().have.clone(), shelf.bytes());
        self.all().iter().map(of).collect()
    }

    /// Keeps vectors, if their version is the one that stands at that vid and was not erased. `truth` gives a look-up
    /// of that; it is called under the lock that erasing needs, so that nothing comes back.
    pub fn add<V: Fn(u32) -> Result<Option<VersionId>>>(
        &self,
        space: &Space,
        vectors: &[Embedding],
        truth: impl FnOnce() -> Result<V>,
    ) -> Result<()> {
        space.check_dims()?;
        vectors.iter().try_for_each(|embedding| space.check(&embedding.vector))?;
        if vectors.is_empty() { Ok(()) } else { self.shelf_or_new(space)?.add(vectors, truth) }
    }

    /// A question to a state; `None` where the space has no vectors.
    pub fn ask(&self, state: &RoaringBitmap, asked: &Asked) -> Result<Option<Asking>> {
        asked.space.check(&asked.vector)?;
        Ok(self.shelf(&asked.space).map(|shelf| Asking::of(shelf, state, &asked.vector)))
    }

    /// Takes the vectors of these versions away: when it returns, no file holds any of them, durably.
    pub fn forget(&self, gone: &RoaringBitmap) -> Result<()> {
        self.all().iter().try_for_each(|shelf| shelf.forget(gone))
    }

    /// Lets every vector of a model go.
    pub fn forget_space(&self, model: &ModelId) -> Result<()> {
        let mut shelves = self.shelves_mut();
        let gone = shelves.extract_if(.., |_, shelf| shelf.space.model == *model).map(|(name, _)| name);
        for name in gone.collect::<Vec<String>>() {
            let folder = self.folder.join(name);
            fs::remove_dir_all(&folder)
                .map_err(|error| Error::io(format_args!("remove {}", folder.display()), &error))?;
        }
        Ok(())
    }

    /// Brings to disk what no file knows yet, and gives memory back.
    pub fn rest(&self) -> Result<()> {
        self.all().iter().map(|shelf| shelf.rest()).fold(Ok(()), Result::and)
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.all().iter().map(|shelf| shelf.bytes()).sum()
    }

    /// Reads again which slots are filled with a vector of their version; others are emptied.
    pub fn recount(&self, version: &dyn Fn(u32) -> Result<Option<VersionId>>) -> Result<()> {
        self.all().iter().try_for_each(|shelf| shelf.recount(version))
    }

    /// Calls `problem` for each vector that is none or not of its version, and says how many there are.
    pub fn audit(
        &self,
        version: &dyn Fn(u32) -> Result<Option<VersionId>>,
        mut problem: impl FnMut(String),
    ) -> Result<u64> {
        let mut checked = 0;
        for shelf in self.all() {
            let model = &shelf.space.model;
            let have = shelf.read().have.clone();
            checked += have.len();
            for (vid, found) in shelf.tags(&have) {
                let is_fine = found.is_some() && version(vid)?.map(|id| slot::tag(&id)) == found;
                // It may have been erased while others were read.
                if !is_fine && shelf.read().have.contains(vid) {
                    let what = if found.is_none() { "damaged" } else { "of another version" };
                    problem(format!("the vector of version {vid} by {model} is {what}"));
                }
            }
        }
        Ok(checked)
    }

    fn shelf(&self, space: &Space) -> Option<Arc<Shelf>> {
        self.shelves().get(&folder_of(space)).filter(|shelf| shelf.space == *space).map(Arc::clone)
    }

    fn shelf_or_new(&self, space: &Space) -> Result<Arc<Shelf>> {
        if let Some(shelf) = self.shelf(space) {
            return Ok(shelf);
        }
        let name = folder_of(space);
        let mut shelves = self.shelves_mut();
        // Somebody else may have made it meanwhile.
        if let Some(shelf) = shelves.get(&name) {
            return Ok(Arc::clone(shelf));
        }
        let shelf = Arc::new(Shelf::create(&self.folder.join(&name), space, self.truth)?);
        shelves.insert(name, Arc::clone(&shelf));
        Ok(shelf)
    }

    fn all(&self) -> Vec<Arc<Shelf>> {
        self.shelves().values().map(Arc::clone).collect()
    }

    fn shelves(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Shelf>>> {
        self.shelves.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn shelves_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Arc<Shelf>>> {
        self.shelves.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The beginning of the model's id, for people, and a hash of all of it and of the dimensions.
fn folder_of(space: &Space) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let shown: String = space.model.as_str().chars().take(SHOWN_BYTES_MAX).map(plain).collect();
    let hash = blake3::hash(format!("{} {}", space.model, space.dims).as_bytes()).to_hex();
    format!("{shown}.{}.{}", space.dims, &hash[..8])
}
