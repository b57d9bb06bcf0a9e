//! The folder of an index: what is found in it at opening, and what is taken out of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::positioned::sync_folder;
use super::Watermark;
use super::file::remove;
use super::segment::Segment;
use crate::error::{Error, Result};

/// Where the segments are, and of what store.
pub struct Home {
    pub folder: PathBuf,
    pub truth: Watermark,
}

impl Home {
    /// The longest unbroken row of whole segments of this store; everything else in the folder goes.
    pub fn open(folder: &Path, truth: Watermark) -> Result<(Self, Vec<Arc<Segment>>)> {
        let home = Self { folder: folder.to_owned(), truth };
        let failed = |error: std::io::Error| Error::io(format_args!("open {}", folder.display()), &error);
        if folder.is_file() {
            remove(folder);
        }
        fs::create_dir_all(folder).map_err(failed)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            // One that was not named yet may be whole, and would be written over by the next one of that name.
            let is_named = path.extension().is_some_and(|extension| extension == "segment");
            match Segment::open(&path, &truth) {
                Ok(Some(segment)) if is_named => found.push(segment),
                _ => remove(&path),
            }
        }
        // An index that knows vids which truth has not given out belongs to another past of this store.
        if found.iter().any(|segment| segment.next > truth.next_vid) {
            found.clear();
            home.clear_but(&[])?;
        }
        // A merge that was cut short leaves a segment beside the parts that it was made of: take the longest.
        found.sort_by_key(|segment| (segment.first, std::cmp::Reverse(segment.next)));
        let (mut segments, mut next) = (Vec::new(), 0);
        for segment in found {
            if segment.first != next {
                remove(&segment.source.path);
                continue;
            }
            next = segment.next;
            segments.push(Arc::new(segment));
        }
        Ok((home, segments))
    }

    /// Removes every file but these.
    pub fn clear_but(&self, segments: &[Arc<Segment>]) -> Result<()> {
        let failed = |error: std::io::Error| Error::io(format_args!("clear {}", self.folder.display()), &error);
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if segments.iter().all(|segment| segment.source.path != path) {
                fs::remove_file(path).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Makes it last that files were renamed and removed.
    pub fn sync(&self) -> Result<()> {
        let failed = |error: std::io::Error| Error::io(format_args!("sync {}", self.folder.display()), &error);
        sync_folder(&self.folder).map_err(failed)
    }
}
