//! A pattern as a row of pieces, and its matching: greedy, with a step back where the rest does not fit.

use crate::Error;

/// A pattern that is matched against bytes.
pub struct Regex {
    pieces: Vec<Piece>,
    groups: usize,
}

#[derive(Clone)]
enum Piece {
    /// Bytes of a set, at least and at most so many.
    Some {
        set: Set,
        min: usize,
        max: usize,
    },
    /// `(?:…)?`
    Maybe(Vec<Piece>),
    Open(usize),
    Close(usize),
    Start,
    End,
}

#[derive(Clone)]
struct Set {
    ranges: Vec<(u8, u8)>,
    is_negated: bool,
}

impl Set {
    fn one(byte: u8) -> Self {
        Self { ranges: vec![(byte, byte)], is_negated: false }
    }

    fn has(&self, byte: u8) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != self.is_negated
    }
}

/// Where the groups of a match are.
pub struct Captures<'h> {
    text: &'h [u8],
    spans: Vec<Option<(usize, usize)>>,
}

/// What a group matched.
pub struct Match<'h>(&'h [u8]);

impl<'h> Match<'h> {
    pub fn as_bytes(&self) -> &'h [u8] {
        self.0
    }
}

impl<'h> Captures<'h> {
    /// 0 is the whole match.
    pub fn get(&self, group: usize) -> Option<Match<'h>> {
        let (start, end) = (*self.spans.get(group)?)?;
        self.text.get(start..end).map(Match)
    }
}

impl Regex {
    /// # Errors
    /// Where the pattern has a sign that is not known here.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        let mut parser = Parser { rest: pattern.as_bytes(), groups: 1 };
        match parser.pieces(0) {
            Some(pieces) if parser.rest.is_empty() => Ok(Self { pieces, groups: parser.groups }),
            _ => Err(Error(pattern.to_owned())),
        }
    }

    pub fn is_match(&self, text: &[u8]) -> bool {
        self.captures(text).is_some()
    }

    /// The first match in the text.
    pub fn captures<'h>(&self, text: &'h [u8]) -> Option<Captures<'h>> {
        (0..=text.len()).find_map(|start| {
            let mut spans = vec![None; self.groups];
            let end = fits(&self.pieces, text, start, &mut spans)?;
            spans[0] = Some((start, end));
            Some(Captures { text, spans })
        })
    }
}

/// Where a match that begins at `at` ends.
fn fits(pieces: &[Piece], text: &[u8], at: usize, spans: &mut Vec<Option<(usize, usize)>>) -> Option<usize> {
    let Some((piece, rest)) = pieces.split_first() else { return Some(at) };
    match piece {
        Piece::Some { set, min, max } => {
            let most = text[at..].iter().take(*max).take_while(|byte| set.has(**byte)).count();
            (*min..=most).rev().find_map(|count| fits(rest, text, at + count, spans))
        }
        Piece::Maybe(inner) => {
            let with: Vec<_> = inner.iter().chain(rest).cloned().collect();
            fits(&with, text, at, spans).or_else(|| fits(rest, text, at, spans))
        }
        Piece::Open(group) => {
            let before = spans[*group].replace((at, at));
            fits(rest, text, at, spans).or_else(|| {
                spans[*group] = before;
                None
            })
        }
        Piece::Close(group) => {
            let before = spans[*group];
            spans[*group] = before.map(|(start, _)| (start, at));
            fits(rest, text, at, spans).or_else(|| {
                spans[*group] = before;
                None
            })
        }
        Piece::Start => {
            if at == 0 {
                fits(rest, text, at, spans)
            } else {
                None
            }
        }
        Piece::End => {
            if at == text.len() {
                fits(rest, text, at, spans)
            } else {
                None
            }
        }
    }
}

struct Parser<'p> {
    rest: &'p [u8],
    /// So far, with the whole match.
    groups: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn eats(&mut self, what: &[u8]) -> bool {
        match self.rest.strip_prefix(what) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Up to the end, or the bracket that closes.
    fn pieces(&mut self, depth: usize) -> Option<Vec<Piece>> {
        let mut pieces = Vec::new();
        while !(self.rest.is_empty() || depth > 0 && self.rest[0] == b')') {
            match self.next()? {
                b'^' => pieces.push(Piece::Start),
                b'$' => pieces.push(Piece::End),
                b'(' if self.eats(b"?:") => {
                    let inner = self.pieces(depth + 1)?;
                    let is_whole = self.eats(b")?");
                    pieces.push(Piece::Maybe(is_whole.then_some(inner)?));
                }
                b'(' => {
                    let group = self.groups;
                    self.groups += 1;
                    pieces.push(Piece::Open(group));
                    pieces.extend(self.pieces(depth + 1)?);
                    pieces.push(Piece::Close(self.eats(b")").then_some(group)?));
                }
                b'[' => {
                    let set = self.set()?;
                    pieces.push(self.counted(set)?);
                }
                b'\\' => {
                    let set = match self.next()? {
                        b'd' => Set { ranges: vec![(b'0', b'9')], is_negated: false },
                        byte if byte.is_ascii_punctuation() => Set::one(byte),
                        _ => return None,
                    };
                    pieces.push(self.counted(set)?);
                }
                b'.' => pieces.push(self.counted(Set { ranges: vec![(b'\n', b'\n')], is_negated: true })?),
                byte if byte.is_ascii_alphanumeric() || b" -:".contains(&byte) => {
                    pieces.push(self.counted(Set::one(byte))?);
                }
                _ => return None,
            }
        }
        Some(pieces)
    }

    /// After `[`.
    fn set(&mut self) -> Option<Set> {
        let mut set = Set { ranges: Vec::new(), is_negated: self.eats(b"^") };
        loop {
            match self.next()? {
                b']' => return (!set.ranges.is_empty()).then_some(set),
                low if low.is_ascii_alphanumeric() || low == b'-' => {
                    let is_range = low != b'-' && self.eats(b"-");
                    set.ranges.push((low, if is_range { self.next()? } else { low }));
                }
                _ => return None,
            }
        }
    }

    fn counted(&mut self, set: Set) -> Option<Piece> {
        let (min, max) = match self.rest.first() {
            Some(b'*') => (0, usize::MAX),
            Some(b'+') => (1, usize::MAX),
            Some(b'?') => (0, 1),
            Some(b'{') => {
                let end = self.rest.iter().position(|byte| *byte == b'}')?;
                let counts = std::str::from_utf8(self.rest.get(1..end)?).ok()?;
                self.rest = &self.rest[end..];
                let (min, max) = counts.split_once(',').unwrap_or((counts, counts));
                (min.parse().ok()?, max.parse().ok()?)
            }
            _ => return Some(Piece::Some { set, min: 1, max: 1 }),
        };
        self.next()?;
        // Lazy and possessive counts are not known.
        if matches!(self.rest.first(), Some(b'?' | b'+' | b'*')) { None } else { Some(Piece::Some { set, min, max }) }
    }
}
