//! What filters, orders and neighbours need to know of each version, in memory, by vid: about 45 bytes each
//! (28 of columns, the rest for the order within sessions). It holds no text and decides nothing.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::error::{Error, Result};
use crate::model::canon::{Reader, Writer};
use crate::model::{Filter, Kind, Memory, Scope, Time, Trust};

/// What many versions have in common; names are numbers of `Columns::names`, 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    pub kind: Kind,
    pub trust: Trust,
    pub project: u32,
    pub session: u32,
    pub agent: u32,
    pub subject: u32,
}

/// One version's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub class: u32,
    pub tags: u32,
    pub observed_at: Time,
    pub expires_at: Option<Time>,
    /// The first half of the memory's id: enough to break ties as the whole id would.
    pub id: u64,
    /// Length in terms.
    pub len: u32,
}

/// Things that get a number when they first occur.
pub struct Numbered<T> {
    all: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    /// With one thing that has number 0.
    fn starting_with(first: T) -> Self {
        Self { numbers: HashMap::from([(first.clone(), 0)]), all: vec![first] }
    }

    fn number(&mut self, thing: T) -> u32 {
        if let Some(number) = self.numbers.get(&thing) {
            return *number;
        }
        let number = self.all.len() as u32;
        self.all.push(thing.clone());
        self.numbers.insert(thing, number);
        number
    }

    pub fn all(&self) -> &[T] {
        &self.all
    }
}

/// All columns. Vids that were never added (gaps) have rows that no state asks for.
pub struct Columns {
    class: Vec<u32>,
    tags: Vec<u32>,
    observed_at: Vec<i64>,
    id: Vec<u64>,
    len: Vec<u32>,
    /// Few memories expire.
    expires_at: HashMap<u32, Time>,
    pub classes: Numbered<Class>,
    pub tag_sets: Numbered<Arc<[u32]>>,
    pub names: Numbered<Arc<str>>,
    /// `(session, observed_at, vid)`: who stands next to whom in a conversation.
    order: BTreeSet<(u32, i64, u32)>,
}

fn id_prefix(memory: &Memory) -> u64 {
    memory.id.0[..8].iter().fold(0, |id, byte| id << 8 | u64::from(*byte))
}

/// A class of no memory, for gaps.
const NOBODY: Class = Class { kind: Kind::Semantic, trust: Trust::T4, project: 0, session: 0, agent: 0, subject: 0 };

impl Columns {
    pub fn new() -> Self {
        Self {
            class: Vec::new(),
            tags: Vec::new(),
            observed_at: Vec::new(),
            id: Vec::new(),
            len: Vec::new(),
            expires_at: HashMap::new(),
            classes: Numbered::starting_with(NOBODY),
            tag_sets: Numbered::starting_with(Arc::from([])),
            names: Numbered::starting_with(Arc::from("")),
            order: BTreeSet::new(),
        }
    }

    /// The vid after the last.
    pub fn next_vid(&self) -> u32 {
        self.class.len() as u32
    }

    /// The row that a memory gets.
    pub fn row_of(&mut self, memory: &Memory, len: u32) -> Row {
        let mut name = |text: Option<&str>| text.map_or(0, |text| self.names.number(Arc::from(text)));
        let class = Class {
            kind: memory.kind,
            trust: memory.trust,
            project: name(memory.project.as_ref().map(|project| project.as_str())),
            session: name(memory.session.as_ref().map(|session| session.as_str())),
            agent: name(memory.origin.agent.as_deref()),
            subject: name(memory.subject.as_ref().map(|subject| subject.as_str())),
        };
        let tags: Arc<[u32]> = memory.tags.iter().map(|tag| name(Some(tag))).collect();
        Row {
            class: self.classes.number(class),
            tags: self.tag_sets.number(tags),
            observed_at: memory.observed_at,
            expires_at: memory.expires_at,
            id: id_prefix(memory),
            len,
        }
    }

    /// Appends a row; vids between the last one and this one become gaps.
    pub fn push(&mut self, vid: u32, row: Row) {
        let end = vid as usize;
        self.class.resize(end, 0);
        self.tags.resize(end, 0);
        self.observed_at.resize(end, 0);
        self.id.resize(end, 0);
        self.len.resize(end, 0);
        self.class.push(row.class);
        self.tags.push(row.tags);
        self.observed_at.push(row.observed_at.0);
        self.id.push(row.id);
        self.len.push(row.len);
        if let Some(expires_at) = row.expires_at {
            self.expires_at.insert(vid, expires_at);
        }
        let session = self.classes.all()[row.class as usize].session;
        if session != 0 {
            self.order.insert((session, row.observed_at.0, vid));
        }
    }

    /// A vid of which nothing is known but its number.
    pub fn push_gap(&mut self, vid: u32) {
        let nothing = Row { class: 0, tags: 0, observed_at: Time(0), expires_at: None, id: 0, len: 0 };
        self.push(vid, nothing);
    }

    pub fn is_gap(&self, vid: u32) -> bool {
        self.row(vid).is_some_and(|row| (row.class, row.tags, row.observed_at.0, row.id, row.len) == (0, 0, 0, 0, 0))
    }

    /// Makes a gap of a version.
    pub fn forget(&mut self, vid: u32) {
        let Some(row) = self.row(vid) else { return };
        let at = vid as usize;
        self.order.remove(&(self.class(vid).session, row.observed_at.0, vid));
        (self.class[at], self.tags[at], self.observed_at[at], self.id[at], self.len[at]) = (0, 0, 0, 0, 0);
        self.expires_at.remove(&vid);
    }

    pub fn row(&self, vid: u32) -> Option<Row> {
        let at = vid as usize;
        Some(Row {
            class: *self.class.get(at)?,
            tags: self.tags[at],
            observed_at: Time(self.observed_at[at]),
            expires_at: self.expires_at.get(&vid).copied(),
            id: self.id[at],
            len: self.len[at],
        })
    }

    /// Whether a version's row is what this memory gets.
    pub fn describe(&self, vid: u32, memory: &Memory, len: u32) -> bool {
        let Some(row) = self.row(vid) else { return false };
        let class = self.class(vid);
        let name = |number: u32| self.names.all()[number as usize].as_ref();
        let is = |number: u32, text: Option<&str>| name(number) == text.unwrap_or_default();
        let tags = &self.tag_sets.all()[row.tags as usize];
        row.len == len
            && row.observed_at == memory.observed_at
            && row.expires_at == memory.expires_at
            && row.id == id_prefix(memory)
            && (class.kind, class.trust) == (memory.kind, memory.trust)
            && is(class.project, memory.project.as_ref().map(|project| project.as_str()))
            && is(class.session, memory.session.as_ref().map(|session| session.as_str()))
            && is(class.agent, memory.origin.agent.as_deref())
            && is(class.subject, memory.subject.as_ref().map(|subject| subject.as_str()))
            && memory.tags.iter().map(String::as_str).eq(tags.iter().map(|tag| name(*tag)))
    }

    pub fn class(&self, vid: u32) -> Class {
        self.class.get(vid as usize).map_or(NOBODY, |class| self.classes.all()[*class as usize])
    }

    /// Lengths in terms, by vid.
    pub fn lens(&self) -> &[u32] {
        &self.len
    }

    pub fn len_of(&self, vid: u32) -> u32 {
        self.len.get(vid as usize).copied().unwrap_or(0)
    }

    /// A filter, ready to judge many versions.
    pub fn wanted<'a>(&'a self, filter: &'a Filter, now: Time) -> Wanted<'a> {
        let number = |text: &str| self.names.numbers.get(text).copied();
        // A name that never occurred is nobody's: `None` inside stands for "no version has it".
        let same = |wanted: Option<Option<u32>>, has: u32| wanted.is_none_or(|wanted| wanted == Some(has));
        let session = filter.session.as_ref().map(|session| number(session.as_str()));
        let subject = filter.subject.as_ref().map(|subject| number(subject.as_str()));
        let agent = filter.agent.as_deref().map(number);
        let project = match &filter.scope {
            Scope::All => None,
            Scope::Global => Some(0),
            Scope::Project(project) => Some(number(project.as_str()).unwrap_or(0)),
        };
        let fits = |class: &Class| {
            (filter.kinds.is_empty() || filter.kinds.contains(&class.kind))
                && filter.trust.is_none_or(|trust| trust == class.trust)
                && project.is_none_or(|project| class.project == 0 || class.project == project)
                && same(session, class.session)
                && same(subject, class.subject)
                && same(agent, class.agent)
        };
        let tags: Option<Vec<u32>> = filter.tags.iter().map(|tag| number(tag)).collect();
        let has_tags = |set: &Arc<[u32]>| tags.as_ref().is_some_and(|tags| tags.iter().all(|tag| set.contains(tag)));
        Wanted {
            columns: self,
            classes: self.classes.all().iter().map(fits).collect(),
            tag_sets: self.tag_sets.all().iter().map(has_tags).collect(),
            since: filter.since.map_or(i64::MIN, |since| since.0),
            until: filter.until,
            now,
        }
    }

    /// The vids of `state` by `observed_at`, newest first, then by memory id.
    pub fn newest(&self, state: &RoaringBitmap, offset: u32, limit: u32) -> Vec<u32> {
        let key = |vid: u32| (std::cmp::Reverse(self.observed_at[vid as usize]), self.id[vid as usize], vid);
        let mut all: Vec<u32> = state.iter().filter(|vid| *vid < self.next_vid()).collect();
        let end = if limit == 0 { all.len() } else { (offset as usize).saturating_add(limit as usize) };
        if end < all.len() {
            all.select_nth_unstable_by_key(end, |vid| key(*vid));
            all.truncate(end);
        }
        all.sort_unstable_by_key(|vid| key(*vid));
        all.drain(..(offset as usize).min(all.len()));
        all
    }

    /// Who stands within `around` positions of a version in its session, by `observed_at` and vid, counting
    /// only those that `is_there` accepts.
    pub fn around(&self, vid: u32, around: u8, is_there: impl Fn(u32) -> bool) -> Vec<(i8, u32)> {
        // Versions that were corrected away stand in the order, too: look past a bounded number of them.
        const LOOK_PAST_MAX: usize = 64;
        let session = self.class(vid).session;
        if session == 0 || around == 0 {
            return Vec::new();
        }
        let around = around.min(i8::MAX as u8);
        let here = (session, self.observed_at[vid as usize], vid);
        let before = self.order.range((session, i64::MIN, 0)..here).rev().take(LOOK_PAST_MAX);
        let after = self.order.range(here..=(session, i64::MAX, u32::MAX)).skip(1).take(LOOK_PAST_MAX);
        let before = before.map(|entry| entry.2).filter(|vid| is_there(*vid)).zip((1..=around as i8).map(|at| -at));
        let after = after.map(|entry| entry.2).filter(|vid| is_there(*vid)).zip(1..=around as i8);
        before.chain(after).map(|(vid, distance)| (distance, vid)).collect()
    }
}

impl Columns {
    /// The columns of a range of vids as a segment stores them: what is named, in numbers of its own, then the rows.
    pub fn encode(&self, first: u32, next: u32) -> Vec<u8> {
        let mut names = Numbered::starting_with(0);
        let mut classes = Numbered::starting_with(0);
        let mut tag_sets = Numbered::starting_with(0);
        let mut body = Writer::default();
        for row in (first..next).filter_map(|vid| self.row(vid)) {
            body.u32(classes.number(row.class)).u32(tag_sets.number(row.tags)).time(row.observed_at);
            body.optional_time(row.expires_at).u64(row.id).u32(row.len);
        }
        let mut head = Writer::default();
        head.u32(classes.all().len() as u32).u32(tag_sets.all().len() as u32);
        for class in classes.all().iter().map(|class| self.classes.all()[*class as usize]) {
            head.u8(class.kind as u8).u8(class.trust as u8);
            for name in [class.project, class.session, class.agent, class.subject] {
                head.u32(names.number(name));
            }
        }
        for tags in tag_sets.all().iter().map(|tags| &self.tag_sets.all()[*tags as usize]) {
            head.u32(tags.len() as u32);
            for tag in tags.iter() {
                head.u32(names.number(*tag));
            }
        }
        let mut out = Writer::default();
        out.u32(names.all().len() as u32);
        for name in names.all() {
            out.text(&self.names.all()[*name as usize]);
        }
        out.fixed(&head.0).fixed(&body.0);
        out.0
    }

    /// Appends what `encode` made of the same range.
    pub fn decode(&mut self, first: u32, next: u32, bytes: &[u8]) -> Result<()> {
        let unknown = || Error::corrupt("the search index names something that it does not hold; it is rebuilt");
        let mut from = Reader(bytes);
        let names_len = from.u32()?;
        let names =
            (0..names_len).map(|_| Ok(self.names.number(Arc::from(from.text()?)))).collect::<Result<Vec<u32>>>()?;
        let name = |number: u32| names.get(number as usize).copied().ok_or_else(unknown);
        let (classes_len, tag_sets_len) = (from.u32()?, from.u32()?);
        let mut classes = Vec::new();
        for _ in 0..classes_len {
            let kind = Kind::from_number(from.u8()?).ok_or_else(unknown)?;
            let trust = Trust::from_number(from.u8()?).ok_or_else(unknown)?;
            let mut number = || name(from.u32()?);
            let (project, session, agent, subject) = (number()?, number()?, number()?, number()?);
            classes.push(self.classes.number(Class { kind, trust, project, session, agent, subject }));
        }
        let mut tag_sets = Vec::new();
        for _ in 0..tag_sets_len {
            let len = from.u32()?;
            let tags = (0..len).map(|_| name(from.u32()?)).collect::<Result<Arc<[u32]>>>()?;
            tag_sets.push(self.tag_sets.number(tags));
        }
        for vid in first..next {
            let (class, tags) = (from.u32()? as usize, from.u32()? as usize);
            let (observed_at, expires_at) = (from.time()?, from.optional(Reader::time)?);
            let (class, tags) = (classes.get(class).ok_or_else(unknown)?, tag_sets.get(tags).ok_or_else(unknown)?);
            let row = Row { class: *class, tags: *tags, observed_at, expires_at, id: from.u64()?, len: from.u32()? };
            self.push(vid, row);
        }
        from.end()
    }
}

/// A filter resolved to numbers.
pub struct Wanted<'a> {
    columns: &'a Columns,
    classes: Vec<bool>,
    tag_sets: Vec<bool>,
    since: i64,
    until: Option<Time>,
    now: Time,
}

impl Wanted<'_> {
    /// Whether a version passes the filter and has not expired.
    pub fn has(&self, vid: u32) -> bool {
        let columns = self.columns;
        let at = vid as usize;
        let Some(class) = columns.class.get(at) else { return false };
        let observed_at = columns.observed_at[at];
        self.classes[*class as usize]
            && self.tag_sets[columns.tags[at] as usize]
            && observed_at >= self.since
            && self.until.is_none_or(|until| observed_at < until.0)
            && self.is_alive(vid)
    }

    /// Whether a version has not expired.
    pub fn is_alive(&self, vid: u32) -> bool {
        let expires_at = &self.columns.expires_at;
        expires_at.is_empty() || expires_at.get(&vid).is_none_or(|at| *at > self.now)
    }
}
