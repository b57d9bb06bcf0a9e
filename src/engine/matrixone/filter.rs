//! A filter as a condition on the columns of `versions` and of branches' tables. What people gave is bound, never
//! written.

use mysql_async::Value;

use super::put;
use crate::model::{Filter, Memory, Scope, Time};

/// The condition, in brackets where it needs them, and what stands for its `?`, in order. An expired memory passes
/// none; at [`Time::MIN`] none has expired.
pub fn condition(filter: &Filter, now: Time) -> (String, Vec<Value>) {
    let mut parts = vec!["(expires_at is null or expires_at > ?)".to_owned()];
    let mut values: Vec<Value> = vec![now.0.into()];
    let mut also = |part: &str, value: Value| {
        parts.push(part.to_owned());
        values.push(value);
    };
    match &filter.scope {
        Scope::All => {}
        Scope::Global => also("(project is null) = ?", 1.into()),
        Scope::Project(project) => also("(project = concat('', ?) or project is null)", project.as_str().into()),
    }
    if let Some(session) = &filter.session {
        also("session = concat('', ?)", session.as_str().into());
    }
    if let Some(subject) = &filter.subject {
        also("subject = concat('', ?)", subject.as_str().into());
    }
    if let Some(agent) = &filter.agent {
        also("agent = concat('', ?)", agent.as_str().into());
    }
    if let Some(trust) = filter.trust {
        also("trust = ?", (trust as u8).into());
    }
    if let Some(since) = filter.since {
        also("observed_at >= ?", since.0.into());
    }
    if let Some(until) = filter.until {
        also("observed_at < ?", until.0.into());
    }
    for tag in &filter.tags {
        also("instr(tags, concat('', ?)) > 0", put::tags([tag.as_str()].into_iter()).into());
    }
    if !filter.kinds.is_empty() {
        parts.push(format!("kind in ({})", vec!["?"; filter.kinds.len()].join(", ")));
        values.extend(filter.kinds.iter().map(|kind| Value::from(*kind as u8)));
    }
    (parts.join(" and "), values)
}

/// The same of a memory that is here, whenever it expires.
pub fn passes(filter: &Filter, memory: &Memory) -> bool {
    let in_scope = match &filter.scope {
        Scope::All => true,
        Scope::Global => memory.project.is_none(),
        Scope::Project(project) => memory.project.as_ref().is_none_or(|of| of == project),
    };
    in_scope
        && (filter.kinds.is_empty() || filter.kinds.contains(&memory.kind))
        && filter.tags.iter().all(|tag| memory.marks().any(|mark| mark == tag))
        && filter.session.as_ref().is_none_or(|session| memory.session.as_ref() == Some(session))
        && filter.subject.as_ref().is_none_or(|subject| memory.subject.as_ref() == Some(subject))
        && filter.agent.as_ref().is_none_or(|agent| memory.origin.agent.as_ref() == Some(agent))
        && filter.trust.is_none_or(|trust| memory.trust == trust)
        && filter.since.is_none_or(|since| memory.observed_at >= since)
        && filter.until.is_none_or(|until| memory.observed_at < until)
}
