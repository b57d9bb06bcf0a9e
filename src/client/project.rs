//! Which project a folder belongs to: the git remote, else the repository, else the folder itself.
//! Files are read, no git is run; nothing is written.

use std::path::{Path, PathBuf};

use crate::model::ProjectId;

/// Bigger files are no git configuration that a person wrote.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Worktrees and clones of one repository are one project. `None` at home (and at the root): what is said there
/// belongs to no project.
pub fn identify(cwd: &Path) -> Option<ProjectId> {
    let (cwd, home) = places(cwd);
    identify_below(&cwd, home.as_deref())
}

/// The folder of the project that this folder is in: the top of its work tree, else the folder itself. `None` in a home
/// folder and in the root, which are nobody's project.
pub fn root(cwd: &Path) -> Option<PathBuf> {
    let (cwd, home) = places(cwd);
    let is_nobodys = |dir: &Path| Some(dir) == home.as_deref() || dir.parent().is_none();
    let top = cwd.ancestors().find(|dir| dir.join(".git").exists()).filter(|top| !is_nobodys(top));
    top.or(Some(&cwd)).filter(|dir| !is_nobodys(dir)).map(Path::to_path_buf)
}

/// This folder and the home folder, links followed.
fn places(cwd: &Path) -> (PathBuf, Option<PathBuf>) {
    let home = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE")).map(PathBuf::from);
    let home = home.map(|home| home.canonicalize().unwrap_or(home));
    (cwd.canonicalize().unwrap_or_else(|_| cwd.to_path_buf()), home)
}

fn identify_below(cwd: &Path, home: Option<&Path>) -> Option<ProjectId> {
    let is_nobodys = |dir: &Path| Some(dir) == home || dir.parent().is_none();
    // Someone who keeps dot files in git has a repository at home: it does not own every folder below.
    let top = cwd.ancestors().find(|dir| dir.join(".git").exists()).filter(|top| !is_nobodys(top));
    if let Some(common) = top.and_then(git_common_dir) {
        if let Some(remote) = remote_of(&common) {
            return ProjectId::new(remote).ok();
        }
        let repository = if common.ends_with(".git") { common.parent() } else { None };
        return ProjectId::new(repository.unwrap_or(&common).to_string_lossy()).ok();
    }
    if is_nobodys(cwd) { None } else { ProjectId::new(cwd.to_string_lossy()).ok() }
}

/// The folder that all worktrees of a repository share.
fn git_common_dir(top: &Path) -> Option<PathBuf> {
    let dot_git = top.join(".git");
    if dot_git.is_dir() {
        return Some(dot_git);
    }
    let pointer = read(&dot_git)?;
    let git_dir = top.join(pointer.strip_prefix("gitdir:")?.trim());
    let common = match read(&git_dir.join("commondir")) {
        Some(common) => git_dir.join(common.trim()),
        None => git_dir,
    };
    common.canonicalize().ok()
}

/// `origin`, else the first remote that there is, as `host/owner/name`.
fn remote_of(git_dir: &Path) -> Option<String> {
    let config = read(&git_dir.join("config"))?;
    let mut remote: Option<&str> = None;
    let mut first = None;
    for line in config.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let name = section.split(']').next().unwrap_or_default();
            remote = name.strip_prefix("remote").map(|name| name.trim().trim_matches('"'));
            continue;
        }
        let (Some(name), Some((key, value))) = (remote, line.split_once('=')) else { continue };
        if !key.trim().eq_ignore_ascii_case("url") {
            continue;
        }
        let Some(url) = normalised(value.trim().trim_matches('"')) else { continue };
        if name == "origin" {
            return Some(url);
        }
        first.get_or_insert(url);
    }
    first
}

/// `git@Host:owner/name.git`, `https://user:token@host:443/owner/name/` and the like are all `host/owner/name`.
/// `None` for a folder on this machine. Credentials never pass.
fn normalised(url: &str) -> Option<String> {
    let (authority, path) = match url.split_once("://") {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("file") => return None,
        Some((_, rest)) => rest.split_once('/')?,
        // scp-like: a colon before the first slash, and more than a drive letter before it.
        None => url.split_once(':').filter(|(host, _)| host.len() > 1 && !host.contains(['/', '\\']))?,
    };
    let host = authority.rsplit('@').next()?.split(':').next()?.to_ascii_lowercase();
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/');
    (!host.is_empty() && !path.is_empty()).then(|| format!("{host}/{path}"))
}

fn read(path: &Path) -> Option<String> {
    let is_small = std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() <= CONFIG_BYTES_MAX);
    is_small.then(|| std::fs::read(path).ok()).flatten().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_of_one_repository_are_one_project() {
        for url in [
            "git@github.com:acme/Site.git",
            "https://github.com/acme/Site.git",
            "https://user:token@GitHub.com/acme/Site/",
            "ssh://git@github.com:22/acme/Site.git",
            "git://github.com/acme/Site",
        ] {
            assert_eq!(normalised(url).as_deref(), Some("github.com/acme/Site"), "{url}");
        }
        assert_eq!(normalised("git@gitlab.com:a/b/c.git").as_deref(), Some("gitlab.com/a/b/c"));
    }

    #[test]
    fn folders_are_no_remotes() {
        for url in ["/srv/git/site.git", "../site", "file:///srv/site.git", r"C:\work\site", "", "https://"] {
            assert_eq!(normalised(url), None, "{url}");
        }
    }

    fn repository(top: &Path, config: &str) {
        std::fs::create_dir_all(top.join(".git")).unwrap();
        std::fs::write(top.join(".git/config"), config).unwrap();
    }

    fn shown(dir: &Path, home: &Path) -> Option<String> {
        identify_below(dir, Some(home)).map(|id| id.to_string())
    }

    #[test]
    fn identity_is_remote_then_repository_then_folder_and_home_is_nobodys() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let (site, deep) = (home.join("site"), home.join("site/src/deep"));
        std::fs::create_dir_all(&deep).unwrap();
        assert_eq!(shown(&deep, &home), Some(deep.display().to_string()));
        repository(&site, "[core]\n\tbare = false\n");
        assert_eq!(shown(&deep, &home), Some(site.display().to_string()));
        let config =
            "[remote \"fork\"]\n url = git@h.org:me/site.git\n[remote \"origin\"]\n\turl = git@h.org:we/site.git\n";
        repository(&site, config);
        assert_eq!(shown(&deep, &home), Some("h.org/we/site".into()));
        assert_eq!(shown(&home, &home), None);
        assert_eq!(shown(Path::new("/"), &home), None);
    }

    #[test]
    fn a_repository_at_home_does_not_own_the_folders_below() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        repository(&home, "[remote \"origin\"]\n url = git@h.org:me/dotfiles.git\n");
        let notes = home.join("notes");
        std::fs::create_dir(&notes).unwrap();
        assert_eq!(shown(&notes, &home), Some(notes.display().to_string()));
        assert_eq!(shown(&home, &home), None);
    }

    #[test]
    fn worktrees_of_one_repository_are_one_project() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let (main, tree) = (dir.join("main"), dir.join("tree"));
        repository(&main, "");
        let private = main.join(".git/worktrees/tree");
        std::fs::create_dir_all(&private).unwrap();
        std::fs::write(private.join("commondir"), "../..\n").unwrap();
        std::fs::create_dir(&tree).unwrap();
        std::fs::write(tree.join(".git"), format!("gitdir: {}\n", private.display())).unwrap();
        assert_eq!(shown(&tree, &dir), shown(&main, &dir));
        assert_eq!(shown(&tree, &dir), Some(main.display().to_string()));
    }
}
