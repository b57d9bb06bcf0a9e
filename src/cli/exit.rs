//! Exit codes: what a script may rely on. Decided here, once; `memoria --help` prints the same list.

use std::process::ExitCode;

use crate::error::ErrorKind;

pub const HELP: &str = "\
Exit codes: 0 done, 1 the request failed, 2 the command line is wrong,
            3 no daemon or it cannot answer now, 4 what you named is not there,
            5 conflicts wait to be settled, 6 done, but for what was refused";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    Unavailable = 3,
    NotFound = 4,
    /// Of a merge, a pick or an apply.
    Conflicts = 5,
    /// Some lines of an import were not taken.
    Partly = 6,
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Unavailable | ErrorKind::ShuttingDown | ErrorKind::Protocol => Self::Unavailable,
            ErrorKind::NotFound | ErrorKind::Ambiguous => Self::NotFound,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
