//! Rows on their way into the database, inside somebody's transaction. What they mean is judged elsewhere.

use mysql_async::Value;

use super::session::Session;
use super::truth::Reader;
use super::{postings, sql};
use crate::engine::history::draft::Fresh;
use crate::engine::history::rows::{CommitRow, Move};
use crate::error::{Error, Result};
use crate::lexical::Words;
use crate::model::id::hex;
use crate::model::{Memory, Name, NameKind, OpId};

/// Values of one statement at most: more make it slow to prepare.
pub const VALUES_MAX: usize = 2_000;
/// Columns of a version's row, and of a commit's.
pub const VERSION_VALUES: usize = 17;
pub const COMMIT_VALUES: usize = 9;

/// A commit's row, with what people want to see of it in columns beside.
pub fn commit(session: &mut Session, number: u32, row: &CommitRow) -> Result<()> {
    session.run(sql::INSERT_COMMIT, commit_values(number, row)?.into()).map(drop)
}

/// In the order of the columns.
pub fn commit_values(number: u32, row: &CommitRow) -> Result<[Value; COMMIT_VALUES]> {
    let bare = row.bare()?;
    Ok([
        number.into(),
        row.id().to_string().into(),
        row.place.parents[0].into(),
        row.place.depth.into(),
        bare.at.0.into(),
        bare.verb.as_str().into(),
        bare.author.agent.into(),
        bare.author.session.as_str().into(),
        row.encode().into(),
    ])
}

/// One more move of a name: its row and what it stands for now, by compare-and-swap. `live` is a branch's table.
pub fn named(session: &mut Session, name: &Name, before: Option<&Move>, after: &Move, live: Option<u32>) -> Result<()> {
    let record = after.encode();
    match before {
        None => stands(session, name.as_str(), after, live)?,
        Some(before) => {
            let name = Value::from(name.as_str());
            let stands = standing_values(after, live);
            let on = [name.clone(), before.at.0.into(), before.seq.into()];
            let moved = session.run(sql::MOVE_NAME, stands.into_iter().chain(on).collect())?;
            if moved == 0 {
                return Err(Error::internal("a name was moved behind the writer's back"));
            }
        }
    }
    session
        .run(sql::INSERT_MOVE, vec![name.as_str().into(), after.at.0.into(), after.seq.into(), record.into()])
        .map(drop)
}

/// Where a name stands that had no row.
pub fn stands(session: &mut Session, name: &str, last: &Move, live: Option<u32>) -> Result<()> {
    let values = [Value::from(name)].into_iter().chain(standing_values(last, live)).collect();
    session.run(sql::INSERT_NAME, values).map(drop)
}

fn standing_values(last: &Move, live: Option<u32>) -> [Value; 7] {
    let standing = &last.standing;
    [
        last.at.0.into(),
        last.seq.into(),
        last.encode().into(),
        (standing.kind == NameKind::Snapshot).into(),
        last.is_living().into(),
        standing.number.into(),
        live.into(),
    ]
}

/// Which memories a narrow commit changed, by number.
pub fn touches(session: &mut Session, commit: u32, memories: &[u32]) -> Result<()> {
    for some in memories.chunks(VALUES_MAX / 2) {
        let values = some.iter().flat_map(|memory| [Value::from(*memory), commit.into()]).collect();
        session.run(&sql::insert_many("touches", some.len(), 2), values)?;
    }
    Ok(())
}

/// These replies are known to have arrived.
pub fn forget(ground: &Reader, ops: &[OpId]) -> Result<()> {
    if ops.is_empty() {
        return Ok(());
    }
    ops.iter().for_each(|op| ground.own.know_reply(*op, None));
    ground.with(|session| session.text(&sql::delete_ops(&sql::hexes(ops.iter().map(|op| op_hex(*op))))))
}

/// An operation's id, as it stands in its column.
pub fn op_hex(op: OpId) -> String {
    hex(&op.to_bytes())
}

/// New versions, which rise from `first_vid`; each with the number of its memory.
pub fn versions(session: &mut Session, first_vid: u32, fresh: &[(u32, Fresh<Words>)]) -> Result<()> {
    let per_statement = VALUES_MAX / VERSION_VALUES;
    for (part, first_vid) in fresh.chunks(per_statement).zip((first_vid..).step_by(per_statement)) {
        let mut values = Vec::with_capacity(part.len() * VERSION_VALUES);
        for ((memory, fresh), vid) in part.iter().zip(first_vid..) {
            values.push(vid.into());
            values.extend(face(&fresh.memory, fresh.words.len));
            values.extend([
                fresh.id.to_string().into(),
                (*memory).into(),
                hex(&fresh.text).into(),
                fresh.salt.0.to_vec().into(),
                fresh.canonical.clone().into(),
            ]);
        }
        session.run(&sql::insert_many("versions", part.len(), VERSION_VALUES), values)?;
    }
    let said = fresh.iter().zip(first_vid..).map(|((_, fresh), vid)| (vid, &fresh.memory, &fresh.words));
    postings::insert(session, said)
}

/// What a memory is searched and filtered by, in the order of [`sql::FACE`].
pub fn face(memory: &Memory, len: u32) -> [Value; 11] {
    [
        memory.id.to_string().into(),
        (memory.kind as u8).into(),
        (memory.trust as u8).into(),
        memory.project.as_ref().map(|project| project.as_str()).into(),
        memory.session.as_ref().map(|session| session.as_str()).into(),
        memory.subject.as_ref().map(|subject| subject.as_str()).into(),
        memory.origin.agent.as_deref().into(),
        tags(memory.marks()).into(),
        memory.observed_at.0.into(),
        memory.expires_at.map(|at| at.0).into(),
        len.into(),
    ]
}

/// Tags in one text, so that `tag` is among them where it contains `\ntag\n`: no tag holds a control character.
pub fn tags<'a>(tags: impl Iterator<Item = &'a str>) -> String {
    tags.fold("\n".to_owned(), |all, tag| all + tag + "\n")
}
