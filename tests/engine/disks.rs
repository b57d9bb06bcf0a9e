//! Disks that fail as real ones do: power goes and what was not synced is dropped, kept or torn; space runs out at
//! the Nth step; the process is killed there. Each is a redb storage in memory, or a folder of two.

use std::io;
use std::sync::{Arc, Mutex};

use memoria::engine::embedded::Opener;
use memoria::error::{Error, Result};
use redb::StorageBackend;

use crate::Rng;

const SECTOR_BYTES: usize = 512;

/// The disk itself. It outlives whoever is plugged into it.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    /// What is read: everything written so far.
    view: Vec<u8>,
    /// What is certain to be there after a power cut, and what is not.
    synced: Vec<u8>,
    unsynced: Vec<Step>,
    /// Syncs do nothing: the control that must lose data.
    is_lying: bool,
    fuse: Arc<Mutex<Fuse>>,
    /// Only the last one plugged in may do anything.
    plugged: u64,
}

/// When something goes wrong; disks may share one.
#[derive(Debug, Default)]
struct Fuse {
    /// Steps taken: writes, changes of length, syncs.
    steps: u64,
    fault: Option<Fault>,
    faults_met: u64,
}

#[derive(Debug)]
enum Step {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

/// What goes wrong at a step, counted from when the fault was set.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub at_step: u64,
    pub kind: io::ErrorKind,
    pub lasts: Lasts,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lasts {
    Once,
    /// Until it is cleared.
    ForEver,
}

/// One opening of a disk.
#[derive(Debug)]
pub struct Plug {
    disk: Disk,
    number: u64,
}

impl Disk {
    pub fn lying() -> Self {
        let disk = Self::default();
        disk.platter().is_lying = true;
        disk
    }

    pub fn plug(&self) -> Plug {
        let mut platter = self.platter();
        platter.plugged += 1;
        Plug { disk: self.clone(), number: platter.plugged }
    }

    pub fn set_fault(&self, fault: Fault) {
        *self.fuse().lock().unwrap() = Fuse { steps: 0, fault: Some(fault), faults_met: 0 };
    }

    /// Says how often the fault was met.
    pub fn clear_fault(&self) -> u64 {
        let fuse = self.fuse();
        let mut fuse = fuse.lock().unwrap();
        fuse.fault = None;
        fuse.faults_met
    }

    pub fn faults_met(&self) -> u64 {
        self.fuse().lock().unwrap().faults_met
    }

    fn fuse(&self) -> Arc<Mutex<Fuse>> {
        Arc::clone(&self.platter().fuse)
    }

    /// Power goes: each unsynced step is dropped, kept, or torn at sectors. Who is plugged in can do no more.
    pub fn cut_power(&self, rng: &mut Rng) {
        let mut platter = self.platter();
        let Platter { synced, unsynced, .. } = &mut *platter;
        for step in unsynced.drain(..) {
            match (rng.below(3), step) {
                (0, _) => {}
                (1, step) => step.take(synced),
                (_, Step::Write(offset, data)) => {
                    for (n, sector) in data.chunks(SECTOR_BYTES).enumerate() {
                        if rng.below(2) == 0 {
                            Step::Write(offset + (n * SECTOR_BYTES) as u64, sector.to_vec()).take(synced);
                        }
                    }
                }
                (_, step) => step.take(synced),
            }
        }
        platter.view = platter.synced.clone();
        platter.plugged += 1;
        platter.fuse.lock().unwrap().fault = None;
    }

    /// The process is killed: everything written is there. Who is plugged in can do no more.
    pub fn kill(&self) {
        let mut platter = self.platter();
        platter.plugged += 1;
        platter.fuse.lock().unwrap().fault = None;
    }

    fn blank(&self) {
        let mut platter = self.platter();
        (platter.view, platter.synced, platter.unsynced) = Default::default();
        platter.plugged += 1;
    }

    fn platter(&self) -> std::sync::MutexGuard<'_, Platter> {
        self.0.lock().unwrap()
    }
}

impl Step {
    fn take(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => bytes.resize(*len as usize, 0),
            Self::Write(offset, data) => {
                let end = *offset as usize + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset as usize..end].copy_from_slice(data);
            }
        }
    }
}

impl Platter {
    fn step(&mut self, step: Option<Step>) -> io::Result<()> {
        if let Err(error) = self.fuse.lock().unwrap().step() {
            // Half of a write may have got through.
            if let Some(Step::Write(offset, data)) = step {
                let half = Step::Write(offset, data[..data.len() / 2].to_vec());
                half.take(&mut self.view);
                self.unsynced.push(half);
            }
            return Err(error);
        }
        match step {
            Some(step) => {
                step.take(&mut self.view);
                self.unsynced.push(step);
            }
            None if self.is_lying => {}
            None => {
                let Self { synced, unsynced, .. } = self;
                unsynced.drain(..).for_each(|step| step.take(synced));
            }
        }
        Ok(())
    }
}

impl Fuse {
    fn step(&mut self) -> io::Result<()> {
        self.steps += 1;
        match self.fault {
            Some(fault)
                if self.steps == fault.at_step || (fault.lasts == Lasts::ForEver && self.steps > fault.at_step) =>
            {
                self.faults_met += 1;
                Err(fault.kind.into())
            }
            _ => Ok(()),
        }
    }
}

/// A folder: a store's disk, and a second one that can take its place.
#[derive(Clone, Debug)]
pub struct Folder {
    pub store: Disk,
    beside: Disk,
}

impl Default for Folder {
    fn default() -> Self {
        let (store, beside) = (Disk::default(), Disk::default());
        beside.platter().fuse = store.fuse();
        Self { store, beside }
    }
}

impl Folder {
    pub fn cut_power(&self, rng: &mut Rng) {
        self.store.cut_power(rng);
        self.beside.cut_power(rng);
    }

    pub fn kill(&self) {
        self.store.kill();
        self.beside.kill();
    }

    /// Everything that is on the disks.
    pub fn bytes(&self) -> Vec<u8> {
        [&self.store, &self.beside].map(|disk| disk.platter().view.clone()).concat()
    }
}

impl Opener for Folder {
    fn open(&self) -> Result<Box<dyn StorageBackend>> {
        Ok(Box::new(self.store.plug()))
    }

    fn fresh(&self) -> Result<Box<dyn StorageBackend>> {
        self.beside.blank();
        Ok(Box::new(self.beside.plug()))
    }

    /// A rename is done or it is not.
    fn replace(&self) -> Result<()> {
        let step = self.store.fuse().lock().unwrap().step();
        step.map_err(|source| Error::io("rename the fresh disk", &source))?;
        let (mut store, mut beside) = (self.store.platter(), self.beside.platter());
        assert!(beside.unsynced.is_empty(), "a file that is not synced takes the place of one that is");
        std::mem::swap(&mut store.view, &mut beside.view);
        std::mem::swap(&mut store.synced, &mut beside.synced);
        store.unsynced.clear();
        drop((store, beside));
        self.beside.blank();
        Ok(())
    }

    fn discard(&self) -> Result<()> {
        self.beside.blank();
        Ok(())
    }
}

impl Plug {
    fn platter(&self) -> io::Result<std::sync::MutexGuard<'_, Platter>> {
        let platter = self.disk.platter();
        if platter.plugged == self.number { Ok(platter) } else { Err(io::Error::other("the power is gone")) }
    }
}

impl StorageBackend for Plug {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platter()?.view.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.platter()?;
        let there = platter.view.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.platter()?.step(Some(Step::SetLen(len)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.platter()?.step(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.platter()?.step(Some(Step::Write(offset, data.to_vec())))
    }
}
