//! From steps to changes of files, and back: what setting up or taking back would change (`prepare`, `take_back`), and
//! doing it (`carry_out`). A file that cannot be read or written is left alone and named; the others go on.

use std::path::{Path, PathBuf};

use super::edit::{Edit, Past};
use super::ledger::{Entry, Ledger, Owned, Written, hash, without};
use super::{Purpose, Reach, Step, files};
use crate::error::{Error, Result};

/// What one file would become.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// As the steps name it.
    pub file: PathBuf,
    /// Links followed.
    real: PathBuf,
    /// The names of the agents that it is for.
    pub agents: Vec<String>,
    pub purposes: Vec<Purpose>,
    /// `None`: there is no file.
    pub before: Option<String>,
    /// `None`: the file goes.
    pub after: Option<String>,
    /// What the ledger says from then on, but for the name of the copy; `None`: nothing of ours is left.
    entry: Option<Entry>,
    /// The file without anything of ours.
    base: Option<String>,
}

/// A file that is left alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub file: PathBuf,
    pub agents: Vec<String>,
    /// With the line, where there is one.
    pub error: Error,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Work {
    pub changes: Vec<Change>,
    /// Files that are as they should be.
    pub unchanged: Vec<PathBuf>,
    pub refused: Vec<Refused>,
}

/// What was done with one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// The copy of what was there before.
    pub copy: Option<PathBuf>,
}

/// The steps for one file, in order.
struct Group<'a> {
    file: &'a Path,
    real: PathBuf,
    steps: Vec<(&'a str, &'a Step)>,
}

/// What these steps (each with its agent's name) would change. A file that is known keeps the reach that it has.
pub fn prepare(ledger: &Ledger, reach: &Reach, steps: &[(&str, Step)]) -> Work {
    let mut work = Work::default();
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (agent, step) in steps {
        match files::real(&step.file) {
            // Two agents may call one file by two names.
            Ok(real) => match groups.iter_mut().find(|group| group.real == real) {
                Some(group) => group.steps.push((agent, step)),
                None => groups.push(Group { file: &step.file, real, steps: vec![(agent, step)] }),
            },
            Err(error) => {
                work.refused.push(Refused { file: step.file.clone(), agents: vec![(*agent).to_owned()], error });
            }
        }
    }
    for group in groups {
        match group.change(ledger, reach).and_then(|change| change.map(Change::permitted).transpose()) {
            Ok(Some(change)) => work.changes.push(change),
            Ok(None) => work.unchanged.push(group.file.to_owned()),
            Err(error) => work.refused.push(Refused { file: group.file.to_owned(), agents: group.agents(), error }),
        }
    }
    work
}

impl Group<'_> {
    fn agents(&self) -> Vec<String> {
        let mut names: Vec<String> = self.steps.iter().map(|(agent, _)| (*agent).to_owned()).collect();
        names.dedup();
        names
    }

    fn change(&self, ledger: &Ledger, reach: &Reach) -> Result<Option<Change>> {
        let before = files::read(&self.real)?;
        let entry = ledger.record.entry(&self.real);
        let wanted: Vec<Owned> = self
            .steps
            .iter()
            .map(|(agent, step)| Owned { agent: (*agent).to_owned(), edit: step.edit.clone() })
            .collect();
        let is_wanted = |owned: &Owned| wanted.iter().any(|new| new.edit.is_at_place_of(&owned.edit));
        let is_named = |owned: &Owned| wanted.iter().any(|new| new.agent == owned.agent);
        // What an earlier version put elsewhere in this file for these agents goes; what others share stays.
        let owned = entry.map(|entry| entry.owned.as_slice()).unwrap_or_default();
        let (stale, kept): (Vec<&Owned>, Vec<&Owned>) =
            owned.iter().partition(|owned| is_named(owned) && !is_wanted(owned));
        let kept = kept.into_iter().filter(|owned| !(is_named(owned) && is_wanted(owned)));
        let others: Vec<Owned> = kept.cloned().collect();
        let base = self.base(ledger, entry, before.as_deref())?;
        let stale: Vec<&Edit> = stale.iter().map(|owned| &owned.edit).collect();
        let clean = match &before {
            Some(text) => without(text, &stale, Past::of(base.as_deref()))?,
            None => None,
        };
        let after = wanted.iter().try_fold(clean, |text, owned| owned.edit.apply(text.as_deref()).map(Some))?;
        let owned = [others, wanted].concat();
        let is_known =
            |entry: &Entry| entry.owned.len() == owned.len() && owned.iter().all(|owned| entry.owned.contains(owned));
        // A file that was right before we came is not ours to take back.
        if after == before && entry.is_none_or(is_known) {
            return Ok(None);
        }
        let (Some(text), mut purposes) = (&after, self.steps.iter().map(|(_, step)| step.purpose).collect::<Vec<_>>())
        else {
            return Ok(None);
        };
        purposes.dedup();
        let folders = match entry {
            Some(entry) => entry.folders.clone(),
            None => self.folders(ledger),
        };
        let project = match entry {
            Some(entry) => entry.project.clone(),
            None => reach.project().map(Path::to_owned),
        };
        let entry = Entry { file: self.real.clone(), before: None, after: hash(text), owned, project, folders };
        Ok(Some(Change {
            file: self.file.to_owned(),
            real: self.real.clone(),
            agents: self.agents(),
            purposes,
            before,
            after,
            entry: Some(entry),
            base,
        }))
    }

    /// Those that are to be made for this file, and those that we made for another one in them: whichever goes last
    /// takes them along. Outermost first.
    fn folders(&self, ledger: &Ledger) -> Vec<PathBuf> {
        let made = ledger.record.files.iter().flat_map(|entry| &entry.folders);
        let mut folders: Vec<_> = made.filter(|folder| self.real.starts_with(folder)).cloned().collect();
        folders.extend(files::missing_folders(&self.real));
        folders.sort();
        folders.dedup();
        folders
    }

    /// The file without anything of ours: as written down, or, where somebody changed it since, worked out anew.
    fn base(&self, ledger: &Ledger, entry: Option<&Entry>, now: Option<&str>) -> Result<Option<String>> {
        match (entry, now) {
            (None, now) => Ok(now.map(str::to_owned)),
            (Some(_), None) => Ok(None),
            (Some(entry), Some(now)) => base_of(ledger, entry, now),
        }
    }
}

fn base_of(ledger: &Ledger, entry: &Entry, now: &str) -> Result<Option<String>> {
    let is_as_left = hash(now) == entry.after;
    let written = match ledger.before(entry)? {
        Written::Absent if is_as_left => return Ok(None),
        Written::Text(text) if is_as_left || text == now => return Ok(Some(text)),
        written => written,
    };
    let edits: Vec<_> = entry.owned.iter().map(|owned| &owned.edit).collect();
    without(now, &edits, written.past())
}

/// What taking back what was set up for these agents would change; `None`: for all, and of every reach.
pub fn take_back(ledger: &Ledger, agents: Option<&[&str]>, reach: Option<&Reach>) -> Work {
    let mut work = Work::default();
    let is_within = |entry: &&Entry| reach.is_none_or(|reach| reach.project() == entry.project.as_deref());
    for entry in ledger.record.files.iter().filter(is_within) {
        let is_meant = |owned: &&Owned| agents.is_none_or(|names| names.contains(&owned.agent.as_str()));
        let (gone, kept): (Vec<&Owned>, Vec<&Owned>) = entry.owned.iter().partition(is_meant);
        if gone.is_empty() {
            continue;
        }
        let mut agents: Vec<String> = gone.iter().map(|owned| owned.agent.clone()).collect();
        agents.dedup();
        match change_back(ledger, entry, &gone, &kept).and_then(Change::permitted) {
            Ok(change) => work.changes.push(Change { agents, ..change }),
            Err(error) => work.refused.push(Refused { file: entry.file.clone(), agents, error }),
        }
    }
    work
}

/// The change that takes some edits back and keeps the others.
fn change_back(ledger: &Ledger, entry: &Entry, gone: &[&Owned], kept: &[&Owned]) -> Result<Change> {
    let mut change = Change {
        file: entry.file.clone(),
        real: entry.file.clone(),
        agents: Vec::new(),
        purposes: Vec::new(),
        before: files::read(&entry.file)?,
        after: None,
        entry: None,
        base: None,
    };
    // Somebody removed the file: nothing of ours is left.
    let Some(now) = &change.before else { return Ok(change) };
    change.base = base_of(ledger, entry, now)?;
    if kept.is_empty() {
        change.after = change.base.clone();
        return Ok(change);
    }
    let is_shared = |owned: &&&Owned| kept.iter().any(|other| other.edit == owned.edit);
    let edits: Vec<_> = gone.iter().filter(|owned| !is_shared(owned)).map(|owned| &owned.edit).collect();
    change.after = without(now, &edits, Past::of(change.base.as_deref()))?;
    let owned = kept.iter().map(|owned| (*owned).clone()).collect();
    let after = hash(change.after.as_deref().unwrap_or_default());
    change.entry = Some(Entry { owned, after, before: None, ..entry.clone() });
    Ok(change)
}

impl Change {
    fn permitted(self) -> Result<Self> {
        if self.is_visible() {
            files::check_writable(&self.real)?;
        }
        Ok(self)
    }

    /// Whether the file's bytes change; if not, only the ledger does.
    pub fn is_visible(&self) -> bool {
        self.before != self.after
    }

    /// A copy, the ledger, then the file. What cannot be written leaves both as they were.
    ///
    /// # Errors
    /// `Conflict` where the file changed meanwhile; whatever writing gives.
    pub fn carry_out(&self, ledger: &mut Ledger) -> Result<Done> {
        let copy = match &self.before {
            Some(text) if self.is_visible() => Some(ledger.keep(&self.real, text)?),
            _ => None,
        };
        let done = Done { copy: copy.map(|name| ledger.copy(&name)) };
        match &self.entry {
            Some(entry) => {
                let old = ledger.record.clone();
                let entry = Entry { before: self.copy_of_base(ledger)?, ..entry.clone() };
                put(&mut ledger.record.files, entry);
                ledger.save()?;
                if let Err(error) = self.write() {
                    ledger.record = old;
                    ledger.save()?;
                    return Err(error);
                }
            }
            // The other way round: as long as something of ours may stand there, the ledger says so.
            None => {
                self.write()?;
                let folders = ledger.record.entry(&self.real).map(|entry| entry.folders.clone());
                for folder in folders.into_iter().flatten().rev() {
                    // One that holds something by now stays.
                    let _ = std::fs::remove_dir(folder);
                }
                ledger.record.files.retain(|entry| entry.file != self.real);
                ledger.save()?;
            }
        }
        Ok(done)
    }

    /// The name of the copy of the file without anything of ours: the one that there is, if it says so.
    fn copy_of_base(&self, ledger: &Ledger) -> Result<Option<String>> {
        let Some(base) = &self.base else { return Ok(None) };
        if let Some(entry) = ledger.record.entry(&self.real)
            && ledger.before(entry).is_ok_and(|old| old.past() == Past::Text(base))
        {
            return Ok(entry.before.clone());
        }
        ledger.keep(&self.real, base).map(Some)
    }

    fn write(&self) -> Result<()> {
        match &self.after {
            _ if !self.is_visible() => Ok(()),
            Some(after) => {
                let folder = self.real.parent().unwrap_or(Path::new("."));
                std::fs::create_dir_all(folder)
                    .map_err(|e| Error::io(format_args!("make the folder {}", folder.display()), &e))?;
                files::replace(&self.real, self.before.as_deref(), after)
            }
            None => files::remove(&self.real, self.before.as_deref()),
        }
    }
}

fn put(entries: &mut Vec<Entry>, new: Entry) {
    match entries.iter_mut().find(|entry| entry.file == new.file) {
        Some(old) => *old = new,
        None => entries.push(new),
    }
}
