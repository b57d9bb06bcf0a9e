//! The tools: what an agent is shown of each (`tools.json`) and how a call's arguments become a request
//! (`memories`: of the present; `names`: branches and snapshots; `versions`: states, merges and histories).
//! Names and parameters are Memoria's, so that rules written for it keep working. It never answers a call.

mod memories;
mod names;
mod versions;

use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::Profile;
use super::arguments::Arguments;
use crate::error::{Error, Result};
use crate::model::{Name, Page, ProjectId, SessionId, SubjectId};
use crate::wire::message::{Branch, Place, Request, Snapshot, View};

type Reader = fn(&mut Arguments) -> Result<Request>;

/// In the order in which they are listed, those of the core profile first.
const TOOLS: [(&str, Reader); 25] = [
    ("memory_store", memories::store),
    ("memory_retrieve", memories::retrieve),
    ("memory_list", memories::list),
    ("memory_correct", memories::correct),
    ("memory_purge", memories::purge),
    ("memory_feedback", memories::feedback),
    ("memory_snapshot", names::snapshot),
    ("memory_branch", names::branch),
    ("memory_checkout", names::checkout),
    ("memory_diff", versions::diff),
    ("memory_merge", versions::merge),
    ("memory_rollback", versions::rollback),
    ("memory_profile", memories::profile),
    ("memory_snapshots", names::snapshots),
    ("memory_snapshot_delete", names::snapshot_delete),
    ("memory_branches", names::branches),
    ("memory_branch_delete", names::branch_delete),
    ("memory_pick", versions::pick),
    ("memory_apply", versions::apply),
    ("memory_log", versions::log),
    ("memory_blame", versions::blame),
    ("memory_undo", versions::undo),
    ("memory_redo", versions::redo),
    ("memory_revert", versions::revert),
    ("memory_resolve", versions::resolve),
];

/// Every tool that answers.
pub fn names() -> Vec<&'static str> {
    TOOLS.iter().map(|(name, _)| *name).collect()
}

/// The list of tools, as JSON text, as this protocol version knows them: annotations since 2025-03-26, output
/// schemas since 2025-06-18. Each of the six is written once.
pub fn listed(version: &str, profile: Profile) -> &'static str {
    static SHAPES: [[OnceLock<String>; 3]; 2] = [const { [const { OnceLock::new() }; 3] }; 2];
    let (shape, unknown): (usize, &[&str]) = match version {
        older if older < "2025-03-26" => (0, &["annotations", "outputSchema"]),
        older if older < "2025-06-18" => (1, &["outputSchema"]),
        _ => (2, &[]),
    };
    SHAPES[profile as usize][shape].get_or_init(|| written(unknown, profile))
}

/// `tools.json` without what this list leaves out, and with what an output schema refers to put into it.
fn written(unknown: &[&str], profile: Profile) -> String {
    // A test reads the file, so it is right in every build.
    let Ok(mut file) = serde_json::from_str::<Value>(include_str!("../tools.json")) else { return "[]".to_owned() };
    let (defs, shapes, tools) = (file["defs"].take(), file["shapes"].take(), file["tools"].take());
    let Value::Array(mut tools) = tools else { return "[]".to_owned() };
    tools.retain(|tool| tool["profile"] != "full" || profile == Profile::Full);
    for tool in tools.iter_mut().filter_map(Value::as_object_mut) {
        tool.retain(|field, _| field != "profile" && !unknown.contains(&field.as_str()));
        if let Some(schema) = tool.get_mut("outputSchema") {
            if let Some(shape) = schema.as_str() {
                *schema = shapes[shape].clone();
            }
            let mut used = Map::new();
            refer(schema, &defs, &mut used);
            schema["$defs"] = Value::Object(used);
        }
    }
    Value::Array(tools).to_string()
}

/// Collects what a schema refers to, and what that refers to.
fn refer(schema: &Value, defs: &Value, used: &mut Map<String, Value>) {
    match schema {
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/"));
            if let Some(name) = name.filter(|name| !used.contains_key(*name)) {
                used.insert(name.to_owned(), defs[name].clone());
                refer(&defs[name], defs, used);
            }
            fields.values().for_each(|field| refer(field, defs, used));
        }
        Value::Array(items) => items.iter().for_each(|item| refer(item, defs, used)),
        _ => {}
    }
}

/// One call, understood.
pub struct Call {
    pub request: Request,
    pub asked: Asked,
}

/// What the reply must know of the call.
pub struct Asked {
    pub tool: &'static str,
    /// Of a listing: how many come before it.
    pub offset: u32,
    /// The agent asked about a place by name, so the reply names each memory's.
    pub shows_projects: bool,
    pub naming: Naming,
}

impl Asked {
    /// The first page of what this tool would answer.
    pub fn of(tool: &'static str) -> Self {
        Self { tool, offset: 0, shows_projects: false, naming: Naming::Nothing }
    }
}

/// What was asked about the names of branches and snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    Nothing,
    Lists,
    Creates,
    Renames,
    Deletes,
    Restores,
    ChecksOut,
}

/// `None` when there is no such tool; an error is a sentence for the model.
pub fn read(name: &str, given: Map<String, Value>) -> Option<Result<Call>> {
    let (tool, reader) = TOOLS.iter().find(|(known, _)| *known == name)?;
    let mut from = Arguments::new(tool, given);
    Some(reader(&mut from).and_then(|request| {
        from.end()?;
        let (page, place) = shown(&request);
        let (offset, shows_projects) = (page.offset, *place != Place::Here);
        let asked = Asked { tool, offset, shows_projects, naming: naming(&request) };
        Ok(Call { request, asked })
    }))
}

/// The part of the answer that a request wants, and where it looks.
fn shown(request: &Request) -> (Page, &Place) {
    let (none, here) = (Page::default(), &Place::Here);
    match request {
        Request::Retrieve(ask) => (none, &ask.place),
        Request::List(ask) => (ask.page, &ask.place),
        Request::Profile(ask) => (none, &ask.place),
        Request::Diff(ask) => (ask.page, &ask.place),
        Request::Log(ask) => (ask.page, here),
        Request::Snapshot(Snapshot::List { page, .. }) => (*page, here),
        Request::Merge(ask) => (ask.page, here),
        Request::Pick(ask) => (ask.page, here),
        Request::Apply(ask) => (ask.page, here),
        Request::Rollback(ask) => (ask.page, here),
        Request::Revert(ask) => (ask.page, here),
        Request::Undo(ask) => (ask.page, here),
        Request::Resolve(ask) => (ask.page, here),
        _ => (none, here),
    }
}

fn naming(request: &Request) -> Naming {
    match request {
        Request::Branch(Branch::List { .. }) | Request::Snapshot(Snapshot::List { .. }) => Naming::Lists,
        Request::Branch(Branch::Create { .. }) | Request::Snapshot(Snapshot::Create { .. }) => Naming::Creates,
        Request::Branch(Branch::Rename { .. }) => Naming::Renames,
        Request::Branch(Branch::Delete { .. }) | Request::Snapshot(Snapshot::Delete(_)) => Naming::Deletes,
        Request::Branch(Branch::Restore { .. }) | Request::Snapshot(Snapshot::Restore { .. }) => Naming::Restores,
        Request::Checkout(_) => Naming::ChecksOut,
        _ => Naming::Nothing,
    }
}

fn branch_of(from: &mut Arguments, parameter: &'static str) -> Result<Option<Name>> {
    from.parsed(parameter, str::parse)
}

fn view(from: &mut Arguments) -> Result<View> {
    Ok(View { branch: branch_of(from, "branch")?, at: from.text("at")? })
}

fn page(from: &mut Arguments, limit: u32) -> Result<Page> {
    Ok(Page { limit: from.number("limit", limit, 0)?, offset: from.number("offset", 0, 0)? })
}

fn session(from: &mut Arguments) -> Result<Option<SessionId>> {
    from.parsed("session_id", |text| SessionId::new(text))
}

fn subject(from: &mut Arguments) -> Result<Option<SubjectId>> {
    from.parsed("subject_id", |text| SubjectId::new(text))
}

fn place(from: &mut Arguments) -> Result<Option<Place>> {
    from.parsed("project", |text| match text {
        "global" => Ok(Place::Global),
        "*" => Ok(Place::Everywhere),
        name => ProjectId::new(name).map(Place::Named),
    })
}

fn wrong<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::invalid(why))
}
