//! What a settings file and the environment may say, and how what they may not is refused.

use super::*;

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse(Path::new("config.toml"), text, variables)
}

fn refusal(text: &str) -> String {
    parse(text, &[]).unwrap_err().message
}

/// The sample with every `#key = value` line taken as written.
fn sample_in_force() -> String {
    let is_setting = |line: &&str| line.starts_with('[') || (line.starts_with('#') && !line.starts_with("# "));
    Config::sample().lines().filter(is_setting).map(|line| line.trim_start_matches('#')).collect::<Vec<_>>().join("\n")
}

#[test]
fn sample_holds_every_key_at_its_default() {
    let config = parse(&sample_in_force(), &[]).unwrap();
    for entry in config.entries() {
        assert_eq!(entry.origin, Origin::File, "{} is missing from the sample", entry.key);
        assert_eq!(entry.value, entry.default, "{}", entry.key);
        assert!(Config::sample().contains(&entry.variable), "{}", entry.variable);
        assert!(!entry.docs.is_empty(), "{}", entry.key);
    }
    assert_eq!(parse(&Config::sample(), &[]).unwrap(), Config::default(), "commented out, it changes nothing");
}

#[test]
fn file_overrides_defaults_and_environment_overrides_file() {
    let text = "[daemon]\nidle_exit_min = 5\n[guard]\nsecrets = \"block\"\n[search]\nmin_score = 0\n";
    let config = parse(text, &[("MEMORIA_DAEMON_IDLE_EXIT_MIN", "0"), ("MEMORIA_LOG_LEVEL", "debug")]).unwrap();
    assert_eq!((config.daemon.idle_exit_min, config.guard.secrets), (0, Secrets::Block));
    assert_eq!((config.log.level, config.store.cache_mb), (Level::Debug, 8));
    let origin = |key: &str| config.entries().into_iter().find(|entry| entry.key == key).unwrap().origin;
    assert_eq!(origin("daemon.idle_exit_min"), Origin::Environment);
    assert_eq!(origin("guard.secrets"), Origin::File);
    assert_eq!(origin("store.cache_mb"), Origin::Default);
}

#[test]
fn unknown_names_are_refused_with_the_nearest_known_one() {
    assert!(refusal("[deamon]\n").contains("did you mean `daemon`?"));
    assert!(refusal("[log]\nlevle = \"info\"\n").contains("did you mean `log.level`?"));
    assert!(refusal("[log]\nzzzzzzzzzzzzzzzz = 1\n").contains("log.keep_files"));
    let error = parse("", &[("MEMORIA_LOG_LEVLE", "debug")]).unwrap_err();
    assert!(error.message.contains("did you mean `MEMORIA_LOG_LEVEL`?"), "{error}");
    parse("", &[("MEMORIA_HOME", "/x"), ("MEMORIA_SEED", "1")]).unwrap();
}

#[test]
fn values_out_of_range_are_refused_with_what_they_may_be() {
    for (text, expected) in [
        ("[daemon]\nidle_exit_min = 10081\n", "a whole number from 0 to 10080"),
        ("[daemon]\nidle_exit_min = -1\n", "a whole number from 0 to 10080"),
        ("[daemon]\nidle_exit_min = 1.5\n", "a whole number"),
        ("[daemon]\nidle_exit_min = \"5\"\n", "a whole number"),
        ("[search]\nmin_score = 1.1\n", "a number from 0 to 1"),
        ("[search]\nmin_score = nan\n", "a number from 0 to 1"),
        ("[log]\nlevel = \"loud\"\n", "one of \"error\", \"warn\""),
        ("[guard]\nsecrets = true\n", "\"redact\", \"block\", \"allow\""),
        ("[log]\nmax_total_mb = 5\n", "at least as large"),
        ("log = 3\n", "write [log]"),
        ("[log]\nlevel = \n", "line 2 is not TOML"),
    ] {
        let message = refusal(text);
        assert!(message.contains(expected) && !message.contains('\n'), "{text}: {message}");
    }
}

#[test]
fn no_text_makes_it_panic() {
    for text in ["\u{0}", "[", "=", "[log]\n[log]\n", "a.b.c = 1", "[log]\nlevel.x = 1", "\u{feff}[log]", "log=[[]]"] {
        let _ = parse(text, &[]);
    }
}

#[test]
fn a_password_in_the_file_is_refused_without_showing_it() {
    for url in ["mysql://me:hunter2@db/x", "mysql://me:hun/ter2@db", "me:hunter2@db"] {
        let message = refusal(&format!("[matrixone]\nurl = \"{url}\"\n"));
        assert!(message.contains("MEMORIA_MATRIXONE_PASSWORD") && !message.contains("ter2"), "{message}");
    }
    parse("[matrixone]\nurl = \"mysql://me@db:6001/x\"\n", &[]).unwrap();
}

#[test]
fn a_password_in_the_environment_is_kept_out_of_every_setting() {
    let secrets = [
        ("MEMORIA_MATRIXONE_URL", "mysql://me:hunter2@db/x"),
        ("MEMORIA_MATRIXONE_PASSWORD", "hunter2"),
        ("MEMORIA_MATRIXONE_PASSWORD_FILE", "/run/hunter2"),
    ];
    let config = parse("", &secrets).unwrap();
    assert_eq!(config.matrixone.url.as_str(), "mysql://me@db/x");
    let shown = format!("{config:?}{:?}", config.entries());
    assert!(!shown.contains("hunter2"), "{shown}");
    let refused = parse("", &[("MEMORIA_MATRIXONE_URL", "mysql://me:hunter2@db\u{7}/x")]).unwrap_err();
    assert!(!refused.message.contains("hunter2"), "{refused}");
}
