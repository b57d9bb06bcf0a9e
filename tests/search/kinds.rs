//! Every kind of question is answered at least as well by both halves together as by the better one alone, and a
//! question about nothing gets nothing. Vectors are the built-in table's.

#[path = "texts.rs"]
mod texts;

use crate::notebook::{Halves, Notebook};
use texts::{Asked, OTHERS, QUESTIONS, UNANSWERED};

const WANTED: usize = 10;

fn notebook() -> Notebook {
    let all: Vec<&str> = QUESTIONS.iter().map(|(_, _, answer)| *answer).chain(OTHERS.iter().copied()).collect();
    Notebook::texts(&all)
}

/// How many questions of a kind find their answer within the first ten.
fn answered(notebook: &Notebook, kind: Asked, halves: Halves) -> usize {
    let of_kind = QUESTIONS.iter().enumerate().filter(|(_, (asked, _, _))| *asked == kind);
    of_kind.filter(|(answer, (_, question, _))| notebook.ask(question, halves, WANTED).contains(answer)).count()
}

#[test]
fn both_halves_together_are_as_good_as_the_better_one_on_every_kind() {
    let notebook = notebook();
    for kind in [Asked::Paraphrase, Asked::Identifier, Asked::Chinese, Asked::Time] {
        let [words, vectors, both] =
            [Halves::Words, Halves::Vectors, Halves::Both].map(|halves| answered(&notebook, kind, halves));
        // Of thirty paraphrases, one may be lost to a word that means something else.
        let lost_max = usize::from(kind == Asked::Paraphrase);
        assert!(both + lost_max >= words.max(vectors), "{kind:?}: words {words}, vectors {vectors}, both {both}");
    }
}

#[test]
fn names_numbers_chinese_and_times_are_always_found() {
    let notebook = notebook();
    for kind in [Asked::Identifier, Asked::Chinese, Asked::Time] {
        let all = QUESTIONS.iter().filter(|(asked, _, _)| *asked == kind).count();
        assert_eq!(answered(&notebook, kind, Halves::Both), all, "{kind:?}");
    }
}

#[test]
fn an_exact_name_comes_first() {
    let notebook = notebook();
    for (answer, (kind, question, _)) in QUESTIONS.iter().enumerate() {
        if *kind == Asked::Identifier {
            assert_eq!(notebook.ask(question, Halves::Both, WANTED).first(), Some(&answer), "{question}");
        }
    }
}

#[test]
fn what_no_memory_speaks_of_by_name_gets_no_answer_from_words() {
    let notebook = notebook();
    let silent = UNANSWERED.iter().filter(|question| notebook.ask(question, Halves::Words, WANTED).is_empty()).count();
    assert!(silent * 10 >= UNANSWERED.len() * 6, "{silent} of {}", UNANSWERED.len());
}

#[test]
fn a_question_that_another_talk_answers_gets_nothing_from_this_one() {
    let talk = Notebook::talk(&[
        "(3 May 2031) Noah: Hey Ada! The dome motor broke again last night, so no observations for us.",
        "(3 May 2031) Ada: Oh no, Noah! Can it be repaired before the comet comes?",
        "(3 May 2031) Noah: The workshop says two weeks. I would have loved to see the tail in May.",
        "(3 May 2031) Ada: Fingers crossed. How is the new telescope camera doing?",
        "(3 May 2031) Noah: It is great, the pictures of the moon came out so sharp!",
        "(9 June 2031) Ada: I went to Porto with my grandparents, we ate so much fish.",
        "(9 June 2031) Noah: Lovely! Did you take the train along the coast?",
        "(9 June 2031) Ada: Yes, and I finished my marathon training plan on the way.",
        "(9 June 2031) Noah: You are a machine, Ada. When is the race?",
        "(9 June 2031) Ada: In October. My legs already hurt when I think of it.",
    ]);
    assert!(!talk.ask("When did the dome motor break?", Halves::Both, WANTED).is_empty());
    assert!(!talk.ask("Where did Ada go with her grandparents?", Halves::Both, WANTED).is_empty());
    for question in [
        "Which bakery does Clara rent in the old town?",
        "How many puppies did the neighbour's dog have?",
        "What did the lawyer say about the inheritance?",
        "Which guitar strings does Felix prefer?",
    ] {
        assert_eq!(talk.ask(question, Halves::Both, WANTED), [0usize; 0], "{question}");
    }
}
