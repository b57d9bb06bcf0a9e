//! What the server can do and what it lets us do, each found out by doing it: in a database of its own that is dropped
//! again, or, where none may be made, in one table of ours. It mends nothing.

use std::time::Duration;

use mysql_async::{FromValueError, Row, Value, from_value_opt};
use tokio::runtime::Handle;

use super::pool::Pool;
use super::session::Session;
use super::settings::{Encryption, Settings};
use super::sql;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};

/// The statements that an ordinary account needs; `...` is its password.
pub const GRANTS: &str = "create role memoria; grant connect, show databases, create database, drop database on \
     account * to memoria; grant all on database * to memoria; grant all on table *.* to memoria; \
     create user memoria identified by '...' default role memoria";
/// What an ordinary account of MatrixOne gets unless it is given more.
const SNAPSHOTS_MAX: u64 = 50;
const BRANCHES_MAX: u64 = 50;
/// Whoever asks a doctor waits in front of the screen.
const REACHED_WITHIN: Duration = Duration::from_secs(4);
/// The first version with `data branch`, as its releases are numbered.
const MAJOR_MIN: u32 = 3;
/// Milliseconds between the clocks that nobody will notice, and from which on histories read oddly.
const CLOCK_MS_FINE: u64 = 1_000;
const CLOCK_MS_ODD: u64 = 10_000;

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// It works, but for something that is named.
    Weak,
    /// It does not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In a word or two.
    pub what: &'static str,
    pub verdict: Verdict,
    /// What was found, in half a sentence.
    pub found: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    pub fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Good, found: found.into(), remedy: None }
    }

    /// With what to do about it.
    pub fn weak(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Weak, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// With what to do about it.
    pub fn bad(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Bad, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// Looks at everything, in the order in which one needs the other. Blocks, and leaves nothing behind.
pub fn examine(settings: &Settings, handle: Handle) -> Vec<Finding> {
    // Without its database, which may not be there yet and is not to be made by looking.
    let pool = Pool::open(&Settings { database: String::new(), ..settings.clone() }, handle);
    let mut findings = vec![encryption(settings)];
    let (version, clocks) = match pool.within(REACHED_WITHIN).read(reached) {
        Ok(reached) => reached,
        Err(error) => {
            findings.insert(0, Finding::bad("server", error.message, "the rest could not be looked at"));
            return findings;
        }
    };
    findings.insert(0, Finding::good("server", format!("{} answers", settings.address())));
    findings.push(of_version(&version));
    findings.push(clocks);
    let ground = Ground::find(&pool, settings);
    findings.push(ground.finding());
    if let Some(database) = ground.database() {
        findings.extend(probes(&pool, database));
        findings.push(quotas(&pool, settings));
    }
    if let Ground::Own(name) = &ground
        && let Err(error) = pool.read(|session| session.text(&sql::drop_database(name)))
    {
        let remedy = format!("drop it by hand: {}", sql::drop_database(name));
        findings.push(Finding::weak("tidying up", error.message, remedy));
    }
    pool.close();
    findings
}

fn encryption(settings: &Settings) -> Finding {
    match (&settings.encryption, settings.is_loopback()) {
        (Encryption::Public, _) => Finding::good("encryption", "TLS, with a certificate that is vouched for in public"),
        (Encryption::Private(_), _) => Finding::good("encryption", "TLS, vouched for by matrixone.tls_ca_file"),
        (Encryption::None, true) => Finding::good("encryption", "none, and none needed on this machine"),
        (Encryption::None, false) => Finding::weak(
            "encryption",
            "none: the password and every memory cross the network readably",
            "take matrixone.tls = \"off\" out",
        ),
    }
}

fn reached(session: &mut Session) -> Result<(String, Finding)> {
    let version = text(session.text_rows(sql::VERSION)?)?;
    let before = clock::now();
    let theirs = number(session.text_rows(sql::CLOCK)?)?;
    let after = clock::now();
    // Halfway through the question.
    let offset_ms = theirs - (before.0 + after.since(before) / 2);
    let found = match offset_ms {
        0.. => format!("the server's is {} ms ahead", offset_ms),
        _ => format!("the server's is {} ms behind", -offset_ms),
    };
    let remedy = "set both by NTP: what several machines did is listed in the order of these clocks";
    let apart_ms = offset_ms.unsigned_abs();
    let clocks = if apart_ms <= CLOCK_MS_FINE {
        Finding::good("clocks", found)
    } else if apart_ms <= CLOCK_MS_ODD {
        Finding::weak("clocks", found, remedy)
    } else {
        Finding::bad("clocks", found, remedy)
    };
    Ok((version, clocks))
}

fn of_version(version: &str) -> Finding {
    let Some((_, own)) = version.split_once("-MatrixOne-v") else {
        let remedy = "matrixone.url must lead to MatrixOne: other servers that speak MySQL's protocol cannot branch";
        return Finding::bad("version", format!("{version}, which is no MatrixOne"), remedy);
    };
    match own.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major >= MAJOR_MIN => Finding::good("version", format!("MatrixOne {own}")),
        _ => Finding::weak("version", format!("MatrixOne {own}"), "use version 3 or later: earlier ones cannot branch"),
    }
}

/// Where it is tried out what works.
enum Ground {
    /// A database that was made for it.
    Own(String),
    /// Ours, since none may be made.
    Ours(String),
    None(Error),
}

impl Ground {
    fn find(pool: &Pool, settings: &Settings) -> Self {
        let name = generated();
        let refusal = match pool.read(|session| session.text(&sql::create_database(&name))) {
            Ok(()) => return Self::Own(name),
            Err(error) => error,
        };
        let there = pool
            .read(|session| number(session.rows(sql::DATABASES_NAMED, vec![Value::from(settings.database.as_str())])?));
        if there.is_ok_and(|count| count > 0) { Self::Ours(settings.database.clone()) } else { Self::None(refusal) }
    }

    fn database(&self) -> Option<&str> {
        match self {
            Self::Own(name) | Self::Ours(name) => Some(name),
            Self::None(_) => None,
        }
    }

    fn finding(&self) -> Finding {
        match self {
            Self::Own(_) => Finding::good("database", "one may be made"),
            Self::Ours(name) => Finding::good("database", format!("{name} is there; another may not be made")),
            Self::None(why) => Finding::bad("database", why.message.clone(), granted(why)),
        }
    }
}

/// What a person who may grant has to type, or nothing that we know.
fn granted(why: &Error) -> String {
    match why.kind {
        ErrorKind::Denied => format!("have an administrator of the account run: {GRANTS}"),
        _ => "see what the server's log says".to_owned(),
    }
}

/// A name that nobody has used, and that says whose it is.
fn generated() -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("memoria_doctor_{}", &random[..12])
}

fn probes(pool: &Pool, database: &str) -> Vec<Finding> {
    let name = &generated();
    let made = pool.read(|session| sql::probe_table(database, name).iter().try_for_each(|sql| session.text(sql)));
    let mut findings = vec![judged("tables", "made, written and dropped", made.as_ref().map(|()| true))];
    if made.is_ok() {
        let vectors = pool.read(|session| number(session.text_rows(&sql::probe_vectors(database, name))?));
        findings.push(judged("vectors", "compared by the server", vectors.as_ref().map(|id| *id == 2)));
        let [create, delete] = sql::probe_branch(database, name);
        let branch = pool.read(|session| session.text(&create).and_then(|()| session.text(&delete)));
        findings.push(judged("branches", "made natively and deleted", branch.as_ref().map(|()| true)));
        findings.push(snapshot(pool, database, name));
        findings.push(full_text(pool, database, name));
    }
    if let Err(error) = pool.read(|session| session.text(&sql::drop_probe(database, name))) {
        let remedy = format!("drop it by hand: {}", sql::drop_probe(database, name));
        findings.push(Finding::weak("tidying up", error.message, remedy));
    }
    findings
}

fn judged(what: &'static str, good: &str, tried: Result<bool, &Error>) -> Finding {
    match tried {
        Ok(true) => Finding::good(what, good),
        Ok(false) => Finding::bad(what, "the server's answer is wrong", "use another version of the server"),
        Err(error) => Finding::bad(what, error.message.clone(), granted(error)),
    }
}

/// Only an account's administrator may make them; without, ours serve alone.
fn snapshot(pool: &Pool, database: &str, name: &str) -> Finding {
    let [create, delete] = sql::probe_snapshot(database, name);
    match pool.read(|session| session.text(&create).and_then(|()| session.text(&delete))) {
        Ok(()) => Finding::good("snapshots", "also kept by the server, where an administrator can restore them"),
        Err(error) => Finding::weak(
            "snapshots",
            match error.kind {
                ErrorKind::Denied => "kept by Memoria alone, in its own rows: this user may make none".to_owned(),
                _ => format!("kept by Memoria alone, in its own rows: {}", error.message),
            },
            "use a user with the role accountadmin where an administrator of the database is to see and restore them",
        ),
    }
}

/// Words are found by tables of our own, so this is for whoever looks at the database by hand.
fn full_text(pool: &Pool, database: &str, name: &str) -> Finding {
    let [index, ask] = sql::probe_full_text(database, name);
    let found = pool.read(|session| {
        session.text(&index)?;
        number(session.text_rows(&ask)?)
    });
    match found {
        Ok(2) => Finding::good("full text", "works; Memoria finds words by tables of its own"),
        Ok(_) => Finding::weak("full text", "finds the wrong rows", "nothing: Memoria finds words by its own tables"),
        Err(error) => Finding::weak("full text", error.message, "nothing: Memoria finds words by its own tables"),
    }
}

fn quotas(pool: &Pool, settings: &Settings) -> Finding {
    // `account:user` or `account#user`; the system's own account needs no name.
    let account = settings.user.split_once([':', '#']).map(|(account, _)| account);
    let Some(account) = account.filter(|account| *account != "sys") else {
        return Finding::good("quotas", "none: the account is the system's own");
    };
    let limits = format!("{SNAPSHOTS_MAX} snapshots and {BRANCHES_MAX} branches, unless {account} was given more");
    let used = pool.read(|session| number(session.text_rows(sql::SNAPSHOTS_THERE)?));
    match used.ok().and_then(|used| u64::try_from(used).ok()) {
        Some(used) if used >= SNAPSHOTS_MAX => Finding::weak(
            "quotas",
            format!("{used} snapshots are there, of {limits}"),
            "drop some, or have the system's administrator raise the limit: until then Memoria's own rows serve alone",
        ),
        Some(used) => Finding::good("quotas", format!("{used} snapshots are there, of {limits}")),
        None => Finding::good("quotas", limits),
    }
}

fn first(rows: Vec<Row>) -> Result<Value> {
    let value = rows.into_iter().next().and_then(|mut row| row.take::<Value, _>(0));
    value.ok_or_else(|| Error::internal("the server gave no answer to a question that has one"))
}

fn number(rows: Vec<Row>) -> Result<i64> {
    from_value_opt(first(rows)?)
        .map_err(|FromValueError(_)| Error::internal("the server gave something that is no number"))
}

fn text(rows: Vec<Row>) -> Result<String> {
    from_value_opt(first(rows)?)
        .map_err(|FromValueError(_)| Error::internal("the server gave something that is no text"))
}
