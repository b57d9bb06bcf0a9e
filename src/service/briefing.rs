//! `brief`: what an agent is told without having asked. At the beginning of a session: what is pinned, the rules and
//! decisions that somebody vouches for, what has changed since the agent last looked, a merge in progress. On a prompt:
//! the few memories that bear on it by the same cut-off as `retrieve`, or none. Whoever shows it writes the text, as
//! quoted data; here it is only made to fit its budget.

use std::collections::HashSet;

use super::looks::Look;
use super::revision::Seen;
use super::{Caller, Service};
use crate::engine::{At, Engine};
use crate::error::{ErrorKind, Result};
use crate::model::text::{one_line, tokens_of};
use crate::model::{
    Difference, Filter, Kind, MemoryId, Name, PINNED, Page, Plan, ProjectId, Revision, Rule, Scope, Trust, Version,
};
use crate::wire::limits;
use crate::wire::message::{Brief, Briefed, Checked, News, Retrieve, Told, View, Why};

/// What a session begins with, and what goes beside one prompt, unless the request says otherwise.
const SESSION_TOKENS: u32 = 1_000;
const PROMPT_TOKENS: u32 = 400;
/// A prompt is answered by its beginning: what follows is mostly pasted.
const PROMPT_BYTES_MAX: usize = 2_000;
/// Memories beside one prompt.
const RELEVANT_MAX: u32 = 4;
/// Rules of each sort that are looked at, the newest first; more do not fit a briefing.
const RULES_MAX: u32 = 40;
/// Of each memory; more of a rule is asked for when it is needed.
const TEXT_CHARS_MAX: usize = 600;
/// Memories that are told as news, each cut like an excerpt.
const NEWS_MAX: usize = 5;
const NEWS_CHARS_MAX: usize = 160;
/// Changes that are looked through for those that the agent has not made itself.
const CHANGES_MAX: u32 = 60;

impl<E: Engine> Service<E> {
    /// `written` makes the text of a briefing; empty where it has nothing to say.
    ///
    /// # Errors
    /// As `retrieve` and `list`; a file of this machine that cannot be written is logged.
    pub async fn brief(&self, caller: &Caller, ask: Brief, written: fn(&Briefed) -> String) -> Result<Briefed> {
        let branch = self.branch(caller, ask.branch);
        let agent = ask.agent.as_deref().or(caller.agent.as_deref());
        if matches!(ask.checked, Checked::Void | Checked::Heard) {
            self.note(caller, agent, ask.conversation.as_deref(), ask.checked);
            let at = self.head(&branch).await?;
            return Ok(empty(caller, &Seen::head(at, branch)));
        }
        let (mut briefed, budget) = match &ask.prompt {
            Some(prompt) => (self.relevant(caller, branch, prompt, ask.budget_tokens).await?, PROMPT_TOKENS),
            None => (self.worth_knowing(caller, branch, agent, ask.checked).await?, SESSION_TOKENS),
        };
        if let Some(conversation) = &ask.conversation {
            if ask.prompt.is_none() {
                self.told.forget(conversation);
            }
            briefed.told.retain(|told| !self.told.has(conversation, told.memory.version));
        }
        let budget = if ask.budget_tokens == 0 { budget } else { ask.budget_tokens };
        fit(&mut briefed, budget, written);
        if ask.prompt.is_some() && briefed.told.is_empty() {
            // Beside a prompt there is something to quote, or nothing to say.
            briefed.text.clear();
        }
        if let Some(conversation) = &ask.conversation {
            self.told.offer(conversation, briefed.told.iter().map(|told| told.memory.version));
        }
        Ok(briefed)
    }

    /// What has become of what was told before.
    fn note(&self, caller: &Caller, agent: Option<&str>, conversation: Option<&str>, checked: Checked) {
        match (checked, conversation) {
            (Checked::Heard, Some(conversation)) => self.told.heard(conversation),
            (_, Some(conversation)) => self.told.forget(conversation),
            (_, None) => {}
        }
        if checked == Checked::Heard
            && let Some(agent) = agent
            && let Err(error) = self.looks.heard(agent, caller.project.as_ref())
        {
            tracing::warn!("what {} has seen is known until the daemon ends: {error}", one_line(agent, 60));
        }
    }

    async fn relevant(&self, caller: &Caller, branch: Name, prompt: &str, budget_tokens: u32) -> Result<Briefed> {
        let max_tokens = if budget_tokens == 0 { PROMPT_TOKENS } else { budget_tokens };
        let question = beginning(prompt.trim(), PROMPT_BYTES_MAX);
        if question.is_empty() {
            let at = self.head(&branch).await?;
            return Ok(empty(caller, &Seen::head(at, branch)));
        }
        let view = View { branch: Some(branch), at: None };
        let question = question.to_owned();
        let ask = Retrieve { view, question, top_k: RELEVANT_MAX, max_tokens, ..Retrieve::default() };
        let retrieved = self.retrieve(caller, ask).await?;
        let (told, withheld): (Vec<_>, Vec<_>) =
            retrieved.hits.into_iter().partition(|hit| !is_withheld(&hit.memory.flags, hit.memory.memory.trust));
        let told = told.into_iter().map(|hit| {
            let mut memory = hit.memory;
            memory.memory.metadata.clear();
            Told { why: Why::Relevant, memory, is_shortened: hit.is_shortened }
        });
        Ok(Briefed {
            text: String::new(),
            point: retrieved.point,
            project: caller.project.clone(),
            told: told.collect(),
            left_out: retrieved.left_out,
            withheld: withheld.len() as u32,
            news: None,
            open_conflicts: None,
        })
    }

    async fn worth_knowing(
        &self,
        caller: &Caller,
        branch: Name,
        agent: Option<&str>,
        checked: Checked,
    ) -> Result<Briefed> {
        let at = self.head(&branch).await?;
        let mut briefed = empty(caller, &Seen::head(at.clone(), branch.clone()));
        briefed.open_conflicts = self.open_conflicts(&branch, &at).await?;
        let project = caller.project.as_ref();
        // At home there is no project whose rules would hold.
        let scope = project.cloned().map_or(Scope::Global, Scope::Project);
        let (rules, total) = self.rules(&at, &scope).await?;
        let mut known: HashSet<MemoryId> = rules.iter().map(|rule| rule.memory.id).collect();
        briefed.left_out = total.saturating_sub(known.len() as u32);
        let mut whys: Vec<Why> =
            rules.iter().map(|rule| if rule.memory.pinned { Why::Pinned } else { Why::Rule }).collect();
        let mut versions = rules;
        if let Some(agent) = agent {
            if let Some(look) = self.looks.last(agent, project)
                && let Some((news, fresh)) = self.news(&at, agent, look, &scope).await?
            {
                briefed.news = Some(news);
                let fresh = fresh.into_iter().filter(|version| known.insert(version.memory.id)).take(NEWS_MAX);
                for version in fresh {
                    versions.push(version);
                    whys.push(Why::News);
                }
            }
            if checked == Checked::Note {
                self.looks.offer(agent, project, at.commit);
            }
        }
        let shaped = self.shape(versions).await?;
        for (why, memory) in whys.into_iter().zip(shaped) {
            if is_withheld(&memory.flags, memory.memory.trust) {
                briefed.withheld += 1;
            } else {
                briefed.told.push(shortened(Told { why, memory, is_shortened: false }));
            }
        }
        briefed.told.sort_by_key(|told| told.why);
        Ok(briefed)
    }

    /// Rules of how things are done, what the user prefers, and facts that somebody vouches for, the weightiest first;
    /// and how many there are in all.
    async fn rules(&self, at: &At, scope: &Scope) -> Result<(Vec<Version>, u32)> {
        const WANTED: &[(&[Kind], &[Trust])] = &[
            (&[Kind::Procedural, Kind::Profile], &[Trust::T1, Trust::T2, Trust::T3]),
            (&[Kind::Semantic], &[Trust::T1, Trust::T2]),
        ];
        let pinned = Filter { tags: vec![PINNED.to_owned()], scope: scope.clone(), ..Filter::default() };
        let listing = self.engine.page(at, &pinned, Page { offset: 0, limit: RULES_MAX }).await?;
        let (mut found, mut total) = (listing.memories, listing.total);
        for (kinds, trusts) in WANTED {
            for trust in *trusts {
                let filter =
                    Filter { kinds: kinds.to_vec(), trust: Some(*trust), scope: scope.clone(), ..Filter::default() };
                let listing = self.engine.page(at, &filter, Page { offset: 0, limit: RULES_MAX }).await?;
                let (rules, twice): (Vec<_>, Vec<_>) =
                    listing.memories.into_iter().partition(|version| !version.memory.pinned);
                total += listing.total - twice.len() as u32;
                found.extend(rules);
            }
        }
        found.sort_by_key(|version| {
            let memory = &version.memory;
            let is_fact = memory.kind == Kind::Semantic;
            (!memory.pinned, memory.trust, memory.project.is_none(), is_fact, std::cmp::Reverse(memory.observed_at))
        });
        Ok((found, total))
    }

    /// What has changed since a look, and the newest of it that the agent has not written itself; `None` where nothing
    /// has, or where it cannot be told any more.
    async fn news(&self, at: &At, agent: &str, look: Look, scope: &Scope) -> Result<Option<(News, Vec<Version>)>> {
        let then = match self.engine.resolve(&Revision::Commit(look.commit.to_string()), look.at).await {
            Ok(then) => then,
            // Compacted since, or of another store.
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let filter = Filter { scope: scope.clone(), ..Filter::default() };
        let first = self.engine.diff(&then, at, &filter, Page { offset: 0, limit: CHANGES_MAX }).await?;
        let total = first.counts.moved();
        let differences = if total > CHANGES_MAX {
            let page = Page { offset: total - CHANGES_MAX, limit: CHANGES_MAX };
            self.engine.diff(&then, at, &filter, page).await?.differences
        } else {
            first.differences
        };
        let newest: Vec<Difference> = differences.into_iter().rev().collect();
        let ids: Vec<_> = newest.iter().filter_map(|one| one.after).collect();
        let memories = self.engine.versions(&ids).await?;
        let mut own = 0;
        let mut fresh = Vec::new();
        for (id, memory) in ids.into_iter().zip(memories) {
            let Some(memory) = memory else { continue };
            if memory.origin.agent.as_deref().is_some_and(|said| is_agent(agent, said)) {
                own += 1;
            } else {
                fresh.push(Version { id, memory });
            }
        }
        let is_news = total > own;
        Ok(is_news.then_some((News { since: look.at, counts: first.counts, own }, fresh)))
    }

    async fn open_conflicts(&self, branch: &Name, at: &At) -> Result<Option<u32>> {
        let Some(pending) = self.engine.pending(branch).await? else { return Ok(None) };
        let plan = Plan::Merge { theirs: pending.theirs, rule: Rule::Fail, resolutions: pending.resolutions };
        let none = Page { offset: u32::MAX, limit: 1 };
        Ok(Some(self.engine.plan(at, &plan, none).await?.conflicts.len() as u32))
    }
}

/// Whether an agent that calls itself `said` is the one that `init` knows as `agent`: clients call themselves
/// `claude-code`, `gemini-cli-mcp-client`, `Kiro CLI`.
pub fn is_agent(agent: &str, said: &str) -> bool {
    said.to_lowercase().contains(&agent.to_lowercase())
}

/// What reads like an order to an agent is not put before one unasked, unless a person has looked at it.
fn is_withheld(flags: &[String], trust: Trust) -> bool {
    !flags.is_empty() && trust >= Trust::T3
}

fn empty(caller: &Caller, seen: &Seen) -> Briefed {
    let project: Option<ProjectId> = caller.project.clone();
    Briefed {
        text: String::new(),
        point: seen.point(),
        project,
        told: Vec::new(),
        left_out: 0,
        withheld: 0,
        news: None,
        open_conflicts: None,
    }
}

/// Cut to what a briefing shows of a memory of this sort.
fn shortened(mut told: Told) -> Told {
    let chars_max = if told.why == Why::News { NEWS_CHARS_MAX } else { TEXT_CHARS_MAX };
    let memory = &mut told.memory.memory;
    memory.metadata.clear();
    if memory.text.chars().count() > chars_max {
        memory.text = one_line(&memory.text, chars_max);
        told.is_shortened = true;
    }
    told
}

/// Leaves out what matters least until the text is within its budget. What is pinned goes last; news, which is told
/// shortly, goes after the rules. While the bare texts alone are too long, nothing is written.
fn fit(briefed: &mut Briefed, budget_tokens: u32, written: fn(&Briefed) -> String) {
    let mut bare: u32 = briefed.told.iter().map(bare_tokens).sum();
    loop {
        if bare <= budget_tokens {
            briefed.text = written(briefed);
            if tokens_of(&briefed.text) <= budget_tokens {
                return;
            }
        }
        let last = |why| briefed.told.iter().rposition(|told| told.why == why);
        let least = last(Why::Relevant).or_else(|| last(Why::Rule)).or_else(|| last(Why::News));
        let Some(least) = least.or_else(|| last(Why::Pinned)) else {
            // Not even the headings fit.
            briefed.text.clear();
            return;
        };
        bare -= bare_tokens(&briefed.told.remove(least));
        briefed.left_out += 1;
    }
}

fn bare_tokens(told: &Told) -> u32 {
    tokens_of(&told.memory.memory.text)
}

/// The first bytes of a text, at most so many, whole characters.
fn beginning(text: &str, bytes_max: usize) -> &str {
    debug_assert!(bytes_max <= limits::QUESTION_BYTES_MAX);
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].trim_end()
}
