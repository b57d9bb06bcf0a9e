//! Every setting: its name, meaning, default and range stand in one table below, from which follow the structs, the
//! sample file, the names in the environment and the sentences of refusal.
//! The file is TOML; `MEMORIA_<SECTION>_<KEY>` overrides it. Reloading a changed file is `daemon/watch.rs`.

use std::fmt::Write as _;
use std::path::Path;

use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::paths::Paths;

mod edit;
#[macro_use]
mod value;

pub use value::ServerUrl;
use value::Setting;

words!(
    /// Whether what goes to a server is encrypted.
    Tls {
        /// To every host but this machine.
        Auto = "auto",
        Required = "required",
        Off = "off",
    }
);

words!(
    /// The least serious lines that are written.
    Level {
        Error = "error",
        Warn = "warn",
        Info = "info",
        Debug = "debug",
        Trace = "trace",
    }
);

words!(
    /// What happens to a memory that holds a secret.
    Secrets {
        /// The secret is replaced before anything else sees it.
        Redact = "redact",
        /// The memory is refused.
        Block = "block",
        /// The memory is kept as it is.
        Allow = "allow",
    }
);

words!(
    /// What keeps the memories.
    EngineKind {
        /// Files of this machine.
        Embedded = "embedded",
        /// A database that many machines share.
        MatrixOne = "matrixone",
    }
);

words!(
    /// How a model's outputs for the words of a text become one vector.
    Pooling {
        /// As the model's own files say, else their mean.
        Auto = "auto",
        Mean = "mean",
        /// The first word's, which stands for the whole text in some models.
        Cls = "cls",
        Last = "last",
    }
);

words!(
    /// Which tools an agent is shown. Every tool answers when it is called.
    Profile {
        /// The twelve that an agent needs in daily work.
        Core = "core",
        /// All of them.
        Full = "full",
    }
);

macro_rules! settings {
    ($($(#[doc = $section_doc:literal])* $section:ident: $struct:ident {
        $($(#[doc = $doc:literal])* $key:ident: $type:ty = $default:expr $(, $low:literal to $high:literal)?;)*
    })*) => {
        /// All settings, each within its range.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $($(#[doc = $section_doc])* pub $section: $struct,)*
            /// Beside [`KEYS`].
            origins: [Origin; KEYS.len()],
        }

        $($(#[doc = $section_doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $struct { $($(#[doc = $doc])* pub $key: $type,)* })*

        impl Default for Config {
            fn default() -> Self {
                Self { $($section: $struct { $($key: $default,)* },)* origins: [Origin::Default; KEYS.len()] }
            }
        }

        const SECTIONS: &[(&str, &[&str])] = &[$((stringify!($section), &[$($section_doc),*]),)*];

        const KEYS: &[Key] = &[$($(Key {
            section: stringify!($section),
            name: stringify!($key),
            docs: &[$($doc),*],
            set: |config, value| {
                let bounds: &[f64] = &[$($low as f64, $high as f64)?];
                config.$section.$key = <$type as Setting>::read(value, bounds)?;
                Some(())
            },
            show: |config| Setting::show(&config.$section.$key),
            accepted: || <$type as Setting>::accepted(&[$($low as f64, $high as f64)?]),
        },)*)*];
    };
}

settings! {
    /// The background process.
    daemon: Daemon {
        /// Minutes without any session after which a daemon that an agent started exits. 0 is never.
        idle_exit_min: u32 = 30, 0 to 10_080;
        /// Milliseconds that requests in flight get to finish when the daemon stops. Less than the watchdog's 15 s.
        drain_ms_max: u32 = 10_000, 100 to 12_000;
    }
    /// The daemon's log: one file a day, read by `memoria logs`. Never holds the text of a memory.
    log: Log {
        /// The least serious lines that are written.
        level: Level = Level::Info;
        /// How many files are kept.
        keep_files: u32 = 7, 1 to 365;
        /// Megabytes after which a day's file is full: lines are then left out until the next day, and counted.
        max_file_mb: u32 = 10, 1 to 1_000;
        /// Megabytes that all files may take together; the oldest go first.
        max_total_mb: u32 = 50, 1 to 10_000;
    }
    /// What keeps the memories. `memoria move` copies a whole store from one to the other.
    engine: Engine {
        /// "embedded" keeps them in files of this machine, "matrixone" in a database that many machines share.
        kind: EngineKind = EngineKind::Embedded;
    }
    /// The files in which memories are kept, and what is kept of them.
    store: Store {
        /// Megabytes of the store that are held in memory.
        cache_mb: u32 = 8, 1 to 4_096;
        /// How many snapshots are kept of those that are made by themselves before a merge; as many before a
        /// rollback, and before a purge.
        safety_snapshots: u32 = 10, 1 to 1_000;
        /// Days for which a deleted branch or snapshot can be brought back.
        grace_days: u32 = 30, 0 to 3_650;
    }
    /// The MatrixOne server, with `engine.kind = "matrixone"`. Its password never stands here: it is taken from the
    /// address in MEMORIA_MATRIXONE_URL, from MEMORIA_MATRIXONE_PASSWORD, from the file that
    /// MEMORIA_MATRIXONE_PASSWORD_FILE names, or from systemd's credential `matrixone-password`.
    matrixone: MatrixOne {
        /// Where it is: `mysql://user@host:6001/database`. A `:` in the user's name is written `%3A`. A database that
        /// does not exist is made where the account may.
        url: ServerUrl = ServerUrl::default();
        /// Encryption: "auto" is for every host but this machine, "required" for all, "off" for none.
        tls: Tls = Tls::Auto;
        /// The file with the certificates (PEM) of those who may vouch for the server; empty is the public ones.
        tls_ca_file: String = String::new();
        /// How many connections are open at most. One stays open when nothing happens.
        connections_max: u32 = 8, 1 to 64;
        /// Milliseconds that a request gets, with everything that has to be tried again.
        deadline_ms: u32 = 10_000, 100 to 600_000;
        /// Milliseconds for making one connection.
        connect_ms: u32 = 3_000, 100 to 60_000;
        /// Whether new memories wait in a file of this machine while the server is away, to be sent when it is back.
        /// Everything else is refused then as ever.
        offline_queue: bool = false;
        /// Megabytes that such a file may have.
        offline_queue_mb: u32 = 64, 1 to 256;
    }
    /// What a question finds.
    search: Search {
        /// How many memories an answer holds at most, unless the question says otherwise.
        top_k: u32 = 5, 1 to 100;
        /// The least score of a memory that is shown. Below a share of the best one none is shown in any case.
        min_score: f64 = 0.05, 0 to 1;
    }
    /// How texts become vectors. Nothing leaves this machine unless `model` is "http".
    embedding: Embedding {
        /// "auto" is what `memoria model use` chose, else "minilm" where it is installed, else "builtin". Or "builtin",
        /// "minilm", "http", the name of an installed model, or the folder of an ONNX model.
        model: String = "auto".to_owned();
        /// Where models are installed; empty is `models` in the data folder.
        models_dir: String = String::new();
        /// Megabytes of vectors that are kept by the hash of their text, so that no text is embedded twice.
        cache_mb: u32 = 32, 1 to 4_096;
        /// Minutes after which a model that nobody needed is dropped from memory.
        idle_min: u32 = 5, 1 to 1_440;
        /// Milliseconds that a question waits for its vector; after that, its words alone answer.
        wait_ms: u32 = 500, 10 to 60_000;
        /// What is put before a question, for a model that wants it; empty is what the model's own files say.
        question_prefix: String = String::new();
        /// What is put before a memory; as for questions.
        passage_prefix: String = String::new();
        /// For an ONNX model.
        pooling: Pooling = Pooling::Auto;
        /// Dimensions that are kept of a model's vectors (for models that allow it); 0 is all. An endpoint is asked
        /// for so many.
        dims: u32 = 0, 0 to 4_096;
        /// For "http": OpenAI-compatible addresses, by commas, tried in turn: `http://localhost:11434/v1`.
        http_urls: String = String::new();
        /// For "http": the model's name there.
        http_model: String = String::new();
        /// For "http": the daemon's environment variable that holds the key. One whose name begins with MEMORIA_ is
        /// handed on by whoever starts the daemon.
        http_key_env: String = String::new();
        /// For "http": the file that holds the key.
        http_key_file: String = String::new();
        /// For "http": milliseconds for one try.
        http_timeout_ms: u32 = 10_000, 100 to 120_000;
    }
    /// What agents see.
    mcp: Mcp {
        /// The tools that an agent is shown: "core" has those of daily work, "full" has all. Every tool answers when
        /// it is called.
        profile: Profile = Profile::Core;
    }
    /// What is kept out of the memory.
    guard: Guard {
        /// Keys, tokens and passwords in a memory: "redact" replaces them, "block" refuses the memory,
        /// "allow" keeps them as they are.
        secrets: Secrets = Secrets::Redact;
    }
}

/// Read by whoever needs them, when they are needed, and never kept here.
const SECRETS: &[&str] = &["MEMORIA_MATRIXONE_PASSWORD", "MEMORIA_MATRIXONE_PASSWORD_FILE"];

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File,
    Environment,
}

/// One setting as it stands, for `memoria config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `section.key`.
    pub key: String,
    /// As TOML writes it.
    pub value: String,
    pub default: String,
    pub origin: Origin,
    /// The variable that overrides it.
    pub variable: String,
    pub docs: String,
}

struct Key {
    section: &'static str,
    name: &'static str,
    docs: &'static [&'static str],
    /// `None` when the value is not acceptable.
    set: fn(&mut Config, &Value) -> Option<()>,
    show: fn(&Config) -> String,
    accepted: fn() -> String,
}

impl Key {
    fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    fn variable(&self) -> String {
        format!("MEMORIA_{}_{}", self.section, self.name).to_uppercase()
    }
}

impl Config {
    /// The file, where there is one, then the environment.
    ///
    /// # Errors
    /// `Invalid` with the file, the key, what is wrong with it and what it may be.
    pub fn load(paths: &Paths) -> Result<Self> {
        let file = paths.config_file();
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::io(format_args!("read the settings in {}", file.display()), &e)),
        };
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with("MEMORIA_"))?;
            Some((name, value.to_string_lossy().into_owned()))
        });
        Self::parse(&file, &text, variables)
    }

    /// Every key with its meaning, range and variable, commented out at its default.
    pub fn sample() -> String {
        let defaults = Self::default();
        let mut out = String::from(
            "# Memoria's settings. Each line shows the default: take the `#` away to change one.\n\
             # A running daemon takes over a saved change at once; `memoria status` says when it cannot.\n",
        );
        for (section, docs) in SECTIONS {
            let _ = writeln!(out, "\n#{}\n[{section}]", docs.join("\n#"));
            for key in KEYS.iter().filter(|key| key.section == *section) {
                let _ = writeln!(out, "\n#{}", key.docs.join("\n#"));
                let _ = writeln!(out, "# {}; environment: {}", capital((key.accepted)()), key.variable());
                let _ = writeln!(out, "#{} = {}", key.name, (key.show)(&defaults));
            }
        }
        out
    }

    /// Every setting with its value and where that came from.
    pub fn entries(&self) -> Vec<Entry> {
        let defaults = Self::default();
        let entry = |(key, origin): (&Key, &Origin)| Entry {
            key: key.path(),
            value: (key.show)(self),
            default: (key.show)(&defaults),
            origin: *origin,
            variable: key.variable(),
            docs: key.docs.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "),
        };
        KEYS.iter().zip(&self.origins).map(entry).collect()
    }

    fn parse(file: &Path, text: &str, variables: impl Iterator<Item = (String, String)>) -> Result<Self> {
        let mut config = Self::default();
        let in_file = |why: String| Error::invalid(format!("{}: {why}", file.display()));
        let table: Table = text.parse().map_err(|e: toml::de::Error| in_file(syntax_error(text, &e)))?;
        for (section, value) in &table {
            config.take_section(section, value).map_err(in_file)?;
        }
        for (variable, text) in variables {
            config.take_variable(&variable, &text).map_err(Error::invalid)?;
        }
        if config.log.max_total_mb < config.log.max_file_mb {
            return Err(Error::invalid(format!(
                "log.max_total_mb ({}) is less than log.max_file_mb ({}): make it at least as large",
                config.log.max_total_mb, config.log.max_file_mb
            )));
        }
        Ok(config)
    }

    fn take_section(&mut self, section: &str, value: &Value) -> Result<(), String> {
        let known = || SECTIONS.iter().map(|(name, _)| (*name).to_owned());
        if !known().any(|name| name == section) {
            return Err(format!("there is no section `{section}`{}", nearest(section, known())));
        }
        let keys =
            value.as_table().ok_or_else(|| format!("`{section}` is a section: write [{section}] above its keys"))?;
        for (name, value) in keys {
            let path = format!("{section}.{name}");
            let index = KEYS.iter().position(|key| key.path() == path).ok_or_else(|| {
                let known = KEYS.iter().filter(|key| key.section == section).map(Key::path);
                format!("there is no setting `{path}`{}", nearest(&path, known))
            })?;
            if value.as_str().is_some_and(|text| path == "matrixone.url" && ServerUrl::split(text).1.is_some()) {
                return Err("matrixone.url holds a password, which others could read here: take it out, and put it \
                            into MEMORIA_MATRIXONE_PASSWORD or a file that MEMORIA_MATRIXONE_PASSWORD_FILE names"
                    .to_owned());
            }
            self.set(index, value, Origin::File).map_err(|why| format!("{path}: {why}"))?;
        }
        Ok(())
    }

    /// Variables outside the sections (`MEMORIA_HOME`) are not settings.
    fn take_variable(&mut self, variable: &str, text: &str) -> Result<(), String> {
        if SECRETS.contains(&variable) {
            return Ok(());
        }
        let Some(index) = KEYS.iter().position(|key| key.variable() == variable) else {
            let is_ours =
                |(section, _): &(&str, _)| variable.starts_with(&format!("MEMORIA_{section}_").to_uppercase());
            return match SECTIONS.iter().any(is_ours) {
                true => Err(format!("{variable} sets nothing{}", nearest(variable, KEYS.iter().map(Key::variable)))),
                false => Ok(()),
            };
        };
        let value = (text.parse().map(Value::Integer).ok())
            .or_else(|| text.parse().map(Value::Float).ok())
            .unwrap_or_else(|| Value::String(text.to_owned()));
        self.set(index, &value, Origin::Environment).map_err(|why| match variable {
            // It may hold a password.
            "MEMORIA_MATRIXONE_URL" => format!("{variable}: {why}"),
            _ => format!("{variable}={text}: {why}"),
        })
    }

    fn set(&mut self, index: usize, value: &Value, origin: Origin) -> Result<(), String> {
        let key = &KEYS[index];
        (key.set)(self, value).ok_or_else(|| format!("it must be {}", (key.accepted)()))?;
        self.origins[index] = origin;
        Ok(())
    }
}

/// The parser's own message spans lines and draws arrows; a log and `status` want a sentence.
fn syntax_error(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {} is not TOML: {}", before.matches('\n').count() + 1, error.message().replace('\n', ", "))
}

fn capital(text: String) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// `: did you mean ...?`, or all names where none is near.
fn nearest(given: &str, known: impl Iterator<Item = String>) -> String {
    let known: Vec<_> = known.collect();
    match known.iter().map(|name| (edits(given, name), name)).min() {
        Some((distance, name)) if distance <= 3.max(given.len() / 3) => format!(": did you mean `{name}`?"),
        _ => format!("; there are {}", known.join(", ")),
    }
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
