//! What must be masked and what must not: the lines are in `tests/guard/`. The secrets are made up here, out of parts,
//! so that no scanner takes a file for a leak.

use proptest::prelude::*;

use super::{mask, shapes};

/// `{a36}`: 36 letters and digits; `{h64}` lower hex; `{u20}` base32; `{w86}` base64url.
fn filled(template: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let after = &rest[open + 1..];
        let Some((kind, len)) = after.find('}').and_then(|close| {
            let kind = after.as_bytes()[0];
            Some((kind, after[1..close].parse::<usize>().ok()?))
        }) else {
            out.push_str(&rest[..=open]);
            rest = after;
            continue;
        };
        let alphabet: &[u8] = match kind {
            b'h' => b"0f1e2d3c4b5a6978",
            b'u' => b"QW2ERTY3UIOP4ASD5FGH6JKL7ZXCVBNM",
            b'w' => b"aZ0-bY1_cX2dW3eV4fU5gT6hS7iR8jQ9kP",
            _ => b"q0W1e2R3t4Y5u6I7o8P9aSdFgHjKlZxCvBnM",
        };
        out.push_str(&rest[..open]);
        out.extend((0..len).map(|n| char::from(alphabet[(n * 7 + n / alphabet.len()) % alphabet.len()])));
        rest = &after[after.find('}').unwrap() + 1..];
    }
    out + rest
}

/// Lines with what is to become of them; see its head.
const SECRETS: &str = include_str!("../../../tests/guard/secrets.txt");
/// Lines of real programs, logs, settings and prose that look like secrets and are none.
const HARMLESS: &str = include_str!("../../../tests/guard/harmless.txt");

/// What the redactor calls it, what must be gone (`None`: nothing), and the text.
fn lines() -> Vec<(&'static str, Option<String>, String)> {
    let mut what = "";
    let mut lines = Vec::new();
    for line in SECRETS.lines().filter(|line| !line.starts_with('#')) {
        match line.split_at(2) {
            ("= ", name) => what = name,
            ("+ ", line) => {
                let (gone, text) = line.split_once(" ¦ ").expect("what must be gone, and a text");
                lines.push((what, Some(filled(gone)), filled(text).replace('⏎', "\n")));
            }
            ("- ", text) => lines.push((what, None, filled(text).replace('⏎', "\n"))),
            _ => panic!("{line:?} has no mark"),
        }
    }
    lines
}

#[test]
fn secrets_are_masked_and_named() {
    let mut count = 0;
    for (what, gone, text) in lines() {
        let Some(gone) = gone else { continue };
        count += 1;
        let (masked, found) = mask(&text);
        assert!(!masked.contains(&gone), "{text:?} -> {masked:?}");
        assert!(masked.contains(&format!("[masked: {what}]")), "no {what}: {text:?} -> {masked:?}");
        assert!(found.iter().any(|mark| mark.what == what), "{text:?}: {found:?}");
        assert_eq!(mask(&masked).0, masked, "{text:?}");
    }
    assert!(count >= 200, "{count} lines");
}

#[test]
fn what_is_no_secret_stays() {
    let near = lines().into_iter().filter(|(_, gone, _)| gone.is_none()).map(|(.., text)| text);
    let real = HARMLESS.lines().map(str::to_owned);
    assert!(HARMLESS.lines().count() >= 1_000);
    let masked: Vec<String> = near
        .chain(real)
        .filter_map(|text| {
            let masked = mask(&text).0.into_owned();
            (masked != text).then(|| format!("{text:?} -> {masked:?}"))
        })
        .collect();
    assert!(masked.is_empty(), "{}", masked.join("\n"));
}

#[test]
fn every_shape_has_lines_that_match_and_lines_that_nearly_do() {
    let lines = lines();
    let shapes = shapes::SHAPES.iter().map(|(.., what)| *what);
    for what in shapes.chain(lines.iter().map(|(what, ..)| *what)).filter(|what| *what != "nothing") {
        let of = |has: bool| lines.iter().filter(|(name, gone, _)| *name == what && gone.is_some() == has).count();
        assert!(of(true) >= 1 && of(false) >= 1, "{what}: {} that match, {} that do not", of(true), of(false));
    }
    // Every prefix by a line of its own.
    for (prefix, _, _, _, what) in shapes::SHAPES {
        let is_there = lines.iter().any(|(name, gone, text)| name == what && gone.is_some() && text.contains(prefix));
        assert!(is_there, "no line has {prefix}");
    }
}

/// What is masked in JSON leaves JSON: nothing that opens or closes a string goes.
#[test]
fn a_masked_string_of_json_still_ends() {
    for (_, _, text) in lines() {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let quoted = format!("\"{escaped}\"");
        let masked = mask(&quoted).0.into_owned();
        let mut chars = masked.chars();
        let mut quotes = 0;
        while let Some(c) = chars.next() {
            match c {
                '\\' => assert!(chars.next().is_some(), "{quoted} -> {masked}"),
                '"' => quotes += 1,
                _ => {}
            }
        }
        assert!(quotes == 2 && masked.ends_with('"'), "{quoted} -> {masked}");
    }
}

#[test]
fn what_stands_around_a_secret_stays() {
    let text = filled("before postgres://admin:s3cr3t@db:5432/app and ghp_{a36}, ghp_{a36}; after");
    let (masked, found) = mask(&text);
    assert_eq!(
        masked,
        "before postgres://admin:[masked: password in a URL]@db:5432/app and [masked: GitHub token], \
         [masked: GitHub token]; after"
    );
    assert_eq!(found.len(), 3);
    for mark in &found {
        assert!(masked[mark.at..].starts_with(&format!("[masked: {}]", mark.what)), "{mark:?}");
    }
    let (masked, _) = mask("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nThe rest is prose.");
    assert!(masked.ends_with("The rest is prose."), "{masked}");
}

#[test]
fn a_hostile_text_of_64_kib_is_scanned_once() {
    for part in [
        "a://",
        "a-",
        "eyJ-",
        "eyJa.eyJ",
        "xoxb-",
        "AIza-",
        "-----BEGIN PRIVATE KEY-----",
        "password=",
        "token=a1B2",
        "Authorization: ",
        "bearer ",
        "sk-ant-",
        "-",
        "=",
        "\\n",
        "a.",
        "http://a:",
        "12345678:AA",
        "password: \"",
    ] {
        let text = part.repeat(64 * 1024 / part.len());
        // Quadratic work would take minutes here; a limit on time would fail on a busy machine.
        let (masked, _) = mask(&text);
        assert!(masked.len() <= text.len() * 4, "{part:?}");
    }
}

/// Parts that together come near to secrets.
fn fragments() -> impl Strategy<Value = String> {
    let parts = [
        "password",
        "PASSWORD",
        "_KEY",
        "token",
        "=",
        ": ",
        ":",
        "\"",
        "'",
        " ",
        "\n",
        "\\n",
        "@",
        "://",
        "/",
        "-",
        ".",
        ";",
        "AKIA",
        "ghp_",
        "sk-",
        "eyJ",
        "Bearer ",
        "Authorization",
        "-----BEGIN ",
        "PRIVATE KEY-----",
        "-----END ",
        "[masked: ",
        "]",
        "a1B2c3D4e5F6g7H8i9J0",
        "hunter2!",
        "0f1e2d3c4b5a69780f1e2d3c4b5a6978",
        "é",
        "密",
        "\u{200b}",
        "$",
        "<",
        "{",
        "==",
        "ABCDEFGH234567IJ",
        "postgres",
        "x",
    ];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 0..40).prop_map(|parts| parts.concat())
}

#[test]
fn a_secret_right_behind_another_is_masked_too() {
    let text = "AKIAABCDEFGH234567IJghp_a1B2c3D4e5F6g7H8i9J0a1B2c3D4e5F6g7H8i9J0";
    assert_eq!(mask(text).0, "[masked: AWS access key][masked: GitHub token]");
}

proptest! {
    #[test]
    fn any_text_is_masked_once_and_for_all(text in "\\PC{0,300}") {
        let masked = mask(&text).0.into_owned();
        prop_assert_eq!(mask(&masked).0, masked.as_str());
    }

    /// However many passes it took.
    #[test]
    fn every_mark_stands_where_its_placeholder_does(text in fragments()) {
        let (masked, marks) = mask(&text);
        prop_assert!(marks.windows(2).all(|pair| pair[0].at < pair[1].at));
        for mark in &marks {
            let placeholder = format!("[masked: {}]", mark.what);
            prop_assert!(masked[mark.at..].starts_with(&placeholder));
        }
        let placeholders = |text: &str| text.matches("[masked: ").count();
        prop_assert!(marks.len() + placeholders(&text) >= placeholders(&masked));
    }

    #[test]
    fn near_secrets_are_masked_once_and_for_all(text in fragments()) {
        let masked = mask(&text).0.into_owned();
        prop_assert_eq!(mask(&masked).0, masked.as_str());
    }
}
