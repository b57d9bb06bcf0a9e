//! Two texts compared word by word, for people: what went is `[-so-]` or red, what came is `{+so+}` or green.
//! Bounded: texts that differ in too many words are shown whole, one after the other.

use crate::model::text::visible;

use super::terminal::{Paint, Style, width};

/// Cells of the table that finds the longest common sequence: some 700 words on either side.
const CELLS_MAX: usize = 500_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Kept,
    Removed,
    Added,
}

/// The later text with the words of the earlier one that went, indented and wrapped.
pub fn compared(before: &str, after: &str, style: &Style, indent: usize) -> String {
    let (before, after) = (visible(before), visible(after));
    let (old, new) = (words(&before), words(&after));
    let fates = fates(&old, &new);
    let mut out = String::new();
    let mut line = Line { style, indent, used: 0 };
    for (at, (fate, word)) in fates.iter().enumerate() {
        let starts = at == 0 || fates[at - 1].0 != *fate;
        let ends = fates.get(at + 1).is_none_or(|(next, _)| next != fate);
        line.put(&mut out, *fate, word, (starts, ends));
    }
    if line.used > 0 {
        out.push('\n');
    }
    out
}

/// A line that is being filled.
struct Line<'a> {
    style: &'a Style,
    indent: usize,
    used: usize,
}

impl Line<'_> {
    fn put(&mut self, out: &mut String, fate: Fate, word: &str, (starts, ends): (bool, bool)) {
        let bare = word.trim_end();
        let (paint, open, close) = match fate {
            Fate::Kept => (Paint::Plain, "", ""),
            Fate::Removed => (Paint::Red, "[-", "-]"),
            Fate::Added => (Paint::Green, "{+", "+}"),
        };
        let marks = |mark: &'static str, is_here: bool| if is_here && !self.style.colour { mark } else { "" };
        let shown = format!("{}{bare}{}", marks(open, starts), marks(close, ends));
        let wide = width(&shown);
        let room = self.style.columns.map_or(usize::MAX, |all| all.saturating_sub(self.indent).max(10));
        if self.used > 0 && self.used + 1 + wide > room {
            out.push('\n');
            self.used = 0;
        }
        if self.used == 0 {
            out.push_str(&" ".repeat(self.indent));
        } else {
            out.push(' ');
            self.used += 1;
        }
        out.push_str(&self.style.paint(paint, &shown));
        self.used += wide;
        if word[bare.len()..].contains('\n') {
            out.push('\n');
            self.used = 0;
        }
    }
}

/// Words, each with the white space behind it.
fn words(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut was_blank = false;
    for (at, c) in text.char_indices() {
        if was_blank && !c.is_whitespace() {
            found.push(&text[start..at]);
            start = at;
        }
        was_blank = c.is_whitespace();
    }
    if start < text.len() {
        found.push(&text[start..]);
    }
    found
}

/// What became of each word (or line) of the two.
pub fn fates<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Fate, &'a str)> {
    let same = |a: &&str, b: &&str| a.trim_end() == b.trim_end();
    let head = old.iter().zip(new).take_while(|(a, b)| same(a, b)).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| same(a, b)).count();
    let (gone, come) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut out: Vec<(Fate, &str)> = new[..head].iter().map(|word| (Fate::Kept, *word)).collect();
    let whole = gone.len().saturating_mul(come.len()) > CELLS_MAX;
    let mut common = if whole { Vec::new() } else { common(gone, come) };
    common.push((gone.len(), come.len()));
    let (mut i, mut j) = (0, 0);
    for (next_i, next_j) in common {
        out.extend(gone[i..next_i].iter().map(|word| (Fate::Removed, *word)));
        out.extend(come[j..next_j].iter().map(|word| (Fate::Added, *word)));
        out.extend(come.get(next_j).map(|word| (Fate::Kept, *word)));
        (i, j) = (next_i + 1, next_j + 1);
    }
    out.extend(new[new.len() - tail..].iter().map(|word| (Fate::Kept, *word)));
    out
}

/// The longest common sequence, as pairs of positions.
fn common(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    let wide = new.len() + 1;
    // `best[i * wide + j]`: length of the longest common sequence of `old[i..]` and `new[j..]`.
    let mut best = vec![0u16; (old.len() + 1) * wide];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            best[i * wide + j] = if old[i].trim_end() == new[j].trim_end() {
                best[(i + 1) * wide + j + 1].saturating_add(1)
            } else {
                best[(i + 1) * wide + j].max(best[i * wide + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < old.len() && j < new.len() {
        if old[i].trim_end() == new[j].trim_end() {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if best[(i + 1) * wide + j] >= best[i * wide + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style::plain(None);

    #[test]
    fn words_that_went_and_came_are_marked_in_runs() {
        let shown = |before, after| compared(before, after, &PLAIN, 2);
        assert_eq!(
            shown("We deploy with GitHub Actions now", "We deploy with Buildkite now"),
            "  We deploy with [-GitHub Actions-] {+Buildkite+} now\n"
        );
        assert_eq!(shown("one", "one"), "  one\n");
        assert_eq!(shown("", "new words"), "  {+new words+}\n");
        assert_eq!(shown("a b c d", "a x c"), "  a [-b-] {+x+} c [-d-]\n");
        assert_eq!(shown("first\nsecond", "first\nthird"), "  first\n  [-second-] {+third+}\n");
        assert_eq!(shown("", ""), "");
    }

    #[test]
    fn colours_stand_in_place_of_marks() {
        let shown = compared("a b", "a c", &Style { colour: true, columns: None }, 0);
        assert_eq!(shown, "a \u{1b}[31mb\u{1b}[0m \u{1b}[32mc\u{1b}[0m\n");
    }

    #[test]
    fn taking_the_marked_words_out_gives_both_texts_back() {
        let mut seed = 7u64;
        let mut draw = |end: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % end
        };
        for _ in 0..500 {
            let mut text = || (0..draw(12)).map(|_| format!("{} ", draw(4))).collect::<String>();
            let (before, after) = (text(), text());
            let (old, new) = (words(&before), words(&after));
            let told = fates(&old, &new);
            let without = |fate| told.iter().filter(|(f, _)| *f != fate).map(|(_, word)| *word).collect::<Vec<_>>();
            assert_eq!((without(Fate::Added), without(Fate::Removed)), (old, new), "{before:?} {after:?}");
        }
    }

    #[test]
    fn texts_of_too_many_words_are_shown_one_after_the_other() {
        let before: String = (0..2000).map(|n| format!("a{n} ")).collect();
        let after: String = (0..2000).map(|n| format!("b{n} ")).collect();
        let shown = compared(&before, &after, &PLAIN, 0);
        assert!(shown.starts_with("[-a0 ") && shown.contains("a1999-] {+b0 "), "{}", &shown[..100]);
    }

    #[test]
    fn hidden_characters_stay_visible_and_lines_fit() {
        let shown = compared("x \u{202e}y", "x z", &Style::plain(Some(20)), 4);
        assert!(!shown.contains('\u{202e}'), "{shown}");
        let long = compared(&"old words ".repeat(20), &"new words ".repeat(20), &Style::plain(Some(30)), 4);
        assert!(long.lines().all(|line| width(line) <= 30), "{long}");
    }
}
