//! What works a state out of history, done on both: merges and their conflicts, picks, rollbacks, undo.

use std::collections::BTreeSet;

use memoria::engine::conformance::samples;
use memoria::error::ErrorKind;
use memoria::model::{
    Choice, CommitFilter, CommitId, Later, Memory, MemoryId, Name, NameKind, OriginFilter, Plan, Progress, Resolution,
    Rule, Selection, Source, Verb, Version, Work, Write,
};
use proptest::prelude::*;

use super::action::{Action, Side, Whose};
use super::bench::{Bench, Sent, applied};
use super::compare::locate;
use super::perform::{safe, text};
use super::plans::Forecast;
use super::world::{Done, Order};
use super::{Checked, met, met_often};

impl Bench {
    pub async fn merging(&mut self, session: usize, action: Action) -> Checked {
        let is_waiting = |name: &&Name| self.world.names[*name].waiting.is_some();
        // Where a merge is in progress is the place to be, also with another merge.
        if !matches!(action, Action::Merge { safety: false, .. })
            && let Some(branch) = self.world.living(None).iter().find(is_waiting)
        {
            self.sessions[session].branch = branch.clone();
        }
        let branch = self.branch(session);
        let waiting = self.world.names[&branch].waiting.clone();
        match (action, waiting) {
            (Action::Merge { theirs, rule, safety }, _) => {
                let theirs = locate(self, theirs).await?;
                let plan = Plan::Merge { theirs: self.world.commits[theirs].id, rule, resolutions: vec![] };
                self.merge(session, theirs, plan, rule, safety).await
            }
            (Action::Conclude, Some(merge)) => {
                let (theirs, rule) = (self.world.commits[merge.theirs].id, Rule::Fail);
                let plan = Plan::Merge { theirs, rule, resolutions: merge.resolutions };
                self.merge(session, merge.theirs, plan, rule, false).await?;
                if self.world.names[&branch].waiting.is_none() {
                    met("merge in progress concluded");
                }
                Ok(())
            }
            (Action::Resolve { sides, is_all }, waiting) => {
                let most = if is_all { usize::MAX } else { 1 };
                let resolutions = waiting.as_ref().map_or(vec![], |_| self.resolutions(&branch, &sides, most));
                let progress = Progress::Resolve(resolutions.clone());
                let is_waiting = waiting.is_some();
                self.progress(session, progress, is_waiting).await?;
                if let Some(merge) = &mut self.world.names.get_mut(&branch).unwrap().waiting {
                    merge.resolutions.extend(resolutions);
                }
                Ok(())
            }
            (Action::Abort, waiting) => {
                self.progress(session, Progress::Abort, waiting.is_some()).await?;
                if waiting.is_some() {
                    met("merge in progress given up");
                }
                self.world.names.get_mut(&branch).unwrap().waiting = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn progress(&mut self, session: usize, progress: Progress, is_waiting: bool) -> Checked {
        let write = Write { progress, ..self.write(session, Verb::Merge, Work::Changes(vec![])) };
        let op = samples::op();
        let reply = self.send(op, &Sent::Write(Box::new(write.clone()))).await?;
        if !is_waiting {
            prop_assert_eq!(reply.map_err(|error| error.kind), Err(ErrorKind::NotFound));
            return Ok(());
        }
        let applied = applied(reply)?;
        prop_assert_eq!(applied.commit, None);
        self.world.done.push(Done { op, order: Order::Write(Box::new(write), Box::new(applied)) });
        Ok(())
    }

    /// Answers to some of the conflicts of the merge in progress.
    fn resolutions(&self, branch: &Name, sides: &[Side], most: usize) -> Vec<Resolution> {
        let waiting = self.world.names[branch].waiting.clone().unwrap();
        let (theirs, resolutions) = (self.world.commits[waiting.theirs].id, waiting.resolutions);
        let plan = Plan::Merge { theirs, rule: Rule::Fail, resolutions };
        let clashes = self.world.forecast(self.world.head(branch), &plan).conflicts;
        let mut settled = Vec::new();
        for (clash, side) in clashes.iter().take(most).zip(sides.iter().cycle()) {
            let one = clash.ours.as_ref().or(clash.theirs.as_ref()).map(|version| version.memory.clone());
            let base = clash.bases[0].as_ref().map(|version| version.id);
            let choice = match (side, one) {
                // Where the bases differ nobody can say which is meant.
                (Side::Base, _) if clash.bases.iter().all(|other| other.as_ref().map(|v| v.id) == base) => Choice::Base,
                (Side::Text(n), Some(memory)) => {
                    Choice::Memory(Box::new(Memory { text: text(*n), observed_at: self.world.now, ..memory }))
                }
                (Side::Ours, _) => Choice::Ours,
                _ => Choice::Theirs,
            };
            let version = |version: &Option<Version>| version.as_ref().map(|version| version.id);
            let (ours, theirs) = (version(&clash.ours), version(&clash.theirs));
            settled.push(Resolution { id: clash.id, ours, theirs, choice });
        }
        settled
    }

    async fn merge(&mut self, session: usize, theirs: usize, plan: Plan, rule: Rule, safety: bool) -> Checked {
        let head = self.head(session);
        let (is_behind, is_reverted) = (self.world.ancestors(theirs).contains(&head), self.has_reverted_merge(head));
        let write = safe(self.write(session, Verb::Merge, Work::Plan(plan)), safety);
        let forecast = self.plan(session, write).await?;
        met_often("fields of both sides", u64::from(forecast.blended));
        met_often("conflict settled one by one", u64::from(forecast.settled));
        if forecast.is_merged {
            met("merge of what was merged");
            return Ok(());
        }
        if is_behind {
            met("merge of a descendant");
        }
        if forecast.bases.len() > 1 {
            met("merge with several bases");
        }
        if is_reverted {
            met("merge after a reverted merge");
        }
        match (forecast.conflicts.len(), rule) {
            (1.., _) => met("merge in progress"),
            (0, Rule::Fail) => met("merge without conflicts"),
            (0, _) => met("conflict settled by rule"),
        }
        Ok(())
    }

    /// So that the next merge of the two has several bases.
    pub async fn cross(&mut self, session: usize, other: usize, rule: Rule) -> Checked {
        let mut others = self.world.living(Some(NameKind::Branch));
        others.retain(|name| *name != self.sessions[session].branch);
        let Some(other) = others.get(other % others.len().max(1)).cloned() else { return Ok(()) };
        let own = std::mem::replace(&mut self.sessions[session].branch, other.clone());
        let (ours, theirs) = (self.world.head(&own), self.world.head(&other));
        for (branch, source) in [(own, theirs), (other, ours)] {
            self.sessions[session].branch = branch;
            let plan = Plan::Merge { theirs: self.world.commits[source].id, rule, resolutions: vec![] };
            self.merge(session, source, plan, rule, false).await?;
        }
        Ok(())
    }

    fn has_reverted_merge(&self, head: usize) -> bool {
        let (verbs, line) = (&self.world.commits, self.world.line(head));
        let reverts = line.iter().filter(|commit| [Verb::Revert, Verb::Undo].contains(&verbs[**commit].verb));
        line.iter().any(|commit| verbs[*commit].parents.len() == 2) && reverts.count() > 0
    }

    pub async fn pick(&mut self, session: usize, action: Action) -> Checked {
        let ids = |bench: &Self, state: usize, numbers: &[usize]| -> Vec<MemoryId> {
            let live: Vec<MemoryId> = bench.world.state(state).keys().copied().collect();
            let some: BTreeSet<_> = numbers.iter().filter_map(|n| live.get(n % live.len().max(1))).copied().collect();
            some.into_iter().collect()
        };
        let (verb, base, theirs, only, rule) = match action {
            Action::Pick { memories, from, rule } => {
                let from = locate(self, from).await?;
                (Verb::Pick, None, from, ids(self, from, &memories), rule)
            }
            Action::PickCommit { commit, rule } => {
                let commit = locate(self, commit).await?;
                let Some(base) = self.world.commits[commit].parents.first() else { return Ok(()) };
                (Verb::Pick, Some(*base), commit, vec![], rule)
            }
            Action::Apply { from, to, memories, rule } => {
                let (from, to) = (locate(self, from).await?, locate(self, to).await?);
                (Verb::Apply, Some(from), to, ids(self, to, &memories), rule)
            }
            _ => unreachable!(),
        };
        let (base, theirs) = (base.map(|base| self.world.commits[base].id), self.world.commits[theirs].id);
        let plan = Plan::Graft { base, theirs, only, rule };
        let forecast = self.plan(session, self.write(session, verb, Work::Plan(plan))).await?;
        met_often("fields of both sides", u64::from(forecast.blended));
        met("pick");
        Ok(())
    }

    pub async fn go_back(&mut self, session: usize, action: Action) -> Checked {
        let head = self.head(session);
        let behind: Vec<usize> = self.world.ancestors(head).into_iter().filter(|commit| *commit > 0).collect();
        let ids = |bench: &Self, commits: Vec<usize>| -> Vec<CommitId> {
            commits.into_iter().map(|commit| bench.world.commits[commit].id).collect()
        };
        let (verb, plan) = match action {
            Action::Reset(to) => {
                let to = locate(self, to).await?;
                met("rollback");
                (Verb::Rollback, Plan::Reset { to: self.world.commits[to].id })
            }
            Action::RollBack { whose, since, later } => {
                let mut commits = CommitFilter::default();
                let mut origin = None;
                let author = |n: usize| &self.sessions[n].author;
                match whose {
                    Whose::Agent(n) => commits.agent = Some(author(n).agent.clone().unwrap_or_else(|| "you".into())),
                    Whose::Session(n) => commits.session = Some(author(n).session.clone()),
                    Whose::Tool if since.is_some() => origin = Some(OriginFilter::Named("grep".into())),
                    Whose::Tool => origin = Some(OriginFilter::Source(Source::Tool)),
                    Whose::Everybody => {}
                }
                let moments: Vec<usize> = if behind.is_empty() { vec![0] } else { behind };
                commits.since = since.map(|n| self.world.commits[moments[n % moments.len()]].at);
                (Verb::Rollback, Plan::Invert { what: Selection::By { commits, origin }, later })
            }
            Action::Revert { commits, later } if !behind.is_empty() => {
                let chosen: BTreeSet<usize> = commits.iter().map(|n| behind[n % behind.len()]).collect();
                let what = Selection::Commits(ids(self, chosen.into_iter().collect()));
                (Verb::Revert, Plan::Invert { what, later })
            }
            _ => {
                let line = self.world.line(head);
                let Some(merge) = line.into_iter().find(|commit| self.world.commits[*commit].parents.len() == 2) else {
                    return Ok(());
                };
                met("merge reverted");
                let what = Selection::Commits(ids(self, vec![merge]));
                (Verb::Revert, Plan::Invert { what, later: Later::Keep })
            }
        };
        let is_taking = matches!(plan, Plan::Invert { later: Later::Take, .. });
        let is_stuck = match &plan {
            Plan::Invert { what, .. } if is_taking => {
                let plan = Plan::Invert { what: what.clone(), later: Later::Keep };
                !self.world.forecast(head, &plan).kept.is_empty()
            }
            _ => false,
        };
        let Forecast { kept, .. } = self.plan(session, self.write(session, verb, Work::Plan(plan))).await?;
        met_often("memory kept", kept.len() as u64);
        met_often("memory taken", u64::from(is_stuck));
        Ok(())
    }

    /// The session's last operation on its branch is taken back, or the last one that was taken back is done again.
    pub async fn undo(&mut self, session: usize, is_undo: bool) -> Checked {
        let branch = self.branch(session);
        let Some(own) = self.sessions.get_mut(session) else { return Ok(()) };
        let stack = if is_undo { &mut own.done } else { &mut own.undone };
        let Some(place) = stack.iter().rposition(|(name, _)| *name == branch) else { return Ok(()) };
        let (_, commit) = stack.remove(place);
        let what = Selection::Commits(vec![self.world.commits[commit].id]);
        let plan = Plan::Invert { what, later: Later::Keep };
        let verb = if is_undo { Verb::Undo } else { Verb::Redo };
        self.plan(session, self.write(session, verb, Work::Plan(plan))).await?;
        met(if is_undo { "undo" } else { "redo" });
        Ok(())
    }
}
