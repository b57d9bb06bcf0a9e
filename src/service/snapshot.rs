//! `snapshot`: names that do not move; and those that are made by themselves before something large.

use super::revision::{SAFETY, checked_name};
use super::{Caller, Service, page_of};
use crate::clock;
use crate::engine::{Engine, Names};
use crate::error::{Error, Result};
use crate::model::{Counts, Filter, Name, NameChange, NameKind, Page, Ref, Revision, Time, Verb, Write};
use crate::wire::message::{Doomed, Snapshot, SnapshotEntry, Snapshots};

impl<E: Engine> Service<E> {
    /// Durable once it returns `Ok`.
    pub async fn snapshots(&self, caller: &Caller, ask: Snapshot) -> Result<Snapshots> {
        let is_list = matches!(ask, Snapshot::List { .. });
        let is_new = matches!(ask, Snapshot::Create { .. });
        let mut masked = Vec::new();
        let (refs, total, branch) = match ask {
            Snapshot::List { branch, page } => {
                let mut refs = self.known_snapshots(Names::Living).await?;
                let total = refs.len() as u32;
                let page = page_of(page);
                refs = refs.into_iter().skip(page.offset as usize).take(page.limit as usize).collect();
                (refs, total, branch)
            }
            Snapshot::Create { name, at, note } => {
                let seen = self.seen(caller, at).await?;
                let note = note.map(|note| self.mask("description", note, &mut masked)).transpose()?;
                let (kind, commit) = (NameKind::Snapshot, seen.at.commit);
                let name = self.free_of_secrets(checked_name(name)?)?;
                let made = self.change_names(caller, vec![NameChange::Create { name, kind, commit, note }]).await?;
                (made, 1, None)
            }
            Snapshot::Restore { name } => {
                let change = NameChange::Restore { name };
                self.must_be(&change, NameKind::Snapshot).await?;
                (self.change_names(caller, vec![change]).await?, 1, None)
            }
            Snapshot::Delete(doomed) => {
                let gone = self.delete_snapshots(caller, doomed).await?;
                let total = gone.len() as u32;
                (gone, total, None)
            }
        };
        let branch = self.branch(caller, branch);
        let flagged = super::flagged(&refs);
        let mut snapshots = Vec::with_capacity(refs.len());
        for snapshot in refs {
            // Only a list is looked through for what has changed since.
            let since = if is_list { self.since(&snapshot, &branch).await? } else { Counts::default() };
            let native = if is_new { self.engine.native(&snapshot.name).await? } else { None };
            snapshots.push(SnapshotEntry { snapshot, since, native });
        }
        Ok(Snapshots { snapshots, total, branch, masked, flagged })
    }

    async fn since(&self, snapshot: &Ref, branch: &Name) -> Result<Counts> {
        let from = self.engine.resolve(&Revision::Commit(snapshot.commit.to_string()), clock::now()).await?;
        let (to, nothing) = (self.head(branch).await?, Page { offset: u32::MAX, limit: 1 });
        Ok(self.engine.diff(&from, &to, &Filter::default(), nothing).await?.counts)
    }

    async fn delete_snapshots(&self, caller: &Caller, doomed: Doomed) -> Result<Vec<Ref>> {
        let known = self.known_snapshots(Names::Living).await?;
        let names: Vec<Name> = match doomed {
            Doomed::Names(names) => {
                for name in &names {
                    self.must_be(&NameChange::Delete { name: name.clone() }, NameKind::Snapshot).await?;
                }
                names
            }
            Doomed::Prefix(prefix) if prefix.is_empty() => {
                return Err(Error::invalid("an empty prefix fits every snapshot: name them, or give more of it"));
            }
            Doomed::Prefix(prefix) => {
                let fits = known.into_iter().filter(|known| known.name.as_str().starts_with(&prefix));
                fits.map(|known| known.name).collect()
            }
            Doomed::Older(time) => {
                known.into_iter().filter(|known| known.created_at < time).map(|known| known.name).collect()
            }
        };
        self.change_names(caller, names.into_iter().map(|name| NameChange::Delete { name }).collect()).await
    }

    /// Newest first.
    async fn known_snapshots(&self, wanted: Names) -> Result<Vec<Ref>> {
        let mut refs = self.engine.names(wanted).await?;
        refs.retain(|name| name.kind == NameKind::Snapshot);
        refs.sort_by(|a, b| (b.created_at, &b.name).cmp(&(a.created_at, &a.name)));
        Ok(refs)
    }

    /// Lets a write make a snapshot of what was before, and the oldest of its kind go.
    pub(super) async fn secure(&self, write: &mut Write) -> Result<()> {
        let prefix = format!("{SAFETY}{}/", write.verb);
        write.safety = Some(format!("{prefix}{}", stamp(write.at)).parse()?);
        let keep = self.config().store.safety_snapshots.saturating_sub(1) as usize;
        let known = self.known_snapshots(Names::Living).await?;
        let old = known.into_iter().filter(|known| known.name.as_str().starts_with(&prefix)).skip(keep);
        write.names.extend(old.map(|known| NameChange::Expire { name: known.name }));
        Ok(())
    }

    /// A write that changes nothing yet.
    pub(super) fn write(&self, caller: &Caller, branch: Name, verb: Verb, at: Time) -> Write {
        Write {
            branch,
            author: caller.author(),
            verb,
            note: None,
            at,
            work: crate::model::Work::Changes(Vec::new()),
            safety: None,
            names: Vec::new(),
            progress: crate::model::Progress::Keep,
            memo: Vec::new(),
            ratings: Vec::new(),
            brought: Vec::new(),
            acknowledged: Vec::new(),
        }
    }
}

/// `2026-11-23-140506`, in UTC.
fn stamp(at: Time) -> String {
    let digits: String = clock::rfc3339(at).chars().take(19).filter(|c| *c != ':').collect();
    digits.replace('T', "-")
}
