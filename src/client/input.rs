//! An agent's input, cut into lines. A line above the limit is never held: it is scanned as it passes, to learn
//! which request it was. Nothing else is read out of a line here.

use std::io::{BufRead, ErrorKind};

use super::fault::{Asked, Scanner};
use crate::wire::limits::LINE_BYTES_MAX;

/// A line by its number, from 1. Every line has one, whatever becomes of it: it is half of an operation's id.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    /// Without its newline; may be anything.
    Line { number: u64, bytes: Vec<u8> },
    /// Longer than a line may be, and who asked.
    TooLong(Asked),
}

/// Gives each line until the input ends or nobody takes them any more.
pub fn read_lines(mut from: impl BufRead, mut give: impl FnMut(Input) -> bool) {
    let mut number = 0;
    loop {
        number += 1;
        let Some(input) = read_line(&mut from, number) else { return };
        if !give(input) {
            return;
        }
    }
}

/// `None` at the end of the input, or when it breaks: the agent is gone either way.
fn read_line(from: &mut impl BufRead, number: u64) -> Option<Input> {
    let mut bytes = Vec::new();
    let mut scanner: Option<Scanner> = None;
    loop {
        let available = match from.fill_buf() {
            Ok(available) => available,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return None,
        };
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        if scanner.is_none() && bytes.len() + part.len() > LINE_BYTES_MAX {
            let mut fresh = Scanner::default();
            fresh.feed(&bytes);
            bytes = Vec::new();
            scanner = Some(fresh);
        }
        match &mut scanner {
            Some(scanner) => scanner.feed(part),
            None => bytes.extend_from_slice(part),
        }
        let is_input_end = available.is_empty();
        let used = part.len() + usize::from(end.is_some());
        from.consume(used);
        if is_input_end && bytes.is_empty() && scanner.is_none() {
            return None;
        }
        if end.is_some() || is_input_end {
            return Some(match scanner {
                Some(scanner) => Input::TooLong(scanner.asked()),
                None => Input::Line { number, bytes },
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<Input> {
        let mut out = Vec::new();
        // A small buffer, so that lines cross its edges.
        read_lines(std::io::BufReader::with_capacity(7, text), |input| {
            out.push(input);
            true
        });
        out
    }

    #[test]
    fn every_line_has_its_number_also_the_last_without_a_newline() {
        let line = |number, text: &str| Input::Line { number, bytes: text.as_bytes().to_vec() };
        assert_eq!(
            lines(b"one\n\nthree, longer than the buffer\nfour"),
            [line(1, "one"), line(2, ""), line(3, "three, longer than the buffer"), line(4, "four")]
        );
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"\n"), [line(1, "")]);
    }

    #[test]
    fn a_line_of_exactly_the_limit_passes_and_one_more_byte_does_not() {
        let exact = vec![b' '; LINE_BYTES_MAX];
        assert!(matches!(&lines(&exact)[..], [Input::Line { number: 1, bytes }] if bytes.len() == LINE_BYTES_MAX));
        let mut long = br#"{"jsonrpc":"2.0","params":{"id":5,"text":""#.to_vec();
        long.resize(LINE_BYTES_MAX, b'x');
        long.extend_from_slice(b"\"},\"method\":\"tools/call\",\"id\":\"a-1\"}\nnext\n");
        let read = lines(&long);
        assert_eq!(read[1], Input::Line { number: 2, bytes: b"next".to_vec() });
        let Input::TooLong(asked) = &read[0] else { panic!("{:?}", read[0]) };
        assert_eq!(asked.ids, [b"\"a-1\"".to_vec()]);
    }
}
