//! `memoria snapshot`: names that do not move, to look at, to compare with and to go back to.

use serde_json::{Value, json};

use crate::clock;
use crate::error::{Error, Result};
use crate::model::{Counts, Name, Page, Time};
use crate::wire::message::{Doomed, Request, Response, Snapshot, SnapshotEntry, Snapshots};

use super::ask::{client, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Paint, Style, count, plural};
use super::what::{self, Where};
use super::{json, text};

/// List, take or delete snapshots
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria snapshot                     list them, and what changed since\n  \
    memoria snapshot nightly --message \"before the import\"\n  memoria snapshot friday --at 2026-05-01\n  \
    memoria snapshot nightly --delete\n  memoria snapshot --delete-older 30d")]
#[command(group = clap::ArgGroup::new("deed").args(["delete", "delete_prefix", "delete_older", "restore"]))]
pub struct Args {
    /// Which; taken if nothing else is said
    #[arg(value_name = "NAME", value_parser = what::name, conflicts_with_all = ["delete_prefix", "delete_older"])]
    names: Vec<Name>,
    #[command(flatten)]
    place: Where,
    /// What it is for; kept with it
    #[arg(long, value_name = "TEXT", requires = "names", conflicts_with = "deed")]
    message: Option<String>,
    /// Delete those of these names
    #[arg(long, short, requires = "names")]
    delete: bool,
    /// Delete those whose names begin so
    #[arg(long, value_name = "PREFIX")]
    delete_prefix: Option<String>,
    /// Delete those taken before: 30d, 2026-05-01
    #[arg(long, value_name = "WHEN", value_parser = what::when)]
    delete_older: Option<Time>,
    /// Bring a deleted one back
    #[arg(long, requires = "names")]
    restore: bool,
    /// List at most this many; 0 is all
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let is_deletion = args.delete || args.delete_prefix.is_some() || args.delete_older.is_some();
    let (request, did) = match (args.delete_prefix, args.delete_older, &args.names[..]) {
        (Some(prefix), ..) => (Snapshot::Delete(Doomed::Prefix(prefix)), "Deleted"),
        (None, Some(before), _) => (Snapshot::Delete(Doomed::Older(before)), "Deleted"),
        (None, None, []) => return list(args.place, args.limit, out).await,
        (None, None, names) if args.delete => (Snapshot::Delete(Doomed::Names(names.to_vec())), "Deleted"),
        (None, None, [name]) if args.restore => (Snapshot::Restore { name: name.clone() }, "Restored"),
        (None, None, [name]) => {
            let (name, at, note) = (name.clone(), args.place.view(), args.message);
            (Snapshot::Create { name, at, note }, "Took")
        }
        (None, None, _) => return Err(Error::invalid("one name at a time; only `--delete` takes several")),
    };
    let done = snapshots(&mut client().await?, request).await?;
    out.answer(
        || as_json(&done),
        |style| {
            let line = |entry: &SnapshotEntry| {
                let (name, live) = (&entry.snapshot.name, plural(entry.snapshot.live, "memory", "memories"));
                let commit = style.paint(Paint::Yellow, &entry.snapshot.commit.to_string()[..8]);
                let made =
                    format!("{did} snapshot {}, at {commit}: {live}.\n", style.paint(Paint::Green, name.as_str()));
                if entry.native == Some(false) { made + &style.dim(ALONE) } else { made }
            };
            let mut said: String = done.snapshots.iter().map(line).collect();
            if is_deletion {
                said += &match done.total {
                    0 => "No snapshot fits: nothing was deleted.\n".to_owned(),
                    _ => style.dim("`memoria snapshot NAME --restore` brings one back until it is compacted.\n"),
                };
            }
            said
        },
    )?;
    Ok(Exit::Ok)
}

/// Of a snapshot behind which the server keeps none of its own.
const ALONE: &str = "Memoria alone keeps it: the server has no snapshot of its own of it, since the\n\
    account has no room for one, or since no branch stands there any more.\n";

async fn list(place: Where, limit: u32, out: &Out) -> Result<Exit> {
    if place.at.is_some() {
        return Err(Error::invalid("--at says where a snapshot is taken: `memoria snapshot NAME --at REV`"));
    }
    let mut client = client().await?;
    let ask = |offset, limit| Snapshot::List { branch: place.branch.clone(), page: Page { offset, limit } };
    let mut all = snapshots(&mut client, ask(0, limit)).await?;
    let wanted = if limit == 0 { all.total } else { all.total.min(limit) } as usize;
    while all.snapshots.len() < wanted {
        let seen = all.snapshots.len();
        let more = snapshots(&mut client, ask(seen as u32, (wanted - seen) as u32)).await?;
        if more.snapshots.is_empty() {
            break;
        }
        all.snapshots.extend(more.snapshots);
    }
    out.answer(|| as_json(&all), |style| as_table(&all, style, clock::now()))?;
    Ok(Exit::Ok)
}

async fn snapshots(client: &mut crate::client::Client, request: Snapshot) -> Result<Snapshots> {
    match client.ask(Request::Snapshot(request)).await? {
        Response::Snapshots(snapshots) => Ok(snapshots),
        _ => Err(unexpected()),
    }
}

fn as_json(snapshots: &Snapshots) -> Value {
    let one = |entry: &SnapshotEntry| {
        let mut fields = json::name(&entry.snapshot, &snapshots.flagged);
        fields.insert("since".to_owned(), json::counts(&entry.since));
        if let Some(native) = entry.native {
            fields.insert("native".to_owned(), Value::Bool(native));
        }
        Value::Object(fields)
    };
    json!({
        "snapshots": snapshots.snapshots.iter().map(one).collect::<Vec<_>>(),
        "branch": snapshots.branch.as_str(),
        "total": snapshots.total,
        "masked": json::masked(&snapshots.masked),
    })
}

fn as_table(snapshots: &Snapshots, style: &Style, now: Time) -> String {
    if snapshots.snapshots.is_empty() {
        return "No snapshots. `memoria snapshot NAME` takes one.\n".to_owned();
    }
    let row = |entry: &SnapshotEntry| {
        let snapshot = &entry.snapshot;
        vec![
            snapshot.name.to_string(),
            count(snapshot.live),
            snapshot.commit.to_string()[..8].to_owned(),
            clock::ago(snapshot.created_at, now),
            since(&entry.since),
            text::note(snapshot, &snapshots.flagged).unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = snapshots.snapshots.iter().map(row).collect();
    let columns = [
        ("SNAPSHOT", Paint::Green),
        ("LIVE", Paint::Plain),
        ("COMMIT", Paint::Yellow),
        ("TAKEN", Paint::Dim),
        ("SINCE", Paint::Plain),
        ("ABOUT", Paint::Plain),
    ];
    let mut out = style.table(&columns, &rows);
    let branch = &snapshots.branch;
    out += &style.dim(&format!("Since then on {branch}: + added, ~ changed, - removed.\n"));
    let shown = rows.len() as u64;
    if shown < u64::from(snapshots.total) {
        let total = plural(snapshots.total, "snapshot", "snapshots");
        out += &style.dim(&format!("{} of {total}; `--limit 0` lists all.\n", count(shown)));
    }
    out
}

/// `+3 ~1 -2`.
fn since(counts: &Counts) -> String {
    let parts = [("+", counts.added), ("~", counts.changed), ("-", counts.removed)];
    let said: Vec<String> =
        parts.iter().filter(|(_, n)| *n > 0).map(|(mark, n)| format!("{mark}{}", count(*n))).collect();
    if said.is_empty() { "nothing".to_owned() } else { said.join(" ") }
}
