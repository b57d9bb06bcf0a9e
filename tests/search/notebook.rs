//! Memories and everything that an engine would tell of them, worked out by reading all of them: `rank` is held to
//! what it makes of that.

use memoria::embed::builtin::Builtin;
use memoria::embed::{Embedder, Side};
use memoria::lexical;
use memoria::model::{
    Calibration, Candidate, Candidates, Confidence, Cosines, Feedback, Kind, Match, Memory, MemoryId, Moment, Origin,
    SessionId, Source, Term, Time, Trust, Version, VersionId,
};
use memoria::search::{AROUND, Ranked, Ranking, rank};

pub const NOW: Time = Time(1_900_000_000_000);

/// Which halves of the evidence take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halves {
    Words,
    Vectors,
    Both,
}

pub struct Notebook {
    pub memories: Vec<Memory>,
    /// What was said of them, in their order.
    pub feedback: Vec<Feedback>,
    words: Vec<lexical::Words>,
    vectors: Vec<Vec<f32>>,
    model: Builtin,
}

pub fn memory(number: usize, text: &str) -> Memory {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(number as u64).to_be_bytes());
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
        origin: Origin {
            source: Source::Agent,
            agent: None,
            agent_version: None,
            session: None,
            tool: None,
            file: None,
        },
        created_at: NOW,
        observed_at: NOW,
        expires_at: None,
        pinned: false,
        metadata: String::new(),
    }
}

pub fn wanting(top_k: usize) -> Ranking {
    Ranking { top_k, max_tokens: 0, min_score: 0.05, project: None, session: None, moment: Moment::Now(NOW) }
}

impl Notebook {
    pub fn of(memories: Vec<Memory>) -> Self {
        let model = Builtin::new().unwrap();
        let texts: Vec<&str> = memories.iter().map(|memory| memory.text.as_str()).collect();
        let vectors = model.embed(Side::Passage, &texts).unwrap();
        let words = texts.iter().map(|text| lexical::analyse(text)).collect();
        let feedback = vec![Feedback::default(); memories.len()];
        Self { words, vectors, model, memories, feedback }
    }

    pub fn texts(texts: &[&str]) -> Self {
        Self::of(texts.iter().enumerate().map(|(number, text)| memory(number, text)).collect())
    }

    /// One session, in order.
    pub fn talk(texts: &[&str]) -> Self {
        let session = SessionId::new("talk").ok();
        let turns = texts.iter().enumerate().map(|(number, text)| Memory {
            session: session.clone(),
            observed_at: Time(NOW.0 - 1_000_000 + number as i64),
            ..memory(number, text)
        });
        Self::of(turns.collect())
    }

    /// As right after it was stored: its vector is still to come.
    pub fn without_vector(mut self, number: usize) -> Self {
        self.vectors[number].fill(0.0);
        self
    }

    pub fn ranked(&self, question: &str, halves: Halves, ask: &Ranking) -> Ranked {
        let mut terms = lexical::terms_of_question(question);
        if halves == Halves::Vectors {
            terms = vec![Term { text: "no memory has this".to_owned(), weight: 0.0 }];
        }
        let (candidates, calibration) = self.candidates(question, &terms, halves);
        rank(&terms, calibration, candidates, ask)
    }

    /// The numbers of the memories in the answer, best first.
    pub fn ask(&self, question: &str, halves: Halves, top_k: usize) -> Vec<usize> {
        let ranked = self.ranked(question, halves, &wanting(top_k));
        ranked.hits.iter().map(|hit| self.number(hit.version.memory.id)).collect()
    }

    pub fn number(&self, id: MemoryId) -> usize {
        self.memories.iter().position(|memory| memory.id == id).unwrap()
    }

    pub fn candidates(&self, question: &str, terms: &[Term], halves: Halves) -> (Candidates, Option<Calibration>) {
        let vector = self.model.embed(Side::Question, &[question]).unwrap().remove(0);
        let has_meaning = halves != Halves::Words && vector.iter().any(|x| *x != 0.0);
        let cosine = |number: usize| {
            let ours = &self.vectors[number];
            let is_known = has_meaning && ours.iter().any(|x| *x != 0.0);
            is_known.then(|| ours.iter().zip(&vector).map(|(a, b)| a * b).sum::<f32>())
        };
        let matched = |number: usize| Match {
            len: self.words[number].len,
            frequencies: terms.iter().map(|term| self.count(number, &term.text)).collect(),
            cosine: cosine(number),
        };
        let known: Vec<f32> = (0..self.memories.len()).filter_map(cosine).collect();
        let n = known.len().max(1) as f32;
        let mean = known.iter().sum::<f32>() / n;
        let deviation = (known.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n).sqrt();
        let cosines = has_meaning.then_some(Cosines { count: known.len() as u32, mean, deviation });
        let found = (0..self.memories.len()).map(|number| Candidate {
            version: Version { id: VersionId([0; 32]), memory: self.memories[number].clone() },
            words: matched(number),
            feedback: self.feedback[number],
            vector: self.codes(number),
            around: self.around(number).into_iter().map(|(distance, near)| (distance, matched(near))).collect(),
        });
        let candidates = Candidates {
            live: self.memories.len() as u32,
            tokens: self.words.iter().map(|words| u64::from(words.len)).sum(),
            document_frequencies: terms
                .iter()
                .map(|term| {
                    (0..self.memories.len()).filter(|number| self.count(*number, &term.text) > 0).count() as u32
                })
                .collect(),
            cosines,
            found: found.collect(),
        };
        (candidates, cosines.map(|_| self.model.calibration()))
    }

    fn codes(&self, number: usize) -> Vec<i8> {
        let vector = self.vectors[number].iter();
        if vector.clone().all(|x| *x == 0.0) { Vec::new() } else { vector.map(|x| (x * 127.0) as i8).collect() }
    }

    fn count(&self, number: usize, term: &str) -> u16 {
        self.words[number].terms.iter().filter(|word| *word == term).count() as u16
    }

    fn around(&self, number: usize) -> Vec<(i8, usize)> {
        let reach = AROUND as i8;
        let near = (-reach..=reach).filter(|distance| *distance != 0).filter_map(|distance| {
            let other = number.checked_add_signed(isize::from(distance))?;
            let session = &self.memories.get(other)?.session;
            (session.is_some() && *session == self.memories[number].session).then_some((distance, other))
        });
        near.collect()
    }
}
