//! What each agent has seen of each project, kept in one small file beside the checkouts, so that a briefing can say
//! what is new since. A mark is a commit and a time; losing the file loses what was news, and nothing else.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::checkouts::{Lasting, keep};
use crate::clock;
use crate::error::Result;
use crate::model::{CommitId, ProjectId, Time};

const HEADER: &str = "memoria looks 1";
/// What nobody has looked at for so long is not news any more.
const KEPT_MS: i64 = 90 * 24 * 60 * 60 * 1_000;
/// Briefings whose arrival nobody has confirmed yet. Whoever is told again has lost nothing.
const OFFERED_MAX: usize = 1_000;
/// An agent's name in the file. Agents say their own names, and can say anything.
const AGENT_CHARS_MAX: usize = 60;

type Key = (String, Option<ProjectId>);

/// Where an agent has looked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub commit: CommitId,
    pub at: Time,
}

/// Every agent's last look at each project.
pub(super) struct Looks {
    file: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    marks: HashMap<Key, Look>,
    /// Told, and not known to have been heard.
    offered: HashMap<Key, CommitId>,
}

impl Looks {
    /// A file that cannot be read is begun anew: only what was news is lost with it.
    pub fn open(file: PathBuf) -> Self {
        let marks = match fs::read_to_string(&file) {
            Ok(text) => read(&text).unwrap_or_else(|| {
                tracing::warn!("{} is damaged and is begun anew: agents are not told what was new", file.display());
                HashMap::new()
            }),
            Err(e) => {
                if e.kind() != std::io::ErrorKind::NotFound {
                    tracing::warn!("cannot read {}: {e}", file.display());
                }
                HashMap::new()
            }
        };
        Self { file, inner: Mutex::new(Inner { marks, ..Inner::default() }) }
    }

    pub fn last(&self, agent: &str, project: Option<&ProjectId>) -> Option<Look> {
        self.lock().marks.get(&(named(agent), project.cloned())).copied()
    }

    /// The agent is being told of everything up to this commit.
    pub fn offer(&self, agent: &str, project: Option<&ProjectId>, commit: CommitId) {
        let mut inner = self.lock();
        if inner.offered.len() >= OFFERED_MAX {
            inner.offered.clear();
        }
        inner.offered.insert((named(agent), project.cloned()), commit);
    }

    /// It has heard that: news begins after it.
    ///
    /// # Errors
    /// When the file cannot be written; it is remembered until the daemon ends all the same.
    pub fn heard(&self, agent: &str, project: Option<&ProjectId>) -> Result<()> {
        let mut inner = self.lock();
        let key = (named(agent), project.cloned());
        let Some(commit) = inner.offered.remove(&key) else { return Ok(()) };
        let now = clock::now();
        let oldest = now.plus_ms(-KEPT_MS);
        inner.marks.insert(key, Look { commit, at: now });
        inner.marks.retain(|_, look| look.at >= oldest);
        keep(&self.file, &written(&inner.marks), Lasting::KillProof)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An agent's name as it stands in the file: it can hold neither tab nor line break.
fn named(agent: &str) -> String {
    agent.chars().filter(|c| !c.is_control()).take(AGENT_CHARS_MAX).collect()
}

/// One line each: agent, project (empty for none), commit, time; between tabs, which no id can hold.
fn written(marks: &HashMap<Key, Look>) -> String {
    let project = |project: &Option<ProjectId>| project.as_ref().map_or("", ProjectId::as_str).to_owned();
    let line =
        |((agent, of), look): (&Key, &Look)| format!("{agent}\t{}\t{}\t{}\n", project(of), look.commit, look.at.0);
    let mut lines: Vec<String> = marks.iter().map(line).collect();
    lines.sort_unstable();
    format!("{HEADER}\n{}", lines.concat())
}

fn read(text: &str) -> Option<HashMap<Key, Look>> {
    let mut lines = text.lines();
    if lines.next()? != HEADER {
        return None;
    }
    let mark = |line: &str| {
        let [agent, project, commit, at] = line.split('\t').collect::<Vec<_>>()[..] else { return None };
        let project = if project.is_empty() { None } else { Some(ProjectId::new(project).ok()?) };
        let look = Look { commit: commit.parse().ok()?, at: Time(at.parse().ok()?) };
        Some(((agent.to_owned(), project), look))
    };
    lines.map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(byte: u8) -> CommitId {
        CommitId([byte; 32])
    }

    fn note(looks: &Looks, agent: &str, project: Option<&ProjectId>, byte: u8) {
        looks.offer(agent, project, commit(byte));
        looks.heard(agent, project).unwrap();
    }

    #[test]
    fn what_did_not_reach_an_agent_is_still_news() {
        let dir = tempfile::tempdir().unwrap();
        let looks = Looks::open(dir.path().join("looks"));
        note(&looks, "codex", None, 1);
        looks.offer("codex", None, commit(2));
        looks.heard("cursor", None).unwrap();
        assert_eq!(looks.last("codex", None).map(|look| look.commit), Some(commit(1)));
        looks.heard("codex", None).unwrap();
        assert_eq!(looks.last("codex", None).map(|look| look.commit), Some(commit(2)));
    }

    #[test]
    fn looks_outlive_the_daemon_by_agent_and_project() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("looks");
        let project = ProjectId::new("h.org/we/site").unwrap();
        let looks = Looks::open(file.clone());
        assert_eq!(looks.last("codex", None), None);
        note(&looks, "codex", None, 1);
        note(&looks, "codex", Some(&project), 2);
        note(&looks, "a\tb\nc", Some(&project), 3);
        let again = Looks::open(file);
        let last = |agent, project| again.last(agent, project).map(|look| look.commit);
        assert_eq!(last("codex", None), Some(commit(1)));
        assert_eq!(last("codex", Some(&project)), Some(commit(2)));
        assert_eq!(last("a\tb\nc", Some(&project)), Some(commit(3)));
        assert_eq!(last("cursor", None), None);
    }

    #[test]
    fn a_damaged_file_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("looks");
        for text in ["", "something else", "memoria looks 1\na\tb\n", "memoria looks 1\na\t\tzz\t1\n"] {
            fs::write(&file, text).unwrap();
            let looks = Looks::open(file.clone());
            assert_eq!(looks.last("a", None), None, "{text:?}");
            note(&looks, "a", None, 7);
            assert_eq!(Looks::open(file.clone()).last("a", None).unwrap().commit, commit(7));
        }
    }
}
