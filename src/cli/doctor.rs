//! `memoria doctor`: what Memoria needs of this machine and of a shared server, looked at one by one, and what to do
//! where something is missing. It needs no daemon, starts none, and mends nothing.

use std::path::Path;

use serde_json::json;
use tokio::runtime::Handle;

use crate::client::Client;
use crate::config::{Config, EngineKind};
use crate::engine::matrixone::doctor::{self, Finding, Verdict};
use crate::engine::matrixone::settings::Settings;
use crate::error::Result;
use crate::paths::Paths;
use crate::wire::message::{ClientKind, Status};

use super::exit::Exit;
use super::process::holder;
use super::start;
use super::terminal::{Out, Paint, Style, bytes, plural};

/// Room on the disk, in bytes, below which it is worth a word, and below which writes will fail soon.
const ROOM_BYTES_WEAK: u64 = 1 << 30;
const ROOM_BYTES_BAD: u64 = 64 << 20;

pub async fn run(out: &Out) -> Result<Exit> {
    let paths = Paths::from_env()?;
    let mut findings = vec![folders(&paths), room(&paths)];
    let config = Config::load(&paths);
    findings.push(match &config {
        Ok(_) => Finding::good("settings", settings_name(&paths.config_file())),
        Err(error) => Finding::bad("settings", error.message.clone(), "mend the line, or take it out"),
    });
    findings.extend(daemon(&paths).await);
    if let Ok(config) = config {
        findings.push(Finding::good("engine", engine_name(config.engine.kind)));
        if config.engine.kind == EngineKind::MatrixOne {
            findings.extend(server(&config).await);
        }
    }
    let is_bad = findings.iter().any(|finding| finding.verdict == Verdict::Bad);
    out.answer(|| as_json(&findings, !is_bad), |style| as_text(&findings, style))?;
    Ok(if is_bad { Exit::Failed } else { Exit::Ok })
}

fn settings_name(file: &Path) -> String {
    if file.exists() { file.display().to_string() } else { "all as by default".to_owned() }
}

fn engine_name(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Embedded => "embedded: files of this machine",
        EngineKind::MatrixOne => "matrixone: a database that many machines share",
    }
}

/// With this shell's environment, where the password may be; the daemon has its own.
async fn server(config: &Config) -> Vec<Finding> {
    let settings = match Settings::new(&config.matrixone) {
        Ok(settings) => settings,
        Err(error) => return vec![Finding::bad("server", error.message, "mend the settings under [matrixone]")],
    };
    let handle = Handle::current();
    match tokio::task::spawn_blocking(move || doctor::examine(&settings, handle)).await {
        Ok(findings) => findings,
        Err(_) => vec![Finding::bad("server", "looking at it failed within Memoria", "report this")],
    }
}

fn folders(paths: &Paths) -> Finding {
    match paths.prepare() {
        Ok(()) => Finding::good("folders", format!("yours alone; memories lie in {}", paths.data_dir.display())),
        Err(error) => Finding::bad("folders", error.message, "do what the sentence says, then try again"),
    }
}

fn room(paths: &Paths) -> Finding {
    match free(&paths.data_dir) {
        Ok(Some(free)) => {
            let found = format!("{} free where memories lie", bytes(free));
            match free {
                ..ROOM_BYTES_BAD => Finding::bad("disk", found, "make room: a full disk refuses every store"),
                ROOM_BYTES_BAD..ROOM_BYTES_WEAK => Finding::weak("disk", found, "make room soon"),
                _ => Finding::good("disk", found),
            }
        }
        Ok(None) => Finding::good("disk", format!("not measured on this system: {}", paths.data_dir.display())),
        Err(error) => Finding::weak("disk", error.message, "look at the disk yourself"),
    }
}

/// Bytes that may still be written there; `None` on a system that is not asked.
#[cfg(unix)]
fn free(folder: &Path) -> Result<Option<u64>> {
    match rustix::fs::statvfs(folder) {
        Ok(room) => Ok(Some(room.f_bavail.saturating_mul(room.f_frsize))),
        Err(error) => Err(crate::error::Error::io(format_args!("look at {}", folder.display()), &error.into())),
    }
}

#[cfg(not(unix))]
fn free(_: &Path) -> Result<Option<u64>> {
    Ok(None)
}

async fn daemon(paths: &Paths) -> Vec<Finding> {
    let restart = "run `memoria restart`";
    let status = match Client::connect(paths, ClientKind::Cli).await {
        Ok(Some(mut client)) => start::status(&mut client).await,
        Ok(None) => {
            let found = match holder(paths) {
                Ok(Some(holder)) => {
                    let found = format!("{} holds the lock and does not listen", holder.pid_text());
                    return vec![Finding::bad("daemon", found, "wait a moment, or end that process")];
                }
                _ => "not running; the first question starts it",
            };
            return vec![Finding::good("daemon", found)];
        }
        Err(error) => Err(error),
    };
    match status {
        Ok(status) => of_status(&status),
        Err(error) => vec![Finding::bad("daemon", error.message, restart)],
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
    let embedding = &status.embedding;
    findings.push(match &embedding.problem {
        Some(why) => Finding::weak("model", why.clone(), "`memoria model list` shows what else there is"),
        None => Finding::good("model", embedding.serving.clone().unwrap_or_else(|| "none yet: words find".to_owned())),
    });
    findings
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Weak => "weak",
        Verdict::Bad => "bad",
    }
}

fn as_json(findings: &[Finding], is_ok: bool) -> serde_json::Value {
    let check = |finding: &Finding| {
        json!({
            "what": finding.what,
            "verdict": verdict_name(finding.verdict),
            "found": finding.found,
            "remedy": finding.remedy,
        })
    };
    json!({"ok": is_ok, "checks": findings.iter().map(check).collect::<Vec<_>>()})
}

fn as_text(findings: &[Finding], style: &Style) -> String {
    let widest = findings.iter().map(|finding| finding.what.len()).max().unwrap_or_default();
    let mut out = String::new();
    for finding in findings {
        let (paint, mark) = match finding.verdict {
            Verdict::Good => (Paint::Green, "ok   "),
            Verdict::Weak => (Paint::Yellow, "WEAK "),
            Verdict::Bad => (Paint::Red, "BAD  "),
        };
        let indent = widest + 7;
        let found = style.block(&finding.found, indent);
        out += &format!("{}{:widest$}  {}", style.paint(paint, mark), finding.what, found.trim_start());
        if let Some(remedy) = &finding.remedy {
            out += &style.block(&format!("-> {remedy}"), indent);
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count() as u64;
    out += &match (count(Verdict::Bad), count(Verdict::Weak)) {
        (0, 0) => "All is well.\n".to_owned(),
        (0, weak) => format!("It works; {} could be better.\n", plural(weak, "thing", "things")),
        (bad, _) => format!("{} in the way.\n", plural(bad, "thing stands", "things stand")),
    };
    out
}
