//! The house rules, held by reading the source: who may use whom, what is named in one place only, sizes, and that
//! the documents lead somewhere. A rule that needs types is clippy's; a rule that needs a run has its own test.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Who may use whom. `wire::message` is that one module of a room; `wire::limits` is the table of every limit that a
/// peer can hit, whoever checks it. Whoever is not listed uses nothing.
const ARROWS: &[(&str, &[&str])] = &[
    ("bin", &["cli", "client", "daemon", "embed::child", "paths", "config"]),
    // `embed::install` fetches in the process of the person who asks, with that person's proxies and settings.
    // `engine::matrixone` is asked by `doctor`, which must find out why the daemon cannot.
    (
        "cli",
        &[
            "agents",
            "client",
            "wire::message",
            "wire::limits",
            "embed::install",
            "engine::matrixone",
            "model",
            "paths",
            "config",
        ],
    ),
    ("client", &["wire", "model", "paths", "config"]),
    // Of `engine` dispatch.rs knows how it is opened; it reads and writes through the verbs alone.
    ("daemon", &["wire", "mcp", "service", "engine", "embed", "model", "paths", "config"]),
    ("mcp", &["wire::message", "wire::limits", "model"]),
    (
        "service",
        &["search", "engine", "embed", "guard", "lexical", "model", "wire::message", "wire::limits", "paths", "config"],
    ),
    ("search", &["engine", "lexical", "model"]),
    // Where the server of the shared engine is, and how patient we are with it.
    ("engine", &["lexical", "model", "config"]),
    // Where models lie and which one is meant.
    ("embed", &["model", "config"]),
    ("wire", &["model"]),
    ("guard", &["model"]),
    ("lexical", &["model"]),
    ("clock", &["model"]),
    ("config", &["paths"]),
];
/// Everybody may.
const FOR_ALL: &[&str] = &["error", "clock"];

/// `(crate or name, where it may stand, why)`: a change of library or of habit is then a change in one place.
const NAMED_ONLY_IN: &[(&str, &[&str], &str)] = &[
    ("bincode", &["src/wire/codec.rs"], "it is unmaintained, and dangerous without a limit"),
    ("redb", &["src/engine/embedded/"], "the store's format is one room's business"),
    ("mysql_async", &["src/engine/matrixone/"], "the server's protocol is one room's business"),
    ("roaring", &["src/engine/"], "sets of local numbers never leave the engine"),
    ("daemonize", &["src/daemon/detach.rs"], "it is unmaintained, and must run before any thread"),
    ("chrono", &["src/clock.rs"], "time zones and words for times are one file's business"),
    ("SystemTime", &["src/clock.rs"], "a test must be able to say what time it is"),
    (
        "serde_json",
        &["src/mcp/", "src/cli/", "src/agents/", "src/embed/", "src/model/merge.rs"],
        "JSON is for agents and scripts, models' files and endpoints, and what was written into metadata is merged by key",
    ),
    ("notify", &["src/daemon/watch.rs"], "one place hears of edited settings"),
    ("tracing_subscriber", &["src/daemon/logs.rs"], "one place decides what is logged"),
    ("tracing_appender", &["src/daemon/logs.rs"], "one place writes the log"),
    ("toml", &["src/config.rs", "src/config/", "src/agents/edit/"], "our settings, and those of agents"),
    ("directories", &["src/paths.rs"], "one place knows where things lie"),
    ("ort", &["src/embed/child/runtime.rs"], "the runtime is loaded in a process of its own"),
    ("clap", &["src/cli/", "src/bin/"], "arguments are parsed where people type"),
    ("clap_complete", &["src/cli/"], "arguments are parsed where people type"),
    ("listenfd", &["src/daemon/"], "activation is the daemon's"),
    ("sd_notify", &["src/daemon/"], "readiness is the daemon's"),
];

/// `(path, lines, why)`: files that may be longer than [`LINES_MAX`].
const LONG_FILES: &[(&str, usize, &str)] = &[];
/// Besides `cli/` and the binaries' own files: who may write to the terminal.
const PRINTERS: &[(&str, &str)] = &[
    ("src/daemon/detach.rs", "a failed start has no log yet"),
    ("src/daemon/run.rs", "a failed start has no log yet"),
];
const LINES_MAX: usize = 500;
const COLUMNS_MAX: usize = 120;

/// Packages in Cargo.lock: each is code that somebody must trust. Of these, 81 came with `mysql_async` and rustls; a
/// third of those is for other systems, or reads addresses that we take apart ourselves, and is not linked.
const PACKAGES_MAX: usize = 250;

struct Source {
    /// From the root of the package, with `/`.
    path: String,
    text: String,
    /// The text with comments and literals blanked, line for line.
    code: String,
    /// `code` without items under `#[cfg(test)]`.
    shipped: String,
}

impl Source {
    fn room(&self) -> &str {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inner.split('/').next().unwrap_or(inner).trim_end_matches(".rs")
    }

    /// How many `super` lead from this file's module to the crate.
    fn depth(&self) -> usize {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inner.split('/').filter(|part| *part != "mod.rs").count()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = code_only(&text);
                let relative = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
                found.push(Source { path: relative, shipped: without_tests(&code), code, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn shipped() -> Vec<Source> {
    let found = rust_files("src");
    assert!(found.len() > 20, "only {} files found under src", found.len());
    found
}

fn all_rust() -> Vec<Source> {
    ["src", "tests", "benches", "examples"].into_iter().flat_map(rust_files).collect()
}

/// Fails with every breach at once.
#[track_caller]
fn none(breaches: Vec<String>) {
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

/// Blanks comments, strings and character literals, and keeps every newline.
fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let chars: Vec<char> = text.chars().collect();
    let starts = |i: usize, what: &str| what.chars().enumerate().all(|(k, c)| chars.get(i + k) == Some(&c));
    let is_word = |i: usize| chars.get(i).is_some_and(|c| c.is_alphanumeric() || *c == '_');
    let mut i = 0;
    while i < chars.len() {
        let end = if starts(i, "//") {
            (i..chars.len()).find(|&k| chars[k] == '\n').unwrap_or(chars.len())
        } else if starts(i, "/*") {
            let mut open = 0;
            (i..chars.len())
                .find(|&k| {
                    open += i32::from(starts(k, "/*")) - i32::from(k > i && starts(k - 1, "*/"));
                    open == 0
                })
                .map_or(chars.len(), |k| k + 1)
        } else if let Some(hashes) =
            raw_string(&chars[i..]).filter(|_| i == 0 || !is_word(i - 1) || chars[i - 1] == 'b')
        {
            let close = format!("\"{}", "#".repeat(hashes));
            let body = i + 2 + hashes;
            (body..chars.len()).find(|&k| starts(k, &close)).map_or(chars.len(), |k| k + 1 + hashes)
        } else if chars[i] == '"' {
            end_of_literal(&chars, i, '"')
        } else if chars[i] == '\'' && (chars.get(i + 1) == Some(&'\\') || chars.get(i + 2) == Some(&'\'')) {
            end_of_literal(&chars, i, '\'')
        } else {
            out.push(chars[i]);
            i += 1;
            continue;
        };
        out.extend(chars[i..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        i = end;
    }
    out
}

/// `r"`, `r#"`, ...: how many hashes.
fn raw_string(chars: &[char]) -> Option<usize> {
    let hashes = chars.strip_prefix(&['r'])?.iter().take_while(|c| **c == '#').count();
    (chars.get(1 + hashes) == Some(&'"')).then_some(hashes)
}

fn end_of_literal(chars: &[char], start: usize, quote: char) -> usize {
    let mut k = start + 1;
    while k < chars.len() && chars[k] != quote {
        k += if chars[k] == '\\' { 2 } else { 1 };
    }
    (k + 1).min(chars.len())
}

/// Drops the item after each `#[cfg(test)]` and `#[cfg(all(test, ...))]`, keeping its newlines.
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = ["#[cfg(test)]", "#[cfg(all(test"].iter().filter_map(|mark| out.find(mark)).min() {
        let attribute_end = start + out[start..].find(']').unwrap_or(0) + 1;
        let mut depth = 0;
        let end = out[attribute_end..].char_indices().find_map(|(k, c)| {
            match c {
                '{' | '(' => depth += 1,
                '}' | ')' => depth -= 1,
                _ => {}
            }
            (depth == 0 && (c == '}' || c == ';')).then_some(attribute_end + k + 1)
        });
        let end = end.unwrap_or(out.len());
        let blank: String = out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..end, &blank);
    }
    out
}

/// Every path that the text names after `prefix` (such as `crate::`), groups taken apart, at most two names deep.
fn paths_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            path_tree(&code[at + prefix.len()..], "", &mut found);
        }
    }
    found
}

/// Reads `a::b`, `a::{b, c::d}` and the like from the start of `text`; returns what follows.
fn path_tree<'a>(text: &'a str, above: &str, found: &mut BTreeSet<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = path_tree(rest, above, found).trim_start();
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => return rest.strip_prefix('}').unwrap_or(""),
            }
        }
    }
    let len = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(len);
    let here = match (above.split("::").count(), above, name) {
        (_, "", _) => name.to_owned(),
        (1, _, name) if !name.is_empty() => format!("{above}::{name}"),
        _ => above.to_owned(),
    };
    match rest.strip_prefix("::") {
        Some(rest) => path_tree(rest, &here, found),
        None => {
            if !here.is_empty() {
                found.insert(here);
            }
            rest.trim_start()
                .strip_prefix("as ")
                .map_or(rest, |rest| rest.trim_start_matches(|c: char| c != ',' && c != '}'))
        }
    }
}

/// Whether the code names this crate (`x::`, `use x;`) or, with a capital, this type.
fn names(code: &str, what: &str) -> bool {
    code.match_indices(what).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + what.len()..]);
        let is_whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
            && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let is_type = what.starts_with(char::is_uppercase);
        is_whole && (is_type || (!before.ends_with(':') && after.starts_with("::")) || before.ends_with("use "))
    })
}

#[test]
fn the_readers_of_this_test_can_read() {
    let code = code_only("a /* b /* c */ d */ e // f\n\"g \\\" h\" 'i' '\\'' &'j r#\"k \" \"# l b'm'");
    for (letter, is_code) in "abcdefghijklm".chars().map(|c| (c, "aejlb".contains(c) && c != 'b')) {
        assert_eq!(code.contains(letter), is_code || letter == 'b', "{letter} in {code}");
    }
    assert!(!without_tests("#[cfg(test)]\nmod tests { fn x() { y } }\nz").contains('y'));
    assert!(without_tests("#[cfg(test)]\nmod tests { fn x() { y } }\nz").contains('z'));
    let found = paths_after("use crate::{a, wire::{message as m, codec::C}, b::c::d}; crate::e::F::new()", "crate::");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "b::c", "e::F", "wire::codec", "wire::message"]);
    assert!(names("use notify::Watcher;", "notify") && names("x: SystemTime,", "SystemTime"));
    assert!(!names("tokio::notify::x; a.notify(); notify_one::b", "notify"));
}

#[test]
fn rooms_use_only_whom_they_may() {
    let rooms: BTreeSet<String> = shipped().iter().map(|file| file.room().to_owned()).collect();
    let mut breaches = Vec::new();
    for file in shipped().iter().filter(|file| file.room() != "lib") {
        let room = file.room();
        let allowed = ARROWS.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, allowed)| allowed);
        let mut used = paths_after(&file.shipped, "crate::");
        used.extend(paths_after(&file.shipped, &"super::".repeat(file.depth())));
        if room == "bin" {
            used.extend(paths_after(&file.shipped, "memoria::"));
        }
        for path in used {
            let other = path.split("::").next().unwrap_or(&path);
            let is_fine = other == room
                || FOR_ALL.contains(&other)
                || allowed.contains(&other)
                || allowed.contains(&path.as_str());
            if rooms.contains(other) && !is_fine {
                breaches.push(format!("{} uses {path}: {room} may use {allowed:?}", file.path));
            }
        }
    }
    none(breaches);
}

#[test]
fn what_belongs_in_one_place_is_named_nowhere_else() {
    let mut breaches = Vec::new();
    for file in &shipped() {
        for (name, places, why) in NAMED_ONLY_IN {
            if names(&file.shipped, name) && !places.iter().any(|place| file.path.starts_with(place)) {
                breaches.push(format!("{} names {name}, which belongs in {places:?}: {why}", file.path));
            }
        }
    }
    none(breaches);
}

#[test]
fn files_and_lines_are_short() {
    let mut breaches = Vec::new();
    for file in &all_rust() {
        let lines_max =
            LONG_FILES.iter().find(|(path, ..)| *path == file.path).map_or(LINES_MAX, |(_, lines, _)| *lines);
        let lines = file.text.lines().count();
        if lines > lines_max {
            breaches.push(format!("{} has {lines} lines, more than {lines_max}: does it hold two ideas?", file.path));
        }
        let is_too_wide = |line: &str| line.chars().count() > COLUMNS_MAX;
        // A line that is one literal is data, or a sentence that people search for.
        let is_literal = |line: &str| {
            line.trim_start_matches([' ', 'b']).starts_with('"') && line.trim_end_matches(',').ends_with('"')
        };
        for (number, line) in file.text.lines().enumerate().filter(|(_, line)| is_too_wide(line) && !is_literal(line)) {
            breaches.push(format!("{}:{} has {} columns", file.path, number + 1, line.chars().count()));
        }
    }
    none(breaches);
}

#[test]
fn every_file_opens_with_what_it_is() {
    let is_mute = |file: &&Source| !file.text.starts_with("//! ");
    none(all_rust().iter().filter(is_mute).map(|file| format!("{} does not open with `//! `", file.path)).collect());
}

#[test]
fn shipped_code_neither_panics_nor_prints_at_will() {
    let mut breaches = Vec::new();
    for file in shipped().iter().filter(|file| !file.path.ends_with("/tests.rs")) {
        let may_print = ["cli", "bin"].contains(&file.room()) || PRINTERS.iter().any(|(path, _)| *path == file.path);
        for (number, line) in file.shipped.lines().enumerate() {
            // Literals are blank here, so an `.expect` of the standard library has nothing between its brackets.
            let expects = line.split(".expect(").skip(1).any(|rest| rest.trim_start().starts_with(')'));
            let panics = [".unwrap()", "todo!(", "unimplemented!(", "dbg!("].iter().any(|word| line.contains(word));
            let prints =
                ["println", "print", "eprintln", "eprint"].iter().any(|word| line.contains(&format!("{word}!(")));
            if expects || panics || (prints && !may_print) {
                breaches.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    none(breaches);
}

#[test]
fn unsafe_code_says_in_its_first_lines_why_it_must_be() {
    let opening = |file: &Source| {
        file.text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains("unsafe"))
    };
    let is_unsafe = |code: &str| code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
    let breach = |file: &&Source| is_unsafe(&file.code) && !opening(file);
    none(
        all_rust().iter().filter(breach).map(|file| format!("{} uses unsafe without saying why", file.path)).collect(),
    );
}

#[test]
fn nothing_is_left_to_do() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("to be ", "written")];
    let mut breaches = Vec::new();
    for file in &all_rust() {
        for (number, line) in file.text.lines().enumerate() {
            breaches.extend(
                marks
                    .iter()
                    .filter(|mark| line.contains(**mark))
                    .map(|mark| format!("{}:{} says {mark}", file.path, number + 1)),
            );
        }
    }
    none(breaches);
}

#[test]
fn sql_is_never_put_together_from_texts() {
    let verbs = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CREATE ", "DROP ", "ALTER "];
    let is_sql = |line: &str| line.contains("format!(") && verbs.iter().any(|verb| line.contains(&format!("\"{verb}")));
    let mut breaches = Vec::new();
    for file in &shipped() {
        let lines = file.text.lines().enumerate().filter(|(_, line)| is_sql(line));
        breaches.extend(lines.map(|(number, _)| format!("{}:{} formats SQL", file.path, number + 1)));
    }
    none(breaches);
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let mut breaches = Vec::new();
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "SECURITY.md"] {
        let Ok(text) = std::fs::read_to_string(root().join(name)) else {
            breaches.push(format!("{name} is missing"));
            continue;
        };
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { root().join(name) } else { root().join(file) };
            let is_outside = link.contains("://") || link.starts_with("mailto:");
            if !is_outside && !(target.exists() && (anchor.is_empty() || anchors(&target).contains(anchor))) {
                breaches.push(format!("{name} links to {link}, which is not there"));
            }
        }
    }
    none(breaches);
}

/// As GitHub makes them from headings.
fn anchors(file: &PathBuf) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    headings.map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn the_changelog_is_about_this_version() {
    let changelog = std::fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let headings: Vec<_> = changelog.lines().filter_map(|line| line.strip_prefix("## [")?.split(']').next()).collect();
    let newest = headings.iter().find(|heading| **heading != "Unreleased");
    assert!(!headings.is_empty(), "CHANGELOG.md names no version");
    assert!(
        newest.is_none_or(|newest| *newest == env!("CARGO_PKG_VERSION")),
        "CHANGELOG.md's newest version is {newest:?}, the package's is {}",
        env!("CARGO_PKG_VERSION")
    );
}

#[test]
fn dependencies_stay_few_and_come_from_the_registry() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let packages = lock.matches("[[package]]").count();
    assert!(packages <= PACKAGES_MAX, "Cargo.lock holds {packages} packages, more than {PACKAGES_MAX}");
    assert!(!lock.contains("source = \"git+"), "a dependency comes from a git repository");
}
