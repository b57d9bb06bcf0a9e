//! The doctor: it tells what is missing from what is there, leaves nothing behind, and shows no password.

use memoria::engine::matrixone::doctor::{Finding, Verdict, examine};
use memoria::engine::matrixone::settings::Settings;
use serde_json::Value;

use crate::maria::{PASSWORD, beside_a_runtime, is_installed, pool, shared};
use crate::server;
use crate::support::{Home, eventually};

/// Databases on the server that a doctor made.
const LEFT: &str = "select count(*) from information_schema.schemata where schema_name like 'memoria\\_doctor%'";

fn examined(url: &str) -> Vec<Finding> {
    let settings = Settings::from_url(url).unwrap();
    beside_a_runtime(move |handle| examine(&settings, handle))
}

fn of<'f>(findings: &'f [Finding], what: &str) -> &'f Finding {
    findings.iter().find(|finding| finding.what == what).unwrap_or_else(|| panic!("no {what} in {findings:#?}"))
}

fn left(url: &str) -> i64 {
    let url = url.to_owned();
    let row = beside_a_runtime(move |handle| pool(&url, handle).read(|session| session.first(LEFT, vec![])));
    mysql_async::from_row(row.unwrap().unwrap())
}

#[test]
fn another_server_is_told_from_matrixone_and_left_as_it_was() {
    if !is_installed() {
        return;
    }
    let Some(maria) = shared() else { return };
    let findings = examined(&maria.url("looked_at"));
    for (what, verdict) in [
        ("server", Verdict::Good),
        ("clocks", Verdict::Good),
        ("version", Verdict::Bad),
        ("database", Verdict::Good),
        ("tables", Verdict::Bad),
    ] {
        assert_eq!(of(&findings, what).verdict, verdict, "{findings:#?}");
    }
    // Another test's doctor may be at work on this server.
    eventually("no database of a doctor is left", || left(&maria.url("test")) == 0);
}

#[test]
fn memoria_doctor_says_what_stands_in_the_way_and_shows_no_password() {
    if !is_installed() {
        return;
    }
    let Some(maria) = shared() else { return };
    let home = Home::new();
    let doctor = |url: String| {
        let mut command = home.memoria();
        command.args(["doctor", "--json"]);
        command.env("MEMORIA_ENGINE_KIND", "matrixone").env("MEMORIA_MATRIXONE_URL", url).output().unwrap()
    };
    let output = doctor(maria.url("test"));
    let said = String::from_utf8(output.stdout).unwrap();
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((output.status.code(), &answer["ok"]), (Some(1), &Value::Bool(false)), "{answer:#}");
    let denied = String::from_utf8(doctor(maria.url("test").replace(PASSWORD, "another-secret")).stdout).unwrap();
    assert!(denied.contains("refuses our user or password"), "{denied}");
    assert!(!said.contains(PASSWORD) && !denied.contains("another-secret"), "{said}{denied}");
    assert!(!home.socket().exists(), "it starts no daemon");
}

#[test]
fn a_password_is_taken_from_every_place_that_is_promised() {
    if !is_installed() {
        return;
    }
    let Some(maria) = shared() else { return };
    let (home, folder) = (Home::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("matrixone-password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let (password, file) = (("MEMORIA_MATRIXONE_PASSWORD", PASSWORD), file.to_str().unwrap());
    let (file, folder) = (("MEMORIA_MATRIXONE_PASSWORD_FILE", file), folder.path().to_str().unwrap());
    let bare = maria.url("test").replace(&format!(":{PASSWORD}"), "");
    for (place, answers) in
        [(Some(password), true), (Some(file), true), (Some(("CREDENTIALS_DIRECTORY", folder)), true), (None, false)]
    {
        let mut command = home.memoria();
        command.args(["doctor", "--json"]).env("MEMORIA_ENGINE_KIND", "matrixone").env("MEMORIA_MATRIXONE_URL", &bare);
        let said = String::from_utf8(command.envs(place).output().unwrap().stdout).unwrap();
        assert_eq!(said.contains("answers"), answers, "{place:?}: {said}");
    }
}

#[test]
fn memoria_doctor_is_content_with_an_empty_home() {
    let home = Home::new();
    let output = home.run(&["doctor"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("not running"), "{said}");
    assert!(!home.socket().exists(), "it starts no daemon");
}

#[test]
fn memoria_doctor_names_the_setting_that_is_wrong() {
    let home = Home::new();
    std::fs::create_dir_all(home.path().join("config")).unwrap();
    let password = "mysql://u:hunter2@h/d";
    std::fs::write(home.path().join("config/config.toml"), format!("[matrixone]\nurl = \"{password}\"\n")).unwrap();
    let output = home.run(&["doctor"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("MEMORIA_MATRIXONE_PASSWORD") && !said.contains("hunter2"), "{said}");
}

mod matrixone {
    use super::*;

    #[test]
    fn a_real_server_has_all_that_is_needed() {
        let Some(url) = server::url() else { return };
        let findings = examined(&format!("{url}/memoria_never_made"));
        for what in ["server", "version", "clocks", "database", "tables", "vectors", "branches"] {
            assert_eq!(of(&findings, what).verdict, Verdict::Good, "{findings:#?}");
        }
        assert!(findings.iter().all(|finding| finding.what != "tidying up"), "{findings:#?}");
    }
}
