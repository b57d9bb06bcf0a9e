//! `memoria branch`: the branches, and everything about one but going there (`checkout.rs`) and merging (`merge.rs`).

use serde_json::{Value, json};

use crate::clock;
use crate::error::{Error, Result};
use crate::model::{Name, Protection, Ref, Time};
use crate::wire::message::{Branch, Branches, Request, Response, WhichNames};

use super::ask::{ask, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Paint, Style, count, plural};
use super::{json, text, what};

/// List, make, rename, protect or delete branches
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria branch                              list them\n  \
    memoria branch experiment                   from the current branch\n  \
    memoria branch experiment --from nightly    or from anywhere else\n  \
    memoria branch experiment --rename ideas\n  memoria branch main --protect\n  \
    memoria branch ideas --delete               and --restore")]
#[command(group = clap::ArgGroup::new("deed")
    .args(["from", "delete", "restore", "rename", "protect", "unprotect"]).requires("name"))]
pub struct Args {
    /// Which; made if nothing else is said
    #[arg(value_parser = what::name)]
    name: Option<Name>,
    /// Begin at a branch, a snapshot, a commit or a time
    #[arg(long, value_name = "REV")]
    from: Option<String>,
    /// What it is for; kept with it
    #[arg(long, value_name = "TEXT", requires = "name", conflicts_with_all =
        ["delete", "restore", "rename", "protect", "unprotect"])]
    message: Option<String>,
    /// Delete it; --restore brings it back
    #[arg(long, short)]
    delete: bool,
    /// Bring a deleted one back
    #[arg(long)]
    restore: bool,
    /// Give it another name
    #[arg(long, value_name = "NEW", value_parser = what::name)]
    rename: Option<Name>,
    /// Let it take only merges, and what takes them back
    #[arg(long)]
    protect: bool,
    /// Let it take everything again
    #[arg(long)]
    unprotect: bool,
    /// List deleted ones, too
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let Some(name) = args.name else {
        let names = if args.all { WhichNames::All } else { WhichNames::Living };
        let listed = branches(Branch::List { names }).await?;
        out.answer(|| as_json(&listed), |style| as_table(&listed, style, clock::now()))?;
        return Ok(Exit::Ok);
    };
    let protection = if args.protect { Protection::MergesOnly } else { Protection::Open };
    let (request, did) = match args.rename {
        Some(new) => (Branch::Rename { name: name.clone(), new: new.clone() }, format!("Renamed {name} to {new}")),
        None if args.delete => (Branch::Delete { name: name.clone() }, format!("Deleted {name}")),
        None if args.restore => (Branch::Restore { name: name.clone() }, format!("Restored {name}")),
        None if args.protect => {
            (Branch::Protect { name: name.clone(), protection }, format!("{name} takes only merges now"))
        }
        None if args.unprotect => {
            (Branch::Protect { name: name.clone(), protection }, format!("{name} takes everything again"))
        }
        None => (Branch::Create { name: name.clone(), from: args.from, note: args.message }, format!("Made {name}")),
    };
    let is_new = matches!(request, Branch::Create { .. });
    let done = branches(request).await?;
    out.answer(
        || as_json(&done),
        |style| {
            let mut said = did;
            if let Some(one) = done.branches.first().filter(|one| !one.is_deleted) {
                let commit = style.paint(Paint::Yellow, &one.commit.to_string()[..8]);
                said += &format!(", at {commit}: {}", plural(one.live, "memory", "memories"));
            }
            said += ".\n";
            said += &text::masked(&done.masked, style);
            if is_new {
                said += &style.dim(&format!("`memoria checkout {name}` goes there; you are on {}.\n", done.current));
            } else if args.delete {
                said +=
                    &style.dim(&format!("`memoria branch {name} --restore` brings it back until it is compacted.\n"));
            }
            said
        },
    )?;
    Ok(Exit::Ok)
}

async fn branches(request: Branch) -> Result<Branches> {
    match ask(Request::Branch(request)).await? {
        Response::Branches(branches) => Ok(branches),
        _ => Err::<_, Error>(unexpected()),
    }
}

fn as_json(branches: &Branches) -> Value {
    let one = |branch: &Ref| {
        let mut fields = json::name(branch, &branches.flagged);
        fields.insert("current".to_owned(), json!(branch.name == branches.current));
        fields.insert("merging".to_owned(), json!(branches.merging.contains(&branch.name)));
        Value::Object(fields)
    };
    json!({
        "branches": branches.branches.iter().map(one).collect::<Vec<_>>(),
        "current": branches.current.as_str(),
        "masked": json::masked(&branches.masked),
    })
}

fn as_table(branches: &Branches, style: &Style, now: Time) -> String {
    let row = |branch: &Ref| {
        let mark = if branch.name == branches.current { "*" } else { "" };
        let is_merging = branches.merging.contains(&branch.name);
        let about = [
            branch.is_deleted.then(|| "deleted".to_owned()),
            (branch.protection == Protection::MergesOnly).then(|| "takes only merges".to_owned()),
            is_merging.then(|| "a merge is in progress".to_owned()),
            text::note(branch, &branches.flagged),
        ];
        vec![
            mark.to_owned(),
            branch.name.to_string(),
            count(branch.live),
            branch.commit.to_string()[..8].to_owned(),
            clock::ago(branch.moved_at, now),
            about.into_iter().flatten().collect::<Vec<_>>().join("; "),
        ]
    };
    let rows: Vec<_> = branches.branches.iter().map(row).collect();
    let columns = [
        ("", Paint::Green),
        ("BRANCH", Paint::Green),
        ("MEMORIES", Paint::Plain),
        ("COMMIT", Paint::Yellow),
        ("MOVED", Paint::Dim),
        ("ABOUT", Paint::Plain),
    ];
    style.table(&columns, &rows)
}
