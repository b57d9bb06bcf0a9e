//! What may become of a name, and where one stood: creating, moving, renaming, deleting, restoring, protecting. It
//! judges and makes rows; nothing here costs more for a larger store.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::commit::Next;
use super::rows::{Event, Move, Standing};
use super::state::Head;
use super::{Past, Truth, number_of};
use crate::engine::Names;
use crate::error::{Error, Result};
use crate::model::{Name, NameChange, NameKind, Protection, Ref, Time, Verb};

/// How many branches a sentence names.
const NAMED_MAX: usize = 8;
/// How often a name may have been renamed since the time that is asked about.
const RENAMED_MAX: usize = 1_000;

/// What becomes of names: rows, and what they mean for who asks next.
#[derive(Default)]
pub struct Named {
    pub rows: Vec<(Name, Move)>,
    /// Branches that moved, came or went.
    pub heads: BTreeMap<Name, Option<Arc<Head>>>,
    /// Branches that are gone, and as what they go on.
    pub went: Vec<(Name, Option<Name>)>,
    pub refs: Vec<Ref>,
}

/// Changes of names in one write; each sees what those before it did.
pub struct Naming<'a, T> {
    truth: &'a T,
    at: Time,
    /// The write's own commit, which is in no table yet.
    next: Option<&'a Next>,
    /// Last rows, as far as they were looked at.
    lasts: BTreeMap<Name, Option<Move>>,
    named: Named,
}

impl<'a, T: Truth> Naming<'a, T> {
    pub fn new(truth: &'a T, at: Time, next: Option<&'a Next>) -> Self {
        Self { truth, at, next, lasts: BTreeMap::new(), named: Named::default() }
    }

    pub fn done(self) -> Named {
        self.named
    }

    /// A branch goes from one commit to the next, by compare-and-swap.
    pub fn go(&mut self, name: &Name, from: u32, to: u32) -> Result<()> {
        match self.last(name)? {
            Some(last) if last.is_living() && last.standing.number == from => {
                let at = self.at.max(last.at);
                self.put(name, at, Event::Moved, Standing { number: to, moved_at: at, ..last.standing })
            }
            _ => Err(Error::internal(format!("branch `{name}` was moved behind the writer's back"))),
        }
    }

    /// A snapshot of where a branch was before a write, under this name or the next that is free.
    pub fn keep_safe(&mut self, name: &Name, number: u32, verb: Verb) -> Result<()> {
        let mut free = name.clone();
        for count in 2.. {
            if self.last(&free)?.is_none() {
                break;
            }
            let tail = format!("-{count}");
            let room = Name::MAX_BYTES - tail.len();
            free = format!("{}{tail}", &name.as_str()[..name.as_str().len().min(room)]).parse()?;
        }
        self.create(&free, NameKind::Snapshot, number, Some(format!("before {verb}")))
    }

    pub fn change(&mut self, change: &NameChange) -> Result<()> {
        match change {
            NameChange::Create { name, kind, commit, note } => {
                self.create(name, *kind, number_of(self.truth, *commit)?, note.clone())
            }
            NameChange::Rename { name, new } => self.rename(name, new),
            NameChange::Delete { name } => self.delete(name),
            NameChange::Expire { name } if !self.last(name)?.is_some_and(|last| last.is_living()) => Ok(()),
            NameChange::Expire { name } => self.delete(name),
            NameChange::Restore { name } => self.restore(name),
            NameChange::Protect { name, protection } => self.protect(name, *protection),
        }
    }

    fn create(&mut self, name: &Name, kind: NameKind, number: u32, note: Option<String>) -> Result<()> {
        let at = self.free(name)?;
        let standing = Standing { number, kind, protection: Protection::Open, created_at: at, moved_at: at, note };
        self.put(name, at, Event::Created, standing)?;
        self.tell(name)
    }

    fn rename(&mut self, name: &Name, new: &Name) -> Result<()> {
        let last = self.living(name)?;
        main_stays(name, "renamed")?;
        // Both at one time, so that no moment lies between the two histories.
        let at = self.free(new)?.max(last.at);
        self.put(name, at, Event::RenamedAway, last.standing.clone())?;
        self.put(new, at, Event::RenamedFrom(name.clone()), last.standing)?;
        self.named.went.push((name.clone(), Some(new.clone())));
        self.tell(new)
    }

    fn delete(&mut self, name: &Name) -> Result<()> {
        let last = self.living(name)?;
        main_stays(name, "deleted")?;
        if last.standing.protection != Protection::Open {
            return Err(Error::denied(format!("`{name}` is protected: take the protection away, then delete it")));
        }
        let at = self.at.max(last.at);
        self.put(name, at, Event::Deleted, Standing { moved_at: at, ..last.standing })?;
        self.named.went.push((name.clone(), None));
        self.tell(name)
    }

    fn restore(&mut self, name: &Name) -> Result<()> {
        match self.last(name)? {
            Some(last) if last.is_living() => Err(taken(name, &last)),
            Some(Move { at, event: Event::Deleted, standing, .. }) => {
                let at = self.at.max(at);
                self.put(name, at, Event::Restored, Standing { moved_at: at, ..standing })?;
                self.tell(name)
            }
            _ => {
                Err(Error::not_found(format!("no branch or snapshot `{name}` was deleted, or it is forgotten by now")))
            }
        }
    }

    fn protect(&mut self, name: &Name, protection: Protection) -> Result<()> {
        let last = self.living(name)?;
        if last.standing.protection != protection {
            let at = self.at.max(last.at);
            self.put(name, at, Event::Protected, Standing { protection, ..last.standing })?;
        }
        self.tell(name)
    }

    /// When a name may begin: it is nobody's now.
    fn free(&mut self, name: &Name) -> Result<Time> {
        match self.last(name)? {
            Some(last) if last.is_living() => Err(taken(name, &last)),
            Some(last) => Ok(self.at.max(last.at)),
            None => Ok(self.at),
        }
    }

    fn living(&mut self, name: &Name) -> Result<Move> {
        let last = self.last(name)?.filter(Move::is_living);
        last.ok_or_else(|| Error::not_found(format!("there is no branch or snapshot `{name}`")))
    }

    fn last(&mut self, name: &Name) -> Result<Option<Move>> {
        if let Some(last) = self.lasts.get(name) {
            return Ok(last.clone());
        }
        let last = self.truth.last_move(name, Time::MAX)?;
        self.lasts.insert(name.clone(), last.clone());
        Ok(last)
    }

    fn put(&mut self, name: &Name, at: Time, event: Event, standing: Standing) -> Result<()> {
        let seq = match self.last(name)? {
            Some(last) if last.at == at => last.seq.saturating_add(1),
            _ => 0,
        };
        let after = Move { at, seq, event, standing };
        self.named.rows.push((name.clone(), after.clone()));
        if after.standing.kind == NameKind::Branch {
            let head = if after.is_living() { Some(Arc::new(self.head(&after)?)) } else { None };
            self.named.heads.insert(name.clone(), head);
        }
        self.lasts.insert(name.clone(), Some(after));
        Ok(())
    }

    fn head(&self, last: &Move) -> Result<Head> {
        match self.next {
            Some(next) if next.number == last.standing.number => Ok(next.head(last.clone())),
            _ => Ok(Head::of(&self.truth.commit(last.standing.number)?, last.clone())),
        }
    }

    fn tell(&mut self, name: &Name) -> Result<()> {
        let Some(last) = self.last(name)? else { return Ok(()) };
        let head = self.head(&last)?;
        let live = live_at(self.truth, &head)?;
        self.named.refs.push(refer(name.clone(), &head, live));
        Ok(())
    }
}

fn main_stays(name: &Name, what: &str) -> Result<()> {
    if *name == Name::main() {
        return Err(Error::denied(format!("`main` cannot be {what}: every store has one")));
    }
    Ok(())
}

fn taken(name: &Name, last: &Move) -> Error {
    let kind = match last.standing.kind {
        NameKind::Branch => "branch",
        NameKind::Snapshot => "snapshot",
    };
    Error::conflict(format!("there is a {kind} `{name}` already: take another name, or delete that one first"))
}

fn refer(name: Name, head: &Head, live: u32) -> Ref {
    let Standing { kind, protection, created_at, moved_at, ref note, .. } = head.last.standing;
    let is_deleted = !head.last.is_living();
    Ref { name, kind, commit: head.id, live, note: note.clone(), protection, created_at, moved_at, is_deleted }
}

/// Every branch and snapshot, by name.
pub fn names(past: &impl Past, wanted: Names) -> Result<Vec<Ref>> {
    let mut moves = past.every_name()?;
    moves.retain(|(_, last)| match last.event {
        Event::RenamedAway => false,
        Event::Deleted => wanted == Names::All,
        _ => true,
    });
    past.soon_commits(&moves.iter().map(|(_, last)| last.standing.number).collect::<Vec<_>>())?;
    let one = |(name, last): (Name, Move)| {
        let head = Head::of(&past.commit(last.standing.number)?, last);
        let live = live_at(past, &head)?;
        Ok(refer(name, &head, live))
    };
    moves.into_iter().map(one).collect()
}

/// How many memories are live where a name stands: less those that were erased since.
fn live_at(truth: &impl Truth, head: &Head) -> Result<u32> {
    let erased = truth.erased();
    if erased.is_empty() {
        return Ok(head.live);
    }
    Ok(head.live.saturating_sub(truth.raw(head.number)?.intersection_len(&erased) as u32))
}

/// Where a name stands; what was deleted or never was is `NotFound`, with what to do.
pub fn standing(truth: &impl Truth, name: &Name) -> Result<Move> {
    match truth.last_move(name, Time::MAX)? {
        Some(last) if last.is_living() => Ok(last),
        Some(Move { event: Event::Deleted, .. }) => {
            Err(Error::not_found(format!("`{name}` was deleted: restore it, or name another")))
        }
        _ => Err(no_branch(truth, name)),
    }
}

/// What to say of a branch that is not there.
pub fn no_branch(truth: &impl Truth, name: &Name) -> Error {
    let known = match truth.branches(NAMED_MAX + 1) {
        Ok(known) => known,
        Err(error) => return error,
    };
    let more = if known.len() > NAMED_MAX { ", …" } else { "" };
    let known: Vec<&str> = known.iter().take(NAMED_MAX).map(Name::as_str).collect();
    Error::not_found(format!("there is no branch `{name}`: there is {}{more}", known.join(", ")))
}

/// Where a name's history says that it stood at `time`: `None` before it began, and while it was deleted. A branch
/// that had another name then is followed there.
pub fn stood_at(past: &impl Past, name: &Name, time: Time) -> Result<Option<u32>> {
    let mut name = name.clone();
    for _ in 0..RENAMED_MAX {
        match past.last_move(&name, time)? {
            Some(last) if last.is_living() => return Ok(Some(last.standing.number)),
            Some(Move { event: Event::Deleted, .. }) => return Ok(None),
            _ => {}
        }
        match past.next_move(&name, time)? {
            Some(Move { event: Event::RenamedFrom(before), .. }) => name = before,
            _ => return Ok(None),
        }
    }
    Ok(None)
}
