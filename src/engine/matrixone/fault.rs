//! What a failed statement means: whether it is worth trying again, and what a person is told. Sentences name the
//! server and the number of its error; what the server quotes is not handed on, since it may be out of a memory.

use std::io;

use mysql_async::{DriverError, Error as Cause, IoError, ServerError};

use crate::error::{Error, ErrorKind};

/// What can be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// The server undid it for a reason that passes, such as a deadlock; the connection is sound.
    Again,
    /// The connection is of no use any more, and what was asked last may have been done.
    Broken,
    /// It would fail again.
    Final,
}

/// A failure, judged.
#[derive(Clone, Debug)]
pub struct Fault {
    pub course: Course,
    /// The number of the server's own error.
    pub code: Option<u16>,
    pub error: Error,
}

impl Fault {
    /// The server was silent until the deadline.
    pub fn silence(server: &str) -> Self {
        let error = Error::unavailable(format!("the MatrixOne server at {server} does not answer in time"));
        Self { course: Course::Broken, code: None, error }
    }

    /// All connections that are allowed were busy until the deadline.
    pub fn busy(connections_max: usize) -> Self {
        let error = Error::unavailable(format!(
            "all {connections_max} connections to MatrixOne are busy (matrixone.connections_max); ask again"
        ));
        Self { course: Course::Final, code: None, error }
    }

    /// Of a statement, which is one of `sql.rs` and holds nothing that people wrote.
    pub fn of(server: &str, sql: &str, cause: &Cause) -> Self {
        let gone = |why: &dyn std::fmt::Display| Self {
            course: Course::Broken,
            code: None,
            error: Error::unavailable(format!("the MatrixOne server at {server} does not answer: {why}")),
        };
        match cause {
            Cause::Server(said) => Self::said(server, sql, said),
            Cause::Io(IoError::Io(why)) if why.kind() == io::ErrorKind::UnexpectedEof => {
                gone(&"it closed the connection")
            }
            // How rustls says whom it does not believe.
            Cause::Io(IoError::Io(why)) if why.kind() == io::ErrorKind::InvalidData => {
                untrusted(server, &why.to_string())
            }
            Cause::Io(IoError::Io(why)) => gone(why),
            Cause::Io(IoError::Tls(why)) => untrusted(server, &why.to_string()),
            Cause::Driver(DriverError::ConnectionClosed) => gone(&"it closed the connection"),
            Cause::Driver(DriverError::NoClientSslFlagFromServer) => untrusted(server, "it offers none"),
            // What a driver cannot read has left the connection in the middle of an answer.
            other => Self {
                course: Course::Broken,
                code: None,
                error: Error::internal(format!(
                    "MatrixOne's answer to `{}` cannot be read: {}",
                    head(sql),
                    gist(&other.to_string())
                )),
            },
        }
    }

    fn said(server: &str, sql: &str, said: &ServerError) -> Self {
        let (course, kind, sentence) = judge(server, sql, said);
        Self { course, code: Some(said.code), error: Error { kind, message: sentence } }
    }
}

fn untrusted(server: &str, why: &str) -> Fault {
    let error = Error::unavailable(format!(
        "no encrypted connection to the MatrixOne server at {server}: {why}. Name its authority in \
         matrixone.tls_ca_file, or write matrixone.tls = \"off\" where the way there is safe"
    ));
    Fault { course: Course::Final, code: None, error }
}

fn judge(server: &str, sql: &str, said: &ServerError) -> (Course, ErrorKind, String) {
    use ErrorKind::{Denied, Full, Internal, NotFound, TooLarge, Unavailable};
    let code = said.code;
    let text = said.message.to_ascii_lowercase();
    let busy =
        |course| (course, Unavailable, format!("the MatrixOne server at {server} asks to try again (error {code})"));
    let stranger = || {
        let what = "check the user in matrixone.url, and the password where it is taken from";
        (
            Course::Final,
            Denied,
            format!("the MatrixOne server at {server} refuses our user or password (error {code}): {what}"),
        )
    };
    match code {
        // Waited too long for a lock; deadlock (as MySQL says it); write conflict; a table was changed meanwhile; locks
        // moved to another node; a node restarts.
        1205 | 1213 | 1020 | 20619 | 20628 | 20629 | 20631 | 20632 | 20634 | 20635 | 20701..=20704 | 20709 | 20710 => {
            busy(Course::Again)
        }
        // The commit's outcome is not known, or the transaction's node has gone.
        20638 | 20600 | 20602 | 20611 | 20612 | 20705 | 20708 => busy(Course::Broken),
        // Nodes that do not answer each other, or shut down.
        1053 | 20500..=20508 | 20401 | 20416 | 20417 | 20605 | 20606 => busy(Course::Broken),
        20101
            if ["retry", "timeout", "not ready", "connection", "shut", "closed"]
                .iter()
                .any(|word| text.contains(word)) =>
        {
            busy(Course::Broken)
        }
        1040 | 1203 | 1226 => (
            Course::Broken,
            Unavailable,
            format!("the MatrixOne server at {server} has no connection left for us (error {code}); ask again later"),
        ),
        1045 | 1698 => stranger(),
        20101 if ["check password", "no user", "no account"].iter().any(|words| text.contains(words)) => stranger(),
        1044 | 1142 | 1143 | 1227 | 1370 => (Course::Final, Denied, ungranted(code, sql)),
        20101 if text.contains("privilege") => (Course::Final, Denied, ungranted(code, sql)),
        20101 | 20105 if text.contains("quota") || text.contains("limit") => {
            (Course::Final, Full, format!("a quota of the MatrixOne account is used up: {}", gist(&said.message)))
        }
        1021 | 1041 | 1114 | 20103 | 20107 => {
            (Course::Final, Full, format!("the MatrixOne server at {server} has no room left (error {code})"))
        }
        1153 | 1301 => (Course::Final, TooLarge, format!("MatrixOne takes no statement of this size (error {code})")),
        1049 => {
            (Course::Final, NotFound, format!("the MatrixOne server at {server} has no such database (error {code})"))
        }
        _ => (
            Course::Final,
            Internal,
            format!("MatrixOne refuses `{}` (error {code}: {})", head(sql), gist(&said.message)),
        ),
    }
}

fn ungranted(code: u16, sql: &str) -> String {
    format!("the MatrixOne account may not do `{}` (error {code}): `memoria doctor` says what to grant", head(sql))
}

/// Enough of a statement to know it by.
fn head(sql: &str) -> String {
    let line = sql.split_whitespace().take(8).collect::<Vec<_>>().join(" ");
    line.chars().take(60).collect()
}

/// What the server said, without anything that it quotes.
fn gist(message: &str) -> String {
    let mut kept = String::new();
    let mut quote = None;
    for c in message.chars().take(400) {
        match (quote, c) {
            (None, '\'' | '"' | '`') => {
                quote = Some(c);
                kept.push('…');
            }
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, c) if c.is_control() => kept.push(' '),
            (None, c) => kept.push(c),
        }
    }
    // `malformed vector input: …` quotes without quotes.
    let clauses: Vec<_> = kept.split(": ").take(2).collect();
    clauses.join(": ").chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: u16, message: &str) -> Fault {
        let said = ServerError { code, message: message.to_owned(), state: "HY000".to_owned() };
        Fault::of("db:6001", "insert into versions values (?)", &Cause::Server(said))
    }

    #[test]
    fn faults_that_pass_are_told_from_those_that_stay() {
        for code in [1205, 20619, 20701, 20628, 20629, 20631, 20702, 20703] {
            assert_eq!((said(code, "x").course, said(code, "x").error.kind), (Course::Again, ErrorKind::Unavailable));
        }
        for code in [1062, 1064, 1146, 1406, 20105, 20203, 20301] {
            assert_eq!(said(code, "x").course, Course::Final, "{code}");
        }
        assert_eq!(said(20101, "internal error: txn need retry in rc mode").course, Course::Broken);
        assert_eq!(said(20101, "internal error: conflict").course, Course::Final);
        assert_eq!(said(20638, "txn commit status is unknown: x").course, Course::Broken);
    }

    #[test]
    fn what_may_not_be_done_is_denied_and_says_how_to_get_leave() {
        let fault = said(20101, "internal error: do not have privilege to execute the statement");
        assert_eq!((fault.course, fault.error.kind), (Course::Final, ErrorKind::Denied));
        assert!(fault.error.message.contains("memoria doctor"), "{}", fault.error);
        assert_eq!(said(1045, "Access denied").error.kind, ErrorKind::Denied);
    }

    #[test]
    fn no_sentence_holds_what_the_server_quoted() {
        for message in [
            "Duplicate entry 'my diary' for key 'k'",
            "internal error: malformed vector input: my diary",
            "a \"my diary",
        ] {
            for code in [1062, 1406, 20101, 20301, 1040, 1205] {
                let error = said(code, message).error;
                assert!(!error.message.contains("diary"), "{code}: {error}");
            }
        }
    }
}
