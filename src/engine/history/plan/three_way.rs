//! The three-way merge of whole states. What only one side changed is settled by sets and arrays of local numbers;
//! a memory's row is read only where both sides changed it, and then `model/merge.rs` decides.

use std::collections::HashMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::{Ground, Outline};
use crate::engine::history::diff::{Shift, Versions, by_memory, differences, of_memories};
use crate::engine::history::rows::damaged;
use crate::engine::history::{Past, Truth};
use crate::error::Result;
use crate::model::merge::{Outcome, merge};
use crate::model::{Choice, Conflict, Difference, Memory, MemoryId, Resolution, Rule};

/// The states that are merged into ours.
pub struct Sides {
    /// At least one: the best merge bases, newest first.
    pub bases: Vec<Arc<RoaringBitmap>>,
    pub theirs: Arc<RoaringBitmap>,
}

/// How conflicts are settled.
pub struct Verdict<'a> {
    pub rule: Rule,
    pub resolutions: &'a [Resolution],
}

/// A memory that both sides changed, by the local numbers of its versions.
struct Clash {
    memory: u32,
    bases: Vec<Option<u32>>,
    ours: Option<u32>,
    theirs: Option<u32>,
}

impl Clash {
    fn versions(&self) -> impl Iterator<Item = u32> {
        self.bases.iter().chain([&self.ours, &self.theirs]).copied().flatten()
    }
}

impl Sides {
    /// A memory that is asked for by name is wanted as it is there, although nobody changed it there: as if the bases
    /// had not had it.
    pub fn forget_what_theirs_kept(&mut self) {
        for base in &mut self.bases {
            *base = Arc::new(&**base - &*self.theirs);
        }
    }

    /// As if there were no other versions.
    pub fn restrict(&mut self, only: &RoaringBitmap) {
        for state in self.bases.iter_mut().chain([&mut self.theirs]) {
            *state = Arc::new(&**state & only);
        }
    }
}

impl<P: Past> Ground<'_, P> {
    /// What theirs brings to our state.
    pub fn three_way(&self, sides: &Sides, verdict: &Verdict) -> Result<Outline> {
        let mut outline = Outline::default();
        let clashes = self.one_sided(sides, &mut outline.shifts)?;
        self.two_sided(&clashes, verdict, &mut outline)?;
        Ok(outline)
    }

    /// Takes over what only theirs changed; what both changed is left.
    fn one_sided(&self, Sides { bases, theirs }: &Sides, shifts: &mut Vec<Shift>) -> Result<Vec<Clash>> {
        let mut shared = RoaringBitmap::clone(theirs);
        let mut known = RoaringBitmap::clone(theirs);
        let mut gone = Vec::with_capacity(bases.len());
        for base in bases {
            shared &= &**base;
            known |= &**base;
            gone.push(by_memory(self.past, &(&**base - &**theirs))?);
        }
        let come = by_memory(self.past, &(&**theirs - &shared))?;
        let mut memories: Vec<u32> = gone.iter().chain([&come]).flat_map(Versions::memories).collect();
        memories.sort_unstable();
        memories.dedup();

        let of_base = |at: usize, memory| {
            let kept = || come.get(memory).filter(|vid| bases[at].contains(*vid));
            gone[at].get(memory).or_else(kept)
        };
        let of_bases = |memory| (0..bases.len()).map(move |at| of_base(at, memory));
        let of_ours = |memory| {
            let mut candidates = of_bases(memory).chain([come.get(memory)]).flatten();
            candidates.find(|vid| self.ours.contains(*vid))
        };
        let elsewhere: RoaringBitmap = memories.iter().copied().filter(|memory| of_ours(*memory).is_none()).collect();
        let elsewhere = of_memories(self.past, &elsewhere, &(self.ours - &known))?;

        let mut clashes = Vec::new();
        for memory in memories {
            let theirs = come.get(memory);
            let ours = of_ours(memory).or_else(|| elsewhere.get(memory));
            if ours == theirs {
                continue;
            }
            if of_bases(memory).all(|base| base == ours) {
                shifts.push(Shift { memory, before: ours, after: theirs });
            } else {
                clashes.push(Clash { memory, bases: of_bases(memory).collect(), ours, theirs });
            }
        }
        Ok(clashes)
    }

    fn two_sided(&self, clashes: &[Clash], verdict: &Verdict, outline: &mut Outline) -> Result<()> {
        let resolutions: HashMap<MemoryId, &Resolution> =
            verdict.resolutions.iter().map(|resolution| (resolution.id, resolution)).collect();
        let conflicts = self.conflicts(clashes)?;
        self.past.soon(|| clashes.iter().flat_map(Clash::versions).collect())?;
        for (clash, conflict) in clashes.iter().zip(conflicts) {
            let read = |vid: &Option<u32>| vid.map(|vid| said(self.past, vid)).transpose();
            let bases = clash.bases.iter().map(read).collect::<Result<Vec<_>>>()?;
            let (ours, theirs) = (read(&clash.ours)?, read(&clash.theirs)?);
            let base_refs: Vec<Option<&Memory>> = bases.iter().map(Option::as_ref).collect();
            let choice = match merge(&base_refs, ours.as_ref(), theirs.as_ref()) {
                Outcome::Ours => Some(Choice::Ours),
                Outcome::Theirs => Some(Choice::Theirs),
                Outcome::Both(memory) => Some(Choice::Memory(memory)),
                Outcome::Conflict => choice(&conflict, resolutions.get(&conflict.id).copied(), verdict.rule),
            };
            let after = match choice {
                None => {
                    outline.conflicts.push(conflict);
                    continue;
                }
                Some(Choice::Base) => clash.bases[0],
                Some(Choice::Ours) => clash.ours,
                Some(Choice::Theirs) => clash.theirs,
                Some(Choice::Memory(memory)) => {
                    let vids = clash.bases.iter().chain([&clash.ours, &clash.theirs]);
                    let mut stored = vids.zip(bases.iter().chain([&ours, &theirs]));
                    let same =
                        stored.find(|(_, known)| known.as_ref().is_some_and(|known| known.says_the_same(&memory)));
                    let Some((vid, _)) = same else {
                        let shift = Shift { memory: clash.memory, before: clash.ours, after: None };
                        outline.fresh.push((shift, *memory));
                        continue;
                    };
                    *vid
                }
            };
            if after != clash.ours {
                outline.shifts.push(Shift { memory: clash.memory, before: clash.ours, after });
            }
        }
        Ok(())
    }

    /// Each clash by ids. Where the bases differ, the newest speaks for them.
    fn conflicts(&self, clashes: &[Clash]) -> Result<Vec<Conflict>> {
        let mine =
            clashes.iter().map(|clash| Shift { memory: clash.memory, before: clash.bases[0], after: clash.ours });
        let other = clashes.iter().map(|clash| Shift { memory: clash.memory, before: None, after: clash.theirs });
        let mine = differences(self.past, &mine.collect::<Vec<_>>(), &[])?;
        let other = differences(self.past, &other.collect::<Vec<_>>(), &[])?;
        let conflict = |(mine, other): (Difference, Difference)| Conflict {
            id: mine.id,
            base: mine.before,
            ours: mine.after,
            theirs: other.after,
        };
        Ok(mine.into_iter().zip(other).map(conflict).collect())
    }
}

/// A resolution counts as long as both sides are what they were when it was made.
fn choice(conflict: &Conflict, resolution: Option<&Resolution>, rule: Rule) -> Option<Choice> {
    let holds = |made: &&Resolution| (made.ours, made.theirs) == (conflict.ours, conflict.theirs);
    let resolved = resolution.filter(holds).map(|made| made.choice.clone());
    resolved.or(match rule {
        Rule::Fail => None,
        Rule::Ours => Some(Choice::Ours),
        Rule::Theirs => Some(Choice::Theirs),
    })
}

fn said(truth: &impl Truth, vid: u32) -> Result<Memory> {
    truth.version(vid, |row| row.memory())?.ok_or_else(|| damaged(&format!("version {vid} is missing")))
}
