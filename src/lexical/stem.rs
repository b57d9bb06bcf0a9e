//! Light English stemming: plurals, `-ed`, `-ing`, a final `-y` and `-e` (steps 1 and 5a of M. F. Porter, "An algorithm
//! for suffix stripping", 1980). The later steps, which fold derivations (`relational`, `relate`), are left out:
//! they join words that mean different things in code.

/// The stem of a lower-case word; words with anything but ASCII letters stay as they are.
pub fn stem(mut word: String) -> String {
    if word.len() < 3 || !word.bytes().all(|b| b.is_ascii_lowercase()) {
        return word;
    }
    plural(&mut word);
    past_and_progressive(&mut word);
    let bytes = word.as_bytes();
    let (last, rest) = (bytes[bytes.len() - 1], &bytes[..bytes.len() - 1]);
    if last == b'y' && rest.len() > 1 && has_vowel(rest) {
        word.pop();
        word.push('i');
    } else if last == b'e' && (measure(rest) > 1 || measure(rest) == 1 && !ends_short(rest)) {
        word.pop();
    }
    word
}

/// Step 1a, without `us` and `is` at the end, which are no plurals (`status`, `redis`).
fn plural(word: &mut String) {
    if word.ends_with("sses") || word.ends_with("ies") && word.len() > 4 {
        word.truncate(word.len() - 2);
    } else if word.ends_with('s') && word.len() > 3 && !["ss", "us", "is"].iter().any(|end| word.ends_with(end)) {
        word.pop();
    }
}

/// Step 1b.
fn past_and_progressive(word: &mut String) {
    if word.ends_with("eed") {
        if measure(&word.as_bytes()[..word.len() - 3]) > 0 {
            word.pop();
        }
        return;
    }
    let cut = if word.ends_with("ed") {
        2
    } else if word.ends_with("ing") {
        3
    } else {
        return;
    };
    let rest = &word.as_bytes()[..word.len() - cut];
    if !has_vowel(rest) || rest.len() < 2 {
        return;
    }
    word.truncate(word.len() - cut);
    let bytes = word.as_bytes();
    let last = bytes[bytes.len() - 1];
    if ["at", "bl", "iz"].iter().any(|end| word.ends_with(end)) {
        word.push('e');
    } else if bytes.len() > 2 && bytes[bytes.len() - 2] == last && !b"aeioulsz".contains(&last) {
        word.pop();
    } else if measure(bytes) == 1 && ends_short(bytes) {
        word.push('e');
    }
}

fn is_vowel(word: &[u8], at: usize) -> bool {
    match word[at] {
        b'a' | b'e' | b'i' | b'o' | b'u' => true,
        b'y' => at > 0 && !is_vowel_before_y(word, at),
        _ => false,
    }
}

/// `y` is a vowel after a consonant; of several `y`, every other one, which a loop tells without recursion.
fn is_vowel_before_y(word: &[u8], at: usize) -> bool {
    let run = word[..at].iter().rev().take_while(|b| **b == b'y').count();
    let first_is_vowel = at > run && !b"aeiou".contains(&word[at - run - 1]);
    if run == 0 { at > 0 && b"aeiou".contains(&word[at - 1]) } else { first_is_vowel == (run % 2 == 1) }
}

fn has_vowel(word: &[u8]) -> bool {
    (0..word.len()).any(|at| is_vowel(word, at))
}

/// How often a vowel is followed by a consonant.
fn measure(word: &[u8]) -> usize {
    (1..word.len()).filter(|at| is_vowel(word, at - 1) && !is_vowel(word, *at)).count()
}

/// Consonant, vowel, consonant other than `w`, `x`, `y`: what keeps or gets an `e` (`hop` of `hoping`).
fn ends_short(word: &[u8]) -> bool {
    let len = word.len();
    len >= 3
        && !is_vowel(word, len - 3)
        && is_vowel(word, len - 2)
        && !is_vowel(word, len - 1)
        && !b"wxy".contains(&word[len - 1])
}

#[cfg(test)]
mod tests {
    #[test]
    fn forms_of_a_word_meet_and_other_words_do_not() {
        let stem = |word: &str| super::stem(word.to_owned());
        for family in [
            &["test", "tests", "tested", "testing"][..],
            &["cache", "caches", "cached", "caching"],
            &["policy", "policies"],
            &["use", "uses", "used", "using"],
            &["migrate", "migrates", "migrated", "migrating"],
            &["plan", "plans", "planned", "planning"],
            &["query", "queries", "queried", "querying"],
            &["agree", "agrees", "agreed"],
        ] {
            let stems: Vec<String> = family.iter().map(|word| stem(word)).collect();
            assert!(stems.iter().all(|one| *one == stems[0]), "{family:?} became {stems:?}");
        }
        for pair in [("status", "state"), ("redis", "red"), ("thing", "the"), ("string", "str"), ("class", "clas")] {
            assert_ne!(stem(pair.0), stem(pair.1));
        }
    }
}
