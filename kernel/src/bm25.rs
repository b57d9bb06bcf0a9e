//! BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009).

pub const K1: f32 = 1.2;
/// Memories are short, and length says little: recall@10 on LoCoMo is .706 with 0.75, .707 with 0.4, and .759 against
/// .775 once evidence is squared.
pub const B: f32 = 0.4;

/// So many memories without any of the words are thought to stand beside those of a store: in one of five memories, a
/// word that all of them have would be worth nothing, and one that four have next to nothing.
const BACKGROUND: f32 = 20.0;

/// `ln(1 + (N - df + 0.5) / (df + 0.5))`: never negative. A word that occurs nowhere counts as one that occurs
/// once: in a small store the formula would let a question's unknown words outweigh all that are known.
pub fn idf(live: u32, document_frequency: u32) -> f32 {
    let (n, df) = (live as f32 + BACKGROUND, document_frequency.max(1) as f32);
    (1.0 + (n - df + 0.5).max(0.0) / (df + 0.5)).ln()
}

/// `k1·(1 - b + b·len/average)`: what a memory's length takes from each of its words.
pub fn norm(len: u32, average_len: f32) -> f32 {
    K1 * (1.0 - B + B * len as f32 / average_len.max(1.0))
}

/// `idf · f·(k1+1) / (f + norm)`; never more than [`best`].
pub fn weight(idf: f32, frequency: u16, norm: f32) -> f32 {
    let f = f32::from(frequency);
    idf * f * (K1 + 1.0) / (f + norm)
}

/// What a word is worth at most, however often it occurs.
pub fn best(idf: f32) -> f32 {
    idf * (K1 + 1.0)
}
