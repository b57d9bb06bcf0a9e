//! `branch` and `checkout`: names that move, and on which of them a session is.

use super::revision::checked_name;
use super::{Caller, Service};
use crate::clock;
use crate::engine::{Engine, Names};
use crate::error::{Error, Result};
use crate::model::{Name, NameChange, NameKind, Ref};
use crate::wire::message::{Branch, Branches, Checkout, WhichNames};

impl<E: Engine> Service<E> {
    /// Durable once it returns `Ok`.
    pub async fn branches(&self, caller: &Caller, ask: Branch) -> Result<Branches> {
        let mut masked = Vec::new();
        let note = match &ask {
            Branch::Create { note: Some(note), .. } => Some(self.mask("description", note.clone(), &mut masked)?),
            _ => None,
        };
        let change = match ask {
            Branch::List { names } => {
                let wanted = match names {
                    WhichNames::Living => Names::Living,
                    WhichNames::All => Names::All,
                };
                let mut branches = self.engine.names(wanted).await?;
                branches.retain(|name| name.kind == NameKind::Branch);
                return self.answered(caller, branches).await;
            }
            Branch::Create { name, from, .. } => {
                let branch = self.branch(caller, None);
                let at = match from {
                    None => self.head(&branch).await?,
                    Some(from) => self.revision(&from, &branch).await?.at,
                };
                let name = self.free_of_secrets(checked_name(name)?)?;
                NameChange::Create { name, kind: NameKind::Branch, commit: at.commit, note }
            }
            Branch::Rename { name, new } => NameChange::Rename { name, new: self.free_of_secrets(checked_name(new)?)? },
            Branch::Delete { name } => NameChange::Delete { name },
            Branch::Restore { name } => NameChange::Restore { name },
            Branch::Protect { name, protection } => NameChange::Protect { name, protection },
        };
        self.must_be(&change, NameKind::Branch).await?;
        let applied = self.change_names(caller, vec![change.clone()]).await?;
        match &change {
            NameChange::Rename { name, new } => self.checkouts.renamed(name, new)?,
            NameChange::Delete { name } => {
                // Whoever deletes the branch that it stands on goes to `main`, and is told.
                if self.branch(caller, None) == *name {
                    self.checkouts.check_out(caller, &Name::main())?;
                }
                self.checkouts.deleted(name)?;
            }
            _ => {}
        }
        Ok(Branches { masked, ..self.answered(caller, applied).await? })
    }

    pub async fn check_out(&self, caller: &Caller, ask: Checkout) -> Result<Branches> {
        let names = self.engine.names(Names::Living).await?;
        let found = names.into_iter().find(|known| known.name == ask.name);
        match found {
            Some(branch) if branch.kind == NameKind::Branch => {
                self.checkouts.check_out(caller, &ask.name)?;
                self.answered(caller, vec![branch]).await
            }
            Some(_) => Err(Error::invalid(format!(
                "`{0}` is a snapshot, which nobody can write on: make a branch of it (from `{0}`), or read it with `at`",
                ask.name
            ))),
            None => {
                self.head(&ask.name).await?;
                Err(Error::not_found(format!("there is no branch `{}`", ask.name)))
            }
        }
    }

    /// Changes of names, as one operation.
    pub(super) async fn change_names(&self, caller: &Caller, changes: Vec<NameChange>) -> Result<Vec<Ref>> {
        let mut write = self.write(caller, Name::main(), crate::model::Verb::Store, clock::now());
        write.names = changes;
        Ok(self.engine.apply(caller.op, write).await?.names)
    }

    /// A snapshot is not deleted as a branch by a slip, nor the other way round. What is not there is the engine's to
    /// say.
    pub(super) async fn must_be(&self, change: &NameChange, kind: NameKind) -> Result<()> {
        let name = match change {
            NameChange::Create { .. } => return Ok(()),
            NameChange::Rename { name, .. }
            | NameChange::Delete { name }
            | NameChange::Expire { name }
            | NameChange::Restore { name }
            | NameChange::Protect { name, .. } => name,
        };
        let known = self.engine.names(Names::All).await?;
        match known.iter().find(|known| known.name == *name) {
            Some(known) if known.kind != kind => Err(Error::invalid(match kind {
                NameKind::Branch => format!("`{name}` is a snapshot, not a branch"),
                NameKind::Snapshot => format!("`{name}` is a branch, not a snapshot"),
            })),
            _ => Ok(()),
        }
    }

    async fn answered(&self, caller: &Caller, branches: Vec<Ref>) -> Result<Branches> {
        let mut merging = Vec::new();
        for branch in branches.iter().filter(|branch| !branch.is_deleted) {
            if self.engine.pending(&branch.name).await?.is_some() {
                merging.push(branch.name.clone());
            }
        }
        let flagged = super::flagged(&branches);
        Ok(Branches { branches, current: self.branch(caller, None), merging, masked: Vec::new(), flagged })
    }
}
