//! How the index grows and is kept small: versions come in, tails become segments, segments become fewer, what is
//! erased goes. Questions and additions go on meanwhile, except where it says otherwise.

use std::mem;
use std::sync::{Arc, PoisonError};

use memoria_kernel::postings::Members;
use roaring::RoaringBitmap;

use super::file::remove;
use super::home::Home;
use super::pieces::Pieces;
use super::segment::Segment;
use super::tail::Tail;
use super::{Entry, Index, writing};
use crate::error::Result;

/// At how many versions a tail is brought to disk by whoever adds to it, when nobody has done it before: while
/// segments are joined, or while more is written than a flush in the background keeps up with.
const TAIL_MAX: u32 = 4 * Index::FLUSH_AT;
/// How many segments are joined at once: each takes some buffers.
const JOINED_MAX: usize = 16;

impl Index {
    /// How many unflushed versions are worth a flush: a few MB of memory.
    pub const FLUSH_AT: u32 = 4096;

    /// Adds a version, which is found from now on. Vids come in rising order; a vid that is skipped stays empty,
    /// a vid that is there already is left alone.
    pub fn add(&self, vid: u32, entry: &Entry) {
        let is_full = {
            let mut pieces = self.write();
            pieces.tail.add(vid, entry);
            pieces.tail.next() - pieces.tail.first() >= TAIL_MAX
        };
        if is_full && let Err(error) = self.write_tails() {
            tracing::warn!("the index could not be brought to disk, and stays in memory: {error}");
        }
    }

    /// Adds what is missing up to `next_vid`, from what `read` gives (`None` where truth has no such version).
    /// For opening a store; questions wait until it is done.
    pub fn catch_up(&self, next_vid: u32, read: impl FnMut(u32) -> Result<Option<Entry>>) -> Result<()> {
        let (_merging, _disk) = (self.merging(), self.disk());
        self.write().catch_up(&self.home, next_vid, read)
    }

    /// Throws everything away and adds again what truth holds. `truth` is called once nothing can be added any
    /// more, so that what it sees is all there is: it gives the vid after the last, and a reader of versions
    /// (`None` where truth has no such version any longer). Questions wait until it is done.
    pub fn rebuild<R>(&self, truth: impl FnOnce() -> Result<(u32, R)>) -> Result<()>
    where
        R: FnMut(u32) -> Result<Option<Entry>>,
    {
        let (_merging, _disk) = (self.merging(), self.disk());
        let mut pieces = self.write();
        let (next_vid, read) = truth()?;
        *pieces = Pieces::of(Vec::new());
        self.home.clear_but(&[])?;
        pieces.catch_up(&self.home, next_vid, read)
    }

    /// Brings what is in memory only to disk, durably, and joins small segments. The engine calls it, off the path
    /// of writes, when more than [`FLUSH_AT`](Self::FLUSH_AT) versions are unflushed.
    pub fn flush(&self) -> Result<()> {
        self.write_tails()?;
        let _merging = self.merging();
        while self.join()? {}
        Ok(())
    }

    /// Flushes, and lets go of what memory can be read again when it is asked for.
    pub fn rest(&self) -> Result<()> {
        let flushed = self.flush();
        self.read().segments.iter().for_each(|segment| segment.rest());
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = Members::default();
        flushed
    }

    /// Takes from these versions all that their memories said: when it returns, no file of the index holds any of
    /// it, durably, and only their ids and their place remain. Forgetting again what is forgotten costs nothing.
    pub fn forget(&self, vids: &RoaringBitmap) -> Result<()> {
        let _merging = self.merging();
        self.write_tails()?;
        let _disk = self.disk();
        let segments = self.read().segments.clone();
        for (at, segment) in segments.iter().enumerate() {
            let mut gone = vids.clone();
            gone.remove_range(..segment.first);
            gone.remove_range(segment.next..);
            if gone.is_subset(&segment.head.erased) {
                continue;
            }
            let kept = Arc::new(writing::merge(&self.home, std::slice::from_ref(segment), &gone)?);
            self.write().segments[at] = kept;
        }
        // What a crash or a failed removal left behind is never read, but it is there.
        self.home.clear_but(&self.read().segments)?;
        self.home.sync()
    }

    /// Every tail to disk. One that cannot be written stays, and is tried again by the next who comes.
    fn write_tails(&self) -> Result<()> {
        let _disk = self.disk();
        let frozen = {
            let mut pieces = self.write();
            let next = pieces.tail.next();
            if pieces.tail.first() < next {
                let full = mem::replace(&mut pieces.tail, Tail::new(next));
                pieces.frozen.push(Arc::new(full));
            }
            pieces.frozen.clone()
        };
        for tail in &frozen {
            let segment = Arc::new(writing::write(&self.home, tail)?);
            let mut pieces = self.write();
            pieces.frozen.remove(0);
            pieces.segments.push(segment);
        }
        Ok(())
    }

    /// Joins the youngest segments while the one before them is not much larger: their number stays below about
    /// ten, and a version is rewritten a few times at most. Says whether there was anything to join.
    fn join(&self) -> Result<bool> {
        let parts = {
            let pieces = self.read();
            pieces.segments[unjoined_from(&pieces.segments)..].to_vec()
        };
        let parts = &parts[..parts.len().min(JOINED_MAX)];
        if parts.len() < 2 {
            return Ok(false);
        }
        let joined = Arc::new(writing::merge(&self.home, parts, &RoaringBitmap::new())?);
        let _disk = self.disk();
        let mut pieces = self.write();
        let first = pieces.segments.partition_point(|segment| segment.first < joined.first);
        pieces.segments.splice(first..first + parts.len(), [joined]);
        drop(pieces);
        parts.iter().for_each(|part| remove(&part.source.path));
        Ok(true)
    }
}

/// Where the segments begin that are worth joining.
fn unjoined_from(segments: &[Arc<Segment>]) -> usize {
    let len = |segment: &Segment| u64::from(segment.next - segment.first);
    let mut from = segments.len().saturating_sub(1);
    let mut total = segments.last().map_or(0, |last| len(last));
    while from > 0 && len(&segments[from - 1]) < 3 * total {
        from -= 1;
        total += len(&segments[from]);
    }
    from
}

impl Pieces {
    fn catch_up(
        &mut self,
        home: &Home,
        next_vid: u32,
        mut read: impl FnMut(u32) -> Result<Option<Entry>>,
    ) -> Result<()> {
        for vid in self.next_vid()..next_vid {
            if let Some(entry) = read(vid)? {
                self.tail.add(vid, &entry);
            }
            if self.tail.next() - self.tail.first() >= TAIL_MAX
                && let Err(error) = self.spill(home)
            {
                tracing::warn!("the index could not be brought to disk, and stays in memory: {error}");
            }
        }
        Ok(())
    }

    /// The tails to disk while nobody else looks.
    fn spill(&mut self, home: &Home) -> Result<()> {
        let next = self.tail.next();
        self.frozen.push(Arc::new(mem::replace(&mut self.tail, Tail::new(next))));
        while let Some(tail) = self.frozen.first() {
            self.segments.push(Arc::new(writing::write(home, tail)?));
            self.frozen.remove(0);
        }
        // What was built at once is joined at once: twice in all is what each version is written.
        while self.segments.len() >= JOINED_MAX {
            let from = self.segments.len() - JOINED_MAX;
            let joined = Arc::new(writing::merge(home, &self.segments[from..], &RoaringBitmap::new())?);
            let parts = self.segments.splice(from.., [joined]);
            parts.for_each(|part| remove(&part.source.path));
        }
        Ok(())
    }
}
