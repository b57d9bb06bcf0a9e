//! Arguments of the tools that store, find, correct and forget memories. It never looks at a memory.

use super::super::arguments::Arguments;
use super::{branch_of, page, place, session, subject, view, wrong};
use crate::clock;
use crate::error::Result;
use crate::model::Filter;
use crate::wire::message::{
    Correct, Depth, Expiry, List, Marks, Place, Profile, Purge, PurgeTarget, Rate, Request, Retrieve, SessionScope,
    Store, Target,
};

pub fn store(from: &mut Arguments) -> Result<Request> {
    Ok(Request::Store(Store {
        branch: branch_of(from, "branch")?,
        text: from.required_text("content")?,
        kind: from.parsed("memory_type", str::parse)?,
        tags: from.texts("tags")?,
        trust: from.parsed("trust_tier", str::parse)?,
        place: match place(from)?.unwrap_or_default() {
            Place::Everywhere => {
                return wrong("`project`: a memory is stored in one project; give \"global\" to share it with all.");
            }
            place => place,
        },
        session: session(from)?,
        subject: subject(from)?,
        metadata: from.object("extra_metadata")?,
        observed_at: None,
        source: None,
        expires_at: from.parsed("expires_at", |text| clock::parse_until(text, clock::now()))?,
        is_pinned: from.yes("pinned")?,
    }))
}

pub fn retrieve(from: &mut Arguments) -> Result<Request> {
    let question = from.required_text("query")?;
    let top_k = from.number("top_k", 0, 1)?;
    let max_tokens = from.number("max_tokens", 0, 1)?;
    let filter = Filter {
        kinds: from.words("memory_types")?,
        tags: from.texts("tags")?,
        session: session(from)?,
        subject: subject(from)?,
        ..Filter::default()
    };
    let session_scope = session_scope(from, &filter)?;
    let explain = from.flag("explain", &["basic", "verbose", "analyze", "true"], &["none", "false"])?;
    let (place, view) = (place(from)?.unwrap_or_default(), view(from)?);
    Ok(Request::Retrieve(Retrieve { view, question, top_k, max_tokens, place, filter, session_scope, explain }))
}

pub fn list(from: &mut Arguments) -> Result<Request> {
    let page = page(from, 20)?;
    let filter = Filter {
        kinds: from.words("memory_type")?,
        tags: from.texts("tags")?,
        session: session(from)?,
        subject: subject(from)?,
        trust: from.parsed("trust_tier", str::parse)?,
        ..Filter::default()
    };
    Ok(Request::List(List { view: view(from)?, place: place(from)?.unwrap_or_default(), filter, page }))
}

pub fn correct(from: &mut Arguments) -> Result<Request> {
    let id = from.text("memory_id")?;
    let question = from.text("query")?;
    let text = from.required_text("new_content")?;
    let reason = from.text("reason")?;
    let trust = from.parsed("trust_tier", str::parse)?;
    let (kinds, session, subject) = (from.words("memory_types")?, session(from)?, subject(from)?);
    let filter = Filter { kinds, session, subject, ..Filter::default() };
    let session_scope = session_scope(from, &filter)?;
    let place = place(from)?.unwrap_or_default();
    let branch = branch_of(from, "branch")?;
    let target = match (id, question) {
        (Some(id), None) if filter == Filter::default() && place == Place::Here => Target::Id(id),
        (Some(_), None) => {
            let why = "`memory_types`, `session_id`, `subject_id` and `project` narrow a `query`: \
                       leave them out with `memory_id`.";
            return wrong(why);
        }
        (None, Some(question)) => Target::Question { question, place, filter, session_scope },
        _ => return wrong("memory_correct needs either `memory_id` or `query`."),
    };
    let expiry = from.parsed("expires_at", |text| match text {
        "never" => Ok(Expiry::Never),
        text => clock::parse_until(text, clock::now()).map(Expiry::At),
    })?;
    let marks = Marks { pinned: from.choice("pinned")?, expiry: expiry.unwrap_or_default() };
    Ok(Request::Correct(Correct { branch, target, text, reason, trust, tags: None, marks }))
}

pub fn purge(from: &mut Arguments) -> Result<Request> {
    let ids = from.list("memory_id")?;
    let topic = from.text("topic")?;
    let session = session(from)?;
    let kinds = from.words("memory_types")?;
    let place = place(from)?.unwrap_or_default();
    let reason = from.text("reason")?;
    let depth = if from.yes("erase")? { Depth::Bytes } else { Depth::State };
    let branch = branch_of(from, "branch")?;
    if !kinds.is_empty() && session.is_none() {
        return wrong("`memory_types` narrows `session_id`: give that too, or leave both out.");
    }
    if place != Place::Here && topic.is_none() {
        return wrong("`project` narrows `topic`: give that too, or leave `project` out.");
    }
    let target = match (ids, topic, session) {
        (ids, None, None) if !ids.is_empty() => PurgeTarget::Ids(ids),
        (ids, Some(topic), None) if ids.is_empty() => PurgeTarget::Topic { topic, place },
        (ids, None, Some(session)) if ids.is_empty() => PurgeTarget::Session { session, kinds },
        _ => return wrong("memory_purge needs exactly one of `memory_id`, `topic` and `session_id`."),
    };
    Ok(Request::Purge(Purge { branch, target, depth, reason }))
}

pub fn feedback(from: &mut Arguments) -> Result<Request> {
    let id = from.required_text("memory_id")?;
    let signal = from.required("signal", str::parse)?;
    // Memoria's tool takes a sentence that nobody ever read.
    if from.unlisted(|from| from.text("context"))?.is_some() {
        return wrong(
            "memory_feedback keeps no `context`: leave it out, and memory_correct the memory if it is wrong.",
        );
    }
    Ok(Request::Feedback(Rate { id, signal }))
}

pub fn profile(from: &mut Arguments) -> Result<Request> {
    Ok(Request::Profile(Profile {
        subject: subject(from)?,
        limit: from.number("limit", 0, 1)?,
        place: place(from)?.unwrap_or_default(),
        view: view(from)?,
    }))
}

fn session_scope(from: &mut Arguments, filter: &Filter) -> Result<SessionScope> {
    match from.text("session_scope")?.as_deref() {
        None => Ok(SessionScope::Prefer),
        Some("prefer" | "only") if filter.session.is_none() => {
            wrong("`session_scope` says how to treat `session_id`: give that too, or neither.")
        }
        Some("prefer") => Ok(SessionScope::Prefer),
        Some("only") => Ok(SessionScope::Only),
        Some(_) => wrong("`session_scope` must be \"prefer\" or \"only\"."),
    }
}
