//! Live settings: hears of an edited config file, reads it again, and publishes it to whoever holds the receiver.
//! A bad edit changes nothing: it is logged and kept for `status`, and the old values stay.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, watch};

use super::logs;
use crate::config::Config;
use crate::error::Result;
use crate::paths::Paths;

/// Editors write in several steps (truncate, write, rename): only a quiet file is read.
const QUIET_FOR: Duration = Duration::from_millis(200);
/// The file is also read without being told: a folder that was removed and made again tells nothing.
const UNTOLD_EVERY: Duration = Duration::from_secs(60);
/// How often where the system cannot tell at all.
const POLL_EVERY: Duration = Duration::from_secs(2);

/// The settings of the moment, and what was wrong with the last edit.
pub struct Watched {
    config: watch::Receiver<Arc<Config>>,
    error: watch::Receiver<Option<String>>,
}

impl Watched {
    /// The settings, now and whenever they change.
    pub fn config(&self) -> watch::Receiver<Arc<Config>> {
        self.config.clone()
    }

    /// Why the file as it stands was not taken over; `None` when it was.
    pub fn error(&self) -> Option<String> {
        self.error.borrow().clone()
    }
}

/// Watches from now on, within the current tokio runtime, until every receiver is gone. `first` is what was found at
/// the start; where it was refused, the defaults serve, and `status` says why.
pub fn start(paths: &Paths, first: Result<Config>, logs: logs::Control) -> Watched {
    let (changed, changes) = mpsc::channel(1);
    let watcher = watch_folders(paths, changed)
        .inspect_err(|e| {
            tracing::warn!("the system cannot tell when the settings change ({e}): looking every {POLL_EVERY:?}");
        })
        .ok();
    run(paths, first, logs, changes, watcher)
}

fn run(
    paths: &Paths,
    first: Result<Config>,
    logs: logs::Control,
    mut changes: mpsc::Receiver<()>,
    watcher: Option<RecommendedWatcher>,
) -> Watched {
    let (first, refused) = match first {
        Ok(config) => (config, None),
        Err(refused) => {
            tracing::warn!("the settings were refused, the defaults serve instead: {refused}");
            (Config::default(), Some(refused.message))
        }
    };
    let (config_sender, config) = watch::channel(Arc::new(first));
    let (error_sender, error) = watch::channel(refused);
    let paths = paths.clone();
    tokio::spawn(async move {
        let untold_every = if watcher.is_some() { UNTOLD_EVERY } else { POLL_EVERY };
        loop {
            tokio::select! {
                () = config_sender.closed() => return,
                Some(()) = changes.recv() => {
                    while tokio::time::timeout(QUIET_FOR, changes.recv()).await.is_ok_and(|told| told.is_some()) {}
                }
                () = tokio::time::sleep(untold_every) => {}
            }
            let paths = paths.clone();
            match tokio::task::spawn_blocking(move || Config::load(&paths)).await {
                Ok(Ok(config)) => take_over(config, &config_sender, &error_sender, &logs),
                Ok(Err(refused)) => refuse(refused.message, &error_sender),
                Err(_) => return, // The runtime is shutting down.
            }
        }
    });
    Watched { config, error }
}

fn take_over(
    config: Config,
    current: &watch::Sender<Arc<Config>>,
    error: &watch::Sender<Option<String>>,
    logs: &logs::Control,
) {
    if error.send_replace(None).is_some() {
        tracing::info!("the settings are readable again");
    }
    let before = current.borrow().clone();
    if *before == config {
        return;
    }
    for (old, new) in before.entries().iter().zip(config.entries()) {
        if old.value != new.value {
            tracing::info!("the setting {} is now {}, was {}", new.key, new.value, old.value);
        }
    }
    logs.apply(&config.log);
    current.send_replace(Arc::new(config));
}

/// Said once per mistake, however often the file is looked at.
fn refuse(why: String, error: &watch::Sender<Option<String>>) {
    if error.borrow().as_deref() != Some(why.as_str()) {
        tracing::warn!("the edited settings were refused, the old ones stay: {why}");
        error.send_replace(Some(why));
    }
}

/// The folder, because editors replace the file; where the file is a link, the folder that it leads to as well.
fn watch_folders(paths: &Paths, changed: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the file is an event too. A full channel means that the change is already known.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            let _ = changed.try_send(());
        }
    })?;
    watcher.watch(&paths.config_dir, RecursiveMode::NonRecursive)?;
    let target = paths.config_file().canonicalize().ok();
    if let Some(folder) = target.as_deref().and_then(Path::parent)
        && paths.config_dir.canonicalize().is_ok_and(|dir| dir != folder)
    {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::logs::Logs;

    struct Home {
        _dir: tempfile::TempDir,
        paths: Paths,
        logs: Logs,
    }

    fn home() -> Home {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let paths =
            Paths { config_dir: at("config"), data_dir: at("data"), state_dir: at("state"), runtime_dir: at("run") };
        paths.prepare().unwrap();
        let logs = Logs::for_tests(&paths);
        Home { _dir: dir, paths, logs }
    }

    async fn until(watched: &Watched, what: impl Fn(&Config, Option<String>) -> bool) {
        let holds = async {
            while !what(&watched.config().borrow(), watched.error()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), holds).await.expect("the edit was not noticed within 30 s");
    }

    fn edit(home: &Home, text: &str) {
        std::fs::write(home.paths.config_file(), text).unwrap();
    }

    #[tokio::test]
    async fn an_edit_is_taken_over_and_a_bad_one_leaves_the_old_values() {
        let home = home();
        let watched = start(&home.paths, Ok(Config::default()), home.logs.control());
        edit(&home, "[search]\ntop_k = 7\n");
        until(&watched, |config, error| config.search.top_k == 7 && error.is_none()).await;
        edit(&home, "[search]\ntop_k = 0\n");
        until(&watched, |config, error| config.search.top_k == 7 && error.is_some_and(|e| e.contains("top_k"))).await;
        edit(&home, "[search]\ntop_k = 8\n");
        until(&watched, |config, error| config.search.top_k == 8 && error.is_none()).await;
        std::fs::remove_file(home.paths.config_file()).unwrap();
        until(&watched, |config, _| *config == Config::default()).await;
    }

    #[tokio::test]
    async fn a_daemon_starts_with_bad_settings_and_says_so_at_once() {
        let home = home();
        edit(&home, "[search]\ntop_k = 0\n");
        let watched = start(&home.paths, Config::load(&home.paths), home.logs.control());
        assert!(watched.error().is_some_and(|why| why.contains("top_k")));
        edit(&home, "[search]\ntop_k = 6\n");
        until(&watched, |config, error| config.search.top_k == 6 && error.is_none()).await;
    }

    #[tokio::test]
    async fn editors_that_rename_are_noticed() {
        let home = home();
        let watched = start(&home.paths, Ok(Config::default()), home.logs.control());
        for top_k in [11, 12] {
            let new = home.paths.config_dir.join(".config.toml.swp");
            std::fs::write(&new, format!("[search]\ntop_k = {top_k}\n")).unwrap();
            std::fs::rename(&new, home.paths.config_file()).unwrap();
            until(&watched, |config, _| config.search.top_k == top_k).await;
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn an_edit_behind_a_link_is_noticed() {
        let home = home();
        let repository = tempfile::tempdir().unwrap();
        let real = repository.path().join("memoria.toml");
        std::fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, home.paths.config_file()).unwrap();
        let watched = start(&home.paths, Ok(Config::default()), home.logs.control());
        std::fs::write(&real, "[search]\ntop_k = 9\n").unwrap();
        until(&watched, |config, _| config.search.top_k == 9).await;
    }

    #[tokio::test]
    async fn without_notifications_the_file_is_looked_at() {
        let home = home();
        let (_nobody, changes) = mpsc::channel(1);
        let watched = run(&home.paths, Ok(Config::default()), home.logs.control(), changes, None);
        edit(&home, "[log]\nlevel = \"debug\"\n");
        until(&watched, |config, _| config.log.level == crate::config::Level::Debug).await;
    }
}
