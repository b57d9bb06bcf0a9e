//! `memoria export`: one state as a file that `memoria import` reads, one JSON object a line. A file is whole or not
//! there: it is written beside its place and then renamed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use crate::clock;
use crate::engine::matrixone::offline::{self, Kept};
use crate::error::{Error, Result};
use crate::model::{Memory, Source};
use crate::paths::Paths;
use crate::wire::message::{Export, Exported, Place, Point, Request, Response};

use super::ask::{client, unexpected};
use super::bar::Bar;
use super::exit::Exit;
use super::json;
use super::terminal::{Out, plural};
use super::what::{Where, Which};

/// Write memories to a file that `import` reads
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria export memories.jsonl\n  \
    memoria export memories.jsonl --at nightly --kind procedural\n  memoria export | wc -l\n  \
    memoria export --refused refused.jsonl")]
pub struct Args {
    /// The file; stdout where it is left out, or `-`
    file: Option<String>,
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    which: Which,
    /// Instead, what waits here for the MatrixOne server
    #[arg(long, conflicts_with_all = ["refused", "at", "branch"])]
    waiting: bool,
    /// Instead, what that server refused of it
    #[arg(long, conflicts_with_all = ["at", "branch"])]
    refused: bool,
}

/// A line of the file. Whatever is as usual is left out.
#[derive(Serialize)]
struct Line<'a> {
    text: &'a str,
    kind: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<&'a str>,
    trust: &'a str,
    confidence: f64,
    project: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    origin: Origin<'a>,
    created_at: String,
    observed_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pinned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
    /// What was said of it by now; not of a past state.
    #[serde(skip_serializing_if = "Option::is_none")]
    feedback: Option<Value>,
    /// For whoever reads the file; an import judges anew.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<String>,
}

#[derive(Serialize)]
struct Origin<'a> {
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let file = args.file.filter(|file| file != "-");
    if args.waiting || args.refused {
        let paths = Paths::from_env()?;
        let kept = if args.waiting {
            offline::waiting(&paths.waiting_file())?
        } else {
            offline::refused(&paths.refused_file())?.into_iter().map(|(kept, _)| kept).collect()
        };
        return kept_here(&kept, file.as_deref(), out);
    }
    let filter = args.which.filter();
    // A file that leaves out other projects would be no copy; --project narrows it.
    let place = args.which.project.unwrap_or(Place::Everywhere);
    let mut ask = Export { view: args.place.view(), place, filter, rest: None };
    let mut to = match &file {
        Some(path) => To::File(Part::begin(Path::new(path))?),
        None => To::Stdout,
    };
    let mut client = client().await?;
    let mut bar = Bar::new("memories", !out.json);
    let (mut written, mut all) = (0, 0);
    let mut lines = Vec::new();
    let mut begun: Option<Point> = None;
    loop {
        let Response::Exported(page) = client.ask(Request::Export(ask.clone())).await? else {
            return Err(unexpected());
        };
        let Exported { point, memories, total, rest, flagged, rated } = page;
        let mut flagged = flagged.into_iter().peekable();
        let mut rated = rated.into_iter().peekable();
        lines.clear();
        for (place, memory) in (0..).zip(&memories) {
            let flags = flagged.next_if(|(flagged, _)| *flagged == place).map(|(_, flags)| flags).unwrap_or_default();
            let feedback = rated.next_if(|(rated, _)| *rated == place).map(|(_, said)| json::feedback(&said));
            put_line(&Line { flags, feedback, ..line(memory) }, &mut lines)?;
        }
        to.write(&lines, out)?;
        written += memories.len() as u64;
        all = total.max(all);
        bar.show(written, (all > 0).then(|| written as f64 / f64::from(all)));
        begun.get_or_insert(point);
        ask.rest = rest.filter(|_| !out.is_closed());
        if ask.rest.is_none() {
            break;
        }
    }
    bar.clear();
    match to {
        To::Stdout => {}
        To::File(part) => {
            part.finish()?;
            begun.map_or(Ok(()), |point| report(file.as_deref().unwrap_or_default(), written, &point, out))?;
        }
    }
    Ok(Exit::Ok)
}

fn report(file: &str, written: u64, point: &Point, out: &Out) -> Result<()> {
    out.answer(
        || json!({"file": file, "memories": written, "commit": point.commit.to_string()}),
        |_| {
            let commit = &point.commit.to_string()[..8];
            let place = point.name.as_ref().map_or_else(String::new, |name| format!("{name}, "));
            format!("Wrote {} to {file} ({place}commit {commit}).\n", plural(written, "memory", "memories"))
        },
    )
}

fn put_line(line: &Line, lines: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(&mut *lines, line).map_err(|e| Error::internal(format!("write JSON: {e}")))?;
    lines.push(b'\n');
    Ok(())
}

/// What is in a queue of this machine, read without the daemon: it may be the reason why that does not serve.
fn kept_here(kept: &[Kept], file: Option<&str>, out: &Out) -> Result<Exit> {
    let mut lines = Vec::new();
    kept.iter().try_for_each(|kept| put_line(&line(&kept.memory), &mut lines))?;
    let Some(file) = file else {
        out.bytes(&lines)?;
        return Ok(Exit::Ok);
    };
    let mut part = Part::begin(Path::new(file))?;
    part.write(&lines)?;
    part.finish()?;
    out.answer(
        || json!({"file": file, "memories": kept.len()}),
        |_| format!("Wrote {} to {file}.\n", plural(kept.len() as u64, "memory", "memories")),
    )?;
    Ok(Exit::Ok)
}

fn line(memory: &Memory) -> Line<'_> {
    let origin = &memory.origin;
    Line {
        text: &memory.text,
        kind: memory.kind.as_str(),
        tags: memory.tags.iter().map(String::as_str).collect(),
        trust: memory.trust.as_str(),
        confidence: f64::from(memory.confidence.0) / 1000.0,
        project: memory.project.as_ref().map_or("global", |project| project.as_str()),
        session: memory.session.as_ref().map(|session| session.as_str()),
        subject: memory.subject.as_ref().map(|subject| subject.as_str()),
        origin: Origin {
            source: Source::as_str(origin.source),
            agent: origin.agent.as_deref(),
            agent_version: origin.agent_version.as_deref(),
            tool: origin.tool.as_deref(),
            file: origin.file.as_deref(),
        },
        created_at: clock::rfc3339(memory.created_at),
        observed_at: clock::rfc3339(memory.observed_at),
        expires_at: memory.expires_at.map(clock::rfc3339),
        pinned: memory.pinned,
        // What is no JSON object cannot have been stored.
        metadata: serde_json::from_str(&memory.metadata).ok(),
        feedback: None,
        flags: Vec::new(),
    }
}

enum To {
    Stdout,
    File(Part),
}

impl To {
    fn write(&mut self, lines: &[u8], out: &Out) -> Result<()> {
        match self {
            Self::Stdout => out.bytes(lines),
            Self::File(part) => part.write(lines),
        }
    }
}

/// A file on its way; gone unless it is finished.
struct Part {
    path: PathBuf,
    target: PathBuf,
    writer: Option<BufWriter<File>>,
}

impl Part {
    fn begin(target: &Path) -> Result<Self> {
        let mut name = target.file_name().ok_or_else(|| Error::invalid("that is no name of a file"))?.to_owned();
        name.push(format!(".part-{}", std::process::id()));
        let path = target.with_file_name(name);
        let mut options = File::options();
        options.create_new(true).write(true);
        // Memories are private, as the store itself is.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(|e| Error::io(format_args!("make {}", path.display()), &e))?;
        Ok(Self { path, target: target.to_owned(), writer: Some(BufWriter::new(file)) })
    }

    fn write(&mut self, lines: &[u8]) -> Result<()> {
        let written = self.writer.as_mut().map_or(Ok(()), |writer| writer.write_all(lines));
        written.map_err(|e| Error::io(format_args!("write {}", self.path.display()), &e))
    }

    fn finish(mut self) -> Result<()> {
        let done = self.writer.take().map_or(Ok(()), |writer| {
            let file = writer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            file.sync_all()
        });
        done.and_then(|()| std::fs::rename(&self.path, &self.target))
            .map_err(|e| Error::io(format_args!("write {}", self.target.display()), &e))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After `finish` there is nothing of this name.
        let _ = std::fs::remove_file(&self.path);
    }
}
