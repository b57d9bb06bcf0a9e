//! The file under redb. Until the store is recognised as ours, whatever redb wants to write (its "in use" mark,
//! a repair) is held in memory, so that a foreign or damaged file is never changed; then it is written, in order.
//! It counts the writes of redb's header, by which a failed commit is known to have left nothing behind.

use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{BackendError, StorageBackend};

/// redb's header: a commit counts from the moment that it is written here, and only there.
const HEADER_BYTES: u64 = 512;

#[derive(Clone, Debug)]
pub struct Disk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    below: Box<dyn StorageBackend>,
    is_accepted: AtomicBool,
    held: Mutex<Vec<Step>>,
    header_writes: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Step {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

type Io<T> = std::result::Result<T, io::Error>;

impl Disk {
    /// Nothing reaches `below` before [`Disk::accept`]. Counts each write of the header, or attempt at it.
    pub fn holding(below: Box<dyn StorageBackend>, header_writes: Arc<AtomicU64>) -> Self {
        Self(Arc::new(Inner {
            below,
            is_accepted: AtomicBool::new(false),
            held: Mutex::new(Vec::new()),
            header_writes,
        }))
    }

    /// Writes what was held, in order, and from now on everything at once.
    pub fn accept(&self) -> Io<()> {
        let mut held = self.held();
        for step in held.drain(..) {
            match step {
                Step::Write(offset, data) => self.0.below.write(offset, &data)?,
                Step::SetLen(len) => self.0.below.set_len(len)?,
                Step::Sync => self.0.below.sync_data()?,
            }
        }
        self.0.is_accepted.store(true, Ordering::Release);
        Ok(())
    }

    fn is_accepted(&self) -> bool {
        self.0.is_accepted.load(Ordering::Acquire)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Vec<Step>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file as it would be with the held steps done.
    fn read_through(&self, offset: u64, out: &mut [u8]) -> Io<()> {
        let held = self.held();
        let end = offset + out.len() as u64;
        if end > self.held_len(&held)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let below_len = usize::try_from(self.0.below.len()?.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (there, beyond) = out.split_at_mut(below_len.min(out.len()));
        if !there.is_empty() {
            self.0.below.read(offset, there)?;
        }
        beyond.fill(0);
        for step in held.iter() {
            match step {
                Step::Write(at, data) => {
                    let from = offset.max(*at);
                    let to = end.min(at + data.len() as u64);
                    if from < to {
                        out[(from - offset) as usize..(to - offset) as usize]
                            .copy_from_slice(&data[(from - at) as usize..(to - at) as usize]);
                    }
                }
                Step::SetLen(len) if *len < end => out[len.saturating_sub(offset) as usize..].fill(0),
                Step::SetLen(_) | Step::Sync => {}
            }
        }
        Ok(())
    }

    fn held_len(&self, held: &[Step]) -> Io<u64> {
        let mut len = self.0.below.len()?;
        for step in held {
            match step {
                Step::Write(at, data) => len = len.max(at + data.len() as u64),
                Step::SetLen(set) => len = *set,
                Step::Sync => {}
            }
        }
        Ok(len)
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Io<u64> {
        if self.is_accepted() { self.0.below.len() } else { self.held_len(&self.held()) }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Io<()> {
        if self.is_accepted() { self.0.below.read(offset, out) } else { self.read_through(offset, out) }
    }

    fn set_len(&self, len: u64) -> Io<()> {
        if self.is_accepted() {
            return self.0.below.set_len(len);
        }
        self.held().push(Step::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> Io<()> {
        if self.is_accepted() {
            return self.0.below.sync_data();
        }
        self.held().push(Step::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Io<()> {
        if offset < HEADER_BYTES {
            self.0.header_writes.fetch_add(1, Ordering::AcqRel);
        }
        if self.is_accepted() {
            return self.0.below.write(offset, data);
        }
        self.held().push(Step::Write(offset, data.to_vec()));
        Ok(())
    }

    fn close(&self) -> Io<()> {
        self.0.below.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.below.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.below.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.below.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.below.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.below.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.below.query_lock_range(start, end)
    }
}
