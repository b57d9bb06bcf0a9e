//! The ids of models that the user brings: whatever changes their vectors changes their id, so that vectors that cannot
//! be compared never meet.

use crate::error::Result;
use crate::model::ModelId;

/// Bytes that are kept of what people call it; the rest is in the hash.
const NAME_BYTES_MAX: usize = 120;

/// `NAME-HASH`, the hash over all `parts`; without parts the name alone. Of a long or unprintable name the hash knows
/// the whole.
///
/// # Errors
/// None for any name; the type's own rules are checked once more.
pub fn id(name: &str, parts: &[&str]) -> Result<ModelId> {
    let shown: String = name.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect();
    let shown = &shown[..shown.len().min(NAME_BYTES_MAX)];
    if parts.iter().all(|part| part.is_empty()) && shown == name {
        return name.parse();
    }
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(&name).chain(parts) {
        // With its length, so that no two lists of parts read the same.
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    format!("{shown}-{}", &hasher.finalize().to_hex()[..8]).parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_name_unless_something_more_matters() {
        assert_eq!(id("http:localhost/m/384", &["", ""]).unwrap().as_str(), "http:localhost/m/384");
        let with = |parts: &[&str]| id("m", parts).unwrap();
        assert!(with(&["query: ", ""]).as_str().starts_with("m-"));
        assert_ne!(with(&["a", "b"]), with(&["ab", ""]));
        assert_ne!(with(&["a", ""]), with(&["", "a"]));
    }

    #[test]
    fn every_name_makes_an_id() {
        for name in ["", " ", "é模型", "a\nb", &"x".repeat(1_000), &"模".repeat(500)] {
            id(name, &["p"]).unwrap();
            assert_ne!(id(name, &["p"]).unwrap(), id(&format!("{name}y"), &["p"]).unwrap(), "{name}");
        }
    }
}
