//! Words find memories: what the index answers, held against a plain scan, and what survives damage to its files.

use std::fs;
use std::path::{Path, PathBuf};

use memoria::engine::embedded::index::{Entry, Found, HEARD_AROUND, Index, Matches, Watermark};
use memoria::error::ErrorKind;
use memoria::lexical::{self, bm25};
use memoria::model::{
    Candidate, Candidates, Confidence, Filter, Kind, Match, Memory, MemoryId, Moment, Origin, ProjectId, Query, Scope,
    SessionId, Source, Time, Trust, Version, VersionId,
};
use memoria::search::{Ranked, Ranking, rank};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use roaring::RoaringBitmap;

use crate::support;

const NOW: Time = Time(1_800_000_000_000);

fn memory(vid: u32, text: &str) -> Memory {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&vid.to_be_bytes());
    let origin =
        Origin { source: Source::Agent, agent: None, agent_version: None, session: None, tool: None, file: None };
    Memory {
        id: MemoryId(id),
        kind: Kind::Semantic,
        text: text.to_owned(),
        tags: Default::default(),
        trust: Trust::T3,
        confidence: Confidence(650),
        project: None,
        session: None,
        subject: None,
        origin,
        created_at: NOW,
        observed_at: NOW,
        expires_at: None,
        pinned: false,
        metadata: String::new(),
    }
}

fn entry(vid: u32, memory: &Memory) -> Entry {
    let mut version = [0; 32];
    version[..4].copy_from_slice(&vid.to_le_bytes());
    Entry::whole(memory.clone(), VersionId(version), vid)
}

/// An index over these memories, and all of them as the state.
struct Store {
    folder: tempfile::TempDir,
    index: Index,
    memories: Vec<Memory>,
    state: RoaringBitmap,
}

fn truth(next_vid: u32) -> Watermark {
    Watermark { generation: 7, next_vid, store_id: [3; 16] }
}

impl Store {
    fn of(memories: Vec<Memory>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(&folder.path().join("index"), truth(memories.len() as u32)).unwrap();
        memories.iter().enumerate().for_each(|(vid, memory)| index.add(vid as u32, &entry(vid as u32, memory)));
        let state = (0..memories.len() as u32).collect();
        Self { folder, index, memories, state }
    }

    fn texts(texts: &[&str]) -> Self {
        Self::of(texts.iter().zip(0..).map(|(text, vid)| memory(vid, text)).collect())
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("index")
    }

    /// Opens the index again, as a restart does.
    fn reopen(&mut self) {
        self.index = Index::open(&self.path(), truth(self.memories.len() as u32)).unwrap();
    }

    fn catch_up(&self) {
        let next = self.memories.len() as u32;
        self.index.catch_up(next, |vid| Ok(Some(entry(vid, &self.memories[vid as usize])))).unwrap();
    }

    fn rebuild(&self) {
        let next = self.memories.len() as u32;
        self.index.rebuild(|| Ok((next, |vid| Ok(Some(entry(vid, &self.memories[vid as usize])))))).unwrap();
    }

    fn tokens(&self) -> u64 {
        self.state.iter().map(|vid| u64::from(lexical::analyse(&self.memories[vid as usize].text).len)).sum()
    }

    fn query(&self, question: &str) -> Query {
        Query {
            terms: lexical::terms_of_question(question),
            vector: None,
            filter: Filter::default(),
            limit: 50,
            around: 2,
        }
    }

    fn try_matches(&self, query: &Query) -> memoria::error::Result<Matches> {
        self.index.candidates(&self.state, query, None, self.state.len() as u32, self.tokens(), NOW)
    }

    fn matches(&self, query: &Query) -> Matches {
        self.try_matches(query).unwrap()
    }

    fn ranked(&self, question: &str, ask: &Ranking) -> Ranked {
        let query = self.query(question);
        let matches = self.matches(&query);
        let version = |vid: u32| Version { id: VersionId([0; 32]), memory: self.memories[vid as usize].clone() };
        let found = matches
            .found
            .into_iter()
            .map(|found| Candidate {
                version: version(found.vid),
                words: found.words,
                feedback: Default::default(),
                vector: Vec::new(),
                around: found.around,
            })
            .collect();
        let candidates = Candidates {
            cosines: None,
            live: self.state.len() as u32,
            tokens: self.tokens(),
            document_frequencies: matches.document_frequencies,
            found,
        };
        rank(&query.terms, None, candidates, ask)
    }

    /// The numbers of the memories in the answer, best first.
    fn ask(&self, question: &str) -> Vec<usize> {
        self.ranked(question, &ranking()).hits.iter().map(|hit| self.number(&hit.version.memory)).collect()
    }

    fn number(&self, memory: &Memory) -> usize {
        self.memories.iter().position(|other| other.id == memory.id).unwrap()
    }
}

fn ranking() -> Ranking {
    Ranking { top_k: 5, max_tokens: 0, min_score: 0.1, project: None, session: None, moment: Moment::Now(NOW) }
}

#[test]
fn identifiers_meet_however_they_are_written() {
    let spellings = ["AuthMiddleware", "auth_middleware", "auth-middleware", "auth middleware", "AUTH_MIDDLEWARE"];
    for stored in spellings {
        let text = format!("{stored} checks the token before every handler");
        let store = Store::texts(&[&text, "The database pool holds ten connections", "Deploys happen on Fridays"]);
        for asked in spellings {
            assert_eq!(store.ask(asked), [0], "{asked} did not find {stored}");
        }
    }
    let store = Store::texts(&["HTTPServer2 listens on 8080", "The parser reads bytes", "Deploys happen on Fridays"]);
    for asked in ["http server 2", "http_server_2", "HttpServer2", "httpserver2"] {
        assert_eq!(store.ask(asked), [0], "{asked}");
    }
}

#[test]
fn the_exact_identifier_comes_before_its_words_apart() {
    let store = Store::texts(&[
        "requests pass the auth layer, a middleware",
        "AuthMiddleware is where headers are checked",
        "Deploys happen on Fridays",
    ]);
    assert_eq!(store.ask("where is AuthMiddleware"), [1, 0]);
}

#[test]
fn chinese_questions_find_chinese_memories_even_by_one_character() {
    let store =
        Store::texts(&["我们的数据库连接池最多有十个连接", "部署脚本在仓库的根目录", "她养了一只猫", "会议在周一"]);
    assert_eq!(store.ask("数据库连接池有多大？"), [0]);
    assert_eq!(store.ask("部署脚本在哪里"), [1]);
    assert_eq!(store.ask("猫"), [2]);
}

#[test]
fn diacritics_do_not_matter() {
    let store = Store::texts(&["Le résumé est prêt à Łódź", "Deploys happen on Fridays", "The parser reads bytes"]);
    assert_eq!(store.ask("resume lodz"), [0]);
    assert_eq!(store.ask("re\u{301}sume\u{301}"), [0]);
}

#[test]
fn question_words_alone_do_not_make_an_answer() {
    let store = Store::texts(&["What is done is done, and that is how it is", "The cache lives for five minutes"]);
    assert_eq!(store.ask("How long is the cache kept?"), [1]);
    assert_eq!(store.ask("what is how"), [0], "a question of nothing else uses them");
    assert!(store.ask("When does the moon rise?").is_empty());
}

#[test]
fn a_fresh_write_is_found_at_once() {
    let mut store = Store::texts(&["The cache lives for five minutes", "Deploys happen on Fridays"]);
    store.index.flush().unwrap();
    let fresh = memory(2, "The linter forbids unwrap");
    store.index.add(2, &entry(2, &fresh));
    store.memories.push(fresh);
    store.state.insert(2);
    assert_eq!(store.ask("what does the linter forbid"), [2]);
}

#[test]
fn statistics_are_those_of_the_state_whatever_the_filter() {
    let mut all: Vec<Memory> = ["red apple", "red pear", "green apple", "red plum"]
        .iter()
        .zip(0..)
        .map(|(text, vid)| memory(vid, text))
        .collect();
    all[1].kind = Kind::Profile;
    let mut store = Store::of(all);
    let mut query = store.query("red apple");
    assert_eq!(store.matches(&query).document_frequencies, [3, 2]);
    query.filter.kinds = vec![Kind::Profile];
    let filtered = store.matches(&query);
    assert_eq!(filtered.document_frequencies, [3, 2]);
    assert_eq!(filtered.found.iter().map(|found| found.vid).collect::<Vec<_>>(), [1]);
    store.state.remove(3);
    assert_eq!(store.matches(&query).document_frequencies, [2, 2]);
}

#[test]
fn filters_judge_every_column_before_and_after_a_restart() {
    let mut all: Vec<Memory> = (0..6).map(|vid| memory(vid, "apple")).collect();
    all[0].project = ProjectId::new("ours").ok();
    all[1].project = ProjectId::new("theirs").ok();
    all[2].tags = ["a", "b"].map(String::from).into();
    all[3].session = SessionId::new("s").ok();
    all[4].observed_at = Time(5);
    all[5].expires_at = Some(NOW);
    let mut store = Store::of(all);
    for _ in 0..2 {
        let all =
            |filter: Filter| store.index.filter(&store.state, &filter, NOW).unwrap().into_iter().collect::<Vec<u32>>();
        assert_eq!(all(Filter::default()), [0, 1, 2, 3, 4], "an expired memory is not there");
        let ours = Scope::Project(ProjectId::new("ours").unwrap());
        assert_eq!(all(Filter { scope: ours, ..Filter::default() }), [0, 2, 3, 4]);
        let nobody = Scope::Project(ProjectId::new("nobody").unwrap());
        assert_eq!(all(Filter { scope: nobody, ..Filter::default() }), [2, 3, 4]);
        assert_eq!(all(Filter { scope: Scope::Global, ..Filter::default() }), [2, 3, 4]);
        assert_eq!(all(Filter { tags: vec!["b".into()], ..Filter::default() }), [2]);
        assert!(all(Filter { tags: vec!["b".into(), "c".into()], ..Filter::default() }).is_empty());
        assert_eq!(all(Filter { session: SessionId::new("s").ok(), ..Filter::default() }), [3]);
        assert!(all(Filter { session: SessionId::new("t").ok(), ..Filter::default() }).is_empty());
        assert_eq!(all(Filter { until: Some(Time(6)), ..Filter::default() }), [4]);
        assert_eq!(all(Filter { since: Some(Time(6)), ..Filter::default() }), [0, 1, 2, 3]);
        assert_eq!(store.index.newest(&store.state, 0, 2).unwrap(), [0, 1]);
        assert_eq!(store.index.newest(&store.state, 4, 0).unwrap(), [5, 4]);
        assert_eq!(store.index.by_kind(&store.state).unwrap(), [(Kind::Semantic, 6)]);
        let apple = lexical::terms("apple");
        let (some, total) = store.index.containing(&store.state, &apple, &Filter::default(), NOW, 2).unwrap();
        assert_eq!((some, total), (vec![0, 1], 5));
        store.index.flush().unwrap();
        store.reopen();
        assert_eq!(store.index.missing_from(), 6);
    }
}

/// The same question, answered by reading everything.
fn scan(store: &Store, query: &Query) -> Matches {
    let words: Vec<_> = store.memories.iter().map(|memory| lexical::analyse(&memory.text)).collect();
    let count = |vid: u32, term: &str| words[vid as usize].terms.iter().filter(|word| *word == term).count() as u16;
    let matched = |vid: u32| Match {
        cosine: None,
        len: words[vid as usize].len,
        frequencies: query.terms.iter().map(|term| count(vid, &term.text)).collect(),
    };
    let live = store.state.len() as u32;
    let average = store.tokens() as f32 / live.max(1) as f32;
    let holds = |term: &str| store.state.iter().filter(|vid| count(*vid, term) > 0).count() as u32;
    let document_frequencies: Vec<u32> = query.terms.iter().map(|term| holds(&term.text)).collect();
    let score = |vid: u32| {
        let words = matched(vid);
        let norm = bm25::norm(words.len, average);
        let terms = query.terms.iter().zip(&document_frequencies).zip(&words.frequencies);
        terms.fold(0.0, |sum, ((term, df), n)| match n {
            0 => sum,
            n => sum + bm25::weight(bm25::idf(live, *df) * term.weight, *n, norm),
        })
    };
    let kinds = &query.filter.kinds;
    let is_wanted = |vid: &u32| kinds.is_empty() || kinds.contains(&store.memories[*vid as usize].kind);
    let mut best: Vec<(f32, u32)> =
        store.state.iter().filter(is_wanted).map(|vid| (score(vid), vid)).filter(|hit| hit.0 > 0.0).collect();
    // Of equally good ones the newest first, then by id.
    let memory = |vid: u32| &store.memories[vid as usize];
    let rank = |vid: u32| (std::cmp::Reverse(memory(vid).observed_at), memory(vid).id);
    best.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| rank(a.1).cmp(&rank(b.1))));
    best.truncate(query.limit);
    let around = |vid: u32| {
        let here = &store.memories[vid as usize];
        let is_near = |other: &u32| here.session.is_some() && store.memories[*other as usize].session == here.session;
        let mut session: Vec<u32> = store.state.iter().filter(is_near).collect();
        session.sort_by_key(|vid| (store.memories[*vid as usize].observed_at, *vid));
        let at = session.iter().position(|other| *other == vid);
        let near = |distance: i8| {
            let other = *session.get(at?.checked_add_signed(isize::from(distance))?)?;
            Some((distance, other))
        };
        [-1, -2, 1, 2].into_iter().filter_map(near).collect::<Vec<_>>()
    };
    let mut all: Vec<u32> = best.iter().map(|(_, vid)| *vid).collect();
    for (_, vid) in best.iter().take(HEARD_AROUND).flat_map(|(_, vid)| around(*vid)) {
        if is_wanted(&vid) && !all.contains(&vid) {
            all.push(vid);
        }
    }
    let matches = |near: Vec<(i8, u32)>| near.into_iter().map(|(distance, vid)| (distance, matched(vid))).collect();
    let found =
        all.iter().map(|vid| Found { vid: *vid, words: matched(*vid), around: matches(around(*vid)) }).collect();
    Matches { document_frequencies, found, ..Matches::default() }
}

/// Texts of a few words, with sessions, times and kinds; which of them are live; after which of them to flush.
fn corpora() -> impl Strategy<Value = (Vec<Memory>, RoaringBitmap, Vec<usize>)> {
    let words = vec!["red", "apple", "AuthToken", "测试", "pears", "v2"];
    let text = prop::collection::vec(prop::sample::select(words), 0..9);
    let one = (text, 0u8..3, 0i64..20, prop::bool::ANY);
    let all = prop::collection::vec((one, prop::bool::weighted(0.7)), 1..40);
    (all, prop::collection::vec(0usize..40, 0..8)).prop_map(|(all, flushes)| {
        let state = all.iter().zip(0..).filter(|((_, is_live), _)| *is_live).map(|(_, vid)| vid).collect();
        let memories = all.iter().zip(0..).map(|(((words, session, at, is_profile), _), vid)| Memory {
            session: (*session > 0).then(|| SessionId::new(format!("s{session}")).unwrap()),
            observed_at: Time(*at),
            kind: if *is_profile { Kind::Profile } else { Kind::Semantic },
            ..memory(vid, &words.join(" "))
        });
        let flushes = flushes.into_iter().filter(|vid| *vid < all.len()).collect();
        (memories.collect(), state, flushes)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, rng_seed: RngSeed::Fixed(support::seed()), ..Default::default() })]

    #[test]
    fn the_index_answers_as_a_plain_scan_does_through_flushes_restarts_and_rebuilds(
        (memories, state, flushes) in corpora(), by_kind in prop::bool::ANY, limit in 1usize..12
    ) {
        let mut store = Store::of(Vec::new());
        store.state = state;
        // An index that is opened before its store has versions learns of them by `add`.
        store.index = Index::open(&store.path(), truth(0)).unwrap();
        for (memory, vid) in memories.into_iter().zip(0..) {
            store.index.add(vid, &entry(vid, &memory));
            store.memories.push(memory);
            if flushes.contains(&(vid as usize)) {
                store.index.flush().unwrap();
            }
        }
        let mut query = store.query("AuthToken red apples 测试");
        query.limit = limit;
        if by_kind {
            query.filter.kinds = vec![Kind::Profile];
        }
        let expected = scan(&store, &query);
        prop_assert_eq!(store.matches(&query), expected.clone());
        let audit = store.index.audit().unwrap();
        prop_assert!(store.memories.iter().zip(0..).all(|(memory, vid)| audit.agrees(vid, &entry(vid, memory))));
        drop(audit);

        store.reopen();
        prop_assert_eq!(store.index.missing_from(), flushes.iter().max().map_or(0, |last| *last as u32 + 1));
        store.catch_up();
        prop_assert_eq!(store.matches(&query), expected.clone());
        store.rebuild();
        prop_assert_eq!(store.matches(&query), expected);
    }
}

#[test]
fn an_audit_shows_what_differs_from_truth() {
    let store = Store::texts(&["red apple", "green pear"]);
    let audit = store.index.audit().unwrap();
    assert!(audit.agrees(0, &entry(0, &store.memories[0])) && audit.agrees(1, &entry(1, &store.memories[1])));
    assert!(!audit.agrees(0, &entry(0, &memory(0, "red apples and pears"))));
    assert!(!audit.agrees(0, &entry(0, &memory(0, "red red apple"))));
    assert!(!audit.agrees(0, &entry(0, &Memory { kind: Kind::Episodic, ..store.memories[0].clone() })));
    assert!(!audit.agrees(0, &entry(0, &Memory { project: ProjectId::new("p").ok(), ..store.memories[0].clone() })));
    assert!(!audit.agrees(2, &entry(2, &store.memories[0])));
}

#[test]
fn an_index_of_another_store_or_of_a_lost_future_is_thrown_away() {
    for (other, missing_from) in [
        (truth(2), 2),
        (truth(9), 2),
        (truth(1), 0),
        (Watermark { store_id: [4; 16], ..truth(2) }, 0),
        (Watermark { generation: 8, ..truth(2) }, 0),
    ] {
        let store = Store::texts(&["red apple", "green pear"]);
        store.index.flush().unwrap();
        assert_eq!(Index::open(&store.path(), other).unwrap().missing_from(), missing_from, "{other:?}");
    }
}

/// The one file of an index that was flushed once.
fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn damage_anywhere_in_the_index_never_makes_a_wrong_answer_and_a_rebuild_heals_it() {
    let texts: Vec<String> = (0..40).map(|n| format!("memory {n} of apple {} and pear {}", n % 7, n % 5)).collect();
    let mut store = Store::texts(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    store.index.flush().unwrap();
    let query = store.query("apple 3 pear 4 memory");
    let expected = store.matches(&query);
    let file = only_file(&store.path());
    let whole = fs::read(&file).unwrap();
    let mut noticed = 0;
    for at in (0..whole.len()).step_by(13) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(&file, &bytes).unwrap();
        store.reopen();
        store.catch_up();
        // Damage that this question does not read may stay unnoticed; a wrong answer may not come of it.
        match store.try_matches(&query) {
            Ok(matches) => assert_eq!(matches, expected, "byte {at}"),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Corrupt, "byte {at}");
                noticed += 1;
                store.rebuild();
                assert_eq!(store.matches(&query), expected, "byte {at}");
            }
        }
        fs::remove_dir_all(store.path()).unwrap();
        fs::create_dir(store.path()).unwrap();
    }
    assert!(noticed > 0, "no damage was ever read");
    for garbage in [&b""[..], b"garbage", &whole[..whole.len() / 2], &[0; 4096], &[&whole[..], b"x"].concat()] {
        fs::write(&file, garbage).unwrap();
        store.reopen();
        assert_eq!(store.index.missing_from(), 0);
    }
}

#[test]
fn a_flush_that_fails_loses_nothing_and_the_next_one_succeeds() {
    let mut store = Store::texts(&["red apple", "green pear"]);
    fs::remove_dir_all(store.path()).unwrap();
    let query = store.query("red pear");
    let expected = store.matches(&query);
    assert!(store.index.flush().is_err());
    assert_eq!((store.matches(&query), store.index.unflushed()), (expected.clone(), 2));
    fs::create_dir(store.path()).unwrap();
    store.index.flush().unwrap();
    assert_eq!((store.matches(&query), store.index.unflushed()), (expected.clone(), 0));
    store.reopen();
    assert_eq!((store.matches(&query), store.index.missing_from()), (expected, 2));
}

#[test]
fn many_flushes_make_few_files() {
    let store = Store::of(Vec::new());
    for vid in 0..300 {
        store.index.add(vid, &entry(vid, &memory(vid, &format!("apple {}", vid % 3))));
        store.index.flush().unwrap();
    }
    let files = fs::read_dir(store.path()).unwrap().count();
    assert!(files <= 10, "{files} files");
    let index = Index::open(&store.path(), truth(300)).unwrap();
    let state: RoaringBitmap = (0..300).collect();
    let (_, total) = index.containing(&state, &["2".to_owned()], &Filter::default(), NOW, 1).unwrap();
    assert_eq!(total, 100);
}
