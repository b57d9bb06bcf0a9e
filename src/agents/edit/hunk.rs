//! The lines in which two texts differ, and putting the older ones back where the newer ones still stand. This is how
//! most edits are taken back: exactly, whatever was changed elsewhere in the file since.

/// The text with `applied`'s lines replaced by `before`'s, if they stand there just once; `None` otherwise.
pub fn put_back(text: &str, before: &str, applied: &str) -> Option<String> {
    let bytes = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    // Back to the start of the line, so that what is looked for is whole lines.
    let head = applied[..floor(applied, bytes(before, applied))].rfind('\n').map_or(0, |at| at + 1);
    let (old, new) = (&before[head..], &applied[head..]);
    let same = old.bytes().rev().zip(new.bytes().rev()).take_while(|(a, b)| a == b).count();
    let same = new.len() - ceiling(new, new.len() - same);
    // On to the end of the line. In a pure insertion the old part is empty, and so is what is left of its line.
    let is_line_end = |text: &str, at: usize| at == 0 || text[..at].ends_with('\n');
    let (mut old_end, mut new_end) = (old.len() - same, new.len() - same);
    if !(is_line_end(old, old_end) && is_line_end(new, new_end)) {
        let rest = new[new_end..].find('\n').map_or(same, |at| at + 1);
        (old_end, new_end) = (old_end + rest, new_end + rest);
    }
    let (old, new) = (&old[..old_end], &new[..new_end]);
    let mut places = text.match_indices(new).map(|(at, _)| at).filter(|at| is_line_end(text, *at));
    let at = places.next().filter(|_| !new.trim().is_empty())?;
    // Lines that have no end, because the file ended there, are not the start of a longer line.
    let is_whole =
        new.ends_with('\n') || at + new.len() == text.len() || text[at + new.len()..].starts_with(['\n', '\r']);
    (places.next().is_none() && is_whole).then(|| format!("{}{old}{}", &text[..at], &text[at + new.len()..]))
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn ceiling(text: &str, at: usize) -> usize {
    (at..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}
