//! A progress bar on stderr: only on a terminal, redrawn a few times a second, gone when the work is.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::terminal::{bytes, count, cut};

const REDRAW: Duration = Duration::from_millis(100);
const CELLS: usize = 24;

/// What is counted.
#[derive(Clone, Copy)]
enum What {
    Things(&'static str),
    Bytes,
}

pub struct Bar {
    what: What,
    /// `None` where there is no terminal, and nothing is drawn.
    columns: Option<usize>,
    begun: Instant,
    drawn: Option<Instant>,
}

impl Bar {
    /// Of things, named in the plural.
    pub fn new(things: &'static str, is_wanted: bool) -> Self {
        Self::of(What::Things(things), is_wanted)
    }

    pub fn of_bytes(is_wanted: bool) -> Self {
        Self::of(What::Bytes, is_wanted)
    }

    fn of(what: What, is_wanted: bool) -> Self {
        let columns = (is_wanted && std::io::stderr().is_terminal()).then(super::terminal::columns);
        Self { what, columns, begun: Instant::now(), drawn: None }
    }

    /// `share` of the whole is done, where that is known.
    pub fn show(&mut self, done: u64, share: Option<f64>) {
        let Some(columns) = self.columns else { return };
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        let seconds = self.begun.elapsed().as_secs_f64();
        let line = line(self.what, done, share, seconds);
        // A bar that cannot be drawn is no reason to stop.
        let _ = write!(std::io::stderr(), "\r\x1b[2K{}", cut(&line, columns.saturating_sub(1)));
        let _ = std::io::stderr().flush();
    }

    pub fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
            let _ = std::io::stderr().flush();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(what: What, done: u64, share: Option<f64>, seconds: f64) -> String {
    let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
    let said = match what {
        What::Things(things) => format!("{} {things}  {}/s", count(done), count(rate as u64)),
        What::Bytes => format!("{}  {}/s", bytes(done), bytes(rate as u64)),
    };
    let Some(share) = share.map(|share| share.clamp(0.0, 1.0)) else { return said };
    let full = (share * CELLS as f64) as usize;
    // Before a hundredth is done the guess would be wild.
    let left = if share > 0.01 { format!("  {} left", clock(seconds / share - seconds)) } else { String::new() };
    format!("[{}{}] {:3.0}%  {said}{left}", "#".repeat(full), " ".repeat(CELLS - full), share * 100.0)
}

/// `0:07`, `12:30`.
fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_far_how_fast_and_how_long() {
        assert_eq!(
            line(What::Things("memories"), 50_000, Some(0.5), 2.0),
            "[############            ]  50%  50,000 memories  25,000/s  0:02 left"
        );
        assert_eq!(line(What::Things("memories"), 50_000, None, 2.0), "50,000 memories  25,000/s");
        assert!(!line(What::Things("memories"), 0, Some(0.0), 0.0).contains("left"));
        assert!(line(What::Bytes, 42_000_000, Some(0.5), 2.0).ends_with("42.0 MB  21.0 MB/s  0:02 left"));
    }
}
