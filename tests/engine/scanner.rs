//! Looks for a secret in every file of a folder, in each form in which bytes of it could have been left: as it is, as
//! UTF-16, hex, base64, JSON, and as the hashes that the index files hold of its words.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use memoria::lexical;
use memoria::model::Memory;

/// What is looked for: `(what it is, its bytes)`.
pub type Trace = (String, Vec<u8>);

/// Every form of a text that a careless writer could have left.
pub fn traces(what: &str, secret: &str) -> Vec<Trace> {
    let utf16: Vec<u8> = secret.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let escaped: String = secret.chars().map(|c| if c.is_ascii() { plain(c) } else { unicode(c) }).collect();
    let json: String = secret.chars().map(plain).collect();
    let mut forms = vec![
        ("as it is", secret.as_bytes().to_vec()),
        ("in lower case", secret.to_lowercase().into_bytes()),
        ("as UTF-16", utf16),
        ("as hex", hex.clone().into_bytes()),
        ("as HEX", hex.to_uppercase().into_bytes()),
        ("as JSON", json.into_bytes()),
        ("as escaped JSON", escaped.into_bytes()),
    ];
    for shift in 0..3 {
        forms.push(("as base64", base64(secret.as_bytes(), shift)));
    }
    let forms: BTreeSet<(&str, Vec<u8>)> = forms.into_iter().collect();
    forms.into_iter().map(|(form, bytes)| (format!("{what} {form}"), bytes)).collect()
}

/// The hashes of the words of a text that are in no other, as the dictionaries of segments hold them.
pub fn word_traces(what: &str, text: &str, others: &[&str]) -> Vec<Trace> {
    let known: BTreeSet<String> = others.iter().flat_map(|other| lexical::analyse(other).terms).collect();
    let words: BTreeSet<String> = lexical::analyse(text).terms.into_iter().collect();
    words.difference(&known).map(|word| (format!("{what}'s word {word}"), term_hash(word))).collect()
}

/// The unsalted hash by which equal texts are found: a short secret could be guessed from it.
pub fn text_key_trace(what: &str, memory: &Memory) -> Trace {
    let mut bytes = vec![memory.kind as u8];
    let mut text = |text: &str| {
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    text(&memory.text);
    for name in [memory.project.as_ref().map(|p| p.as_str()), memory.subject.as_ref().map(|s| s.as_str())] {
        bytes.push(u8::from(name.is_some()));
        if let Some(name) = name {
            bytes.extend((name.len() as u32).to_le_bytes());
            bytes.extend(name.as_bytes());
        }
    }
    (format!("{what}'s text key"), blake3::hash(&bytes).as_bytes()[..8].to_vec())
}

/// The traces that are in some file below the folder, each with the file.
pub fn found(folder: &Path, traces: &[Trace]) -> BTreeSet<String> {
    let mut by_start: HashMap<[u8; 4], Vec<&Trace>> = HashMap::new();
    for trace in traces {
        assert!(trace.1.len() >= 8, "{} is too short to be told from chance", trace.0);
        by_start.entry(trace.1[..4].try_into().unwrap()).or_default().push(trace);
    }
    let mut found = BTreeSet::new();
    for path in files(folder) {
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len().saturating_sub(4) {
            let Some(candidates) = by_start.get(&bytes[at..at + 4]) else { continue };
            for (what, _) in candidates.iter().filter(|(_, trace)| bytes[at..].starts_with(trace)) {
                found.insert(format!("{what} in {}", path.file_name().unwrap().to_string_lossy()));
            }
        }
    }
    found
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files
}

fn plain(c: char) -> String {
    match c {
        '"' => "\\\"".into(),
        '\\' => "\\\\".into(),
        '\n' => "\\n".into(),
        c => c.into(),
    }
}

fn unicode(c: char) -> String {
    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// The characters that only these bytes decide, where `shift` bytes stand before them.
fn base64(bytes: &[u8], shift: usize) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let whole = [&vec![0; shift], bytes].concat();
    let digit = |n: usize| {
        let bits = (0..6).fold(0u8, |value, bit| {
            let at = n * 6 + bit;
            value << 1 | whole[at / 8] >> (7 - at % 8) & 1
        });
        DIGITS[usize::from(bits)]
    };
    let first = (shift * 8).div_ceil(6);
    (first..whole.len() * 8 / 6).map(digit).collect()
}

/// FNV-1a and the finaliser of MurmurHash3, as `index/terms.rs` has it.
fn term_hash(term: &str) -> Vec<u8> {
    let mut hash = term
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (hash ^ (hash >> 33)).to_le_bytes().to_vec()
}
