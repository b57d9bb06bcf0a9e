//! Reads JSON, with or without comments, into a tree that knows where everything stands. Strict: what a client's own
//! parser might refuse is refused here, with its line. It changes nothing.

use std::ops::Range;

use serde_json::Value;

use crate::agents::edit::{Dialect, refusal};
use crate::error::Result;

/// Containers inside of one another, at most: the parsers of clients stop at about as many.
const DEPTH_MAX: usize = 128;

#[derive(Debug)]
pub struct Node {
    pub span: Range<usize>,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    Object(Body, Vec<String>),
    Array(Body),
    Scalar(Value),
}

/// What stands between the brackets of an object or an array.
#[derive(Debug, Default)]
pub struct Body {
    /// Of a member the key is part of it.
    pub slots: Vec<Slot>,
    /// The comma behind each slot; behind the last one only where the file has a trailing comma.
    pub commas: Vec<usize>,
}

#[derive(Debug)]
pub struct Slot {
    /// Where it begins: at the key of a member, at the value of an item. It ends where its value ends.
    pub start: usize,
    pub value: Node,
}

impl Node {
    pub fn body(&self) -> Option<&Body> {
        match &self.kind {
            Kind::Object(body, _) | Kind::Array(body) => Some(body),
            Kind::Scalar(_) => None,
        }
    }

    /// The position of this key among the members. Fails where it stands there twice: nobody can say which one counts.
    pub fn member(&self, text: &str, key: &str) -> Result<Option<usize>> {
        let Kind::Object(body, keys) = &self.kind else { return Ok(None) };
        let mut places = keys.iter().enumerate().filter(|(_, found)| *found == key).map(|(place, _)| place);
        let first = places.next();
        match places.next() {
            Some(second) => Err(refusal(text, body.slots[second].start, format_args!("`{key}` stands there twice"))),
            None => Ok(first),
        }
    }

    /// What stands at this path of objects.
    pub fn find(&self, text: &str, path: &[String]) -> Result<Option<&Node>> {
        let mut node = self;
        for key in path {
            match (node.member(text, key)?, node.body()) {
                (Some(place), Some(body)) => node = &body.slots[place].value,
                _ => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    pub fn value(&self) -> Value {
        match &self.kind {
            Kind::Object(body, keys) => {
                keys.iter().zip(&body.slots).map(|(key, slot)| (key.clone(), slot.value.value())).collect()
            }
            Kind::Array(body) => body.slots.iter().map(|slot| slot.value.value()).collect(),
            Kind::Scalar(value) => value.clone(),
        }
    }
}

impl Slot {
    pub fn end(&self) -> usize {
        self.value.span.end
    }
}

/// The whole text; `None` where there is nothing but white space and comments.
pub fn parse(text: &str, dialect: Dialect) -> Result<Option<Node>> {
    let mut scanner = Scanner { text, at: 0, dialect };
    scanner.skip()?;
    if scanner.at == text.len() {
        return Ok(None);
    }
    let root = scanner.value(0)?;
    scanner.skip()?;
    if scanner.at < text.len() {
        return Err(scanner.refuse("something stands behind the end of the JSON"));
    }
    Ok(Some(root))
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    dialect: Dialect,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn refuse(&self, what: impl std::fmt::Display) -> crate::error::Error {
        refusal(self.text, self.at, what)
    }

    /// White space and comments.
    fn skip(&mut self) -> Result<()> {
        loop {
            let rest = &self.text[self.at..];
            match rest.as_bytes() {
                [b' ' | b'\t' | b'\n' | b'\r', ..] => self.at += 1,
                [b'/', b'/' | b'*', ..] if self.dialect == Dialect::Plain => {
                    return Err(self.refuse("a comment, which the agent that reads this file would not take"));
                }
                [b'/', b'/', ..] => {
                    let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
                    if line.trim_end_matches('\r').contains('\r') {
                        // To clients the comment ends here; to whoever sees one line it does not.
                        return Err(self.refuse("a line that ends as on an old Mac (CR alone)"));
                    }
                    self.at += line.len();
                }
                [b'/', b'*', ..] => match rest[2..].find("*/") {
                    Some(len) => self.at += len + 4,
                    None => return Err(self.refuse("a comment that never ends")),
                },
                _ => return Ok(()),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node> {
        let start = self.at;
        if depth > DEPTH_MAX {
            return Err(self.refuse("too many brackets inside of one another"));
        }
        let kind = match self.peek() {
            Some(b'{') => {
                let mut keys = Vec::new();
                Kind::Object(self.body(b'}', Some(&mut keys), depth)?, keys)
            }
            Some(b'[') => Kind::Array(self.body(b']', None, depth)?),
            Some(b'"') => Kind::Scalar(Value::String(self.string()?)),
            Some(_) => {
                let is_end = |c: char| matches!(c, ',' | '}' | ']' | ':' | '"' | '/') || c.is_whitespace();
                let word = &self.text[start..];
                let word = &word[..word.find(is_end).unwrap_or(word.len())];
                let value = serde_json::from_str(word).map_err(|_| self.refuse("a value is expected here"))?;
                self.at += word.len();
                Kind::Scalar(value)
            }
            None => return Err(self.refuse("the file ends in the middle")),
        };
        Ok(Node { span: start..self.at, kind })
    }

    fn body(&mut self, close: u8, mut keys: Option<&mut Vec<String>>, depth: usize) -> Result<Body> {
        self.at += 1;
        let mut body = Body::default();
        loop {
            self.skip()?;
            let is_separated = body.slots.len() == body.commas.len();
            if self.peek() == Some(close) {
                if !body.slots.is_empty() && is_separated && self.dialect == Dialect::Plain {
                    return Err(self.refuse("a comma with nothing behind it"));
                }
                self.at += 1;
                return Ok(body);
            }
            if !is_separated {
                return Err(self.refuse(format_args!("`,` or `{}` is expected here", char::from(close))));
            }
            let start = self.at;
            if let Some(keys) = &mut keys {
                if self.peek() != Some(b'"') {
                    return Err(self.refuse("a key in quotes is expected here"));
                }
                keys.push(self.string()?);
                self.skip()?;
                if self.peek() != Some(b':') {
                    return Err(self.refuse("`:` is expected here"));
                }
                self.at += 1;
                self.skip()?;
            }
            let value = self.value(depth + 1)?;
            body.slots.push(Slot { start, value });
            self.skip()?;
            if self.peek() == Some(b',') {
                body.commas.push(self.at);
                self.at += 1;
            }
        }
    }

    fn string(&mut self) -> Result<String> {
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        while bytes.get(end).is_some_and(|byte| !matches!(byte, b'"' | b'\n')) {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        // Behind a backslash may stand the first byte of a longer character; the quote itself is a whole one.
        let whole = self.text.get(self.at..end + 1).filter(|whole| whole.len() > 1 && whole.ends_with('"'));
        let string = whole.and_then(|whole| serde_json::from_str(whole).ok());
        let string = string.ok_or_else(|| self.refuse("a text whose quotes or escapes are wrong"))?;
        self.at = end + 1;
        Ok(string)
    }
}
