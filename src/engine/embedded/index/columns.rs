//! What filters and orders need to know of each version of one piece of the index, by vid: 20 bytes each while it is
//! in memory. It holds no text and decides nothing.

use super::vocabulary::{Class, Vocabulary};
use crate::model::{Filter, Scope, Time};

/// The columns of the vids from `first` on. A gap or an erased version has zeros, and no state asks for it.
pub struct Columns {
    pub first: u32,
    pub class: Vec<u32>,
    pub tags: Vec<u32>,
    pub observed_at: Vec<i64>,
    /// Lengths in terms.
    pub lens: Vec<u32>,
    /// Few memories expire. Rising by vid.
    pub expires_at: Vec<(u32, Time)>,
    pub vocabulary: Vocabulary,
}

impl Columns {
    /// With no vids yet, those from `first` on to come.
    pub fn new(first: u32, vocabulary: Vocabulary) -> Self {
        let (class, tags, observed_at, lens, expires_at) = Default::default();
        Self { first, class, tags, observed_at, lens, expires_at, vocabulary }
    }

    pub fn next(&self) -> u32 {
        self.first + self.class.len() as u32
    }

    fn at(&self, vid: u32) -> usize {
        vid.wrapping_sub(self.first) as usize
    }

    pub fn len_of(&self, vid: u32) -> u32 {
        self.lens.get(self.at(vid)).copied().unwrap_or(0)
    }

    pub fn observed_at(&self, vid: u32) -> Time {
        Time(self.observed_at.get(self.at(vid)).copied().unwrap_or(0))
    }

    pub fn class_of(&self, vid: u32) -> Class {
        self.vocabulary.class(self.class.get(self.at(vid)).copied().unwrap_or(0))
    }

    pub fn expires_at(&self, vid: u32) -> Option<Time> {
        let at = self.expires_at.binary_search_by_key(&vid, |(vid, _)| *vid).ok()?;
        self.expires_at.get(at).map(|(_, time)| *time)
    }

    /// Whether a version has not expired.
    pub fn is_alive(&self, vid: u32, now: Time) -> bool {
        self.expires_at.is_empty() || self.expires_at(vid).is_none_or(|at| at > now)
    }

    /// A filter in the numbers of this piece.
    pub fn wanted(&self, filter: &Filter, now: Time) -> Wanted<'_> {
        let all = &self.vocabulary;
        // `None` is no wish; a name that no memory of this piece bears is the number that none has.
        let number = |text: &str| all.number(text).unwrap_or(u32::MAX);
        let agent = filter.agent.as_deref().map(number);
        let subject = filter.subject.as_ref().map(|subject| number(subject.as_str()));
        let session = filter.session.as_ref().map(|session| number(session.as_str()));
        let project = match &filter.scope {
            Scope::Project(project) => number(project.as_str()),
            Scope::All | Scope::Global => 0,
        };
        let fits = |class: &Class| {
            let in_scope = filter.scope == Scope::All || class.project == 0 || class.project == project;
            in_scope
                && (filter.kinds.is_empty() || filter.kinds.contains(&class.kind))
                && filter.trust.is_none_or(|trust| trust == class.trust)
                && agent.is_none_or(|agent| class.agent == agent)
                && subject.is_none_or(|subject| class.subject == subject)
                && session.is_none_or(|session| class.session == session)
        };
        let tags: Vec<u32> = filter.tags.iter().map(|tag| number(tag)).collect();
        let has_tags = |set: &[u32]| tags.iter().all(|tag| set.contains(tag));
        Wanted {
            columns: self,
            classes: all.classes.iter().map(fits).collect(),
            sets: if tags.is_empty() { None } else { Some(all.sets().map(has_tags).collect()) },
            since: filter.since.map_or(i64::MIN, |since| since.0),
            until: filter.until,
            now,
        }
    }
}

/// A filter resolved to numbers of one piece.
pub struct Wanted<'a> {
    pub columns: &'a Columns,
    classes: Vec<bool>,
    sets: Option<Vec<bool>>,
    since: i64,
    until: Option<Time>,
    now: Time,
}

impl Wanted<'_> {
    /// Whether a version passes the filter and has not expired.
    pub fn has(&self, vid: u32) -> bool {
        let columns = self.columns;
        let at = columns.at(vid);
        let Some(class) = columns.class.get(at) else { return false };
        let observed_at = columns.observed_at[at];
        self.classes.get(*class as usize) == Some(&true)
            && self.sets.as_ref().is_none_or(|sets| sets.get(columns.tags[at] as usize) == Some(&true))
            && observed_at >= self.since
            && self.until.is_none_or(|until| observed_at < until.0)
            && columns.is_alive(vid, self.now)
    }
}
