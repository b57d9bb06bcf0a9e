//! How many tests do not run where their server is missing: said by number, and held to the truth here.

use crate::server::MATRIXONE_TESTS;

/// Tests that need MariaDB.
pub const MARIA_TESTS: usize = 20;

#[test]
fn the_number_of_tests_that_need_mariadb_is_said_as_it_is() {
    let files = [
        include_str!("doctor.rs"),
        include_str!("faults.rs"),
        include_str!("pool.rs"),
        include_str!("tls.rs"),
        include_str!("v04.rs"),
    ];
    let needs = |test: &&str| ["shared() else", "Maria::start", "is_installed()"].iter().any(|way| test.contains(way));
    let tests: usize = files.iter().map(|file| file.split("#[test]").skip(1).filter(needs).count()).sum();
    assert_eq!(tests, MARIA_TESTS);
}

#[test]
fn the_number_of_tests_that_need_matrixone_is_said_as_it_is() {
    let files = [
        include_str!("copied.rs"),
        include_str!("doctor.rs"),
        include_str!("moving.rs"),
        include_str!("offline.rs"),
        include_str!("same_answers.rs"),
        include_str!("upkeep.rs"),
        include_str!("v04.rs"),
        include_str!("weather.rs"),
    ];
    let needs = |test: &&str| ["Database::fresh(", "database(\"", "url() else"].iter().any(|way| test.contains(way));
    let tests: usize = files.iter().map(|file| file.split("#[test]").skip(1).filter(needs).count()).sum();
    assert_eq!(tests, MATRIXONE_TESTS);
}
