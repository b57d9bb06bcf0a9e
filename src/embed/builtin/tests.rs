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
    for text in ["", " \n", "2026-11-23 12:30", "部署在哪里？", "где хранятся ключи", "?!…", "🙂"]
    {
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
