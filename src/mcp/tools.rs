//! The tools: what an agent is shown of each (`tools.json`) and how a call's arguments become a request.
//! Names and parameters are Memoria's, so that rules written for it keep working. It never answers a call.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use crate::error::{Error, Result};
use crate::model::{Filter, Page, ProjectId, SessionId, SubjectId};
use crate::wire::message::{
    Correct, Depth, List, Place, Purge, PurgeTarget, Request, Retrieve, SessionScope, Store, Target, View,
};

/// In the order in which they are listed.
pub const NAMES: [&str; 5] = ["memory_store", "memory_retrieve", "memory_list", "memory_correct", "memory_purge"];

/// One call, understood.
pub struct Call {
    pub request: Request,
    pub asked: Asked,
}

/// What the reply must know of the call.
#[derive(Clone, Copy, Default)]
pub struct Asked {
    /// Of a listing: how many memories come before it.
    pub offset: u32,
    /// The agent asked about a place by name, so the reply names each memory's.
    pub shows_projects: bool,
}

/// The list of tools, as JSON text, as this protocol version knows them: annotations since 2025-03-26, output
/// schemas since 2025-06-18. Each of the three is written once.
pub fn listed(version: &str) -> &'static str {
    static SHAPES: [OnceLock<String>; 3] = [const { OnceLock::new() }; 3];
    let (shape, unknown): (usize, &[&str]) = match version {
        older if older < "2025-03-26" => (0, &["annotations", "outputSchema"]),
        older if older < "2025-06-18" => (1, &["outputSchema"]),
        _ => (2, &[]),
    };
    SHAPES[shape].get_or_init(|| written(unknown))
}

/// `tools.json` without these fields, and with what a memory looks like put into each output schema.
fn written(unknown: &[&str]) -> String {
    // A test reads the file, so it is right in every build.
    let Ok(mut file) = serde_json::from_str::<Value>(include_str!("tools.json")) else { return "[]".to_owned() };
    let memory = file["memory"].take();
    for tool in file["tools"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        tool.retain(|field, _| !unknown.contains(&field.as_str()));
        if let Some(schema) = tool.get_mut("outputSchema") {
            schema["$defs"] = json!({ "memory": memory });
        }
    }
    file["tools"].to_string()
}

/// `None` when there is no such tool; an error is a sentence for the model.
pub fn read(name: &str, given: Map<String, Value>) -> Option<Result<Call>> {
    let tool = NAMES.into_iter().find(|known| *known == name)?;
    let mut arguments = Arguments::new(tool, given);
    Some(understood(tool, &mut arguments).and_then(|call| arguments.end().map(|()| call)))
}

fn understood(tool: &'static str, from: &mut Arguments) -> Result<Call> {
    // There are no branches yet; `main` is what everything happens on.
    if let Some(branch) = from.text("branch")?.filter(|branch| branch != "main") {
        let branch: String = branch.chars().filter(|c| !c.is_control()).take(60).collect();
        return Err(Error::not_found(format!("there is no branch `{branch}`, only `main`. Leave `branch` out.")));
    }
    from.known.clear();
    let mut asked = Asked::default();
    let request = match tool {
        "memory_store" => Request::Store(store(from)?),
        "memory_retrieve" => Request::Retrieve(retrieve(from)?),
        "memory_list" => Request::List(list(from)?),
        "memory_correct" => Request::Correct(correct(from)?),
        _ => Request::Purge(purge(from)?),
    };
    match &request {
        Request::List(list) => asked = Asked { offset: list.page.offset, shows_projects: list.place != Place::Here },
        Request::Retrieve(retrieve) => asked.shows_projects = retrieve.place != Place::Here,
        _ => {}
    }
    Ok(Call { request, asked })
}

fn store(from: &mut Arguments) -> Result<Store> {
    Ok(Store {
        branch: None,
        text: from.required_text("content")?,
        kind: from.parsed("memory_type", str::parse)?,
        tags: from.texts("tags")?,
        trust: from.parsed("trust_tier", str::parse)?,
        place: match place(from)? {
            Place::Everywhere => {
                let why = "`project`: a memory is stored in one project; give \"global\" to share it with all.";
                return Err(Error::invalid(why));
            }
            place => place,
        },
        session: session(from)?,
        subject: subject(from)?,
        metadata: from.object("extra_metadata")?,
        observed_at: None,
        source: None,
    })
}

fn retrieve(from: &mut Arguments) -> Result<Retrieve> {
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
    Ok(Retrieve {
        view: View::default(),
        question,
        top_k,
        max_tokens,
        place: place(from)?,
        filter,
        session_scope,
        explain,
    })
}

fn list(from: &mut Arguments) -> Result<List> {
    let page = Page { limit: from.number("limit", 20, 0)?, offset: from.number("offset", 0, 0)? };
    let filter = Filter {
        kinds: from.words("memory_type")?,
        tags: from.texts("tags")?,
        session: session(from)?,
        subject: subject(from)?,
        trust: from.parsed("trust_tier", str::parse)?,
        ..Filter::default()
    };
    Ok(List { view: View::default(), place: place(from)?, filter, page })
}

fn correct(from: &mut Arguments) -> Result<Correct> {
    let id = from.text("memory_id")?;
    let question = from.text("query")?;
    let text = from.required_text("new_content")?;
    let reason = from.text("reason")?;
    let (kinds, session, subject) = (from.words("memory_types")?, session(from)?, subject(from)?);
    let filter = Filter { kinds, session, subject, ..Filter::default() };
    let session_scope = session_scope(from, &filter)?;
    let place = place(from)?;
    let target = match (id, question) {
        (Some(id), None) if filter == Filter::default() && place == Place::Here => Target::Id(id),
        (Some(_), None) => {
            let why = "`memory_types`, `session_id`, `subject_id` and `project` narrow a `query`: \
                       leave them out with `memory_id`.";
            return Err(Error::invalid(why));
        }
        (None, Some(question)) => Target::Question { question, place, filter, session_scope },
        _ => return Err(Error::invalid("memory_correct needs either `memory_id` or `query`.")),
    };
    Ok(Correct { branch: None, target, text, reason, trust: None, tags: None })
}

fn purge(from: &mut Arguments) -> Result<Purge> {
    let ids = from.parsed("memory_id", |text| Ok(id_list(text)))?;
    let topic = from.text("topic")?;
    let session = session(from)?;
    let kinds = from.words("memory_types")?;
    let place = place(from)?;
    let reason = from.text("reason")?;
    if !kinds.is_empty() && session.is_none() {
        return Err(Error::invalid("`memory_types` narrows `session_id`: give that too, or leave both out."));
    }
    if place != Place::Here && topic.is_none() {
        return Err(Error::invalid("`project` narrows `topic`: give that too, or leave `project` out."));
    }
    let target = match (ids, topic, session) {
        (Some(ids), None, None) if !ids.is_empty() => PurgeTarget::Ids(ids),
        (None, Some(topic), None) => PurgeTarget::Topic { topic, place },
        (None, None, Some(session)) => PurgeTarget::Session { session, kinds },
        _ => return Err(Error::invalid("memory_purge needs exactly one of `memory_id`, `topic` and `session_id`.")),
    };
    Ok(Purge { branch: None, target, depth: Depth::State, reason })
}

fn id_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect()
}

fn session_scope(from: &mut Arguments, filter: &Filter) -> Result<SessionScope> {
    match from.text("session_scope")?.as_deref() {
        None => Ok(SessionScope::Prefer),
        Some("prefer" | "only") if filter.session.is_none() => {
            Err(Error::invalid("`session_scope` says how to treat `session_id`: give that too, or neither."))
        }
        Some("prefer") => Ok(SessionScope::Prefer),
        Some("only") => Ok(SessionScope::Only),
        Some(_) => Err(Error::invalid("`session_scope` must be \"prefer\" or \"only\".")),
    }
}

fn session(from: &mut Arguments) -> Result<Option<SessionId>> {
    from.parsed("session_id", |text| SessionId::new(text))
}

fn subject(from: &mut Arguments) -> Result<Option<SubjectId>> {
    from.parsed("subject_id", |text| SubjectId::new(text))
}

fn place(from: &mut Arguments) -> Result<Place> {
    let place = from.parsed("project", |text| match text {
        "global" => Ok(Place::Global),
        "*" => Ok(Place::Everywhere),
        name => ProjectId::new(name).map(Place::Named),
    })?;
    Ok(place.unwrap_or_default())
}
