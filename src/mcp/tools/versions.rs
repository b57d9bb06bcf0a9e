//! Arguments of the tools that compare states, make one branch into something else, and tell what happened.
//! It never works out a revision: what names a state goes on as it was given.

use super::super::arguments::Arguments;
use super::{branch_of, page, place, session, view, wrong};
use crate::error::{Error, Result};
use crate::model::{Filter, Later, Name, OriginFilter, ProjectId, Rule, Source, Walk};
use crate::wire::message::{
    Apply, Back, Blame, Diff, Log, Lookalikes, Merge, Mode, Pick, Place, Request, Resolve, Revert, Rollback, Settle,
    Side, Undo, Way,
};

/// Changes that an answer shows where the agent does not say how many.
const CHANGES: u32 = 20;

pub fn diff(from: &mut Arguments) -> Result<Request> {
    let source = from.required_text("source")?;
    let against = from.text("against")?;
    let branch = branch_of(from, "branch")?;
    Ok(Request::Diff(Diff {
        from: against.or_else(|| branch.as_ref().map(Name::to_string)),
        to: Some(source),
        branch,
        // What a merge would bring is brought whatever its project.
        place: place(from)?.unwrap_or(Place::Everywhere),
        filter: Filter::default(),
        page: page(from, 50)?,
        alike: Lookalikes::Find,
    }))
}

pub fn merge(from: &mut Arguments) -> Result<Request> {
    Ok(Request::Merge(Merge {
        source: from.required_text("source")?,
        into: target(from)?,
        rule: rule(from)?,
        note: None,
        mode: mode(from)?,
        page: page(from, CHANGES)?,
    }))
}

pub fn pick(from: &mut Arguments) -> Result<Request> {
    let source = from.required_text("source")?;
    let ids = from.list("ids")?;
    let selector = from.inside("selector", "`selector` of memory_pick")?;
    let (into, rule, mode, page) = (target(from)?, rule(from)?, mode(from)?, page(from, CHANGES)?);
    let pick = |what| Request::Pick(Pick { what, from: source, into: into.clone(), rule, mode, page });
    let mut selector = match (ids.is_empty(), selector) {
        (false, None) => return Ok(pick(ids)),
        (true, Some(selector)) => selector,
        _ => return wrong("memory_pick needs either `ids` or `selector`."),
    };
    let request = match selector.required_text("type")?.as_str() {
        "key_list" => match selector.list("keys")? {
            keys if keys.is_empty() => return wrong("a `selector` of type key_list needs `keys`, a list of ids."),
            keys => pick(keys),
        },
        "snapshot_range" => {
            let (start, end) = (selector.required_text("from_snapshot")?, selector.required_text("to_snapshot")?);
            Request::Apply(Apply { from: Some(start), to: end, ids: Vec::new(), into, rule, mode, page })
        }
        "retrieve" => {
            return wrong("first ask memory_retrieve with `branch`, then give memory_pick the `ids` that you want.");
        }
        _ => return wrong("the `type` of a `selector` is key_list or snapshot_range."),
    };
    selector.end()?;
    Ok(request)
}

pub fn apply(from: &mut Arguments) -> Result<Request> {
    Ok(Request::Apply(Apply {
        to: from.required_text("source")?,
        from: from.text("against")?,
        ids: from.list("ids")?,
        into: target(from)?,
        rule: rule(from)?,
        mode: mode(from)?,
        page: page(from, CHANGES)?,
    }))
}

pub fn rollback(from: &mut Arguments) -> Result<Request> {
    let name = from.text("name")?;
    let (agent, session, project) = (agent(from)?, session(from)?, project(from)?);
    let origin = from.parsed("origin", |text| {
        Ok(text.parse::<Source>().map_or_else(|_| OriginFilter::Named(text.to_owned()), OriginFilter::Source))
    })?;
    let (since, until) = (from.when("since")?, from.when("until")?);
    let later = later(from)?;
    let narrows = agent.is_some()
        || session.is_some()
        || project.is_some()
        || origin.is_some()
        || since.is_some()
        || until.is_some();
    let what = match (name, narrows) {
        (Some(_), false) if later == Later::Take => {
            return wrong(
                "`force` is about later work of others; with `name` the whole branch goes back: leave it out.",
            );
        }
        (Some(name), false) => Back::To(name),
        (None, true) => Back::Of { agent, session, project, origin, since, until, later },
        (Some(_), true) => {
            return wrong("memory_rollback takes `name`, or filters (`agent`, `since` …), not both.");
        }
        (None, false) => {
            let why = "memory_rollback needs `name` (a snapshot, a commit or a time), or whose writes are taken back: \
                       `agent`, `session_id`, `project`, `origin`, `since` or `until`.";
            return wrong(why);
        }
    };
    let branch = branch_of(from, "branch")?;
    Ok(Request::Rollback(Rollback { branch, what, mode: mode(from)?, page: page(from, CHANGES)? }))
}

pub fn revert(from: &mut Arguments) -> Result<Request> {
    let commits = from.list("commit")?;
    if commits.is_empty() {
        return wrong("memory_revert needs `commit`: an id from memory_log, or several with commas.");
    }
    let (branch, later) = (branch_of(from, "branch")?, later(from)?);
    Ok(Request::Revert(Revert { commits, branch, later, mode: mode(from)?, page: page(from, CHANGES)? }))
}

pub fn undo(from: &mut Arguments) -> Result<Request> {
    way(from, Way::Undo)
}

pub fn redo(from: &mut Arguments) -> Result<Request> {
    way(from, Way::Redo)
}

fn way(from: &mut Arguments, way: Way) -> Result<Request> {
    let (count, branch) = (from.number("count", 1, 1)?, branch_of(from, "branch")?);
    Ok(Request::Undo(Undo { way, count, branch, mode: mode(from)?, page: page(from, CHANGES)? }))
}

pub fn resolve(from: &mut Arguments) -> Result<Request> {
    let ids = from.list("memory_id")?;
    let all = from.yes("all")?;
    let take = from.parsed("take", |text| match text {
        "base" => Ok(Side::Base),
        "ours" => Ok(Side::Ours),
        "theirs" => Ok(Side::Theirs),
        _ => Err(Error::invalid("a side is base, ours or theirs")),
    })?;
    let text = from.text("text")?;
    let (commit, abort) = (from.yes("commit")?, from.yes("abort")?);
    let what = match (take, text, commit, abort) {
        (None, None, false, false) if ids.is_empty() && !all => Settle::Look,
        (Some(side), None, false, false) if ids.is_empty() == all => Settle::Take { ids, side },
        (None, Some(text), false, false) if !all && ids.len() == 1 => Settle::Text { id: ids.concat(), text },
        (None, None, true, false) if ids.is_empty() && !all => Settle::Commit,
        (None, None, false, true) if ids.is_empty() && !all => Settle::Abort,
        _ => {
            let why = "memory_resolve does one thing at a time: `memory_id` with `take` or (one id) with `text`, `all` \
                       with `take`, `commit`, `abort`, or, without any of them, lists what is open.";
            return wrong(why);
        }
    };
    Ok(Request::Resolve(Resolve { into: target(from)?, what, page: page(from, CHANGES)? }))
}

pub fn log(from: &mut Arguments) -> Result<Request> {
    Ok(Request::Log(Log {
        memory: from.text("memory_id")?,
        agent: agent(from)?,
        session: session(from)?,
        project: project(from)?,
        since: from.when("since")?,
        until: from.when("until")?,
        walk: if from.yes("all")? { Walk::All } else { Walk::Branch },
        page: page(from, 20)?,
        view: view(from)?,
    }))
}

pub fn blame(from: &mut Arguments) -> Result<Request> {
    Ok(Request::Blame(Blame { id: from.required_text("memory_id")?, view: view(from)? }))
}

/// The branch that is made into something else. Every other tool calls it `branch`, so that will do here too.
fn target(from: &mut Arguments) -> Result<Option<Name>> {
    let target = branch_of(from, "target")?;
    let branch = from.unlisted(|from| branch_of(from, "branch"))?;
    match (target, branch) {
        (Some(_), Some(_)) => wrong("`target` and `branch` mean the same here: give one of them."),
        (target, branch) => Ok(target.or(branch)),
    }
}

/// What becomes of conflicts; Memoria's words for it too.
fn rule(from: &mut Arguments) -> Result<Rule> {
    let rule = from.parsed("strategy", |text| match text {
        "fail" => Ok(Rule::Fail),
        "ours" | "skip" | "append" => Ok(Rule::Ours),
        "theirs" | "accept" | "replace" => Ok(Rule::Theirs),
        _ => Err(Error::invalid("a strategy is fail, ours (also: skip, append) or theirs (also: accept, replace)")),
    })?;
    Ok(rule.unwrap_or_default())
}

fn mode(from: &mut Arguments) -> Result<Mode> {
    Ok(if from.yes("dry_run")? { Mode::DryRun } else { Mode::Do })
}

fn later(from: &mut Arguments) -> Result<Later> {
    Ok(if from.yes("force")? { Later::Take } else { Later::Keep })
}

/// What people typed is by "you"; to an agent that word means the agent.
fn agent(from: &mut Arguments) -> Result<Option<String>> {
    Ok(from.text("agent")?.map(|agent| if agent == "user" { "you".to_owned() } else { agent }))
}

fn project(from: &mut Arguments) -> Result<Option<ProjectId>> {
    from.parsed("project", |text| ProjectId::new(text))
}
