//! How many tests do not run where their server is missing: said by number, and held to the truth here.

/// Tests that need MariaDB.
pub const MARIA_TESTS: usize = 16;

#[test]
fn the_number_of_tests_that_need_mariadb_is_said_as_it_is() {
    let files = [include_str!("pool.rs"), include_str!("faults.rs"), include_str!("tls.rs")];
    let tests: usize = files.iter().map(|file| file.matches("#[test]").count()).sum();
    assert_eq!(tests, MARIA_TESTS);
}
