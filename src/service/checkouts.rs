//! On which branch each session is, kept in one small file beside the logs: it belongs to this machine, whatever
//! engine keeps the memories. It never moves a session that did not ask.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Caller;
use crate::clock;
use crate::error::{Error, Result};
use crate::model::{Name, ProjectId, SessionId, Time};

const HEADER: &str = "memoria checkouts 1";
/// A session that was not heard of for so long begins anew.
const KEPT_MS: i64 = 90 * 24 * 60 * 60 * 1_000;

/// What a written file must survive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    /// The daemon's death. Every session that opens is written down, and must not wait for a disk.
    KillProof,
    /// Power loss too.
    PowerProof,
}

/// What people type in two projects is two sessions of one name.
type Key = (SessionId, Option<ProjectId>);

/// Who is where.
pub struct Checkouts {
    file: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    sessions: HashMap<Key, (Name, Time)>,
    /// The last checkout in each project: where a new session begins.
    projects: HashMap<Option<ProjectId>, (Name, Time)>,
}

impl Checkouts {
    /// Reads the file, where there is one.
    ///
    /// # Errors
    /// `Corrupt` with what to do, since a session must not find itself on another branch without a word.
    pub fn open(file: &Path) -> Result<Self> {
        let inner = match fs::read_to_string(file) {
            Ok(text) => Inner::read(&text).ok_or_else(|| {
                let name = file.display();
                Error::corrupt(format!("{name} is damaged: delete it, and every session begins on `main` again"))
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Inner::default(),
            Err(e) => return Err(Error::io(format_args!("read {}", file.display()), &e)),
        };
        Ok(Self { file: file.to_owned(), inner: Mutex::new(inner) })
    }

    /// The session's branch. Of a new one it is the project's last, and stays that, whoever moves on: also when the
    /// daemon is started again before anybody checks out, so it is written down.
    pub fn branch_of(&self, session: &SessionId, project: Option<&ProjectId>) -> Name {
        let mut inner = self.lock();
        let key = (session.clone(), project.cloned());
        if let Some((branch, _)) = inner.sessions.get(&key) {
            return branch.clone();
        }
        let begun = inner.next_branch(&key.1);
        inner.sessions.insert(key, (begun.clone(), clock::now()));
        if let Err(error) = self.save(&mut inner, Lasting::KillProof) {
            tracing::warn!("a session's branch is known until the daemon ends, and not longer: {error}");
        }
        begun
    }

    /// Moves one session, and what its project's later sessions begin with.
    pub(super) fn check_out(&self, caller: &Caller, branch: &Name) -> Result<()> {
        let mut inner = self.lock();
        let now = clock::now();
        inner.sessions.insert((caller.session.clone(), caller.project.clone()), (branch.clone(), now));
        inner.projects.insert(caller.project.clone(), (branch.clone(), now));
        self.save(&mut inner, Lasting::PowerProof)
    }

    /// Whoever is on `name` is on `new` now.
    pub(super) fn renamed(&self, name: &Name, new: &Name) -> Result<()> {
        let mut inner = self.lock();
        let Inner { sessions, projects } = &mut *inner;
        let places = sessions.values_mut().chain(projects.values_mut());
        places.filter(|(branch, _)| branch == name).for_each(|(branch, _)| branch.clone_from(new));
        self.save(&mut inner, Lasting::PowerProof)
    }

    /// New sessions begin elsewhere. Those that are on it are told when they next do something.
    pub(super) fn deleted(&self, name: &Name) -> Result<()> {
        let mut inner = self.lock();
        inner.projects.retain(|_, (branch, _)| branch != name);
        self.save(&mut inner, Lasting::PowerProof)
    }

    fn save(&self, inner: &mut Inner, lasting: Lasting) -> Result<()> {
        let oldest = clock::now().plus_ms(-KEPT_MS);
        inner.sessions.retain(|_, (_, since)| *since >= oldest);
        keep(&self.file, &inner.written(), lasting)
    }

    /// Another small file in the same place.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.file.with_file_name(name)
    }

    /// Where a new session in this project would begin. It moves and remembers nothing.
    pub fn next_branch(&self, project: Option<&ProjectId>) -> Name {
        self.lock().next_branch(&project.cloned())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a small file whole or not at all: a new one takes the old one's place.
pub(super) fn keep(file: &Path, text: &str, lasting: Lasting) -> Result<()> {
    let failed = |e: std::io::Error| Error::io(format_args!("write {}", file.display()), &e);
    let fresh = file.with_extension("new");
    let mut out = fs::File::create(&fresh).map_err(failed)?;
    out.write_all(text.as_bytes()).map_err(failed)?;
    if lasting == Lasting::PowerProof {
        out.sync_all().map_err(failed)?;
    }
    drop(out);
    fs::rename(&fresh, file).map_err(failed)
}

impl Inner {
    /// Where a new session in this project begins.
    fn next_branch(&self, project: &Option<ProjectId>) -> Name {
        self.projects.get(project).map_or_else(Name::main, |(branch, _)| branch.clone())
    }

    /// One line each: session (empty for a project's last), project (empty for none), branch, time; between tabs, which
    /// no id can hold.
    fn written(&self) -> String {
        let project = |project: &Option<ProjectId>| project.as_ref().map_or("", ProjectId::as_str).to_owned();
        let sessions = self
            .sessions
            .iter()
            .map(|((session, of), (branch, at))| format!("{session}\t{}\t{branch}\t{}\n", project(of), at.0));
        let projects =
            self.projects.iter().map(|(of, (branch, at))| format!("\t{}\t{branch}\t{}\n", project(of), at.0));
        let mut lines: Vec<String> = sessions.chain(projects).collect();
        lines.sort_unstable();
        format!("{HEADER}\n{}", lines.concat())
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut inner = Self::default();
        if lines.next()? != HEADER {
            return None;
        }
        for line in lines {
            let [session, project, branch, at] = line.split('\t').collect::<Vec<_>>()[..] else { return None };
            let project = if project.is_empty() { None } else { Some(ProjectId::new(project).ok()?) };
            let place = (branch.parse().ok()?, Time(at.parse().ok()?));
            if session.is_empty() {
                inner.projects.insert(project, place);
            } else {
                inner.sessions.insert((SessionId::new(session).ok()?, project), place);
            }
        }
        Some(inner)
    }
}
