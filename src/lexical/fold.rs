//! One spelling for what is typed in several: case, Latin diacritics, full-width forms. It never changes what a
//! word is, only how it is written.

/// The base letters of U+00C0 to U+017F and of U+1E00 to U+1EFF (Unicode's decompositions, and the usual
/// substitutes for letters that have none); `.` where a letter has none.
const LATIN_1_AND_A: &[u8; 192] = b"aaaaaaaceeeeiiiidnooooo.ouuuuytsaaaaaaaceeeeiiiidnooooo.ouuuuyty\
aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkkllllllllllnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuu\
wwyyyzzzzzzs";
const LATIN_B: &[u8; 208] =
    b"................................oo.............uu...................dddlllnnnaaiioouuuuuuuuuu\
.aaaa....ggkkoooo..jdddgg..nnaa....aaaaeeeeiiiioooorrrruuuusstt..hh......aaeeooooooooyy............................";
const LATIN_ADDITIONAL: &[u8; 256] = b"aabbbbbbccddddddddddeeeeeeeeeeffgghhhhhhhhhhiiiikkkkkkllllllllmmmmmmnnnnnnnn\
oooooooopppprrrrrrrrssssssssssttttttttuuuuuuuuuuvvvvwwwwwwwwwwxxxxyyzzzzzzhtwyas..s.aaaaaaaaaaaaaaaaaaaaaaaaeeeeeeeeee\
eeeeeeiiiioooooooooooooooooooooooouuuuuuuuuuuuuuyyyyyyyy......";

/// Full-width letters, digits and signs as their ASCII forms.
pub fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

/// Marks that combine with the letter before them.
pub fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe0e}' | '\u{fe0f}')
}

/// Appends a letter or digit in lower case, without its diacritics.
pub fn push(out: &mut String, c: char) {
    if c.is_ascii() {
        out.push(c.to_ascii_lowercase());
        return;
    }
    let pair = match c {
        'ß' | 'ẞ' => Some("ss"),
        'æ' | 'Æ' => Some("ae"),
        'œ' | 'Œ' => Some("oe"),
        'þ' | 'Þ' => Some("th"),
        _ => None,
    };
    if let Some(pair) = pair {
        out.push_str(pair);
        return;
    }
    let base = match c as u32 {
        at @ 0xc0..0x180 => LATIN_1_AND_A[at as usize - 0xc0],
        at @ 0x180..0x250 => LATIN_B[at as usize - 0x180],
        at @ 0x1e00..0x1f00 => LATIN_ADDITIONAL[at as usize - 0x1e00],
        _ => b'.',
    };
    if base == b'.' {
        out.extend(c.to_lowercase().filter(|c| !is_mark(*c)));
    } else {
        out.push(char::from(base));
    }
}

#[cfg(test)]
mod tests {
    fn fold(text: &str) -> String {
        let mut out = String::new();
        text.chars().filter(|c| !super::is_mark(*c)).for_each(|c| super::push(&mut out, super::narrow(c)));
        out
    }

    #[test]
    fn diacritics_and_case_fold() {
        assert_eq!(fold("ÉcoleŁódźStraßeŒuvreĐặngÅØ"), "ecolelodzstrasseoeuvredangao");
        assert_eq!(fold("e\u{301}cole"), "ecole");
        assert_eq!(fold("ＡＢ１２ Привет ΑΒΓ"), "ab12 привет αβγ");
    }
}
