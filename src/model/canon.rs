//! The canonical encoding: one byte form of each record, for hashing and for storing alike, so that what is
//! stored is what was hashed. Hand-laid and frozen: a change of layout is a new format byte, never an edit.
//!
//! Integers are little-endian; a text is its length (u32) and its UTF-8; an option is 0 or 1 and the value.

use std::collections::BTreeSet;

use super::commit::{Author, Commit, Verb};
use super::id::{CommitId, MemoryId, OpId, ProjectId, Salt, SessionId, SubjectId, VersionId};
use super::memory::{Confidence, Kind, Memory, Origin, Source, Trust};
use super::time::Time;
use crate::error::{Error, Result};

const MEMORY_FORMAT: u8 = 1;
const COMMIT_FORMAT: u8 = 2;

/// Appends fields to bytes.
#[derive(Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.fixed(&value.to_le_bytes())
    }
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.fixed(&value.to_le_bytes())
    }
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.fixed(&value.to_le_bytes())
    }
    pub fn time(&mut self, value: Time) -> &mut Self {
        self.fixed(&value.0.to_le_bytes())
    }
    /// Bytes whose number the reader knows.
    pub fn fixed(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }
    /// A length and the bytes. Lengths beyond `u32` cannot occur: every limit in `wire/limits.rs` is far below.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).fixed(bytes)
    }
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }
    pub fn optional_text(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            None => self.u8(0),
            Some(text) => self.u8(1).text(text),
        }
    }
    pub fn optional_time(&mut self, time: Option<Time>) -> &mut Self {
        match time {
            None => self.u8(0),
            Some(time) => self.u8(1).time(time),
        }
    }
}

/// Takes fields from bytes; every shortfall or wrong value is [`ErrorKind::Corrupt`](crate::error::ErrorKind).
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn fixed(&mut self, len: usize) -> Result<&'a [u8]> {
        match self.0.split_at_checked(len) {
            Some((head, rest)) => {
                self.0 = rest;
                Ok(head)
            }
            None => Err(corrupt("it ends too early")),
        }
    }
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.fixed(N)?.try_into().map_err(|_| corrupt("it ends too early"))
    }
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }
    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }
    pub fn time(&mut self) -> Result<Time> {
        self.array().map(|bytes| Time(i64::from_le_bytes(bytes)))
    }
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.u32()? as usize;
        self.fixed(len)
    }
    pub fn text(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| corrupt("a text is not UTF-8"))
    }
    /// A text of which an id is made.
    pub fn id<T>(&mut self, new: impl FnOnce(String) -> Result<T>) -> Result<T> {
        new(self.text()?).map_err(|error| corrupt(&error.message))
    }
    pub fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(corrupt("an option is neither there nor absent")),
        }
    }
    /// Trailing bytes are an error: a record is what its format says, and nothing more.
    pub fn end(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(corrupt("bytes follow its end")) }
    }
}

fn corrupt(why: &str) -> Error {
    Error::corrupt(format!("a stored record cannot be read: {why}. Run `memoria verify`."))
}

impl Memory {
    /// The canonical bytes: everything but the salt.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(self.text.len() + 160));
        out.u8(MEMORY_FORMAT).fixed(&self.id.0).u8(self.kind as u8).text(&self.text);
        out.u32(self.tags.len() as u32);
        for tag in &self.tags {
            out.text(tag);
        }
        out.u8(self.trust as u8).u16(self.confidence.0);
        out.optional_text(self.project.as_ref().map(ProjectId::as_str));
        out.optional_text(self.session.as_ref().map(SessionId::as_str));
        out.optional_text(self.subject.as_ref().map(SubjectId::as_str));
        out.u8(self.origin.source as u8);
        out.optional_text(self.origin.agent.as_deref());
        out.optional_text(self.origin.agent_version.as_deref());
        out.optional_text(self.origin.session.as_ref().map(SessionId::as_str));
        out.optional_text(self.origin.tool.as_deref());
        out.optional_text(self.origin.file.as_deref());
        out.time(self.created_at).time(self.observed_at).optional_time(self.expires_at);
        out.u8(u8::from(self.pinned)).text(&self.metadata);
        out.0
    }

    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut from = Reader(bytes);
        if from.u8()? != MEMORY_FORMAT {
            return Err(corrupt("its format is unknown; a newer memoria may have written it"));
        }
        let id = MemoryId(from.array()?);
        let kind = Kind::from_number(from.u8()?).ok_or_else(|| corrupt("its kind is unknown"))?;
        let text = from.text()?;
        let tags_len = from.u32()?;
        let tags = (0..tags_len).map(|_| from.text()).collect::<Result<BTreeSet<_>>>()?;
        let trust = Trust::from_number(from.u8()?).ok_or_else(|| corrupt("its trust is unknown"))?;
        let confidence = Confidence(from.u16()?);
        let project = from.optional(|from| from.id(ProjectId::new))?;
        let session = from.optional(|from| from.id(SessionId::new))?;
        let subject = from.optional(|from| from.id(SubjectId::new))?;
        let origin = Origin {
            source: Source::from_number(from.u8()?).ok_or_else(|| corrupt("its source is unknown"))?,
            agent: from.optional(Reader::text)?,
            agent_version: from.optional(Reader::text)?,
            session: from.optional(|from| from.id(SessionId::new))?,
            tool: from.optional(Reader::text)?,
            file: from.optional(Reader::text)?,
        };
        let created_at = from.time()?;
        let observed_at = from.time()?;
        let expires_at = from.optional(Reader::time)?;
        let pinned = from.u8()? != 0;
        let metadata = from.text()?;
        from.end()?;
        Ok(Self {
            id,
            kind,
            text,
            tags,
            trust,
            confidence,
            project,
            session,
            subject,
            origin,
            created_at,
            observed_at,
            expires_at,
            pinned,
            metadata,
        })
    }

    /// `BLAKE3("memoria version 1" ‖ salt ‖ canonical bytes)`.
    pub fn version_id(salt: &Salt, canonical: &[u8]) -> VersionId {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"memoria version 1").update(&salt.0).update(canonical);
        VersionId(*hasher.finalize().as_bytes())
    }
}

impl Commit {
    /// Everything but the id, which is the hash of this.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(192 + 32 * (self.added.len() + self.removed.len())));
        out.u8(COMMIT_FORMAT).u8(self.parents.len() as u8);
        for parent in &self.parents {
            out.fixed(&parent.0);
        }
        for side in [&self.added, &self.removed] {
            out.u32(side.len() as u32);
            for version in side {
                out.fixed(&version.0);
            }
        }
        out.optional_text(self.author.agent.as_deref());
        out.optional_text(self.author.agent_version.as_deref());
        out.text(self.author.session.as_str());
        out.optional_text(self.author.project.as_ref().map(ProjectId::as_str));
        out.u8(self.verb as u8).optional_text(self.note.as_deref());
        out.u32(self.about.len() as u32);
        for commit in &self.about {
            out.fixed(&commit.0);
        }
        out.time(self.at);
        out.fixed(&self.op.to_bytes());
        out.0
    }

    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut from = Reader(bytes);
        if from.u8()? != COMMIT_FORMAT {
            return Err(corrupt("its format is unknown; a newer memoria may have written it"));
        }
        let parents_len = from.u8()?;
        let parents = (0..parents_len).map(|_| from.array().map(CommitId)).collect::<Result<Vec<_>>>()?;
        let mut side = || {
            let len = from.u32()?;
            (0..len).map(|_| from.array().map(VersionId)).collect::<Result<Vec<_>>>()
        };
        let (added, removed) = (side()?, side()?);
        let author = Author {
            agent: from.optional(Reader::text)?,
            agent_version: from.optional(Reader::text)?,
            session: from.id(SessionId::new)?,
            project: from.optional(|from| from.id(ProjectId::new))?,
        };
        let verb = Verb::from_number(from.u8()?).ok_or_else(|| corrupt("its verb is unknown"))?;
        let note = from.optional(Reader::text)?;
        let about_len = from.u32()?;
        let about = (0..about_len).map(|_| from.array().map(CommitId)).collect::<Result<Vec<_>>>()?;
        let at = from.time()?;
        let op = OpId::from_bytes(from.array()?);
        from.end()?;
        Ok(Self { parents, added, removed, author, verb, note, about, at, op })
    }

    pub fn id(&self) -> CommitId {
        Self::id_of(&self.encode())
    }

    /// `BLAKE3("memoria commit 1" ‖ canonical bytes)`.
    pub fn id_of(canonical: &[u8]) -> CommitId {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"memoria commit 1").update(canonical);
        CommitId(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn memory() -> Memory {
        Memory {
            id: MemoryId([7; 16]),
            kind: Kind::Procedural,
            text: "run `cargo test --locked` 测试".into(),
            tags: ["build", "ci"].map(String::from).into(),
            trust: Trust::T2,
            confidence: Confidence(850),
            project: ProjectId::new("github.com/a/b").ok(),
            session: None,
            subject: SubjectId::new("alice").ok(),
            origin: Origin {
                source: Source::Agent,
                agent: Some("cursor".into()),
                agent_version: None,
                session: SessionId::new("s").ok(),
                tool: None,
                file: None,
            },
            created_at: Time(1),
            observed_at: Time(-2),
            expires_at: Some(Time(3)),
            pinned: true,
            metadata: "{\"a\":1}".into(),
        }
    }

    #[test]
    fn a_memory_reads_back_as_it_was_written() {
        assert_eq!(Memory::decode(&memory().encode()).unwrap(), memory());
    }

    #[test]
    fn every_truncation_of_a_memory_is_an_error_and_so_is_a_trailing_byte() {
        let whole = memory().encode();
        for len in 0..whole.len() {
            assert!(Memory::decode(&whole[..len]).is_err(), "{len} bytes were accepted");
        }
        assert!(Memory::decode(&[whole, vec![0]].concat()).is_err());
    }

    #[test]
    fn an_id_that_could_not_have_been_written_is_damage_and_not_the_askers_fault() {
        let mut lost = Writer::default();
        lost.text("a subject\u{7}");
        let error = Reader(&lost.0).id(SubjectId::new).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    }

    #[test]
    fn the_canonical_bytes_and_hashes_are_frozen() {
        let bytes = memory().encode();
        assert_eq!(bytes.len(), 164);
        let commit = Commit {
            parents: vec![CommitId([1; 32])],
            added: vec![Memory::version_id(&Salt([9; 16]), &bytes)],
            removed: vec![],
            author: Author {
                agent: None,
                agent_version: None,
                session: SessionId::new("cli").unwrap(),
                project: ProjectId::new("p").ok(),
            },
            verb: Verb::Store,
            note: None,
            about: vec![CommitId([4; 32])],
            at: Time(5),
            op: OpId { nonce: [2; 16], line: 3 },
        };
        assert_eq!(Commit::decode(&commit.encode()).unwrap(), commit);
        assert_eq!(commit.added[0].to_string(), "0cd82d73b0944844cce625ceac1ba13c1d298aa2e281449b0b43a76349f2c43e");
        assert_eq!(commit.id().to_string(), "6a7f359a63fe7a7740e891789e36c197cf92b337b01966ab39b8964b6387b4b3");
    }
}
