//! The daemon that runs, if one does: version, socket, store, model, and the clock against its history; and the service
//! that starts one at login. It starts none.

use crate::client::Client;
use crate::clock;
use crate::engine::matrixone::doctor::Finding;
use crate::error::Result;
use crate::model::Page;
use crate::paths::Paths;
use crate::wire::message::{ClientKind, Log, Request, Response, Status};

use super::super::process::holder;
use super::super::service::{self, Installed};
use super::super::start;
use super::super::status::waiting as waiting_words;
use super::super::terminal::plural;

/// A commit may be so much later than now, in milliseconds, and nobody's clock is to blame.
const AHEAD_MS_MAX: i64 = 60_000;

pub async fn findings(paths: &Paths) -> Vec<Finding> {
    let mut client = match Client::connect(paths, ClientKind::Cli).await {
        Ok(Some(client)) => client,
        Ok(None) => return vec![nobody(paths)],
        Err(error) => return vec![Finding::bad("daemon", error.message, "run `memoria restart`")],
    };
    let status = match start::status(&mut client).await {
        Ok(status) => status,
        Err(error) => return vec![Finding::bad("daemon", error.message, "run `memoria restart`")],
    };
    let mut findings = of_status(&status);
    findings.push(socket(paths));
    findings.extend(newest(&mut client).await.ok().flatten());
    findings
}

fn nobody(paths: &Paths) -> Finding {
    match holder(paths) {
        Ok(Some(holder)) => {
            let found = format!("{} holds the lock and does not listen", holder.pid_text());
            Finding::bad("daemon", found, "wait a moment; if it stays so, `memoria restart --force`")
        }
        _ => Finding::good("daemon", "not running; the first question starts it"),
    }
}

fn of_status(status: &Status) -> Vec<Finding> {
    let version = env!("CARGO_PKG_VERSION");
    let running = format!("version {}, process {}", status.version, status.pid);
    let mut findings = vec![match status.version == version {
        true => Finding::good("daemon", running),
        false => Finding::weak("daemon", format!("{running}; this is {version}"), "run `memoria restart`"),
    }];
    if let Some(why) = &status.config_error {
        findings.push(Finding::weak("daemon's settings", why.clone(), "mend the line; until then the old ones hold"));
    }
    findings.push(match &status.store.error {
        Some(why) => Finding::bad("store", why.clone(), "see `memoria logs`; for damage there is `memoria repair`"),
        None => Finding::good("store", plural(status.store.memories, "memory", "memories")),
    });
    if let Some(waiting) = &status.store.waiting {
        let (waits, problems) = waiting_words(waiting);
        findings.push(match waits {
            Some(waits) => Finding::weak("waiting", waits, "they are sent when the server is back: see to the server"),
            None => Finding::good("waiting", "nothing waits for the server"),
        });
        findings.extend(problems.into_iter().map(|problem| Finding::bad("waiting", problem, "do what it says")));
    }
    let embedding = &status.embedding;
    findings.push(match &embedding.problem {
        Some(why) => Finding::weak("model", why.clone(), "`memoria model list` shows what else there is"),
        None => Finding::good("model", embedding.serving.clone().unwrap_or_else(|| "none yet: words find".to_owned())),
    });
    findings
}

/// Who may reach the socket: its user, and nobody else.
#[cfg(unix)]
fn socket(paths: &Paths) -> Finding {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let path = paths.socket_path();
    let shown = path.display();
    match std::fs::symlink_metadata(&path) {
        Ok(seen) if !seen.file_type().is_socket() => Finding::bad(
            "socket",
            format!("{shown} is no socket"),
            format!("remove it, then `memoria restart`: rm {shown}"),
        ),
        Ok(seen) if seen.mode() & 0o077 != 0 => {
            let found = format!("{shown} has mode {:o}: others could knock", seen.mode() & 0o777);
            Finding::weak("socket", found, format!("chmod 600 {shown}"))
        }
        Ok(_) => Finding::good("socket", format!("{shown}, yours alone")),
        Err(error) => Finding::bad("socket", format!("{shown}: {error}"), "run `memoria restart`"),
    }
}

#[cfg(not(unix))]
fn socket(paths: &Paths) -> Finding {
    Finding::good("socket", paths.socket_path().display().to_string())
}

/// A history that is later than now means that a clock was wrong, or is.
async fn newest(client: &mut Client) -> Result<Option<Finding>> {
    let ask = Log { page: Page { offset: 0, limit: 1 }, ..Log::default() };
    let Response::Logged(logged) = client.ask(Request::Log(ask)).await? else { return Ok(None) };
    let ahead_ms = logged.commits.first().map_or(0, |commit| commit.at.since(clock::now()));
    Ok((ahead_ms > AHEAD_MS_MAX).then(|| {
        let found = format!("the newest commit is {} later than now", super::super::terminal::duration(ahead_ms));
        Finding::weak("history", found, "set the clock; times in `memoria log` are wrong until it catches up")
    }))
}

/// Nobody needs it: without it, agents start the daemon.
pub fn service() -> Option<Finding> {
    let found = match service::installed() {
        Ok(found) => found,
        Err(error) => return Some(Finding::weak("service", error.message, "run `memoria service status`")),
    };
    Some(match found {
        Installed::Absent => Finding::good("service", "not installed; agents start the daemon"),
        Installed::Outdated => {
            let found = "its files are not what this memoria would write";
            Finding::weak("service", found, "run `memoria service install`")
        }
        Installed::Unserved(why) => Finding::weak("service", why, "run `memoria service status`"),
        Installed::Ready => Finding::good("service", "starts the daemon at login"),
    })
}
