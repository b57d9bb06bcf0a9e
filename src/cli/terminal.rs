//! Everything about the terminal: whether there is one, its width and colours, and how text is made safe and fits.
//! It knows nothing of memories.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::Write as _;
use std::io::{BufRead as _, ErrorKind as Io, IsTerminal, Write as _};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::model::text::visible;

/// Where a command's answer goes.
pub struct Out {
    pub json: bool,
    pub style: Style,
    /// The reader went away (`memoria list | head`): nothing more is written, and nothing is an error.
    closed: Cell<bool>,
}

impl Out {
    pub fn new(json: bool) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let colour = is_terminal
            && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let columns = if is_terminal { Some(columns()) } else { None };
        Self { json, style: Style { colour, columns }, closed: Cell::new(false) }
    }

    /// Prints one of the two forms of an answer; only that one is made.
    pub fn answer(&self, json: impl FnOnce() -> Value, text: impl FnOnce(&Style) -> String) -> Result<()> {
        if self.json { self.line(&json().to_string()) } else { self.print(&text(&self.style)) }
    }

    pub fn line(&self, text: &str) -> Result<()> {
        self.print(&format!("{text}\n"))
    }

    pub fn print(&self, text: &str) -> Result<()> {
        self.bytes(text.as_bytes())
    }

    pub fn bytes(&self, bytes: &[u8]) -> Result<()> {
        if self.is_closed() {
            return Ok(());
        }
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(e) if e.kind() == Io::BrokenPipe => self.closed.set(true),
            Err(e) => return Err(Error::io("write the answer", &e)),
            Ok(()) => {}
        }
        Ok(())
    }

    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }
}

/// How text looks: `columns` is `None` where nothing is cut or wrapped (a pipe, a file).
#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub colour: bool,
    pub columns: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    Plain,
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Style {
    #[cfg(test)]
    pub const fn plain(columns: Option<usize>) -> Self {
        Self { colour: false, columns }
    }

    pub fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Plain => return text.to_owned(),
            Paint::Bold => "1",
            Paint::Dim => "2",
            Paint::Red => "31",
            Paint::Green => "32",
            Paint::Yellow => "33",
            Paint::Cyan => "36",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub fn bold(&self, text: &str) -> String {
        self.paint(Paint::Bold, text)
    }

    pub fn dim(&self, text: &str) -> String {
        self.paint(Paint::Dim, text)
    }

    /// Aligned columns under a dim header; the last column is cut to what the terminal has left.
    pub fn table(&self, columns: &[(&str, Paint)], rows: &[Vec<String>]) -> String {
        let rows: Vec<Vec<Cow<'_, str>>> =
            rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
        let mut widths: Vec<usize> = columns.iter().map(|(name, _)| width(name)).collect();
        for row in &rows {
            for (wide, cell) in widths.iter_mut().zip(row) {
                *wide = (*wide).max(width(cell));
            }
        }
        let last = columns.len().saturating_sub(1);
        let before_last: usize = widths.iter().take(last).map(|w| w + 2).sum();
        let room = self.columns.map(|all| all.saturating_sub(before_last).max(10));
        let mut out = String::new();
        let header = columns.iter().map(|(name, _)| (Cow::Borrowed(*name), Paint::Dim)).collect();
        let body = rows.into_iter().map(|row| row.into_iter().zip(columns.iter().map(|c| c.1)).collect());
        for line in std::iter::once::<Vec<(Cow<'_, str>, Paint)>>(header).chain(body) {
            for (i, (cell, paint)) in line.iter().enumerate() {
                if i == last {
                    let cell = room.map_or_else(|| cell.to_string(), |room| cut(cell, room));
                    out.push_str(&self.paint(*paint, &cell));
                } else {
                    let pad = widths[i].saturating_sub(width(cell)) + 2;
                    let _ = write!(out, "{}{:pad$}", self.paint(*paint, cell), "");
                }
            }
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
        }
        out
    }

    /// A text of a memory, made safe, indented, and wrapped at words where there is a terminal.
    pub fn block(&self, text: &str, indent: usize) -> String {
        let mut out = String::new();
        for line in visible(text).lines() {
            for part in self.columns.map_or_else(|| vec![line.to_owned()], |all| wrap(line, all.saturating_sub(indent)))
            {
                let _ = writeln!(out, "{:indent$}{part}", "");
            }
        }
        out
    }
}

/// Asks the person, who is there: [`std::io::IsTerminal`] of stdin.
pub fn agreed(question: &str) -> Result<bool> {
    eprint!("{question} [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|e| Error::io("read your answer", &e))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// `COLUMNS` when set, else what the terminal says, else 80.
pub fn columns() -> usize {
    let asked = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    #[cfg(unix)]
    let asked = asked.or_else(|| rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| size.ws_col.into()));
    asked.filter(|wide| *wide >= 20).unwrap_or(80)
}

/// The text with hidden characters written out and every run of white space as one blank.
pub fn one_line(text: &str) -> Cow<'_, str> {
    let text = visible(text);
    if !text.contains(['\n', '\t']) {
        return text;
    }
    Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Columns that a text takes: two for East Asian wide characters and emoji, none for combining marks.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200c..=0x200d | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// The text, or its start and `…`, in at most `room` columns.
pub fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += char_width(c);
        if used > room {
            break;
        }
        out.push(c);
    }
    out.truncate(out.trim_end().len());
    out.push('…');
    out
}

/// Lines of at most `room` columns, broken at blanks, and inside a word only where it is longer than a line.
fn wrap(line: &str, room: usize) -> Vec<String> {
    let room = room.max(10);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in line.split_inclusive(' ') {
        let wide = width(word.trim_end_matches(' '));
        if used > 0 && used + wide > room {
            lines.push(String::new());
            used = 0;
        }
        for c in word.chars() {
            if used + char_width(c) > room {
                if c == ' ' {
                    continue;
                }
                lines.push(String::new());
                used = 0;
            }
            used += char_width(c);
            if let Some(last) = lines.last_mut() {
                last.push(c);
            }
        }
    }
    lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
    lines
}

/// `7.2 MB`; decimal, as disks are sold.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if value < 99.5 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

/// `1,234,567`.
pub fn count(number: impl Into<u64>) -> String {
    let digits = number.into().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 memory`, `3 memories`.
pub fn plural(number: impl Into<u64>, one: &str, many: &str) -> String {
    let number = number.into();
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `45 s`, `12 min`, `3 h 5 min`, `2 days 4 h`.
pub fn duration(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} {} h", plural(seconds.unsigned_abs() / 86400, "day", "days"), seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_one_line() {
        assert_eq!(one_line("a\n\tb  c\u{1b}"), "a b c\\u{1b}");
    }

    #[test]
    fn cut_and_wrap_never_exceed_the_room() {
        for text in ["hello world again and again", "日本語のテキストはとても広い", "supercalifragilistic", "", " "]
        {
            for room in 10..40 {
                assert!(width(&cut(text, room)) <= room);
                assert!(wrap(text, room).iter().all(|line| width(line) <= room), "{text} {room}");
            }
        }
        assert_eq!(wrap("one two three", 10), ["one two", "three"]);
        assert_eq!(wrap("", 10), [""]);
    }

    #[test]
    fn a_table_fits_its_columns_and_aligns_wide_characters() {
        let style = Style::plain(Some(30));
        let rows = vec![vec!["日本".into(), "short".into()], vec!["a".into(), "a long text that must be cut".into()]];
        let table = style.table(&[("ID", Paint::Yellow), ("TEXT", Paint::Plain)], &rows);
        assert_eq!(table, "ID    TEXT\n日本  short\na     a long text that must b…\n");
    }

    #[test]
    fn sizes_counts_and_durations_are_for_people() {
        assert_eq!([bytes(0), bytes(999), bytes(1500), bytes(7_240_000)], ["0 B", "999 B", "1.5 kB", "7.2 MB"]);
        assert_eq!([bytes(99_960), bytes(999_600), bytes(5_000_000_000)], ["100 kB", "1.0 MB", "5.0 GB"]);
        assert_eq!([count(0u32), count(1234u32), count(1234567u32)], ["0", "1,234", "1,234,567"]);
        assert_eq!(
            [duration(59_999), duration(11_100_000), duration(187_200_000)],
            ["59 s", "3 h 5 min", "2 days 4 h"]
        );
    }
}
