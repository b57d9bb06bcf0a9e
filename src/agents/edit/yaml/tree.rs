//! Reads the block mappings of a YAML file: which key stands where, and which lines are its. Values are not judged,
//! only measured (quotes, brackets, block scalars). Whatever it is not sure of it refuses, with the line. Blanks are
//! those of ASCII: YAML takes others for text.

use crate::agents::edit::refusal;
use crate::error::Result;

/// A key of a block mapping, an item of a block sequence, or a scalar on lines of its own.
#[derive(Debug)]
pub struct Entry {
    /// `None`: not a member of a mapping.
    pub key: Option<String>,
    pub form: Form,
    /// Columns before it; of what stands behind a dash, the dash counts.
    pub indent: usize,
    /// Where its first line begins.
    pub line: usize,
    /// What stands behind the colon or the dash, without blanks and comment; empty where children follow.
    pub value: std::ops::Range<usize>,
    /// Behind the last line that is its own or a child's.
    pub end: usize,
    pub parent: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Member,
    Item,
    Scalar,
}

/// Every entry, each behind its parent.
#[derive(Debug, Default)]
pub struct Tree {
    pub entries: Vec<Entry>,
}

impl Tree {
    pub fn children(&self, parent: Option<usize>) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter().enumerate().filter(move |(_, entry)| entry.parent == parent)
    }

    /// The member of this key; refuses one that stands there twice.
    pub fn member(&self, text: &str, parent: Option<usize>, key: &str) -> Result<Option<usize>> {
        let mut found = self.children(parent).filter(|(_, entry)| entry.key.as_deref() == Some(key));
        let first = found.next().map(|(place, _)| place);
        match found.next() {
            Some((_, second)) => Err(refusal(text, second.line, format_args!("`{key}` stands there twice"))),
            None => Ok(first),
        }
    }

    pub fn find(&self, text: &str, path: &[String]) -> Result<Option<usize>> {
        let mut at = None;
        for key in path {
            match self.member(text, at, key)? {
                Some(place) => at = Some(place),
                None => return Ok(None),
            }
        }
        Ok(at)
    }
}

pub fn parse(text: &str) -> Result<Tree> {
    let mut reader = Reader { text, at: 0, tree: Tree::default(), open: Vec::new() };
    let mut has_started = false;
    // YAML knows more ends of lines than are looked for here.
    let is_odd = |(at, c): &(usize, char)| match c {
        '\r' => !text[at + 1..].starts_with('\n'),
        c => matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}'),
    };
    if let Some((at, _)) = text.char_indices().find(is_odd) {
        return Err(refusal(text, at, "a line that ends in none of the usual ways (LF, CRLF)"));
    }
    // YAML passes over one, wherever a line begins, and its own columns are then one off.
    if let Some(at) = text.find("\n\u{feff}") {
        return Err(refusal(text, at + 1, "a byte order mark in the middle of the file: remove it"));
    }
    while reader.at < text.len() {
        let line = reader.line();
        let bare = line.trim_start_matches(' ');
        let content = bare.trim_ascii_end();
        if content.is_empty() || content.starts_with('#') {
            reader.at += line.len();
        } else if line.starts_with("---") && content == "---" && !has_started {
            has_started = true;
            reader.at += line.len();
        } else if line.starts_with("---") || line.starts_with("...") || line.starts_with('%') {
            return Err(reader.refuse("several documents, or directives: only one plain document can be changed"));
        } else if bare.starts_with('\t') {
            return Err(reader.refuse("a tab where YAML wants blanks"));
        } else {
            has_started = true;
            reader.statement(line.len() - bare.len())?;
        }
    }
    Ok(reader.tree)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    tree: Tree,
    /// The entries that what follows may belong to, outermost first.
    open: Vec<usize>,
}

impl Reader<'_> {
    /// The rest of this line, with its end.
    fn line(&self) -> &str {
        let rest = &self.text[self.at..];
        &rest[..rest.find('\n').map_or(rest.len(), |at| at + 1)]
    }

    fn refuse(&self, what: &str) -> crate::error::Error {
        refusal(self.text, self.at, what)
    }

    /// One line, with the lines that its value goes on over.
    fn statement(&mut self, indent: usize) -> Result<()> {
        let line = self.at;
        let mut column = indent;
        let mut from = line + indent;
        loop {
            let rest = &self.text[from..line + self.line().len()];
            let bare = rest.trim_ascii_end();
            if bare == "-" || bare.starts_with("- ") {
                let inner = from + 1 + (rest[1..].len() - rest[1..].trim_start_matches(' ').len());
                self.place(Form::Item, None, column, line)?;
                let is_bare = self.text[inner..line + self.line().len()].trim_ascii().is_empty();
                if is_bare || self.text[inner..].starts_with('#') {
                    self.value(inner, column)?;
                    return Ok(());
                }
                column += inner - from;
                from = inner;
                continue;
            }
            if bare.starts_with("? ") || bare == "?" {
                return Err(self.refuse("a key of more than one word's kind (`?`) cannot be read here"));
            }
            return match key(self.text, from, line + self.line().len()) {
                Some((key, _)) if key.contains('\\') && rest.starts_with('"') => {
                    Err(self.refuse("a key with escapes that cannot be read here"))
                }
                Some(_) if rest.starts_with(['!', '&', '*']) => {
                    Err(self.refuse("a tag, an anchor or an alias where a key is expected"))
                }
                Some((key, behind)) => {
                    self.place(Form::Member, Some(key), column, line)?;
                    self.value(behind, column)
                }
                None => {
                    self.place(Form::Scalar, None, column, line)?;
                    self.value(from, column.saturating_sub(1))
                }
            };
        }
    }

    /// Finds the parent by the indentation, and refuses what fits none.
    fn place(&mut self, form: Form, key: Option<String>, indent: usize, line: usize) -> Result<()> {
        while let Some(top) = self.open.last().map(|top| &self.tree.entries[*top]) {
            // A sequence may stand under its key without being indented.
            let is_inside = indent > top.indent
                || (indent == top.indent && form == Form::Item && top.form == Form::Member && top.value.is_empty());
            if is_inside {
                break;
            }
            self.open.pop();
        }
        let parent = self.open.last().copied();
        if let Some(above) = parent.map(|parent| &self.tree.entries[parent])
            && !above.value.is_empty()
        {
            return Err(self.refuse("this is indented as if it belonged to a line that already has a value"));
        }
        let sibling = self.tree.children(parent).next().map(|(_, sibling)| (sibling.indent, sibling.form));
        if let Some((column, other)) = sibling {
            if column != indent {
                return Err(self.refuse("this line is indented like none of those above"));
            }
            if other != form || form == Form::Scalar {
                return Err(self.refuse("`key: value` is expected here"));
            }
        }
        self.open.push(self.tree.entries.len());
        self.tree.entries.push(Entry { key, form, indent, line, value: line..line, end: line, parent });
        Ok(())
    }

    /// Measures what stands behind a colon or a dash; goes to the line after it.
    fn value(&mut self, from: usize, indent: usize) -> Result<()> {
        let line_end = self.at + self.line().len();
        let blanks = |at: usize| self.text[at..].len() - self.text[at..].trim_start_matches([' ', '\t']).len();
        let mut start = (from + blanks(from)).min(line_end);
        let first = start;
        // Anchors and tags stand before a value; alone they say nothing about what follows.
        while self.text[start..line_end].starts_with(['&', '!']) {
            let word = self.text[start..line_end].find(|c: char| c.is_ascii_whitespace()).unwrap_or(line_end - start);
            start = (start + word + blanks(start + word)).min(line_end);
        }
        let rest = &self.text[start..line_end];
        let (value, next) = match rest.chars().next() {
            None | Some('\n' | '\r' | '#') => (first..first, line_end),
            Some('|' | '>') => {
                let keeps = rest.starts_with("|+") || rest.starts_with(">+");
                let next = self.block_end(line_end, indent, keeps);
                if !self.text[..next].ends_with('\n') {
                    // A line end that we added would become part of the text.
                    return Err(self.refuse("a block of text without a line end, at the end of the file: add one"));
                }
                (first..start + rest.trim_ascii_end().len(), next)
            }
            Some('"' | '\'') => self.quoted_or_flow(first, start, quoted_end(self.text, start))?,
            Some('{' | '[') => self.quoted_or_flow(first, start, flow_end(self.text, start))?,
            Some('@' | '`' | '%') => return Err(self.refuse("a value that begins with a reserved character")),
            Some(_) => {
                let own = plain(rest);
                if own.contains(": ") || own.ends_with(':') {
                    return Err(self.refuse("a second `: ` in one line: put the value in quotes"));
                }
                let next =
                    if own.len() < rest.trim_ascii_end().len() { line_end } else { self.plain_end(line_end, indent)? };
                (first..start + own.len(), next)
            }
        };
        if let Some(entry) = self.tree.entries.last_mut() {
            entry.value = value;
        }
        for place in &self.open {
            self.tree.entries[*place].end = next;
        }
        self.at = next;
        Ok(())
    }

    fn quoted_or_flow(
        &self,
        first: usize,
        start: usize,
        end: Option<usize>,
    ) -> Result<(std::ops::Range<usize>, usize)> {
        let Some(end) = end else {
            return Err(refusal(self.text, start, "quotes or brackets that never close"));
        };
        let rest = &self.text[end..];
        let rest = &rest[..rest.find('\n').map_or(rest.len(), |at| at + 1)];
        let is_clean =
            rest.trim_ascii().is_empty() || (rest.trim_ascii_start().starts_with('#') && rest.starts_with([' ', '\t']));
        if !is_clean {
            return Err(refusal(self.text, end, "something stands behind the end of a value"));
        }
        Ok((first..end, end + rest.len()))
    }

    /// Behind the lines of a block scalar: those that are indented, and the blank ones between them; behind them too
    /// where it keeps them.
    fn block_end(&self, from: usize, indent: usize, keeps: bool) -> usize {
        let mut end = from;
        let mut at = from;
        for line in self.text[from..].split_inclusive('\n') {
            let is_blank = line.trim_ascii().is_empty();
            let wide = line.len() - line.trim_start_matches(' ').len();
            if !is_blank && wide <= indent {
                break;
            }
            at += line.len();
            if !is_blank || keeps {
                end = at;
            }
        }
        end
    }

    /// Behind the lines that a plain scalar goes on over.
    fn plain_end(&self, from: usize, indent: usize) -> Result<usize> {
        let mut end = from;
        let mut at = from;
        for line in self.text[from..].split_inclusive('\n') {
            let bare = line.trim_ascii();
            let wide = line.len() - line.trim_start_matches(' ').len();
            if !bare.is_empty() && (wide <= indent || bare.starts_with('#')) {
                break;
            }
            if bare.contains(": ") || bare.ends_with(':') {
                return Err(refusal(self.text, at, "this is indented as if it belonged to the line above"));
            }
            at += line.len();
            if !bare.is_empty() {
                end = at;
            }
        }
        Ok(end)
    }
}

/// Without the comment and the blanks behind it.
fn plain(rest: &str) -> &str {
    let end = rest.find(" #").or_else(|| rest.find("\t#")).unwrap_or(rest.len());
    rest[..end].trim_ascii_end()
}

/// A key that stands here, in quotes or not, and the place behind its colon.
fn key(text: &str, from: usize, line_end: usize) -> Option<(String, usize)> {
    let rest = &text[from..line_end];
    let is_colon = |at: usize| {
        rest[at..].starts_with(':') && rest[at + 1..].chars().next().is_none_or(|c| c.is_ascii_whitespace())
    };
    if rest.starts_with(['"', '\'']) {
        let end = quoted_end(text, from)?;
        let colon = end + (text[end..].len() - text[end..].trim_start_matches(' ').len());
        let is_key = colon < line_end && is_colon(colon - from);
        return is_key.then(|| (unquoted(&text[from..end]), colon + 1));
    }
    if rest.starts_with(['{', '[', '#', '|', '>', '@', '`', '%']) {
        return None;
    }
    let comment = rest.find(" #").unwrap_or(rest.len());
    let colon = rest[..comment].match_indices(':').map(|(at, _)| at).find(|at| is_colon(*at))?;
    Some((rest[..colon].trim_ascii_end().to_owned(), from + colon + 1))
}

/// Behind the closing quote.
fn quoted_end(text: &str, start: usize) -> Option<usize> {
    let quote = text[start..].chars().next()?;
    let mut chars = text[start + 1..].char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quote == '"' => drop(chars.next()),
            '\'' if quote == '\'' && chars.peek().is_some_and(|(_, next)| *next == '\'') => drop(chars.next()),
            c if c == quote => return Some(start + 1 + at + 1),
            _ => {}
        }
    }
    None
}

/// Behind the bracket that closes the one that stands here.
fn flow_end(text: &str, start: usize) -> Option<usize> {
    let mut open = Vec::new();
    let mut at = start;
    while let Some(c) = text[at..].chars().next() {
        let before = text[..at].chars().next_back();
        let is_first = before.is_none_or(|c| c.is_ascii_whitespace() || matches!(c, '[' | '{' | ',' | ':'));
        match c {
            '"' | '\'' if is_first => {
                at = quoted_end(text, at)?;
                continue;
            }
            '#' if before.is_some_and(|c| c.is_ascii_whitespace()) => {
                at += text[at..].find('\n')?;
                continue;
            }
            '[' => open.push(']'),
            '{' => open.push('}'),
            ']' | '}' if open.pop() != Some(c) => return None,
            _ => {}
        }
        at += c.len_utf8();
        if open.is_empty() {
            return Some(at);
        }
    }
    None
}

/// What a scalar says, without its quotes.
pub fn unquoted(scalar: &str) -> String {
    let inner = || scalar.get(1..scalar.len().saturating_sub(1)).unwrap_or_default();
    match scalar.chars().next() {
        Some('\'') => inner().replace("''", "'"),
        Some('"') => serde_json::from_str(scalar).unwrap_or_else(|_| inner().to_owned()),
        _ => scalar.to_owned(),
    }
}
