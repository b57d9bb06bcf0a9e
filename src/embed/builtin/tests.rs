//! What the table is good for, and what it says nothing about.

use proptest::prelude::*;

use super::*;

fn vector(text: &str) -> Vec<f32> {
    Builtin::new().unwrap().vector(text)
}

fn cosine(a: &str, b: &str) -> f32 {
    vector(a).iter().zip(vector(b)).map(|(x, y)| x * y).sum()
}

#[test]
fn of_numbers_other_scripts_and_nothing_it_has_no_opinion() {
    for text in ["", " \n", "2026-11-23", "部署在哪里？", "где хранятся ключи", "?!…", "🙂"] {
        assert!(vector(text).iter().all(|number| *number == 0.0), "{text}");
    }
}

#[test]
fn a_word_among_what_it_cannot_read_is_read() {
    assert_eq!(vector("用redis缓存"), vector("redis"));
}

proptest! {
    #[test]
    fn any_text_has_a_vector_of_unit_length_or_none(text in "\\PC*|[a-zA-Z0-9_.'\\-é中 ]{0,300}") {
        let length = vector(&text).iter().map(|number| number * number).sum::<f32>().sqrt();
        prop_assert!(length == 0.0 || (length - 1.0).abs() < 1e-3, "{}", length);
    }
}
/// A question, what answers it, and what does not, though it is about the same kind of thing.
const TRIPLES: &[(&str, &str, &str)] = &[
    ("which database do we use", "Postgres stores the orders", "the logo is blue"),
    ("how do users sign in", "login works with OAuth tokens", "the cache keeps pages for an hour"),
    ("what does she like to eat", "Maria loves pasta and fresh bread", "Maria drives an old car"),
    ("when is the release", "a new version ships every Friday", "the tests need a fixture"),
    ("which editor does he prefer", "he writes code in Vim", "he lives near the harbour"),
    ("pets", "their dog is called Rex", "their printer is broken"),
    ("where do passwords live", "credentials are kept in the vault", "meetings are held in the kitchen"),
    ("slow queries", "adding an index made the select faster", "the office moved to the second floor"),
    ("hobbies of the user", "he plays the guitar and paints", "he restarted the server twice"),
    ("how are errors reported", "exceptions are sent to Sentry", "invoices are paid monthly"),
    ("container orchestration", "pods run on a Kubernetes cluster", "the manual is written in French"),
    ("vacation", "they will travel to Italy in summer", "they will refactor the parser in summer"),
    ("code formatting rules", "indent with four spaces and run the linter", "the doctor prescribed rest"),
    ("the child's school", "her daughter started kindergarten", "her laptop started slowly"),
    ("unit testing", "pytest checks every function", "the painter checks every wall"),
    ("who is ill", "Tom has a fever and stays in bed", "Tom has a plan and stays in touch"),
    ("version control habits", "rebase the branch before you merge the commit", "water the garden before you leave"),
    ("memory leak", "the process grows until it runs out of RAM", "the party went on until dawn"),
    ("music taste", "she listens to jazz and soul", "she commutes by bicycle"),
    ("network outage", "the connection to the server was lost for an hour", "the recipe needs an hour in the oven"),
    ("her job", "Anna works as a nurse in a hospital", "Anna bought shoes in a sale"),
    ("deployment process", "the pipeline ships the image to production", "the choir sings in the church"),
];

#[test]
fn what_answers_is_nearer_than_what_does_not() {
    let wrong: Vec<_> = TRIPLES.iter().filter(|(q, near, far)| cosine(q, near) <= cosine(q, far)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// `(SHA-256 of table.bin, id)`: who changes one changes the other, since stored vectors name the id.
const PINNED: (&str, &str) = ("9a471be66e3aaca8258cc848a55e4cc0853e5b6c58305d9f979d01d8a90ca69c", "builtin-1");

#[test]
fn the_table_is_the_one_that_its_id_names() {
    use sha2::{Digest as _, Sha256};
    let found: String = Sha256::digest(TABLE).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((found.as_str(), MODEL), PINNED, "a changed table is a new model: give it a new id");
}

/// From `numpy`, by the script's own reading of the same table.
const GOLDEN: &[(&str, &str, f32)] = &[
    ("where are the secrets kept?", "Credentials live in the vault.", 0.419948),
    ("Elle préfère le café", "she prefers coffee", 0.357912),
    ("getUserName fails on k8s", "the user's name can't be fetched in Kubernetes", 0.721053),
    ("用redis缓存 pages", "an unrelatedlongword and xyzzy", -0.125475),
];

#[test]
fn vectors_are_those_of_the_reference_on_every_machine() {
    for (a, b, expected) in GOLDEN {
        let found = cosine(a, b);
        assert!((found - expected).abs() < 1e-5, "{a} / {b}: {found}, not {expected}");
    }
}

#[test]
fn the_calibration_is_near_what_other_questions_measure() {
    let builtin = Builtin::new().unwrap();
    let measured = crate::embed::calibrate::measured(|side, texts| builtin.embed(side, texts)).unwrap();
    let ours = builtin.calibration();
    assert!((measured.floor - ours.floor).abs() < 0.1, "{measured:?}, not {ours:?}");
    assert!((measured.ceiling - ours.ceiling).abs() < 0.15, "{measured:?}, not {ours:?}");
}

#[test]
fn a_table_that_is_cut_short_or_too_long_is_refused() {
    assert!(Table::read(&[]).is_none() && Table::read(&TABLE[..TABLE.len() - 1]).is_none());
    assert!(Table::read(&[TABLE, &[0]].concat()).is_none());
    assert!(Table::read(TABLE).is_some_and(|table| table.rows() > 10_000));
}

#[test]
fn identifiers_are_read_as_their_words() {
    for (one, other) in
        [("getUserName", "get user name"), ("HTTPServer2", "http server"), ("retry_limit", "retry limit")]
    {
        assert_eq!(vector(one), vector(other), "{one}");
    }
    assert_ne!(vector("k8s"), vector("k s"), "a name with a digit is one word where the table has it");
}
