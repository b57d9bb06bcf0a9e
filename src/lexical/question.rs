//! A natural question to weighted terms: every word is optional, and the words that only make it a question
//! weigh nothing, unless the question has no others.

use std::collections::HashMap;

use super::entities::entities;
use super::words::{self, Shape};
use crate::model::Term;

/// What an identifier's joined form adds to the parts that it repeats: enough to put the exact name first,
/// little enough that a text with the parts alone still answers.
const JOINED_WEIGHT: f32 = 0.5;
/// Who or what a question names is what it is about: with 1, 1.5 and 2, recall@10 on LoCoMo is .777, .779 and .773, and
/// questions about one of two named projects are answered from the right one more often.
const NAME_FACTOR: f32 = 1.5;
/// Two characters of which one is a particle say little.
const PARTICLE_WEIGHT: f32 = 0.2;

/// English words that carry a question, not its subject. Sorted, for the binary search.
#[rustfmt::skip]
const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "am", "an", "and", "any", "are", "arent", "as", "at", "be", "because", "been", "before",
    "being", "both", "but", "by", "can", "cannot", "cant", "could", "couldnt", "did", "didnt", "do", "does", "doesnt",
    "doing", "dont", "during", "each", "for", "from", "further", "had", "has", "hasnt", "have", "havent", "having",
    "he", "her", "here", "hers", "herself", "him", "himself", "his", "how", "i", "id", "if", "ill", "im", "in",
    "into", "is", "isnt", "it", "its", "itself", "ive", "just", "me", "might", "mine", "more", "most", "must", "my",
    "myself", "of", "on", "or", "other", "our", "ours", "ourselves", "please", "shall", "she", "should", "shouldnt",
    "so", "some", "such", "tell", "than", "that", "thats", "the", "their", "theirs", "them", "themselves", "then",
    "there", "these", "they", "theyre", "this", "those", "to", "too", "us", "very", "was", "wasnt", "we", "were",
    "werent", "what", "whats", "when", "where", "which", "while", "who", "whom", "whos", "whose", "why", "will",
    "with", "wont", "would", "wouldnt", "you", "your", "youre", "yours", "yourself",
];

/// Chinese particles, pronouns and question words, by their characters.
const PARTICLES: &str = "的了吗呢吧啊呀嘛么什怎哪谁几些是在有和与及或我你您他她它们这那个请都也还就被把";

/// Chinese words of two characters that carry a question, not its subject. Sorted, for the binary search.
#[rustfmt::skip]
const STOP_PAIRS: &[&str] = &[
    "一下", "一个", "一些", "为什", "为何", "之前", "之后", "以及", "可以", "告诉", "因为", "多少", "如何", "应该", "情况", "所以",
    "时候", "是否", "最近", "有没", "正在", "没有", "现在", "目前", "知道", "请问", "这样", "那样", "需要",
];

/// Whether an English word, in lower case, carries a question and not its subject.
pub fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// Distinct terms of a question, in order of first appearance; empty only for a text without words.
pub fn terms_of_question(question: &str) -> Vec<Term> {
    let mut all: Vec<Term> = Vec::new();
    let mut numbers: HashMap<String, usize> = HashMap::new();
    words::each(question, |word, shape| {
        let weight = weight(&word, shape);
        let text = words::stemmed(word, shape);
        match numbers.get(&text) {
            Some(number) => all[*number].weight = all[*number].weight.max(weight),
            None => {
                numbers.insert(text.clone(), all.len());
                all.push(Term { text, weight });
            }
        }
    });
    for name in entities(question) {
        if let Some(number) = numbers.get(&name) {
            all[*number].weight *= NAME_FACTOR;
        }
    }
    if all.iter().any(|term| term.weight > 0.0) {
        all.retain(|term| term.weight > 0.0);
    } else {
        all.iter_mut().for_each(|term| term.weight = 1.0);
    }
    all
}

fn weight(word: &str, shape: Shape) -> f32 {
    match shape {
        Shape::Word if is_stop_word(word) => 0.0,
        Shape::Word | Shape::Lone => 1.0,
        Shape::Joined => JOINED_WEIGHT,
        // The bigrams say it better.
        Shape::Character => 0.0,
        Shape::Bigram if STOP_PAIRS.binary_search(&word).is_ok() => 0.0,
        Shape::Bigram => match word.chars().filter(|c| PARTICLES.contains(*c)).count() {
            0 => 1.0,
            1 => PARTICLE_WEIGHT,
            _ => 0.0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(question: &str) -> Vec<String> {
        terms_of_question(question).into_iter().map(|term| term.text).collect()
    }

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
        assert!(STOP_PAIRS.is_sorted());
    }

    #[test]
    fn question_words_weigh_nothing_unless_there_are_no_others() {
        assert_eq!(texts("What is the retry limit of the client?"), ["retri", "limit", "client"]);
        assert_eq!(texts("who are you"), ["who", "ar", "you"]);
        assert_eq!(texts("我们的数据库用什么？"), ["的数", "数据", "据库", "库用", "用什"]);
        assert_eq!(texts("猫"), ["猫"]);
        assert_eq!(texts("什么"), ["什", "什么", "么"]);
        assert!(texts(" ?! ").is_empty());
    }
}
