//! `memoria import`: a file of memories, one JSON object a line, in batches of one commit each. An import that was
//! interrupted goes on where it was: its batches are known by their content (`batch.rs`), and those that were
//! applied answer as they did. They are acknowledged only at the end, so that a later import runs anew.

mod batch;
mod row;
mod v04;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::time::Instant;

use serde_json::json;

use crate::client::{Pipeline, project};
use crate::error::{Error, Result};
use crate::model::{Masked, Name, OpId};
use crate::paths::Paths;
use crate::wire::message::{Branch, ClientKind, Import, Imported, Place, Request, Response, Tiers, WhichNames};

use super::ask::{ask, unexpected};
use super::bar::Bar;
use super::exit::Exit;
use super::terminal::{Out, Paint, Style, count, one_line, plural};
use super::{json as shape, text, what};
use batch::{Batch, Batches, Refused};

/// Reasons shown to people; `--json` has more.
const REASONS_SHOWN: usize = 20;

/// Import memories from a file, one JSON object a line
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria import facts.jsonl\n  \
    memoria import facts.jsonl --branch experiment --agent crawler\n  memoria export - | memoria import -\n\n\
    A line: {\"text\": \"...\", \"kind\": \"semantic\", \"tags\": [\"a\"], \"trust\": \"T3\",\n\
    \"project\": \"acme/api\", \"created_at\": \"2026-05-01\"}; only `text` must be there,\n\
    and whatever `memoria export` writes is read. An import that was interrupted\n\
    goes on where it was when the same command is run again. Nothing is T1 for\n\
    standing in a file: unless --keep-trust, T1 and T2 become T3, pins are left out\n\
    and praise counts little. Exit code 6: some lines were refused.\n\n\
    From Memoria v0.4: memoria import mysql://user@host:6001/database, with its\n\
    password in MEMORIA_MATRIXONE_PASSWORD. Corrections become history; branches,\n\
    snapshots and feedback come along as far as they can be read.")]
pub struct Args {
    /// The file; `-`: stdin; mysql://...: a database of Memoria v0.4
    #[arg(value_name = "FILE")]
    file: String,
    /// Into this branch, in place of the current one
    #[arg(long, value_parser = what::name)]
    branch: Option<Name>,
    /// Who found it out, where a line does not say
    #[arg(long)]
    agent: Option<String>,
    /// Where it belongs, where a line does not say
    #[arg(long, value_parser = what::place)]
    project: Option<Place>,
    /// The file is yours: take its trust, pins and praise
    #[arg(long)]
    keep_trust: bool,
}

/// What it came to.
#[derive(Default)]
struct Tally {
    stored: u64,
    existing: u64,
    changed: u64,
    /// Memories of batches that an earlier, interrupted run had brought.
    earlier: u64,
    batches: u64,
    /// Rows that claimed more than a file can vouch for.
    lowered: u64,
    flagged: u64,
    masked: Vec<Masked>,
    commit: Option<String>,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    if args.file.starts_with("mysql://") {
        return v04::run(args, out).await;
    }
    let begun = Instant::now();
    let (input, size) = open(&args.file)?;
    // The branch is fixed now: a checkout meanwhile, or before the import goes on, must not split it.
    let branch = match args.branch {
        Some(branch) => branch,
        None => current_branch().await?,
    };
    let place = args.project.unwrap_or_default();
    let here = std::env::current_dir().ok().and_then(|dir| project::identify(&dir));
    let into = format!("{place:?} {here:?}");
    let tiers = if args.keep_trust { Tiers::Kept } else { Tiers::Lowered };
    let into = if args.keep_trust { format!("{into} {tiers:?}") } else { into };
    let mut batches = Batches::new(input, &[branch.as_str(), args.agent.as_deref().unwrap_or_default(), &into]);
    let template =
        Import { branch: Some(branch.clone()), agent: args.agent, place, file: args.file, tiers, rows: Vec::new() };
    let mut bar = Bar::new("memories", !out.json);
    let tally = send_all(&mut batches, &template, |done, end| {
        bar.show(done, size.filter(|size| *size > 0).map(|size| end as f64 / size as f64));
    })
    .await;
    bar.clear();
    let tally = tally?;
    let Batches { refused, ignored, .. } = &batches;
    out.answer(
        || as_json(&tally, refused, ignored, &branch),
        |style| as_text(&tally, refused, ignored, &branch, begun.elapsed().as_secs_f64(), style),
    )?;
    Ok(if refused.total == 0 { Exit::Ok } else { Exit::Partly })
}

/// The input, and how long it is where that is known.
fn open(path: &str) -> Result<(Box<dyn BufRead>, Option<u64>)> {
    const BUFFER_BYTES: usize = 1 << 20;
    let buffered = |input: Box<dyn Read>| Box::new(BufReader::with_capacity(BUFFER_BYTES, input));
    if path == "-" {
        return Ok((buffered(Box::new(std::io::stdin())), None));
    }
    let file = File::open(path).map_err(|e| Error::io(format_args!("open {path}"), &e))?;
    let known = file.metadata().map_err(|e| Error::io(format_args!("look at {path}"), &e))?;
    if known.is_dir() {
        return Err(Error::invalid(format!("{path} is a folder: name a file of JSON lines")));
    }
    Ok((buffered(Box::new(file)), Some(known.len()).filter(|_| known.is_file())))
}

async fn current_branch() -> Result<Name> {
    match ask(Request::Branch(Branch::List { names: WhichNames::Living })).await? {
        Response::Branches(branches) => Ok(branches.current),
        _ => Err(unexpected()),
    }
}

/// Keeps the daemon busy: the next batches are read and sent while it writes those before. `progress` hears how many
/// memories are done, and where in the input that is.
async fn send_all<R: BufRead>(
    batches: &mut Batches<R>,
    template: &Import,
    mut progress: impl FnMut(u64, u64),
) -> Result<Tally> {
    let mut pipeline = Pipeline::connect_or_start(&Paths::from_env()?, ClientKind::Cli).await?;
    let mut tally = Tally::default();
    let mut ops: Vec<OpId> = Vec::new();
    let mut next = batches.next()?;
    let mut end = 0;
    loop {
        while let Some(batch) = next.take_if(|batch| pipeline.has_room(batch.bytes)) {
            let Batch { op, rows, bytes, end: sent_to } = batch;
            end = sent_to;
            ops.push(op);
            let import = Import {
                branch: template.branch.clone(),
                agent: template.agent.clone(),
                place: template.place.clone(),
                file: template.file.clone(),
                rows,
                tiers: template.tiers,
            };
            pipeline.send(op, Request::Import(import), bytes).await?;
            next = batches.next()?;
        }
        match pipeline.next().await? {
            Some((_, Response::Imported(imported))) => tally.add(imported, &mut batches.refused),
            Some(_) => return Err(unexpected()),
            None => break,
        }
        progress(tally.stored + tally.existing + tally.earlier, end);
    }
    pipeline.acknowledge(&ops).await;
    Ok(tally)
}

impl Tally {
    fn add(&mut self, imported: Imported, refused: &mut Refused) {
        self.batches += 1;
        self.lowered += u64::from(imported.lowered);
        self.flagged += u64::from(imported.flagged);
        let (stored, existing) = (u64::from(imported.stored), u64::from(imported.existing));
        if imported.is_replay {
            self.earlier += stored + existing;
        } else {
            self.changed += u64::from(imported.changed);
            self.stored += stored;
            self.existing += existing;
        }
        imported.masked.into_iter().for_each(|masked| Masked::gather(&mut self.masked, masked));
        imported.refused.into_iter().for_each(|(line, reason)| refused.add(line, reason));
        self.commit = imported.commit.map(|commit| commit.to_string()).or(self.commit.take());
    }
}

fn as_json(tally: &Tally, refused: &Refused, ignored: &BTreeMap<String, u64>, branch: &Name) -> serde_json::Value {
    let reasons: Vec<_> =
        sorted(refused).iter().map(|(line, reason)| json!({"line": line, "reason": reason})).collect();
    json!({
        "branch": branch.as_str(),
        "stored": tally.stored,
        "existing": tally.existing,
        "earlier": tally.earlier,
        "batches": tally.batches,
        "refused": reasons,
        "refused_total": refused.total,
        "ignored": ignored,
        "lowered": tally.lowered,
        "flagged": tally.flagged,
        "masked": shape::masked(&tally.masked),
        "commit": tally.commit,
    })
}

fn sorted(refused: &Refused) -> Vec<&(u32, String)> {
    let mut reasons: Vec<_> = refused.reasons.iter().collect();
    reasons.sort();
    reasons
}

fn as_text(
    tally: &Tally,
    refused: &Refused,
    ignored: &BTreeMap<String, u64>,
    branch: &Name,
    seconds: f64,
    style: &Style,
) -> String {
    let rate = if seconds > 0.0 { (tally.stored + tally.existing) as f64 / seconds } else { 0.0 };
    let stored = plural(tally.stored, "memory", "memories");
    let mut out = format!("Imported {stored} into {branch} in {seconds:.1} s ({}/s).\n", count(rate as u64));
    if tally.earlier > 0 {
        out += &format!("{} had been imported before, by a run that was interrupted.\n", count(tally.earlier));
    }
    if tally.existing > 0 {
        out += &format!("{} were known already, word for word: nothing was written for them.\n", count(tally.existing));
    }
    out += &text::masked(&tally.masked, style);
    out += &cautions(tally, style);
    if !ignored.is_empty() {
        let fields: Vec<String> = ignored
            .iter()
            .map(|(field, lines)| format!("{} ({})", one_line(field), plural(*lines, "line", "lines")))
            .collect();
        out += &style.block(&format!("Nothing is made of these fields: {}.", fields.join(", ")), 0);
    }
    if refused.total > 0 {
        let lines = plural(refused.total, "line was", "lines were");
        out += &style.paint(Paint::Red, &format!("{lines} refused:"));
        out.push('\n');
        for (line, reason) in sorted(refused).into_iter().take(REASONS_SHOWN) {
            out += &style.block(&format!("line {line}: {}", one_line(reason)), 2);
        }
        if refused.total > REASONS_SHOWN as u64 {
            let more =
                format!("  and {} more; `--json` lists up to 1,000.\n", count(refused.total - REASONS_SHOWN as u64));
            out += &style.dim(&more);
        }
    }
    out
}

/// What the person should know of the memories themselves.
fn cautions(tally: &Tally, style: &Style) -> String {
    let mut out = String::new();
    if tally.lowered > 0 {
        let said = format!(
            "{} claimed more than a file can vouch for: T1 and T2 became T3, pins were left out, praise counts \
             little. If it is your own: take this back (`memoria undo {}`) and import with --keep-trust.",
            plural(tally.lowered, "memory", "memories"),
            tally.batches
        );
        out += &style.block(&said, 0);
    }
    if tally.flagged > 0 {
        let said = format!(
            "{} read like instructions to an agent, or hide something: `memoria list` marks them with !.",
            plural(tally.flagged, "memory", "memories")
        );
        out += &style.block(&style.paint(Paint::Red, &said), 0);
    }
    out
}
