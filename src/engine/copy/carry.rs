//! One copy from its beginning, or from where an earlier one was cut short, to a store that stands for itself. It
//! knows neither engine.

use super::{Comparison, Giver, Next, Standing, Table, Taker};
use crate::error::Result;

/// What goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Copying,
    Comparing,
    Sealing,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    pub stage: Stage,
    /// Rows that were copied by this call.
    pub rows: u64,
    /// Of all that is to be done, 0 to 1: about.
    pub share: f32,
}

/// Of the time that a table takes, by [`Table::ALL`]; what there is most of counts.
const WEIGHTS: [f32; Table::ALL.len()] = [0.55, 0.2, 0.02, 0.02, 0.1, 0.1, 0.0, 0.01, 0.0, 0.0];
/// Where comparing and sealing begin.
const COPIED: f32 = 0.6;
const COMPARED: f32 = 0.9;

/// Copies, compares row by row, and seals. `tell` hears after every portion how far it is; its error ends the call,
/// and the next call goes on there. What the giver's store gets meanwhile comes too.
pub async fn carry(
    giver: &impl Giver,
    taker: &impl Taker,
    mut tell: impl FnMut(Progress) -> Result<()> + Send,
) -> Result<Standing> {
    let mut rows = 0;
    let mut standing = match taker.standing().await? {
        None => {
            let standing = Standing::new(giver.cut().await?);
            taker.begin(&standing).await?;
            standing
        }
        Some(standing) => up_to_date(giver, standing).await?,
    };
    loop {
        let mut next = Next::Copy(standing.table);
        while let Next::Copy(table) = next {
            let portion = giver.give(&standing.cut, table, standing.after()).await?;
            let (then, after) = standing.beyond(&portion);
            let (share, from_scratch) = (portion.share, standing.is_from_scratch());
            rows += portion.rows.len() as u64;
            taker.take(portion, from_scratch, &then).await?;
            (standing, next) = (then, after);
            tell(Progress { stage: Stage::Copying, rows, share: COPIED * share_of(table, share) })?;
        }
        let mut comparison = Comparison::default();
        while let Some((table, share)) = comparison.step(giver, taker, &standing.cut).await? {
            let share = COPIED + (COMPARED - COPIED) * share_of(table, share);
            tell(Progress { stage: Stage::Comparing, rows, share })?;
        }
        let now = up_to_date(giver, standing.clone()).await?;
        if now == standing {
            break;
        }
        standing = now;
    }
    tell(Progress { stage: Stage::Sealing, rows, share: COMPARED })?;
    taker.seal(&standing).await?;
    Ok(standing)
}

/// The same standing where the giver's store is what it was, else that of another round.
async fn up_to_date(giver: &impl Giver, standing: Standing) -> Result<Standing> {
    let cut = giver.cut().await?;
    if cut == standing.cut { Ok(standing) } else { standing.again(cut) }
}

fn share_of(table: Table, share: f32) -> f32 {
    let at = table as usize;
    (WEIGHTS[..at].iter().sum::<f32>() + WEIGHTS[at] * share.clamp(0.0, 1.0)).min(1.0)
}
