//! `memoria doctor`: what Memoria needs of this machine, of its agents and of a shared server, looked at one by one,
//! and what to do where something is missing. It mends nothing. Where a daemon has run before, or an agent is set up,
//! it speaks with Memoria as an agent does, which starts the daemon as an agent would; else it starts none.

mod agents;
mod daemon;
mod live;
mod machine;
mod programs;

use serde_json::json;
use tokio::runtime::Handle;

use crate::config::{Config, EngineKind};
use crate::engine::matrixone::doctor::{self, Finding, Verdict};
use crate::engine::matrixone::settings::Settings;
use crate::error::Result;
use crate::paths::Paths;

use super::exit::Exit;
use super::terminal::{Out, Paint, Style, plural};

pub async fn run(out: &Out) -> Result<Exit> {
    let paths = Paths::from_env()?;
    // Looked at before anything of ours makes it.
    let has_run = paths.lock_file().exists();
    let mut findings = programs::findings();
    findings.extend([machine::folders(&paths), machine::room(&paths), machine::clock()]);
    let config = Config::load(&paths);
    findings.push(match &config {
        Ok(_) => Finding::good("settings", machine::settings_name(&paths.config_file())),
        Err(error) => Finding::bad("settings", error.message.clone(), "mend the line, or take it out"),
    });
    let agents = agents::findings();
    let may_start = has_run || agents.is_any_set_up;
    findings.extend(daemon::findings(&paths).await);
    findings.extend(daemon::service());
    if let Ok(config) = config {
        findings.push(Finding::good("engine", engine_name(config.engine.kind)));
        if config.engine.kind == EngineKind::MatrixOne {
            findings.extend(server(&config).await);
        }
    }
    findings.extend(agents.findings);
    let live = tokio::task::spawn_blocking(move || live::findings(may_start)).await;
    findings
        .extend(live.unwrap_or_else(|_| vec![Finding::bad("MCP", "trying it failed within Memoria", "report this")]));
    let is_bad = findings.iter().any(|finding| finding.verdict == Verdict::Bad);
    out.answer(|| as_json(&findings, !is_bad), |style| as_text(&findings, style))?;
    Ok(if is_bad { Exit::Failed } else { Exit::Ok })
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
