//! SHA-256 of files, which is how a fetched file is known to be the pinned one. Nothing else is hashed here.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

const BUFFER_BYTES: usize = 1 << 16;

/// The SHA-256 of a file's bytes, in hex.
///
/// # Errors
/// When it cannot be read.
pub fn of(path: &Path) -> Result<String> {
    let failed = |e: std::io::Error| Error::io(format_args!("read {}", path.display()), &e);
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_standards() {
        // FIPS 180-4's example, and one of more than a buffer.
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "abc").unwrap();
        assert_eq!(of(&file).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        std::fs::write(&file, vec![b'a'; 1_000_000]).unwrap();
        assert_eq!(of(&file).unwrap(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
        assert!(of(dir.path()).is_err());
    }
}
