//! What an agent's program may attach to a conversation by itself: the briefing, the log of each branch, any memory.
//! Their addresses, what is asked of the daemon for each, and the text of the answer. It never changes anything.

use serde_json::{Map, Value, json};

use super::message::{Code, Failure, Outcome, bytes};
use super::reply;
use super::server::{HAS_STRUCTURED, STATELESS, Version, page_fields};
use super::tools::Asked;
use super::{Backend, prompts};
use crate::error::ErrorKind;
use crate::model::text::one_line;
use crate::model::{Name, OpId, Page};
use crate::wire::message::{Branch, Branches, Brief, Log, Request, Response, Show, View, WhichNames};

const BRIEFING: &str = "memoria://briefing";
const MEMORY: &str = "memoria://memory/";
const BRANCH: &str = "memoria://branch/";
const LOG: &str = "/log";
const MIME: &str = "text/plain";

/// Branches on one page of the list.
const LISTED_MAX: usize = 100;
/// Commits in the log of a branch.
const COMMITS_MAX: u32 = 50;

/// `resources/list`: the briefing, and a log for each branch.
pub async fn list<B: Backend>(backend: B, op: OpId, params: &Map<String, Value>, version: Version) -> Outcome {
    let start = match params.get("cursor") {
        None | Some(Value::Null) => 0,
        Some(cursor) => cursor.as_str().and_then(|text| text.parse::<usize>().ok()).ok_or_else(|| {
            Failure::new(Code::InvalidParams, "`cursor` is not one of ours: leave it out to begin anew")
        })?,
    };
    let names = Request::Branch(Branch::List { names: WhichNames::Living });
    // While the store cannot be opened the briefing is listed all the same: reading it says why.
    let branches = match backend.call(op, names).await {
        Ok(Response::Branches(Branches { branches, .. })) => branches,
        _ => Vec::new(),
    };
    let mut listed = Vec::new();
    if start == 0 {
        let about = "What is worth knowing before you begin: pinned memories, rules, decisions, what is new";
        listed.push(resource("uri", BRIEFING, "briefing", "Briefing", about, version));
    }
    for branch in branches.iter().skip(start).take(LISTED_MAX) {
        let (uri, name) = (log_of(&branch.name), format!("log of {}", branch.name));
        let about = format!("Who changed what on branch {}, newest first", branch.name);
        listed.push(resource("uri", &uri, &name, &format!("Log of {}", branch.name), &about, version));
    }
    let mut result = page_fields(version);
    result.insert("resources".to_owned(), listed.into());
    if branches.len() > start.saturating_add(LISTED_MAX) {
        result.insert("nextCursor".to_owned(), (start + LISTED_MAX).to_string().into());
    }
    Ok(bytes(&Value::Object(result)))
}

/// `resources/templates/list`.
pub fn templates(version: Version) -> Outcome {
    let memory = ("memoria://memory/{id}", "memory", "Memory", "One memory, by its id or a prefix, with its history");
    let log = ("memoria://branch/{name}/log", "log", "Log of a branch", "Who changed what on a branch, newest first");
    let listed =
        [memory, log].map(|(uri, name, title, about)| resource("uriTemplate", uri, name, title, about, version));
    let mut result = page_fields(version);
    result.insert("resourceTemplates".to_owned(), listed.to_vec().into());
    Ok(bytes(&Value::Object(result)))
}

fn resource(key: &str, uri: &str, name: &str, title: &str, about: &str, version: Version) -> Value {
    let mut resource = json!({ key: uri, "name": name, "description": about, "mimeType": MIME });
    if version >= HAS_STRUCTURED {
        resource["title"] = title.into();
    }
    resource
}

/// `resources/read`.
pub async fn read<B: Backend>(backend: B, op: OpId, params: &Map<String, Value>, version: Version) -> Outcome {
    let Some(uri) = params.get("uri").and_then(Value::as_str) else {
        return Err(Failure::new(Code::InvalidParams, "`resources/read` needs `uri`, a text"));
    };
    let Some((request, asked)) = meant(uri) else {
        let why = format!(
            "there is no resource {}; there are {BRIEFING}, {MEMORY}ID and {BRANCH}NAME{LOG}",
            one_line(uri, 200)
        );
        return Err(missing(uri, why, version));
    };
    let response = match backend.call(op, request).await {
        Ok(response) => response,
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Invalid) => {
            return Err(missing(uri, error.message, version));
        }
        Err(error) => return Err(Failure::new(Code::InternalError, error.message)),
    };
    let text = match &response {
        Response::Briefed(briefed) if briefed.text.is_empty() => "Memoria: nothing to tell yet.".to_owned(),
        Response::Briefed(briefed) => briefed.text.clone(),
        response => prompts::text_of(reply::of(&asked, response))?,
    };
    let mut result = page_fields(version);
    result.insert("contents".to_owned(), json!([{ "uri": uri, "mimeType": MIME, "text": text }]));
    Ok(bytes(&Value::Object(result)))
}

/// What an address asks for; `None` where it is none of ours.
fn meant(uri: &str) -> Option<(Request, Asked)> {
    if uri == BRIEFING {
        return Some((Request::Brief(Brief::default()), Asked::of("briefing")));
    }
    if let Some(id) = uri.strip_prefix(MEMORY) {
        let id = decoded(id).filter(|id| !id.is_empty())?;
        return Some((Request::Show(Show { view: View::default(), id }), Asked::of("memory_blame")));
    }
    let name = uri.strip_prefix(BRANCH)?.strip_suffix(LOG)?;
    let branch: Name = decoded(name)?.parse().ok()?;
    let view = View { branch: Some(branch), at: None };
    let page = Page { offset: 0, limit: COMMITS_MAX };
    Some((Request::Log(Log { view, page, ..Log::default() }), Asked::of("memory_log")))
}

/// Of names only what stands in the way of an address is written in hex digits.
fn log_of(branch: &Name) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let mut uri = BRANCH.to_owned();
    for byte in branch.as_str().bytes() {
        match is_plain(byte) {
            true => uri.push(char::from(byte)),
            false => uri += &format!("%{byte:02X}"),
        }
    }
    uri + LOG
}

/// Without its percents; `None` where that is no text.
fn decoded(part: &str) -> Option<String> {
    let mut out = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

/// Until 2025-11-25 a missing resource has a code of its own.
fn missing(uri: &str, why: String, version: Version) -> Failure {
    let code = if version < STATELESS { Code::ResourceNotFound } else { Code::InvalidParams };
    Failure::new(code, why).with_data(json!({ "uri": uri }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_any_branch_is_found_by_its_address() {
        for name in ["main", "try/one", "a.b-c_d", "naïve/测试"] {
            let Ok(name) = name.parse::<Name>() else { continue };
            let Some((Request::Log(log), _)) = meant(&log_of(&name)) else { panic!("{name}") };
            assert_eq!(log.view.branch, Some(name));
        }
        let Some((Request::Log(log), _)) = meant("memoria://branch/try/one/log") else { panic!("slashes as they are") };
        assert_eq!(log.view.branch.unwrap().as_str(), "try/one");
    }

    #[test]
    fn what_is_no_address_of_ours_asks_for_nothing() {
        for uri in [
            "",
            "memoria://",
            "memoria://memory/",
            "memoria://branch/log",
            "memoria://branch/a",
            "file:///etc",
            "memoria://memory/%zz",
            "memoria://memory/%f",
            "memoria://memory/%+f",
            "memoria://branch/%00/log",
            "memoria://briefing/x",
        ] {
            assert!(meant(uri).is_none(), "{uri}");
        }
    }
}
