//! `memoria verify`: every promise of the store, checked by the daemon.

use serde_json::json;

use crate::error::Result;
use crate::wire::message::{Request, Response, Verified};

use super::ask::{ask, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Paint, Style, count, one_line, plural};

pub async fn run(out: &Out) -> Result<Exit> {
    let Response::Verified(verified) = ask(Request::Verify).await? else { return Err(unexpected()) };
    report(&verified, out)
}

/// Also what `memoria repair` ends with.
pub fn report(verified: &Verified, out: &Out) -> Result<Exit> {
    let is_ok = verified.checks.iter().all(|check| check.problems.is_empty());
    out.answer(
        || {
            let checks: Vec<_> = verified
                .checks
                .iter()
                .map(|c| json!({"promise": c.promise, "checked": c.checked, "problems": c.problems}))
                .collect();
            json!({"ok": is_ok, "checks": checks})
        },
        |style| as_text(verified, style),
    )?;
    Ok(if is_ok { Exit::Ok } else { Exit::Failed })
}

fn as_text(verified: &Verified, style: &Style) -> String {
    let mut out = String::new();
    let widest = verified.checks.iter().map(|c| count(c.checked).len()).max().unwrap_or(0);
    for check in &verified.checks {
        let mark = if check.problems.is_empty() {
            style.paint(Paint::Green, "ok     ")
        } else {
            style.paint(Paint::Red, "BROKEN ")
        };
        // The sentence may be longer than the line: its continuation stands under its start.
        let block = style.block(&check.promise, widest + 9);
        let number = format!("{:>widest$}", count(check.checked));
        out += &format!("{mark}{number}  {}", block.trim_start());
        for problem in &check.problems {
            out += &format!("         {}\n", style.paint(Paint::Red, &one_line(problem)));
        }
    }
    let broken = verified.checks.iter().filter(|c| !c.problems.is_empty()).count() as u64;
    out += &match broken {
        0 => format!("Everything holds: {}.\n", plural(verified.checks.len() as u64, "check", "checks")),
        n => format!(
            "{} not kept. Copy the data folder before you do anything else.\n",
            plural(n, "promise is", "promises are")
        ),
    };
    out
}
