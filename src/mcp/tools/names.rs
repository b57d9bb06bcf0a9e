//! Arguments of the tools that name states: branches and snapshots. It never judges whether a name is free.

use super::super::arguments::Arguments;
use super::{branch_of, page, view, wrong};
use crate::error::Result;
use crate::model::Name;
use crate::wire::message::{Branch, Checkout, Doomed, Request, Snapshot, WhichNames};

pub fn snapshot(from: &mut Arguments) -> Result<Request> {
    let name = name(from)?;
    Ok(Request::Snapshot(Snapshot::Create { name, note: from.text("description")?, at: view(from)? }))
}

pub fn snapshots(from: &mut Arguments) -> Result<Request> {
    let page = page(from, 20)?;
    Ok(Request::Snapshot(Snapshot::List { branch: branch_of(from, "branch")?, page }))
}

pub fn snapshot_delete(from: &mut Arguments) -> Result<Request> {
    let names = from.list("names")?.iter().map(|name| name.parse()).collect::<Result<Vec<Name>>>()?;
    let prefix = from.text("prefix")?;
    let older = from.when("older_than")?;
    let restore = from.yes("restore")?;
    let doomed = match (names.as_slice(), prefix, older) {
        ([name], None, None) if restore => return Ok(Request::Snapshot(Snapshot::Restore { name: name.clone() })),
        _ if restore => return wrong("`restore` brings back one snapshot: give its name alone in `names`."),
        ([_, ..], None, None) => Doomed::Names(names),
        ([], Some(prefix), None) => Doomed::Prefix(prefix),
        ([], None, Some(older)) => Doomed::Older(older),
        _ => return wrong("memory_snapshot_delete needs exactly one of `names`, `prefix` and `older_than`."),
    };
    Ok(Request::Snapshot(Snapshot::Delete(doomed)))
}

pub fn branch(from: &mut Arguments) -> Result<Request> {
    let name = name(from)?;
    let start = from.text("from")?;
    let new = from.parsed("rename_to", str::parse)?;
    let (snapshot, time) = from.unlisted(|from| (from.text("from_snapshot"), from.text("from_timestamp")));
    let mut starts = [start, snapshot?, time?].into_iter().flatten();
    match (starts.next(), starts.next(), new) {
        (_, Some(_), _) => wrong("a branch starts at one place: give `from` once."),
        (Some(_), _, Some(_)) => wrong("`rename_to` renames a branch and `from` starts one: give one of them."),
        (None, _, Some(new)) => Ok(Request::Branch(Branch::Rename { name, new })),
        (start, _, None) => Ok(Request::Branch(Branch::Create { name, from: start, note: None })),
    }
}

pub fn branches(from: &mut Arguments) -> Result<Request> {
    let names = if from.yes("deleted")? { WhichNames::All } else { WhichNames::Living };
    Ok(Request::Branch(Branch::List { names }))
}

pub fn branch_delete(from: &mut Arguments) -> Result<Request> {
    let name = name(from)?;
    let restore = from.yes("restore")?;
    Ok(Request::Branch(if restore { Branch::Restore { name } } else { Branch::Delete { name } }))
}

pub fn checkout(from: &mut Arguments) -> Result<Request> {
    Ok(Request::Checkout(Checkout { name: name(from)? }))
}

fn name(from: &mut Arguments) -> Result<Name> {
    from.required("name", str::parse)
}
