//! Every pattern of `mysql_common` 0.37, on what it is for and on what it must refuse.

use crate::bytes::Regex;

fn groups(pattern: &str, text: &str) -> Option<Vec<String>> {
    let regex = Regex::new(pattern).unwrap();
    let captures = regex.captures(text.as_bytes())?;
    let group = |n| captures.get(n).map(|found| String::from_utf8(found.as_bytes().to_vec()).unwrap());
    Some((1..).map_while(group).collect())
}

fn list(texts: &[&str]) -> Option<Vec<String>> {
    Some(texts.iter().map(|text| (*text).to_owned()).collect())
}

#[test]
fn versions_of_servers_are_read() {
    let any = r"^(\d{1,2})\.(\d{1,2})\.(\d{1,3})(.*)";
    assert_eq!(groups(any, "8.0.30-MatrixOne-v4.2"), list(&["8", "0", "30", "-MatrixOne-v4.2"]));
    assert_eq!(groups(any, "5.7.1"), list(&["5", "7", "1", ""]));
    assert_eq!(groups(any, "v8.0.30"), None);
    assert_eq!(groups(any, "8.0"), None);
    let maria = r"^(?:5.5.5-)?(\d{1,2})\.(\d{1,2})\.(\d{1,3})-MariaDB";
    assert_eq!(groups(maria, "5.5.5-10.11.6-MariaDB-log"), list(&["10", "11", "6"]));
    assert_eq!(groups(maria, "10.11.6-MariaDB"), list(&["10", "11", "6"]));
    assert_eq!(groups(maria, "8.0.30-MatrixOne-v4.2"), None);
}

#[test]
fn times_and_dates_are_told_from_other_texts() {
    for (pattern, fits, fails) in [
        (r"^\d{4}-\d{2}-\d{2}$", "2026-11-23", "2026-11-234"),
        (r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$", "2026-11-23 10:00:59", "2026-11-23T10:00:59"),
        (r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{1,6}$", "2026-11-23 10:00:59.123", "2026-11-23 10:00:59."),
        (r"^\d{2}:[0-5]\d:[0-5]\d$", "23:59:59", "23:60:59"),
        (r"^\d{2}:[0-5]\d:[0-5]\d\.\d{1,6}$", "23:59:59.000001", "23:59:59.0000001"),
        (r"^[0-8]\d\d:[0-5]\d:[0-5]\d$", "838:59:59", "938:59:59"),
        (r"^[0-8]\d\d:[0-5]\d:[0-5]\d\.\d{1,6}$", "838:59:59.5", "838:59:59"),
    ] {
        assert!(Regex::new(pattern).unwrap().is_match(fits.as_bytes()), "{pattern} {fits}");
        assert!(!Regex::new(pattern).unwrap().is_match(fails.as_bytes()), "{pattern} {fails}");
    }
}

#[test]
fn a_key_is_found_between_its_lines() {
    let pattern = "-----BEGIN PUBLIC KEY-----([^-]*)-----END PUBLIC KEY-----";
    let text = "x\n-----BEGIN PUBLIC KEY-----\nAB+/\n-----END PUBLIC KEY-----\n";
    assert_eq!(groups(pattern, text), list(&["\nAB+/\n"]));
    assert_eq!(groups(pattern, "-----BEGIN PUBLIC KEY-----\nAB"), None);
}

#[test]
fn what_is_not_known_is_refused() {
    for pattern in ["a|b", r"\w", "(?i)a", "(a", "a)", "[", "[a", "a{", "a*?", "(a)*", r"\p{L}", "(?:a)", "a{x}"] {
        assert!(Regex::new(pattern).is_err(), "{pattern}");
    }
}
