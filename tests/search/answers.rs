//! What becomes of candidates: order, folding, what stands beside a hit, budget, and why.

use memoria::model::text::tokens_of;
use memoria::model::{Confidence, Feedback, Memory, ProjectId, Relation, Time, Trust};
use memoria::search::{Ranking, rank};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::notebook::{Halves, NOW, Notebook, memory, wanting};
use crate::support;

const DAY_MS: i64 = 86_400_000;
/// The priors' reach, all of them together: (1.05⁵) / (0.95³).
const PRIORS_RATIO: f32 = 1.49;

fn aged(number: usize, text: &str, days: i64) -> Memory {
    Memory { observed_at: Time(NOW.0 - days * DAY_MS), ..memory(number, text) }
}

#[test]
fn twins_are_folded_into_one_hit_that_names_them() {
    let notebook = Notebook::texts(&[
        "The staging server of the billing team listens on port 8080",
        "The staging server of the billing team listens on port 9090",
        "the staging server of the billing team listens on port 8080!",
        "Billing staging server certificates expire in May",
    ]);
    let ranked = notebook.ranked("billing staging server port", Halves::Both, &wanting(10));
    let found: Vec<usize> = ranked.hits.iter().map(|hit| notebook.number(hit.version.memory.id)).collect();
    assert!(found.contains(&0) && !found.contains(&2), "{found:?}");
    assert!(found.contains(&1), "another number is another fact: {found:?}");
    let folded = ranked.hits.iter().find(|hit| hit.version.memory.id == notebook.memories[0].id).unwrap();
    assert_eq!(folded.twins, [notebook.memories[2].id]);
}

#[test]
fn a_newer_value_takes_the_place_of_the_older_one_which_stands_beside_it() {
    for (old, new) in [
        ("The upload limit is 20 MB for every tenant.", "The upload limit was raised to 50 MB for every tenant."),
        ("Invoices are kept for 6 years.", "Invoices are kept for 10 years as the law demands."),
        ("The nightly export runs on worker two.", "The nightly export no longer runs on worker two."),
    ] {
        let notebook = Notebook::of(vec![aged(0, old, 90), aged(1, new, 1), aged(2, "Lunch is at noon.", 5)]);
        for top_k in [1, 5] {
            let hits = notebook.ranked(old, Halves::Both, &wanting(top_k)).hits;
            assert_eq!(hits[0].version.memory.text, new);
            let beside: Vec<(&str, Relation)> =
                hits[0].beside.iter().map(|(version, relation)| (version.memory.text.as_str(), *relation)).collect();
            assert_eq!(beside, [(old, Relation::Older)]);
            assert!(hits.iter().all(|hit| hit.version.memory.text != old));
        }
    }
}

#[test]
fn what_is_relied_on_less_does_not_displace_a_verified_fact() {
    let verified = Memory {
        trust: Trust::T1,
        confidence: Confidence(950),
        ..aged(0, "Production deploys need 2 approvals of the platform team.", 30)
    };
    let rumour = Memory { trust: Trust::T4, ..aged(1, "Production deploys need 0 approvals of the platform team.", 1) };
    let notebook = Notebook::of(vec![verified, rumour]);
    let hits = notebook.ranked("how many approvals do production deploys need?", Halves::Both, &wanting(5)).hits;
    assert_eq!(hits.len(), 1);
    assert_eq!(notebook.number(hits[0].version.memory.id), 0);
    assert_eq!(hits[0].beside[0].1, Relation::LessTrusted);
}

#[test]
fn different_things_with_different_numbers_do_not_displace_each_other() {
    for (first, second) in [
        ("The ledger listens on port 7443 in staging.", "The ledger listens on port 8443 in production."),
        ("Ticket #1201: the login page hangs in Chrome.", "Ticket #1203: the login page hangs in Chrome."),
        ("Step 2 (done): move the session store.", "Step 3 (done): move the session store."),
    ] {
        let notebook = Notebook::of(vec![aged(0, first, 9), aged(1, second, 1)]);
        let mut found = notebook.ask(first, Halves::Both, 10);
        found.sort_unstable();
        assert_eq!(found, [0, 1], "{first}");
    }
}

#[test]
fn neighbours_in_a_talk_speak_for_what_shares_no_word() {
    let turns = [
        "Ines: What is the name of the climbing hall that you go to?",
        "Milan: Granite Garden, it opened in spring.",
        "Ines: I should come along one day.",
        "Milan: The soup was good today.",
        "Ines: They changed the cook, I think.",
        "Milan: My bicycle has a flat tyre again.",
    ];
    let found = Notebook::talk(&turns).ask("what is the climbing hall called?", Halves::Words, 10);
    assert!(found.contains(&1), "{found:?}");
    let apart = Notebook::texts(&turns).ask("what is the climbing hall called?", Halves::Words, 10);
    assert!(!apart.contains(&1), "{apart:?}");
}

#[test]
fn what_has_no_vector_yet_is_found_by_its_words_whatever_else_has_one() {
    let gates = [
        "Remember this: leave the north gate open at night",
        "Remember this: leave the north gate open at noon",
        "The south gate is blue",
    ];
    for (question, number) in [("which gate stays open at night?", 0), ("what colour is the south gate?", 2)] {
        for without in [vec![], vec![0], vec![1], vec![2], vec![0, 1], vec![0, 2], vec![1, 2], vec![0, 1, 2]] {
            let notebook = without.iter().fold(Notebook::texts(&gates), |notebook, one| notebook.without_vector(*one));
            let found = notebook.ask(question, Halves::Both, 5);
            assert_eq!(found.first(), Some(&number), "{question} without the vectors of {without:?}: {found:?}");
        }
    }
}

#[test]
fn a_text_that_is_too_long_ends_at_a_sentence_and_says_so() {
    let long = format!("The cache keeps entries for five minutes at most. {}", "More is said of it here. ".repeat(40));
    let notebook = Notebook::texts(&[&long, "Deploys happen on Fridays"]);
    let hits = notebook.ranked("cache entries", Halves::Words, &Ranking { max_tokens: 20, ..wanting(5) }).hits;
    assert_eq!(hits.len(), 1);
    assert!(hits[0].is_shortened);
    assert_eq!(
        hits[0].version.memory.text,
        "The cache keeps entries for five minutes at most. More is said of it here."
    );
    let none = notebook.ranked("cache entries", Halves::Words, &Ranking { max_tokens: 5, ..wanting(5) });
    assert_eq!((none.hits.len(), none.left_out), (0, 1));
}

#[test]
fn the_reason_names_the_shared_words_as_the_memory_spells_them() {
    let notebook = Notebook::texts(&["The retry limits of the uploader were doubled", "Deploys happen on Fridays"]);
    let hit = notebook.ranked("retry limit", Halves::Words, &wanting(5)).hits.remove(0);
    assert_eq!(hit.parts.reason, "shares `limits retry`");
    let parts = &hit.parts;
    let sum = parts.lexical.powi(2) + parts.vector.powi(2) + parts.neighbours.powi(2) + parts.link.powi(2);
    let score = sum.sqrt() * parts.trust * parts.age * parts.place * parts.feedback;
    assert!((hit.score - score.min(1.0)).abs() < 1e-6, "{hit:?}");
}

#[test]
fn of_two_that_answer_alike_the_one_that_was_of_use_comes_first() {
    let alike = ["The uploader retries five times", "The downloader retries four times"];
    let mut notebook = Notebook::texts(&alike);
    let silent = notebook.ask("how often are things retried?", Halves::Words, 5);
    for (first, last) in [(0, 1), (1, 0)] {
        notebook.feedback[first] = Feedback { useful: 3, useful_at: Some(NOW), ..Feedback::default() };
        notebook.feedback[last] = Feedback { wrong: 1, ..Feedback::default() };
        assert_eq!(notebook.ask("how often are things retried?", Halves::Words, 5), [first, last], "{silent:?}");
    }
}

#[test]
fn use_makes_an_old_memory_as_good_as_a_new_one() {
    let mut notebook = Notebook::of(vec![
        aged(0, "The uploader retries five times", 300),
        aged(1, "The downloader retries four times", 0),
    ]);
    assert_eq!(notebook.ask("how often are things retried?", Halves::Words, 5), [1, 0]);
    notebook.feedback[0] = Feedback { useful: 1, useful_at: Some(NOW), ..Feedback::default() };
    let hits = notebook.ranked("how often are things retried?", Halves::Words, &wanting(5)).hits;
    assert_eq!(hits[0].version.memory.id, notebook.memories[0].id);
    assert_eq!(hits[0].parts.age, hits[1].parts.age);
}

/// Texts of a few words that repeat, with everything that a prior looks at.
fn memories() -> impl Strategy<Value = Vec<Memory>> {
    let words =
        ["cache", "ledger", "retry", "limit", "server", "port 8080", "of the", "Mara", "moved.", "数据库", "not"];
    let text = prop::collection::vec(prop::sample::select(words.to_vec()), 1..14);
    let one = (text, 0u8..4, 0u16..=1000, 0i64..900, prop::bool::ANY, prop::bool::ANY, prop::bool::ANY);
    prop::collection::vec(one, 1..25).prop_map(|all| {
        let memory = |(number, (words, trust, confidence, days, pinned, is_ours, talks)): (
            usize,
            (Vec<&str>, _, _, _, _, _, _),
        )| {
            let session = memoria::model::SessionId::new("talk").ok();
            Memory {
                trust: Trust::ALL[usize::from(trust % 4)],
                confidence: Confidence(confidence),
                pinned,
                project: ProjectId::new("ours").ok().filter(|_| is_ours),
                session: session.filter(|_| talks),
                ..aged(number, &words.join(" "), days)
            }
        };
        all.into_iter().enumerate().map(memory).collect()
    })
}

const QUESTION: &str = "the retry limit of the ledger server and its cache 数据库";

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, rng_seed: RngSeed::Fixed(support::seed()), ..Default::default() })]

    #[test]
    fn an_answer_never_exceeds_its_budget_nor_its_count(
        memories in memories(), max_tokens in 1u32..60, top_k in 1usize..12
    ) {
        let notebook = Notebook::of(memories);
        let ranked = notebook.ranked(QUESTION, Halves::Both, &Ranking { max_tokens, ..wanting(top_k) });
        let spent: u32 = ranked.hits.iter().map(|hit| tokens_of(&hit.version.memory.text)).sum();
        prop_assert!(spent <= max_tokens && ranked.hits.len() <= top_k, "{spent} tokens, {} hits", ranked.hits.len());
        for hit in &ranked.hits {
            let whole = &notebook.memories[notebook.number(hit.version.memory.id)].text;
            prop_assert!(whole.starts_with(&hit.version.memory.text));
            prop_assert_eq!(hit.is_shortened, *whole != hit.version.memory.text);
        }
    }

    #[test]
    fn priors_never_lift_the_irrelevant_over_the_relevant(memories in memories()) {
        let notebook = Notebook::of(memories);
        let ask = Ranking { project: ProjectId::new("ours").ok(), ..wanting(25) };
        let hits = notebook.ranked(QUESTION, Halves::Both, &ask).hits;
        let relevance = |hit: &memoria::search::RankedHit| {
            let parts = &hit.parts;
            (parts.lexical.powi(2) + parts.vector.powi(2) + parts.neighbours.powi(2)).sqrt()
        };
        for (above, below) in hits.iter().zip(hits.iter().skip(1)) {
            prop_assert!(above.score >= below.score, "scores fall");
            // What took the place of an older memory stands where that one stood.
            if above.beside.is_empty() && below.beside.is_empty() {
                prop_assert!(relevance(below) <= PRIORS_RATIO * relevance(above), "{above:?} above {below:?}");
            }
        }
    }

    #[test]
    fn what_was_said_of_memories_settles_near_ties_and_lifts_nothing_irrelevant(
        memories in memories(), said in prop::collection::vec((0u32..50, 0u32..50, 0u32..50, 0u32..50), 25)
    ) {
        let silent = Notebook::of(memories);
        let mut notebook = Notebook::of(silent.memories.clone());
        for (feedback, said) in notebook.feedback.iter_mut().zip(said) {
            let (useful, irrelevant, outdated, wrong) = said;
            *feedback = Feedback { useful, irrelevant, outdated, wrong, useful_at: None, doubted_at: None };
        }
        let (before, after) = (silent.ask(QUESTION, Halves::Both, 25), notebook.ask(QUESTION, Halves::Both, 25));
        let sorted = |mut all: Vec<usize>| { all.sort_unstable(); all };
        let ranked = notebook.ranked(QUESTION, Halves::Both, &wanting(25));
        // Which of two twins is shown goes by their order, so it may be up to that.
        let unheard = silent.ranked(QUESTION, Halves::Both, &wanting(25));
        if ranked.hits.iter().chain(&unheard.hits).all(|hit| hit.twins.is_empty() && hit.beside.is_empty()) {
            prop_assert_eq!(sorted(before), sorted(after), "who answers is not up to what was said");
        }
        for hit in &ranked.hits {
            prop_assert!((0.95..=1.05).contains(&hit.parts.feedback), "{:?}", hit.parts);
        }
        for (above, below) in ranked.hits.iter().zip(ranked.hits.iter().skip(1)) {
            let by_the_rest = |hit: &memoria::search::RankedHit| hit.score / hit.parts.feedback;
            if above.beside.is_empty() && below.beside.is_empty() && above.score < 1.0 {
                let reach = 1.05 / 0.95 * by_the_rest(above) + 1e-5;
                prop_assert!(by_the_rest(below) <= reach, "{above:?} above {below:?}");
            }
        }
    }

    #[test]
    fn the_order_in_which_an_engine_found_them_changes_nothing(memories in memories(), turn in 0usize..25) {
        let notebook = Notebook::of(memories);
        let terms = memoria::lexical::terms_of_question(QUESTION);
        let (candidates, calibration) = notebook.candidates(QUESTION, &terms, Halves::Both);
        let mut turned = candidates.clone();
        turned.found.reverse();
        let middle = turn % turned.found.len();
        turned.found.rotate_left(middle);
        let ask = wanting(5);
        prop_assert_eq!(rank(&terms, calibration, candidates, &ask), rank(&terms, calibration, turned, &ask));
    }

    #[test]
    fn nobody_is_lost_every_relevant_memory_is_a_hit_folded_beside_or_counted(memories in memories()) {
        let notebook = Notebook::of(memories);
        let all = notebook.ranked(QUESTION, Halves::Both, &wanting(25));
        let held = |ranked: &memoria::search::Ranked| {
            ranked.hits.iter().map(|hit| 1 + hit.twins.len() + hit.beside.len()).sum::<usize>()
        };
        let mut ids: Vec<_> = all.hits.iter().map(|hit| hit.version.memory.id).collect();
        ids.extend(all.hits.iter().flat_map(|hit| &hit.twins));
        ids.extend(all.hits.iter().flat_map(|hit| hit.beside.iter().map(|(version, _)| version.memory.id)));
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), count, "nobody twice");
        prop_assert_eq!(held(&all), count);
        prop_assert_eq!(all.left_out, 0, "there was room for everybody");
    }
}
