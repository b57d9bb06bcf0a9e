//! What many versions have in common, once: names, classes and sets of tags, by numbers of one piece of the index.
//! In flat arrays, so that a store in which every memory has a tag of its own stays small, too.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

use crate::error::{Error, Result};
use crate::model::canon::{Reader, Writer};
use crate::model::{Kind, Memory, Trust};

/// What a version has in common with many others. Names are numbers; 0 is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    pub kind: Kind,
    pub trust: Trust,
    pub project: u32,
    pub session: u32,
    pub agent: u32,
    pub subject: u32,
}

/// The class of no memory, for gaps and erased versions; its number is 0.
pub const NOBODY: Class =
    Class { kind: Kind::Semantic, trust: Trust::T4, project: 0, session: 0, agent: 0, subject: 0 };

/// Number 0 is the empty name, [`NOBODY`] and the empty set.
pub struct Vocabulary {
    text: String,
    /// Where each name ends in `text`.
    name_ends: Vec<u32>,
    pub classes: Vec<Class>,
    tags: Vec<u32>,
    /// Where each set ends in `tags`.
    set_ends: Vec<u32>,
}

/// The part of `all` that ends where the `number`th end says.
fn part<'a, T: ?Sized>(ends: &[u32], number: u32, get: impl FnOnce(usize, usize) -> Option<&'a T>) -> Option<&'a T> {
    let at = number as usize;
    let start = at.checked_sub(1).map_or(Some(0), |before| ends.get(before).copied())?;
    get(start as usize, *ends.get(at)? as usize)
}

impl Vocabulary {
    fn new() -> Self {
        Self { text: String::new(), name_ends: vec![0], classes: vec![NOBODY], tags: Vec::new(), set_ends: vec![0] }
    }

    /// A name, or "" when there is none of that number.
    pub fn name(&self, number: u32) -> &str {
        part(&self.name_ends, number, |start, end| self.text.get(start..end)).unwrap_or_default()
    }

    pub fn number(&self, name: &str) -> Option<u32> {
        (0..self.name_ends.len() as u32).find(|number| self.name(*number) == name)
    }

    pub fn class(&self, number: u32) -> Class {
        self.classes.get(number as usize).copied().unwrap_or(NOBODY)
    }

    /// The tags of a set, by the numbers of their names.
    pub fn tags(&self, set: u32) -> &[u32] {
        part(&self.set_ends, set, |start, end| self.tags.get(start..end)).unwrap_or_default()
    }

    pub fn sets(&self) -> impl Iterator<Item = &[u32]> {
        (0..self.set_ends.len() as u32).map(|set| self.tags(set))
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.text(&self.text);
        for numbers in [&self.name_ends, &self.tags, &self.set_ends] {
            out.u32(numbers.len() as u32);
            numbers.iter().for_each(|number| {
                out.u32(*number);
            });
        }
        out.u32(self.classes.len() as u32);
        for class in &self.classes {
            out.u8(class.kind as u8).u8(class.trust as u8);
            out.u32(class.project).u32(class.session).u32(class.agent).u32(class.subject);
        }
        out.0
    }

    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let unknown = || Error::corrupt("the search index names something that it does not hold; it is rebuilt");
        let mut from = Reader(bytes);
        let text = from.text()?;
        let mut numbers = || {
            let len = from.u32()? as usize;
            from.fixed(len.saturating_mul(4))?.chunks_exact(4).map(|number| Reader(number).u32()).collect::<Result<_>>()
        };
        let (name_ends, tags, set_ends) = (numbers()?, numbers()?, numbers()?);
        let mut classes = Vec::new();
        for _ in 0..from.u32()? {
            let kind = Kind::from_number(from.u8()?).ok_or_else(unknown)?;
            let trust = Trust::from_number(from.u8()?).ok_or_else(unknown)?;
            let (project, session, agent, subject) = (from.u32()?, from.u32()?, from.u32()?, from.u32()?);
            classes.push(Class { kind, trust, project, session, agent, subject });
        }
        from.end()?;
        Ok(Self { text, name_ends, classes, tags, set_ends })
    }
}

/// What makes a vocabulary grow: what comes again gets the number that it has.
pub struct Numbering {
    hash: RandomState,
    /// Hash of a thing, and its number; where another has the same hash, it stands one further.
    names: HashMap<u64, u32>,
    classes: HashMap<u64, u32>,
    sets: HashMap<u64, u32>,
}

/// The number under which `is_same` knows the thing, or `next` as a new one.
fn place(numbers: &mut HashMap<u64, u32>, hash: u64, next: usize, is_same: impl Fn(u32) -> bool) -> (u32, bool) {
    let mut hash = hash;
    loop {
        match numbers.get(&hash) {
            Some(number) if is_same(*number) => return (*number, false),
            Some(_) => hash = hash.wrapping_add(1),
            None => {
                numbers.insert(hash, next as u32);
                return (next as u32, true);
            }
        }
    }
}

impl Numbering {
    /// With the vocabulary that it is to let grow.
    pub fn new() -> (Self, Vocabulary) {
        let (names, classes, sets) = Default::default();
        let mut new = Self { hash: RandomState::new(), names, classes, sets };
        new.names.insert(new.hash.hash_one(""), 0);
        new.classes.insert(new.hash.hash_one(NOBODY), 0);
        new.sets.insert(new.hash.hash_one::<&[u32]>(&[]), 0);
        (new, Vocabulary::new())
    }

    pub fn name(&mut self, all: &mut Vocabulary, name: &str) -> u32 {
        let hash = self.hash.hash_one(name);
        let (number, is_new) = place(&mut self.names, hash, all.name_ends.len(), |number| all.name(number) == name);
        if is_new {
            all.text.push_str(name);
            all.name_ends.push(all.text.len() as u32);
        }
        number
    }

    fn class(&mut self, all: &mut Vocabulary, class: Class) -> u32 {
        let (hash, all) = (self.hash.hash_one(class), &mut all.classes);
        let is_same = |number: u32| all.get(number as usize) == Some(&class);
        let (number, is_new) = place(&mut self.classes, hash, all.len(), is_same);
        if is_new {
            all.push(class);
        }
        number
    }

    fn set(&mut self, all: &mut Vocabulary, tags: &[u32]) -> u32 {
        let hash = self.hash.hash_one(tags);
        let (number, is_new) = place(&mut self.sets, hash, all.set_ends.len(), |number| all.tags(number) == tags);
        if is_new {
            all.tags.extend_from_slice(tags);
            all.set_ends.push(all.tags.len() as u32);
        }
        number
    }

    /// The numbers of a memory's class and of the set of its tags.
    pub fn of(&mut self, all: &mut Vocabulary, memory: &Memory) -> (u32, u32) {
        let mut name = |text: Option<&str>| self.name(all, text.unwrap_or_default());
        let project = name(memory.project.as_ref().map(|project| project.as_str()));
        let session = name(memory.session.as_ref().map(|session| session.as_str()));
        let agent = name(memory.origin.agent.as_deref());
        let subject = name(memory.subject.as_ref().map(|subject| subject.as_str()));
        let tags: Vec<u32> = memory.marks().map(|mark| name(Some(mark))).collect();
        let class = Class { kind: memory.kind, trust: memory.trust, project, session, agent, subject };
        (self.class(all, class), self.set(all, &tags))
    }

    /// The number of a class of another vocabulary.
    pub fn class_from(&mut self, all: &mut Vocabulary, other: &Vocabulary, number: u32) -> u32 {
        let class = other.class(number);
        let mut name = |number: u32| self.name(all, other.name(number));
        let (project, session) = (name(class.project), name(class.session));
        let (agent, subject) = (name(class.agent), name(class.subject));
        self.class(all, Class { project, session, agent, subject, ..class })
    }

    /// The number of a set of tags of another vocabulary.
    pub fn set_from(&mut self, all: &mut Vocabulary, other: &Vocabulary, number: u32) -> u32 {
        let tags: Vec<u32> = other.tags(number).iter().map(|tag| self.name(all, other.name(*tag))).collect();
        self.set(all, &tags)
    }
}
