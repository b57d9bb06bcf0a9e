//! A store of memories in process (index and ranking, no engine), and made-up texts to fill it.

use memoria::engine::embedded::index::{Entry, Index, Watermark};
use memoria::lexical;
use memoria::model::{
    Candidate, Candidates, Filter, Kind, Memory, MemoryId, Origin, Query, SessionId, Source, Time, Trust, Version,
    VersionId,
};
use memoria::search::{AROUND, Ranking, limit, rank};
use roaring::RoaringBitmap;

/// The default of `search.min_score`.
pub const MIN_SCORE: f32 = 0.1;

pub struct Corpus {
    index: Index,
    memories: Vec<Memory>,
    state: RoaringBitmap,
    tokens: u64,
    _folder: tempfile::TempDir,
}

impl Default for Corpus {
    fn default() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let truth = Watermark { generation: 1, next_vid: 0, store_id: [1; 16] };
        let index = Index::open(&folder.path().join("index"), truth).expect("an index");
        Self { index, memories: Vec::new(), state: RoaringBitmap::new(), tokens: 0, _folder: folder }
    }
}

impl Corpus {
    pub fn len(&self) -> usize {
        self.memories.len()
    }

    /// Stores a text in a session (none when empty), a minute after the one before.
    pub fn add(&mut self, text: &str, session: &str) {
        let vid = self.memories.len() as u32;
        let at = Time(1_700_000_000_000 + i64::from(vid) * 60_000);
        let mut id = [0; 16];
        id[..4].copy_from_slice(&vid.to_be_bytes());
        let origin = Origin {
            source: Source::Agent,
            agent: Some("bench".to_owned()),
            agent_version: None,
            session: None,
            tool: None,
            file: None,
        };
        let memory = Memory {
            id: MemoryId(id),
            kind: Kind::Semantic,
            text: text.to_owned(),
            tags: Default::default(),
            trust: Trust::T3,
            confidence: Trust::T3.initial_confidence(),
            project: None,
            session: SessionId::new(session).ok(),
            subject: None,
            origin,
            created_at: at,
            observed_at: at,
            expires_at: None,
            pinned: false,
            metadata: String::new(),
        };
        self.index.add(vid, &Entry::whole(memory.clone(), VersionId([0; 32]), vid));
        if self.index.unflushed() >= Index::FLUSH_AT {
            self.flush();
        }
        self.tokens += u64::from(self.index.len_of(vid).expect("a length"));
        self.state.insert(vid);
        self.memories.push(memory);
    }

    pub fn flush(&self) {
        self.index.flush().expect("a flush");
    }

    pub fn bytes(&self) -> u64 {
        self.index.bytes()
    }

    fn now(&self) -> Time {
        Time(1_700_000_000_000 + self.memories.len() as i64 * 60_000)
    }

    /// What the engine would answer, without reading the memories.
    pub fn candidates(&self, question: &str) -> usize {
        let query = self.query(question, 5);
        let live = self.memories.len() as u32;
        self.index.candidates(&self.state, &query, None, live, self.tokens, self.now()).expect("candidates").found.len()
    }

    fn query(&self, question: &str, top_k: usize) -> Query {
        let terms = lexical::terms_of_question(question);
        Query { terms, vector: None, filter: Filter::default(), limit: limit(top_k), around: AROUND }
    }

    /// The numbers of the memories that are answered.
    pub fn ask(&self, question: &str, top_k: usize, min_score: f32) -> Vec<usize> {
        self.scored(question, top_k, min_score).into_iter().map(|hit| hit.0).collect()
    }

    pub fn best_score(&self, question: &str) -> f32 {
        self.scored(question, 1, 0.0).first().map_or(0.0, |hit| hit.1)
    }

    pub fn scored(&self, question: &str, top_k: usize, min_score: f32) -> Vec<(usize, f32)> {
        let query = self.query(question, top_k);
        let live = self.memories.len() as u32;
        let matches =
            self.index.candidates(&self.state, &query, None, live, self.tokens, self.now()).expect("candidates");
        let candidate = |found: memoria::engine::embedded::index::Found| Candidate {
            version: Version { id: VersionId([0; 32]), memory: self.memories[found.vid as usize].clone() },
            words: found.words,
            vector: Vec::new(),
            around: found.around,
        };
        let candidates = Candidates {
            cosines: None,
            live,
            tokens: self.tokens,
            document_frequencies: matches.document_frequencies,
            found: matches.found.into_iter().map(candidate).collect(),
        };
        let ask = Ranking { top_k, max_tokens: 0, min_score, project: None, session: None, now: self.now() };
        let ranked = rank(&query.terms, candidates, &ask);
        ranked
            .hits
            .into_iter()
            .map(|hit| {
                (u32::from_be_bytes(hit.version.memory.id.0[..4].try_into().expect("four bytes")) as usize, hit.score)
            })
            .collect()
    }
}

/// Made-up words; the n-th is drawn with a frequency of about 1/n (Zipf's law).
pub struct Vocabulary {
    words: Vec<String>,
}

impl Vocabulary {
    pub fn new(size: u64) -> Self {
        let syllables =
            ["ka", "lo", "mi", "ru", "ten", "sor", "va", "pel", "di", "no", "gra", "shu", "ber", "qui", "zan", "fe"];
        let word = |n: u64| {
            let mut rest = n + 16;
            let mut word = String::new();
            while rest > 0 {
                word.push_str(syllables[(rest % 16) as usize]);
                rest /= 16;
            }
            word
        };
        Self { words: (0..size).map(word).collect() }
    }

    /// The same text for the same seed.
    pub fn text(&self, seed: u64, len: usize) -> String {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
        let mut words: Vec<&str> = Vec::with_capacity(len);
        for _ in 0..len {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let unit = (state >> 11) as f64 / (1u64 << 53) as f64;
            // The inverse of a distribution whose density falls with 1/rank.
            let rank = (self.words.len() as f64).powf(unit) as usize - 1;
            words.push(&self.words[rank.min(self.words.len() - 1)]);
        }
        words.join(" ")
    }
}
