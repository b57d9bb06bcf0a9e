//! One key of the settings file, set where it stands: every other line, comments too, stays as it is.

use std::path::PathBuf;

use super::{Config, EngineKind};
use crate::error::{Error, Result};
use crate::paths::Paths;

impl Config {
    /// Writes `[engine] kind` into the settings file, in one step; says which file that is.
    ///
    /// # Errors
    /// What is wrong with the file as it stands; `Conflict` where it is written in a way that this cannot change
    /// safely; whatever writing a file gives.
    pub fn choose_engine(paths: &Paths, kind: EngineKind) -> Result<PathBuf> {
        let file = paths.config_file();
        let text = match std::fs::read_to_string(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.map_err(|e| Error::io(format_args!("read the settings in {}", file.display()), &e))?,
        };
        let edited = with_key(&text, "engine", "kind", &format!("\"{}\"", kind.as_str()));
        let mut wanted = Self::parse(&file, &text, std::iter::empty())?;
        let found = Self::parse(&file, &edited, std::iter::empty());
        wanted.engine.kind = kind;
        if !found.is_ok_and(|found| found.says_the_same(&wanted)) {
            return Err(Error::conflict(format!(
                "{} is written in a way that cannot be changed safely: set `kind = \"{}\"` under [engine] yourself",
                file.display(),
                kind.as_str()
            )));
        }
        let failed = |e| Error::io(format_args!("write the settings to {}", file.display()), &e);
        let fresh = file.with_extension("toml.new");
        std::fs::create_dir_all(&paths.config_dir).map_err(failed)?;
        std::fs::write(&fresh, edited).map_err(failed)?;
        std::fs::rename(&fresh, &file).map_err(failed)?;
        Ok(file)
    }

    /// All values, wherever they came from.
    fn says_the_same(&self, other: &Self) -> bool {
        let values = |config: &Self| config.entries().into_iter().map(|entry| entry.value).collect::<Vec<_>>();
        values(self) == values(other)
    }
}

/// The text with the key set: in its line where it has one (a commented one too), else under its section's head, else
/// at the end.
fn with_key(text: &str, section: &str, key: &str, value: &str) -> String {
    let (head, line) = (format!("[{section}]"), format!("{key} = {value}"));
    let mut lines: Vec<&str> = text.lines().collect();
    let begin = lines.iter().position(|line| line.split('#').next().unwrap_or_default().trim() == head);
    let Some(begin) = begin else {
        let gap = if text.is_empty() || text.ends_with("\n\n") { "" } else { "\n" };
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        return format!("{text}{end}{gap}{head}\n{line}\n");
    };
    let is_head = |line: &&str| line.trim_start().starts_with('[');
    let end = lines[begin + 1..].iter().position(is_head).map_or(lines.len(), |end| begin + 1 + end);
    let sets = |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
    let found = lines[begin + 1..end].iter().position(|line| sets(line));
    let found =
        found.or_else(|| lines[begin + 1..end].iter().position(|line| sets(line.trim_start_matches(['#', ' ']))));
    match found {
        Some(at) => lines[begin + 1 + at] = &line,
        None => lines.insert(begin + 1, &line),
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> String {
        with_key(text, "engine", "kind", "\"matrixone\"")
    }

    #[test]
    fn a_key_is_set_where_it_stands_and_nothing_else_changes() {
        for (before, after) in [
            ("", "[engine]\nkind = \"matrixone\"\n"),
            ("[log]\nlevel = \"warn\"", "[log]\nlevel = \"warn\"\n\n[engine]\nkind = \"matrixone\"\n"),
            (
                "# mine\n[engine] # here\nkind=\"embedded\" \n[log]\n",
                "# mine\n[engine] # here\nkind = \"matrixone\"\n[log]\n",
            ),
            ("[engine]\n#kind = \"embedded\"\n\n[log]\n", "[engine]\nkind = \"matrixone\"\n\n[log]\n"),
            ("[engine]\n\n[log]\nkind = 1\n", "[engine]\nkind = \"matrixone\"\n\n[log]\nkind = 1\n"),
        ] {
            assert_eq!(set(before), after);
        }
    }

    #[test]
    fn the_sample_with_a_key_set_is_the_sample_with_that_one_line() {
        let (before, after) = (Config::sample(), set(&Config::sample()));
        let changed: Vec<_> = before.lines().zip(after.lines()).filter(|(before, after)| before != after).collect();
        assert_eq!(changed, [("#kind = \"embedded\"", "kind = \"matrixone\"")]);
        assert_eq!(before.lines().count(), after.lines().count());
    }

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::in_home(home.path()).unwrap();
        std::fs::create_dir_all(&paths.config_dir).unwrap();
        std::fs::write(paths.config_file(), "[log]\nlevel = \"warn\" # quiet\n").unwrap();
        Config::choose_engine(&paths, EngineKind::MatrixOne).unwrap();
        let text = std::fs::read_to_string(paths.config_file()).unwrap();
        assert_eq!(text, "[log]\nlevel = \"warn\" # quiet\n\n[engine]\nkind = \"matrixone\"\n");
        let inline = "engine = { kind = \"embedded\" }\n";
        std::fs::write(paths.config_file(), inline).unwrap();
        let refused = Config::choose_engine(&paths, EngineKind::MatrixOne).unwrap_err();
        assert!(refused.message.contains("yourself"), "{refused}");
        assert_eq!(std::fs::read_to_string(paths.config_file()).unwrap(), inline);
    }
}
