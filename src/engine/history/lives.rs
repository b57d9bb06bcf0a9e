//! Lives of names: from when one came to be until it was deleted or renamed. What compaction forgets of them, and what
//! only the forgotten ones reached.

use std::sync::{Mutex, PoisonError};

use roaring::RoaringBitmap;

use super::rows::{Event, Move};
use crate::error::Result;
use crate::model::{Name, Time};

/// A name from when it came to be until it was deleted or renamed; a name that is created again lives again.
pub struct Life {
    pub name: Name,
    /// The first and the last move of it, each by its time and its place among the moves of that time.
    pub moves: [(Time, u32); 2],
    begun_at: Time,
    /// What it was called before.
    before: Option<Name>,
    /// How and when it ended.
    ended: Option<(End, Time)>,
    /// The commits where it stood.
    pub stood_at: RoaringBitmap,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Deleted,
    Renamed,
}

/// Every life of every name, of moves in the order of names, then of time.
pub fn lives(moves: impl Iterator<Item = Result<(Name, Move)>>) -> Result<Vec<Life>> {
    let mut lives: Vec<Life> = Vec::new();
    for step in moves {
        let (name, Move { at, seq, event, standing }) = step?;
        let goes_on = lives.last().is_some_and(|last| {
            last.name == name && (last.ended.is_none() || (event == Event::Restored && last.is_deleted()))
        });
        if !goes_on {
            let before = if let Event::RenamedFrom(before) = &event { Some(before.clone()) } else { None };
            let (moves, stood_at) = ([(at, seq); 2], RoaringBitmap::new());
            lives.push(Life { name, moves, begun_at: at, before, ended: None, stood_at });
        }
        let Some(life) = lives.last_mut() else { continue };
        life.moves[1] = (at, seq);
        life.stood_at.insert(standing.number);
        life.ended = match event {
            Event::Deleted => Some((End::Deleted, at)),
            Event::RenamedAway => Some((End::Renamed, at)),
            _ => None,
        };
    }
    Ok(lives)
}

/// The lives that nothing is left of: deleted before that time, with what they were called before. And the others.
pub fn forgotten(lives: Vec<Life>, before: Time) -> (Vec<Life>, Vec<Life>) {
    // A renamed name's history is its successor's, and stays as long as that one.
    let mut kept: Vec<bool> = lives.iter().map(|life| life.stays(before)).collect();
    let mut next: Vec<usize> = (0..lives.len()).filter(|at| kept[*at]).collect();
    while let Some(at) = next.pop() {
        let Some(name) = &lives[at].before else { continue };
        let end = Some((End::Renamed, lives[at].begun_at));
        let before = lives.iter().position(|life| life.name == *name && life.ended == end);
        next.extend(before.filter(|before| !std::mem::replace(&mut kept[*before], true)));
    }
    let (kept, gone): (Vec<_>, Vec<_>) = lives.into_iter().zip(kept).partition(|(_, is_kept)| *is_kept);
    let bare = |lives: Vec<(Life, bool)>| lives.into_iter().map(|(life, _)| life).collect();
    (bare(gone), bare(kept))
}

impl Life {
    /// Whether it ended by being deleted.
    pub fn is_deleted(&self) -> bool {
        self.ended.is_some_and(|(end, _)| end == End::Deleted)
    }

    fn stays(&self, before: Time) -> bool {
        match self.ended {
            None => true,
            Some((End::Deleted, at)) => at >= before,
            Some((End::Renamed, _)) => false,
        }
    }
}

/// How many versions no name reaches: counted anew only when a name went or came back.
#[derive(Default)]
pub struct Unreachable(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    /// The names that are deleted, and since when.
    gone: Vec<(Name, Time)>,
    count: u32,
}

impl Unreachable {
    /// `names` are those that do not stand any more, or more, with their last moves; `count` goes through history.
    pub fn count(
        &self,
        names: impl IntoIterator<Item = (Name, Move)>,
        count: impl FnOnce() -> Result<u32>,
    ) -> Result<u32> {
        let names = names.into_iter().filter(|(_, last)| last.event == Event::Deleted);
        let gone: Vec<_> = names.map(|(name, last)| (name, last.at)).collect();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.gone != gone {
            *known = Counted { gone, count: count()? };
        }
        Ok(known.count)
    }
}

/// What nothing reaches.
#[derive(Debug, Default)]
pub struct Unreached {
    pub commits: RoaringBitmap,
    pub versions: RoaringBitmap,
}

/// Goes through all commits, newest first, to find those that are no ancestors of `roots`, and the versions that only
/// such commits know.
pub struct Reaching {
    reached: RoaringBitmap,
    /// Versions that a commit that is reached added.
    kept: RoaringBitmap,
    found: Unreached,
}

impl Reaching {
    pub fn from(roots: RoaringBitmap) -> Self {
        Self { reached: roots, kept: RoaringBitmap::new(), found: Unreached::default() }
    }

    /// The next commit: its parents, which have lower numbers, and what it added. What a state holds was added by one
    /// of the commits behind it.
    pub fn commit(&mut self, number: u32, parents: [Option<u32>; 2], added: RoaringBitmap) {
        if self.reached.contains(number) {
            self.reached.extend(parents.into_iter().flatten());
            self.kept |= added;
        } else {
            self.found.commits.insert(number);
            self.found.versions |= added;
        }
    }

    /// When all were gone through.
    pub fn done(self) -> Unreached {
        let Unreached { commits, versions } = self.found;
        Unreached { commits, versions: versions - self.kept }
    }
}
