//! Made-up texts and vectors: the same for the same number, with the word frequencies of natural text, and with the
//! clusters that vectors of sentences have.

/// Words; the n-th is drawn with a frequency of about 1/n (Zipf's law).
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
        let mut chance = Chance(seed);
        let mut words: Vec<&str> = Vec::with_capacity(len);
        for _ in 0..len {
            // The inverse of a distribution whose density falls with 1/rank.
            let rank = (self.words.len() as f64).powf(f64::from(chance.share())) as usize;
            words.push(&self.words[rank.saturating_sub(1).min(self.words.len() - 1)]);
        }
        words.join(" ")
    }
}

/// Unit vectors around centres, as different from their centre as sentences on one subject are.
pub struct Vectors {
    centres: Vec<Vec<f32>>,
    dims: usize,
}

const CENTRES: u64 = 500;
const PASSAGE_SPREAD: f32 = 1.0;
const QUESTION_SPREAD: f32 = 0.5;

impl Vectors {
    pub fn new(dims: u16) -> Self {
        let dims = usize::from(dims);
        Self { centres: (0..CENTRES).map(|number| noise(u64::MAX - number, dims)).collect(), dims }
    }

    pub fn passage(&self, number: u64) -> Vec<f32> {
        let centre = &self.centres[(number % CENTRES) as usize];
        self.around(centre, PASSAGE_SPREAD, number)
    }

    /// One that means about what the passage of that number does.
    pub fn question(&self, number: u64) -> Vec<f32> {
        self.around(&self.passage(number), QUESTION_SPREAD, !number)
    }

    fn around(&self, centre: &[f32], spread: f32, seed: u64) -> Vec<f32> {
        unit(centre.iter().zip(noise(seed, self.dims)).map(|(at, noise)| at + spread * noise).collect())
    }
}

fn noise(seed: u64, dims: usize) -> Vec<f32> {
    let mut chance = Chance(seed);
    // Two uniform numbers are bell-shaped enough.
    unit((0..dims).map(|_| chance.share() + chance.share() - 1.0).collect())
}

fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let len = vector.iter().map(|number| number * number).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    vector.iter_mut().for_each(|number| *number /= len);
    vector
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Chance(u64);

impl Chance {
    /// At least 0, below 1.
    fn share(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) >> 40) as f32 / (1u64 << 24) as f32
    }
}
