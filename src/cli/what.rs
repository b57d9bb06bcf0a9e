//! Options that several commands share: which memories are meant, and how words on the command line become values.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::clock;
use crate::error::{Error, Result};
use crate::model::{Filter, Kind, Name, Page, ProjectId, Rule, SessionId, Signal, SubjectId, Time, Trust};
use crate::wire::message::{Expiry, Mode, Place, SessionScope, View};

/// The kinds, on lines that fit beside the option.
pub const KINDS_HELP: &str = "semantic (the default), profile, procedural, working,\nepisodic or tool_result";

/// Which memories are meant.
#[derive(clap::Args)]
pub struct Which {
    /// Only this kind, or one of several (`help store`)
    #[arg(long = "kind", value_name = "KIND", value_parser = kinds(), hide_possible_values = true)]
    pub kinds: Vec<Kind>,
    /// Only those with this tag; again: with both
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Another project; `global`: none, `*`: all
    #[arg(long, value_name = "PROJECT", value_parser = place)]
    pub project: Option<Place>,
    /// Only those of this session
    #[arg(long, value_parser = session)]
    pub session: Option<SessionId>,
    /// Only those about this subject
    #[arg(long, value_parser = subject)]
    pub subject: Option<SubjectId>,
}

impl Which {
    pub fn place(&self) -> Place {
        self.project.clone().unwrap_or_default()
    }

    pub fn filter(&self) -> Filter {
        let (session, subject) = (self.session.clone(), self.subject.clone());
        Filter { kinds: self.kinds.clone(), tags: self.tags.clone(), session, subject, ..Filter::default() }
    }
}

/// What is looked at.
#[derive(clap::Args)]
pub struct Where {
    /// On this branch, in place of the current one
    #[arg(long, value_name = "BRANCH", value_parser = name)]
    pub branch: Option<Name>,
    /// As of a branch, a snapshot, a commit or a time
    #[arg(long, value_name = "REV")]
    pub at: Option<String>,
}

impl Where {
    pub fn view(self) -> View {
        View { branch: self.branch, at: self.at }
    }
}

/// What every command takes that makes one branch into something else.
#[derive(clap::Args)]
pub struct Extent {
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Show at most so many; 0 is all
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u32,
}

impl Extent {
    pub fn mode(&self) -> Mode {
        if self.dry_run { Mode::DryRun } else { Mode::Do }
    }

    pub fn page(&self) -> Page {
        Page { offset: 0, limit: self.limit }
    }
}

pub const STRATEGIES_HELP: &str = "Of conflicts: fail (list them, the default),\n\
    ours (or skip, append), theirs (accept, replace)";

/// With the names that the existing Memoria uses.
pub fn strategy() -> impl TypedValueParser<Value = Rule> {
    let words = ["fail", "ours", "skip", "append", "theirs", "accept", "replace"];
    PossibleValuesParser::new(words).map(|word| match word.as_str() {
        "fail" => Rule::Fail,
        "ours" | "skip" | "append" => Rule::Ours,
        _ => Rule::Theirs,
    })
}

pub fn kinds() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.iter().map(|kind| kind.as_str())).try_map(|word| word.parse())
}

pub fn signal() -> impl TypedValueParser<Value = Signal> {
    PossibleValuesParser::new(Signal::ALL.iter().map(|signal| signal.as_str())).try_map(|word| word.parse())
}

pub fn trust() -> impl TypedValueParser<Value = Trust> {
    PossibleValuesParser::new(Trust::ALL.iter().map(|trust| trust.as_str())).try_map(|word| word.parse())
}

pub fn place(word: &str) -> Result<Place> {
    Ok(match word {
        "global" => Place::Global,
        "*" => Place::Everywhere,
        name => Place::Named(ProjectId::new(name)?),
    })
}

pub fn project(word: &str) -> Result<ProjectId> {
    ProjectId::new(word)
}

pub fn name(word: &str) -> Result<Name> {
    word.parse()
}

pub fn session(word: &str) -> Result<SessionId> {
    SessionId::new(word)
}

pub fn subject(word: &str) -> Result<SubjectId> {
    SubjectId::new(word)
}

pub fn when(word: &str) -> Result<Time> {
    clock::parse_when(word, clock::now())
}

pub fn scope() -> impl TypedValueParser<Value = SessionScope> {
    let scope = |word: String| if word == "prefer" { SessionScope::Prefer } else { SessionScope::Only };
    PossibleValuesParser::new(["only", "prefer"]).map(scope)
}

/// When a memory ends.
pub fn until(word: &str) -> Result<Time> {
    clock::parse_until(word, clock::now())
}

pub fn expiry(word: &str) -> Result<Expiry> {
    if word == "never" { Ok(Expiry::Never) } else { until(word).map(Expiry::At) }
}

/// A text from the command line, or from stdin when it is `-`.
pub fn text(word: String) -> Result<String> {
    use std::io::Read;

    /// Far above what a memory may have; the daemon judges that. It keeps `< /dev/zero` from filling the machine.
    const STDIN_BYTES_MAX: u64 = 64 << 20;
    if word != "-" {
        return Ok(word);
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(STDIN_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io("read the text from stdin", &e))?;
    if bytes.len() as u64 > STDIN_BYTES_MAX {
        return Err(Error::too_large("stdin holds more than 64 MB, which is no memory. Store the parts that matter"));
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        Error::invalid(format!("stdin is not UTF-8 text: byte {} does not fit", e.utf8_error().valid_up_to()))
    })?;
    // A shell's `echo` and here-documents end with a newline that is not meant.
    Ok(text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text).to_owned()).unwrap_or(text))
}
