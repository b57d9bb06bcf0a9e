//! Every SQL text of this engine, by the file that uses it. A text that people gave never stands in one: it is a
//! parameter. What cannot be prepared is made of generated identifiers and numbers alone.

// pool.rs

pub const BEGIN: &str = "begin";
pub const COMMIT: &str = "commit";
pub const ROLLBACK: &str = "rollback";

/// What each connection is told first. A server that knows one of them not is used all the same.
/// Row locks are waited for less long than a request has, so that a lock that is held for good is told from silence.
pub const SET_UP: [&str; 3] = [
    "set session transaction_isolation='READ-COMMITTED'",
    "set session lock_wait_timeout=5",
    "set ft_relevancy_algorithm='BM25'",
];

/// `database` has been judged by `settings.rs`: letters, digits, `_` and `-`.
pub fn create_database(database: &str) -> String {
    format!("create database if not exists `{database}`")
}
