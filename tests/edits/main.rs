//! Edits of other programs' files, on random documents: what was there survives byte for byte, twice is once, taking
//! back gives the file of before, what a person writes meanwhile stays, and a real parser reads what was meant.
//! `PROPTEST_CASES` asks for more rounds.

mod json;
mod markdown;
mod toml;
mod yaml;

use std::fmt::Debug;

use memoria::agents::{Edit, Past};
use proptest::prelude::*;

fn words(path: &[&str]) -> Vec<String> {
    path.iter().map(|key| (*key).to_owned()).collect()
}

fn rounds() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// How a file may come: line ends, a mark at its start, no line end at its close.
fn dressed(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (text, any::<bool>(), any::<bool>(), 0..4u8).prop_map(|(text, has_crlf, has_bom, end)| {
        let text = if has_crlf { text.replace('\n', "\r\n") } else { text };
        let text = if end == 0 { text.trim_end().to_owned() } else { text };
        if has_bom { format!("\u{feff}{text}") } else { text }
    })
}

/// One character too few or too many.
fn damaged(text: &str, at: usize, c: char) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let at = at % (chars.len() + 1);
    if c.is_alphabetic() && at < chars.len() {
        chars.remove(at);
    } else {
        chars.insert(at, c);
    }
    chars.into_iter().collect()
}

/// Any character, most often one that means something.
fn spanner() -> impl Strategy<Value = char> {
    prop_oneof![
        proptest::sample::select("{}[]:,#&*!|>'\"%@`-?~\\/\t\r\n \u{85}\u{2028}=.x".chars().collect::<Vec<_>>()),
        any::<char>()
    ]
}

/// A real parser of a format (`None`: it refuses the text), and what an edit is to mean to it.
struct Judge<T> {
    read: fn(&str) -> Option<T>,
    meant: fn(&Edit, T) -> T,
}

impl<T: PartialEq + Debug> Judge<T> {
    fn parsed(&self, text: &str) -> Option<T> {
        (self.read)(text.trim_start_matches('\u{feff}'))
    }

    /// What holds for every edit of every document.
    fn keeps_the_laws(&self, edit: &Edit, before: &str) -> Result<(), TestCaseError> {
        let failed = |e: memoria::error::Error, text: &str| TestCaseError::fail(format!("{e}: {text:?}"));
        let after = edit.apply(Some(before)).map_err(|e| failed(e, before))?;
        let again = edit.apply(Some(&after)).map_err(|e| failed(e, &after))?;
        prop_assert_eq!(&again, &after, "twice is not once");
        if let Some(root) = self.parsed(before) {
            prop_assert_eq!(self.parsed(&after), Some((self.meant)(edit, root)), "what was meant, in {:?}", after);
        }
        let back = edit.remove(&after, Past::Text(before)).map_err(|e| failed(e, &after))?;
        prop_assert_eq!(back.as_deref(), Some(before), "taken back from {:?}", after);
        Ok(())
    }

    /// Whatever is given: the laws hold, or it is refused with the line.
    fn is_never_harmed(&self, edit: &Edit, before: &str) -> Result<(), TestCaseError> {
        match edit.apply(Some(before)) {
            Err(refusal) => prop_assert!(refusal.message.starts_with("line "), "{}", refusal),
            Ok(_) => self.keeps_the_laws(edit, before)?,
        }
        Ok(())
    }

    /// A line that a person adds beside ours is there, and nothing of ours, when ours is taken back.
    fn keeps_a_neighbour(&self, edit: &Edit, before: &str, line: &str, at: usize) -> Result<(), TestCaseError> {
        let Ok(after) = edit.apply(Some(before)) else { return Ok(()) };
        let starts: Vec<usize> =
            (0..=before.len()).filter(|at| *at == 0 || before.as_bytes()[at - 1] == b'\n').collect();
        let at = starts[at % starts.len()];
        let same = |a: &mut dyn Iterator<Item = u8>, b: &mut dyn Iterator<Item = u8>| {
            a.zip(b).take_while(|(a, b)| a == b).count()
        };
        let head = same(&mut before.bytes(), &mut after.bytes());
        let tail = same(&mut before.bytes().rev(), &mut after.bytes().rev());
        // Where ours went in several pieces there is no telling which place in the middle is the same.
        let there = match at {
            at if at <= head => at,
            at if at >= before.len() - tail.min(before.len()) => at + after.len() - before.len(),
            _ => return Ok(()),
        };
        if there > 0 && after.as_bytes()[there - 1] != b'\n' {
            return Ok(());
        }
        let with = |text: &str, at: usize| format!("{}{line}{}", &text[..at], &text[at..]);
        let (theirs, both) = (with(before, at), with(&after, there));
        // A line may mean something else inside of ours than it did before; then it is theirs to mend.
        let meant = self.parsed(&theirs).map(|root| (self.meant)(edit, root));
        let is_readable = edit.apply(Some(&both)).is_ok_and(|again| again == both);
        if !is_readable || meant.is_none() || self.parsed(&both) != meant {
            return Ok(());
        }
        let back = edit.remove(&both, Past::Text(before));
        let back = back.map_err(|e| TestCaseError::fail(format!("{e}: {both:?}")))?.unwrap_or_default();
        prop_assert_eq!(self.parsed(&back), self.parsed(&theirs), "of {:?} is left {:?}", both, back);
        prop_assert!(back.contains(line.trim().trim_end_matches(',')), "{:?} lost a line: {:?}", both, back);
        Ok(())
    }
}
