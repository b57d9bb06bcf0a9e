//! What a merge, a graft, an inversion and a reset should come to, worked out on whole maps: written from the rules in
//! the design, not from the engine's code.

use std::collections::{BTreeMap, BTreeSet};

use memoria::model::{
    Choice, CommitFilter, Counts, Later, Memory, MemoryId, OriginFilter, Plan, Resolution, Rule, Selection, Version,
    VersionId,
};
use serde_json::{Map, Value};

use super::world::{State, Want, Wanted, World};

/// What a plan should come to.
#[derive(Debug, Default)]
pub struct Forecast {
    pub state: Wanted,
    pub conflicts: Vec<Clash>,
    /// What each is, and what the oldest selected commit found.
    pub kept: BTreeMap<MemoryId, (Option<VersionId>, Option<VersionId>)>,
    pub bases: BTreeSet<usize>,
    /// The commits that are taken back, newest first.
    pub selected: Vec<usize>,
    /// A merge of what is merged already.
    pub is_merged: bool,
    pub second_parent: Option<usize>,
    /// Memories whose fields came from both sides.
    pub blended: u32,
    pub settled: u32,
}

/// A conflict without an answer.
#[derive(Clone, Debug)]
pub struct Clash {
    pub id: MemoryId,
    /// In each merge base.
    pub bases: Vec<Option<Version>>,
    pub ours: Option<Version>,
    pub theirs: Option<Version>,
}

/// What becomes of one memory.
enum Fate {
    Ours,
    Theirs,
    Both(Memory),
    Clash,
}

impl World {
    pub fn forecast(&self, head: usize, plan: &Plan) -> Forecast {
        match plan {
            Plan::Reset { to } => {
                let to = self.number(to);
                Forecast { state: wanted(self.state(to)), ..Forecast::default() }
            }
            Plan::Merge { theirs, rule, resolutions } => {
                let theirs = self.number(theirs);
                if self.ancestors(head).contains(&theirs) {
                    let state = wanted(self.state(head));
                    return Forecast { state, is_merged: true, bases: [theirs].into(), ..Forecast::default() };
                }
                let bases = self.bases(head, theirs);
                let states: Vec<&State> = bases.iter().rev().map(|base| self.state(*base)).collect();
                let merged = three_way(&states, self.state(head), self.state(theirs), &[], *rule, resolutions);
                Forecast { bases, second_parent: Some(theirs), ..merged }
            }
            Plan::Graft { base, theirs, only, rule } => {
                let theirs = self.number(theirs);
                let bases = match base {
                    Some(base) => [self.number(base)].into(),
                    None => self.bases(head, theirs),
                };
                // What is named is wanted as it is there, although nobody changed it there: as if no base had had it.
                let theirs = self.state(theirs);
                let is_named = base.is_none() && !only.is_empty();
                let is_kept = |version: &Version| theirs.get(&version.memory.id).is_some_and(|v| v.id == version.id);
                let states = bases.iter().rev().map(|base| {
                    let mut state = self.state(*base).clone();
                    state.retain(|_, version| !(is_named && is_kept(version)));
                    state
                });
                let states: Vec<State> = states.collect();
                let states: Vec<&State> = states.iter().collect();
                let merged = three_way(&states, self.state(head), theirs, only, *rule, &[]);
                Forecast { bases: if base.is_some() { BTreeSet::new() } else { bases }, ..merged }
            }
            Plan::Invert { what, later } => self.invert(head, what, *later),
        }
    }

    pub fn number(&self, commit: &memoria::model::CommitId) -> usize {
        self.commits.iter().position(|past| past.id == *commit).unwrap()
    }

    fn invert(&self, head: usize, what: &Selection, later: Later) -> Forecast {
        let selected: Vec<usize> = match what {
            Selection::Commits(commits) => {
                let chosen: BTreeSet<usize> = commits.iter().map(|commit| self.number(commit)).collect();
                chosen.into_iter().rev().collect()
            }
            Selection::By { commits, .. } => {
                self.ancestors(head).into_iter().rev().filter(|commit| self.fits(*commit, commits)).collect()
            }
        };
        let mut state = self.state(head).clone();
        let (mut open, mut oldest) = (Vec::new(), BTreeMap::new());
        let mut taken_back = Vec::new();
        for commit in selected {
            let mut changes = self.changes(commit);
            if let Selection::By { origin, .. } = what {
                changes.retain(|id, change| self.is_own(commit, *id, &change.1) && comes_from(origin, change));
            }
            if matches!(what, Selection::Commits(_)) || !changes.is_empty() {
                taken_back.push(commit);
            }
            for (id, (before, after)) in changes {
                oldest.insert(id, before.clone());
                open.push((id, before, after));
            }
        }
        // Newest first, and again as long as it helps: of branches that were merged, the newer change may have to wait.
        loop {
            let count = open.len();
            open.retain(|(id, before, after)| {
                let now = state.get(id).cloned();
                if same(&now, after) {
                    put(&mut state, *id, before.clone());
                }
                !same(&now, after) && !same(&now, before)
            });
            if open.len() == count {
                break;
            }
        }
        let mut kept = BTreeMap::new();
        let version = |version: Option<&Version>| version.map(|version| version.id);
        for id in open.into_iter().map(|(id, ..)| id).collect::<BTreeSet<_>>() {
            let found = oldest[&id].clone();
            match later {
                Later::Take => put(&mut state, id, found),
                Later::Keep if version(state.get(&id)) == version(found.as_ref()) => {}
                Later::Keep => {
                    kept.insert(id, (version(state.get(&id)), version(found.as_ref())));
                }
            }
        }
        Forecast { state: wanted(&state), kept, selected: taken_back, ..Forecast::default() }
    }

    fn fits(&self, commit: usize, filter: &CommitFilter) -> bool {
        let past = &self.commits[commit];
        let agent = past.author.agent.as_deref().unwrap_or("you");
        filter.agent.as_ref().is_none_or(|wanted| wanted == agent)
            && filter.session.as_ref().is_none_or(|session| *session == past.author.session)
            && filter.since.is_none_or(|since| past.at >= since)
            && filter.until.is_none_or(|until| past.at < until)
    }

    /// Whether a merge made this of a memory by itself, and did not just take it over from a parent.
    fn is_own(&self, commit: usize, id: MemoryId, after: &Option<Version>) -> bool {
        let parents = &self.commits[commit].parents;
        parents.len() < 2 || !parents.iter().any(|parent| same(&self.state(*parent).get(&id).cloned(), after))
    }
}

impl Forecast {
    /// What it does to a state.
    pub fn counts(&self, before: &State) -> Counts {
        let (conflicts, kept) = (self.conflicts.len() as u32, self.kept.len() as u32);
        Counts { conflicts, kept, ..counts(before, &self.state) }
    }
}

/// How many memories are added, changed and removed.
pub fn counts(before: &State, after: &Wanted) -> Counts {
    let mut counts = Counts::default();
    for (id, want) in after {
        match before.get(id) {
            None => counts.added += 1,
            Some(version) if !want.is(version) => counts.changed += 1,
            Some(_) => {}
        }
    }
    counts.removed = before.keys().filter(|id| !after.contains_key(id)).count() as u32;
    counts
}

pub fn wanted(state: &State) -> Wanted {
    state.iter().map(|(id, version)| (*id, Want::Is(version.clone()))).collect()
}

fn put(state: &mut State, id: MemoryId, version: Option<Version>) {
    match version {
        Some(version) => state.insert(id, version),
        None => state.remove(&id),
    };
}

fn same(one: &Option<Version>, other: &Option<Version>) -> bool {
    one.as_ref().map(|version| version.id) == other.as_ref().map(|version| version.id)
}

fn comes_from(origin: &Option<OriginFilter>, change: &(Option<Version>, Option<Version>)) -> bool {
    let fits = |version: &Version| {
        let from = &version.memory.origin;
        match origin {
            None => true,
            Some(OriginFilter::Source(source)) => from.source == *source,
            Some(OriginFilter::Named(name)) => [&from.tool, &from.file].contains(&&Some(name.clone())),
        }
    };
    [&change.0, &change.1].into_iter().flatten().any(fits)
}

fn three_way(
    bases: &[&State],
    ours: &State,
    theirs: &State,
    only: &[MemoryId],
    rule: Rule,
    resolutions: &[Resolution],
) -> Forecast {
    let mut forecast = Forecast { state: wanted(ours), ..Forecast::default() };
    let ids: BTreeSet<MemoryId> =
        bases.iter().chain([&ours, &theirs]).flat_map(|state| state.keys().copied()).collect();
    for id in ids.into_iter().filter(|id| only.is_empty() || only.contains(id)) {
        let (our, their) = (ours.get(&id), theirs.get(&id));
        let in_bases: Vec<Option<Version>> = bases.iter().map(|state| state.get(&id).cloned()).collect();
        let is = |version: Option<&Version>| version.cloned().map(Want::Is);
        let want = match fate(&in_bases, our, their) {
            Fate::Ours => continue,
            Fate::Theirs => is(their),
            Fate::Both(memory) => {
                forecast.blended += 1;
                Some(Want::Says(memory))
            }
            Fate::Clash => {
                let version = |version: Option<&Version>| version.map(|version| version.id);
                let is_about_this = |settled: &&Resolution| {
                    settled.id == id && settled.ours == version(our) && settled.theirs == version(their)
                };
                let settled = resolutions.iter().rfind(|settled| settled.id == id).filter(is_about_this);
                forecast.settled += u32::from(settled.is_some());
                match (settled.map(|settled| &settled.choice), rule) {
                    (Some(Choice::Base), _) => is(in_bases[0].as_ref()),
                    (Some(Choice::Memory(memory)), _) => {
                        let there = in_bases.iter().map(Option::as_ref).chain([our, their]).flatten();
                        let known = there.into_iter().find(|version| version.memory.says_the_same(memory));
                        Some(known.map_or_else(|| Want::Says((**memory).clone()), |known| Want::Is(known.clone())))
                    }
                    (Some(Choice::Theirs), _) | (None, Rule::Theirs) => is(their),
                    (Some(Choice::Ours), _) | (None, Rule::Ours) => is(our),
                    (None, Rule::Fail) => {
                        let (ours, theirs) = (our.cloned(), their.cloned());
                        forecast.conflicts.push(Clash { id, bases: in_bases, ours, theirs });
                        continue;
                    }
                }
            }
        };
        match want {
            Some(want) => forecast.state.insert(id, want),
            None => forecast.state.remove(&id),
        };
    }
    forecast
}

fn fate(bases: &[Option<Version>], ours: Option<&Version>, theirs: Option<&Version>) -> Fate {
    let agree = |one: Option<&Version>, other: Option<&Version>| match (one, other) {
        (Some(one), Some(other)) => one.memory.says_the_same(&other.memory),
        (one, other) => one.is_none() && other.is_none(),
    };
    // What was not touched on one side is the other's, whatever it says; after that only what is said counts.
    let id = |version: Option<&Version>| version.map(|version| version.id);
    let is_in_all = |side: Option<&Version>| bases.iter().all(|base| id(base.as_ref()) == id(side));
    if id(ours) == id(theirs) || is_in_all(theirs) {
        return Fate::Ours;
    }
    if is_in_all(ours) {
        return Fate::Theirs;
    }
    if agree(ours, theirs) {
        return Fate::Ours;
    }
    let base = bases[0].as_ref();
    if bases.iter().any(|other| !agree(other.as_ref(), base)) {
        return Fate::Clash;
    }
    if agree(ours, base) {
        return Fate::Theirs;
    }
    if agree(theirs, base) {
        return Fate::Ours;
    }
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => match blend(base.map(|base| &base.memory), &ours.memory, &theirs.memory) {
            None => Fate::Clash,
            Some(both) if both.says_the_same(&ours.memory) => Fate::Ours,
            Some(both) if both.says_the_same(&theirs.memory) => Fate::Theirs,
            Some(both) => Fate::Both(both),
        },
        _ => Fate::Clash,
    }
}

/// Fields of both, where no field was changed differently by both.
fn blend(base: Option<&Memory>, ours: &Memory, theirs: &Memory) -> Option<Memory> {
    let value = |memory: &Memory| {
        let Memory { kind, text, trust, confidence, project, subject, expires_at, pinned, .. } = memory.clone();
        (kind, text, trust, confidence, project, subject, expires_at, pinned)
    };
    let (old, our, their) = (base.map(value), value(ours), value(theirs));
    let mut merged = match () {
        () if our == their || old.as_ref() == Some(&their) => ours.clone(),
        () if old.as_ref() == Some(&our) => theirs.clone(),
        () => return None,
    };
    let is_in = |memory: Option<&Memory>, tag: &String| memory.is_some_and(|memory| memory.tags.contains(tag));
    let all = ours.tags.union(&theirs.tags).cloned();
    merged.tags = all
        .filter(|tag| match (is_in(base, tag), is_in(Some(ours), tag), is_in(Some(theirs), tag)) {
            (true, ours, theirs) => ours && theirs,
            (false, ours, theirs) => ours || theirs,
        })
        .collect();
    let (old, our, their) = (base.map_or(Map::new(), fields), fields(ours), fields(theirs));
    let keys: BTreeSet<&String> = our.keys().chain(their.keys()).collect();
    let mut metadata = Map::new();
    for key in keys {
        let field = match (old.get(key), our.get(key), their.get(key)) {
            (_, our, their) if our == their => our,
            (old, our, their) if old == our => their,
            (old, our, their) if old == their => our,
            _ => return None,
        };
        metadata.extend(field.map(|field| (key.clone(), field.clone())));
    }
    merged.metadata = if metadata.is_empty() { String::new() } else { Value::Object(metadata).to_string() };
    Some(merged)
}

/// The metadata of a memory, key by key.
pub fn fields(memory: &Memory) -> Map<String, Value> {
    match serde_json::from_str(&memory.metadata) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}
