//! What the index knows of ids: every look-up held against plain maps, through whatever happens to its files; what
//! an erasure leaves in them; and that damage to a page is found where it is read.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use memoria::engine::embedded::index::{Entry, Index, Watermark, text_key};
use memoria::error::ErrorKind;
use memoria::model::{
    Confidence, Filter, Kind, Memory, MemoryId, Origin, ProjectId, SessionId, Source, SubjectId, Time, Trust, VersionId,
};
use roaring::RoaringBitmap;
use support::{Chance, seed, setting};

fn memory(id: MemoryId, text: String, session: Option<String>, at: i64) -> Memory {
    let origin =
        Origin { source: Source::Agent, agent: None, agent_version: None, session: None, tool: None, file: None };
    Memory {
        id,
        kind: Kind::Semantic,
        text,
        tags: Default::default(),
        trust: Trust::T3,
        confidence: Confidence(650),
        project: None,
        session: session.map(|session| SessionId::new(session).unwrap()),
        subject: None,
        origin,
        created_at: Time(0),
        observed_at: Time(at),
        expires_at: None,
        pinned: false,
        metadata: String::new(),
    }
}

/// Few enough that they meet; some share their first eight bytes and more.
fn some_id(chance: &mut Chance) -> MemoryId {
    let mut id = [0; 16];
    (id[0], id[8], id[15]) = (chance.below(4) as u8, chance.below(2) as u8, 1 + chance.below(30) as u8);
    MemoryId(id)
}

fn version_of(vid: u32) -> VersionId {
    let mut version = [1 + (vid % 3) as u8; 32];
    version[8..12].copy_from_slice(&vid.to_be_bytes());
    VersionId(version)
}

/// An index beside the plain list of what it was given; `None` is a gap.
struct Both {
    folder: tempfile::TempDir,
    index: Index,
    plain: Vec<Option<Entry>>,
}

impl Both {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let index = open(folder.path(), 0);
        Self { folder, index, plain: Vec::new() }
    }

    fn next(&self) -> u32 {
        self.plain.len() as u32
    }

    fn first_of(&self, id: &MemoryId) -> u32 {
        let is_of = |entry: &Option<Entry>| entry.as_ref().is_some_and(|entry| entry.place().0 == *id);
        self.plain.iter().position(is_of).map_or(self.next(), |vid| vid as u32)
    }

    fn add(&mut self, entry: Entry) {
        self.index.add(self.next(), &entry);
        self.plain.push(Some(entry));
    }

    fn store(&mut self, memory: Memory) {
        let (vid, first) = (self.next(), self.first_of(&memory.id));
        self.add(Entry::whole(memory, version_of(vid), first));
    }

    fn forget(&mut self, vids: &RoaringBitmap) {
        self.index.forget(vids).unwrap();
        for vid in vids {
            if let Some(entry) = &mut self.plain[vid as usize] {
                let (id, version, first) = entry.place();
                *entry = Entry::Erased { id, version, first };
            }
        }
    }

    fn catch_up(&self) {
        self.index.catch_up(self.next(), |vid| Ok(self.plain[vid as usize].clone())).unwrap();
    }

    fn reopen(&mut self) {
        self.index = open(self.folder.path(), self.next());
        self.catch_up();
    }

    fn rebuild(&self) {
        self.index.rebuild(|| Ok((self.next(), |vid| Ok(self.plain[vid as usize].clone())))).unwrap();
    }

    fn known(&self) -> impl Iterator<Item = (u32, &Entry)> {
        (0..).zip(&self.plain).filter_map(|(vid, entry)| Some((vid, entry.as_ref()?)))
    }

    /// Every look-up gives what the list gives.
    fn agree(&self, chance: &mut Chance, after: &str) {
        let mut memories: BTreeMap<MemoryId, Vec<u32>> = BTreeMap::new();
        let mut texts: BTreeMap<[u8; 16], Vec<u32>> = BTreeMap::new();
        for (vid, entry) in self.known() {
            memories.entry(entry.place().0).or_default().push(vid);
            if let Entry::Whole { memory, .. } = entry {
                texts.entry(text_key(memory)).or_default().push(vid);
            }
            let version = entry.place().1;
            assert_eq!(self.index.vid_of(&version).unwrap(), Some(vid), "after {after}");
        }
        assert_eq!(self.index.vid_of(&VersionId([1; 32])).unwrap(), None, "after {after}");
        for n in 0..7 {
            let text = text_key(&memory(MemoryId([0; 16]), format!("fact {n}"), None, 0));
            let twins = texts.get(&text).cloned().unwrap_or_default();
            assert_eq!(self.index.twins(&text).unwrap(), twins, "twins of fact {n} after {after}");
        }
        for _ in 0..12 {
            let (a, b) = (some_id(chance), some_id(chance));
            assert_eq!(self.index.vids_of(&a).unwrap(), memories.get(&a).cloned().unwrap_or_default(), "after {after}");
            let below = memories.range(..a).next_back().map(|(id, _)| *id);
            let above = memories.range(a..).find(|(id, _)| **id != a).map(|(id, _)| *id);
            assert_eq!(self.index.neighbours(&a).unwrap(), [below, above], "of {a} after {after}");
            let (first, last, limit) = (a.min(b), a.max(b), 1 + chance.below(5) as usize);
            let between: Vec<MemoryId> = memories.range(first..=last).map(|(id, _)| *id).take(limit).collect();
            assert_eq!(self.index.ids_between(&first, &last, limit).unwrap(), between, "after {after}");
        }
        let some: Vec<(u32, &Entry)> = self.known().filter(|_| chance.below(3) > 0).collect();
        let vids: Vec<u32> = some.iter().map(|(vid, _)| *vid).collect();
        let places: Vec<_> = some.iter().map(|(_, entry)| entry.place()).collect();
        let set: RoaringBitmap = vids.iter().copied().collect();
        let ids: Vec<MemoryId> = places.iter().map(|place| place.0).collect();
        assert_eq!(self.index.ids(&vids).unwrap(), ids, "after {after}");
        let backwards: Vec<u32> = vids.iter().rev().copied().collect();
        assert_eq!(self.index.ids(&backwards).unwrap(), ids.into_iter().rev().collect::<Vec<_>>(), "after {after}");
        let versions: Vec<VersionId> = places.iter().map(|place| place.1).collect();
        assert_eq!(self.index.version_ids(&set).unwrap(), versions, "after {after}");
        let numbers: Vec<u32> = places.iter().map(|place| place.2).collect();
        assert_eq!(self.index.memory_numbers(&set).unwrap(), numbers, "after {after}");
        let audit = self.index.audit().unwrap();
        for (vid, entry) in self.known() {
            assert!(audit.agrees(vid, entry), "version {vid} after {after}");
        }
        // Who is newest is read from the files as well, where times are equal.
        let mut newest: Vec<u32> = vids.clone();
        let at = |vid: u32| match &self.plain[vid as usize] {
            Some(Entry::Whole { memory, .. }) => memory.observed_at,
            _ => Time(0),
        };
        newest.sort_by_key(|vid| {
            (std::cmp::Reverse(at(*vid)), self.plain[*vid as usize].as_ref().unwrap().place().0, *vid)
        });
        let (offset, limit) = (chance.below(20) as u32, chance.below(20) as u32);
        let end = if limit == 0 { usize::MAX } else { limit as usize };
        let page: Vec<u32> = newest.into_iter().skip(offset as usize).take(end).collect();
        assert_eq!(self.index.newest(&set, offset, limit).unwrap(), page, "after {after}");
    }
}

fn open(folder: &Path, next_vid: u32) -> Index {
    Index::open(&folder.join("index"), Watermark { generation: 1, next_vid, store_id: [3; 16] }).unwrap()
}

#[test]
fn look_ups_answer_as_plain_maps_do_through_flushes_joins_restarts_rests_rebuilds_and_erasures() {
    let mut chance = Chance(seed());
    for _ in 0..setting("MEMORIA_ROUNDS", 25) {
        let mut both = Both::new();
        for _ in 0..25 {
            let after = match chance.below(12) {
                0..=4 => {
                    for _ in 0..chance.below(40) {
                        let session = (chance.below(2) == 0).then(|| format!("session {}", chance.below(3)));
                        let text = format!("fact {}", chance.below(7));
                        both.store(memory(some_id(&mut chance), text, session, chance.below(4) as i64));
                    }
                    "adding"
                }
                5 => {
                    let (id, vid) = (some_id(&mut chance), both.next());
                    both.add(Entry::Erased { id, version: version_of(vid), first: both.first_of(&id) });
                    "adding an erased one"
                }
                6 => {
                    both.plain.push(None);
                    "a gap"
                }
                7 => {
                    both.index.flush().unwrap();
                    "a flush"
                }
                8 => {
                    both.index.rest().unwrap();
                    "a rest"
                }
                9 => {
                    both.reopen();
                    "a restart"
                }
                10 => {
                    let gone = both.known().map(|(vid, _)| vid).filter(|_| chance.below(5) == 0).collect();
                    both.forget(&gone);
                    "an erasure"
                }
                _ => {
                    both.rebuild();
                    "a rebuild"
                }
            };
            both.agree(&mut chance, after);
        }
    }
}

#[test]
fn an_index_that_is_a_file_instead_of_a_folder_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index"), b"not a folder").unwrap();
    assert_eq!(open(folder.path(), 5).missing_from(), 0);
}

#[test]
fn a_version_that_truth_could_not_give_is_said_to_be_missing() {
    let mut both = Both::new();
    both.store(memory(MemoryId([1; 16]), "fact".into(), None, 0));
    both.plain.push(None);
    both.store(memory(MemoryId([2; 16]), "fact".into(), None, 0));
    for _ in 0..2 {
        for vid in [1, 3] {
            let set = RoaringBitmap::from([0, vid]);
            let errors = [
                both.index.ids(&[0, vid]).map(drop).unwrap_err(),
                both.index.version_ids(&set).map(drop).unwrap_err(),
                both.index.memory_numbers(&set).map(drop).unwrap_err(),
            ];
            assert!(errors.iter().all(|error| error.kind == ErrorKind::NotFound), "{errors:?}");
        }
        both.index.flush().unwrap();
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder.join("index")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn holds(folder: &Path, needle: &[u8]) -> bool {
    files(folder).iter().any(|file| fs::read(file).unwrap().windows(needle.len()).any(|window| window == needle))
}

#[test]
fn an_erasure_leaves_no_word_tag_name_or_key_in_any_file() {
    let mut both = Both::new();
    let secret = Memory {
        tags: ["secrettag".to_owned()].into(),
        project: ProjectId::new("secretproject").ok(),
        subject: SubjectId::new("secretsubject").ok(),
        expires_at: Some(Time(0x0123_4567_89ab_cdef)),
        origin: Origin {
            source: Source::Agent,
            agent: Some("secretagent".into()),
            agent_version: None,
            session: None,
            tool: None,
            file: None,
        },
        ..memory(
            MemoryId([9; 16]),
            "hunter2zebra is the password".into(),
            Some("secretsession".into()),
            0x1122_3344_5566,
        )
    };
    // The key of a list is a hash of its word: found as what appears when the word is indexed.
    let mut alone = Both::new();
    alone.store(Memory { text: "hunter2zebra".into(), ..memory(MemoryId([8; 16]), String::new(), None, 0) });
    let Some(Some(Entry::Whole { words, .. })) = alone.plain.first() else { panic!("it was stored") };
    let hashes: Vec<Vec<u8>> = words.keys().map(|term| term.to_le_bytes().to_vec()).collect();
    assert!(!hashes.is_empty());
    let mut needles = hashes;
    needles.push(text_key(&secret).to_vec());
    needles.push(0x0123_4567_89ab_cdef_i64.to_le_bytes().to_vec());
    needles.push(0x1122_3344_5566_i64.to_le_bytes().to_vec());
    for name in ["secrettag", "secretproject", "secretsubject", "secretsession", "secretagent"] {
        needles.push(name.as_bytes().to_vec());
    }
    for n in 0..50 {
        both.store(memory(MemoryId([n; 16]), format!("fact {n}"), Some("open session".into()), 0));
    }
    let vid = both.next();
    both.store(secret.clone());
    both.index.flush().unwrap();
    for needle in &needles {
        assert!(holds(both.folder.path(), needle), "{needle:?} is nowhere to be found before");
    }
    both.forget(&RoaringBitmap::from([vid]));
    for _ in 0..2 {
        for needle in &needles {
            assert!(!holds(both.folder.path(), needle), "{needle:?} is still there");
        }
        assert!(holds(both.folder.path(), &[9; 16]), "the memory's id is kept");
        assert!(holds(both.folder.path(), b"open session"), "others' names are kept");
        let state: RoaringBitmap = (0..both.next()).collect();
        let (found, _) = both.index.containing(&state, &["password".into()], &Filter::default(), Time(0), 0).unwrap();
        assert!(found.is_empty());
        // What is joined later brings nothing back.
        for n in 100..250 {
            both.store(memory(MemoryId([n; 16]), format!("fact {n}"), None, 0));
        }
        both.index.flush().unwrap();
    }
}

#[test]
fn an_erasure_takes_away_files_that_a_crash_or_a_stubborn_disk_left_behind() {
    let mut both = Both::new();
    both.store(memory(MemoryId([1; 16]), "hunter2zebra".into(), Some("secretsession".into()), 0));
    both.index.flush().unwrap();
    let [file] = &files(both.folder.path())[..] else { panic!("one file") };
    for left in ["0-7.unready", "3-9.segment"] {
        fs::copy(file, file.with_file_name(left)).unwrap();
    }
    both.forget(&RoaringBitmap::from([0]));
    assert!(!holds(both.folder.path(), b"secretsession"));
    assert_eq!(files(both.folder.path()).len(), 1);
}

#[test]
fn forgetting_what_is_forgotten_rewrites_nothing() {
    let mut both = Both::new();
    for n in 0..5 {
        both.store(memory(MemoryId([n; 16]), format!("fact {n}"), None, 0));
    }
    let gone = RoaringBitmap::from([1, 3]);
    both.forget(&gone);
    both.reopen();
    let written = |both: &Both| fs::metadata(&files(both.folder.path())[0]).unwrap().modified().unwrap();
    let before = written(&both);
    both.forget(&gone);
    assert_eq!(written(&both), before);
}

#[test]
fn damage_to_a_page_of_keys_or_of_columns_is_found_where_it_is_read_and_a_rebuild_heals_it() {
    let mut both = Both::new();
    for n in 0..60 {
        both.store(memory(MemoryId([n; 16]), format!("fact {n}"), Some(format!("session {}", n % 4)), 0));
    }
    both.index.flush().unwrap();
    let [file] = &files(both.folder.path())[..] else { panic!("one file") };
    let whole = fs::read(file).unwrap();
    let everything: RoaringBitmap = (0..both.next()).collect();
    let vids: Vec<u32> = everything.iter().collect();
    let mut noticed = 0;
    for at in (0..whole.len()).step_by(37) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(file, &bytes).unwrap();
        both.reopen();
        let ask = |both: &Both| -> memoria::error::Result<_> {
            let (_, entry) = both.known().nth(17).unwrap();
            let (id, version, _) = entry.place();
            Ok((
                (both.index.vids_of(&id)?, both.index.vid_of(&version)?, both.index.neighbours(&id)?),
                (both.index.ids(&vids)?, both.index.version_ids(&everything)?),
                (both.index.memory_numbers(&everything)?, both.index.newest(&everything, 0, 5)?),
                both.index.twins(&text_key(&memory(id, "fact 17".into(), None, 0)))?,
            ))
        };
        let answer = ask(&both);
        both.rebuild();
        let right = ask(&both).unwrap();
        match answer {
            Ok(answer) => assert_eq!(answer, right, "byte {at}"),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Corrupt, "byte {at}: {error}");
                noticed += 1;
            }
        }
        fs::remove_dir_all(both.folder.path().join("index")).unwrap();
        fs::create_dir(both.folder.path().join("index")).unwrap();
    }
    assert!(noticed > 10, "damage was noticed {noticed} times");
}
