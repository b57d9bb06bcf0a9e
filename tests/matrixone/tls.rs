//! Encryption: whom we believe, and what is refused.

use std::path::{Path, PathBuf};
use std::process::Command;

use memoria::engine::matrixone::pool::Pool;
use memoria::engine::matrixone::settings::{Encryption, Settings};
use memoria::error::Result;

use crate::maria::{Maria, beside_a_runtime, is_installed};

/// `name.pem` and `name.key` in a folder: a certificate for `localhost`, signed by an authority of the test's own.
fn certificates(folder: &Path) -> PathBuf {
    let run = |arguments: &[&str]| {
        let made = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    for authority in ["ca", "other"] {
        let (key, pem, subject) = (format!("{authority}.key"), format!("{authority}.pem"), format!("/CN={authority}"));
        let files = ["-x509", "-days", "2", "-subj", &subject, "-keyout", &key, "-out", &pem];
        run(&[&["req"][..], &new_key, &files].concat());
    }
    run(&[&["req"][..], &new_key, &["-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"]].concat());
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").unwrap();
    run(&[
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "names",
        "-out",
        "server.pem",
    ]);
    folder.join("ca.pem")
}

fn encrypted(maria: &Maria, host: &str, authority: Option<&Path>) -> Settings {
    let mut settings = Settings::from_url(&maria.url("tls").replace("127.0.0.1", host)).unwrap();
    settings.encryption = match authority {
        Some(file) => Encryption::Private(std::fs::read(file).unwrap()),
        None => Encryption::Public,
    };
    settings
}

/// The cipher of the connection.
fn cipher(settings: Settings) -> Result<String> {
    beside_a_runtime(move |handle| {
        let pool = Pool::open(&settings, handle);
        let row = pool.read(|session| session.first("show session status like 'Ssl_cipher'", vec![]))?;
        Ok(mysql_async::from_row::<(String, String)>(row.unwrap()).1)
    })
}

#[test]
fn only_a_server_that_our_authority_vouches_for_is_spoken_to() {
    if !is_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let authority = certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (key, certificate) =
        (format!("--ssl-key={}", file("server.key")), format!("--ssl-cert={}", file("server.pem")));
    let maria = Maria::start(&[&key, &certificate]).unwrap();

    assert!(cipher(encrypted(&maria, "localhost", Some(&authority))).unwrap().starts_with("TLS_"));
    for (why, settings) in [
        ("another authority", encrypted(&maria, "localhost", Some(&folder.path().join("other.pem")))),
        ("the public ones", encrypted(&maria, "localhost", None)),
        ("another name", encrypted(&maria, "127.0.0.1", Some(&authority))),
    ] {
        let error = cipher(settings).unwrap_err();
        assert!(error.message.contains("no encrypted connection"), "{why}: {error}");
        assert!(error.message.contains("matrixone.tls_ca_file"), "{why}: {error}");
    }
}

#[test]
fn a_server_without_encryption_is_refused_where_encryption_is_required() {
    let Some(maria) = Maria::start(&["--skip-ssl"]) else { return };
    let error = cipher(encrypted(&maria, "localhost", None)).unwrap_err();
    assert!(error.message.contains("it offers none"), "{error}");
    let mut plain = encrypted(&maria, "localhost", None);
    plain.encryption = Encryption::None;
    assert_eq!(cipher(plain).unwrap(), "");
}
