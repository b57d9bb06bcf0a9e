//! What the daemon says about itself.

use super::{house::House, logs};
use crate::wire::message::Status;

/// Everything that `memoria status` shows.
pub async fn status(house: &House) -> Status {
    let store = house.dispatch.store_status().await;
    let embedding = house.dispatch.embedding_status().await;
    let (rss_bytes, pss_bytes) = memory();
    let mut sessions = house.sessions();
    for session in &mut sessions {
        session.branch = house.dispatch.branch_of(&session.session, session.project.as_ref());
    }
    let paths = &house.paths;
    let named = [
        ("config", paths.config_file()),
        ("data", paths.data_dir.clone()),
        ("state", paths.state_dir.clone()),
        ("logs", paths.log_dir()),
        ("socket", paths.socket_path()),
    ];
    let (engine, server) = house.dispatch.engine();
    let idle_exit_min = house.settings.config().borrow().daemon.idle_exit_min;
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_at: house.started_at,
        rss_bytes,
        pss_bytes,
        engine,
        server,
        store,
        sessions,
        last_error: logs::last_error(),
        config_error: house.settings.error(),
        idle_exit_min: if house.is_auto { idle_exit_min } else { 0 },
        embedding,
        paths: named.map(|(what, path)| (what.to_owned(), path.display().to_string())).to_vec(),
    }
}

/// Resident and proportional set size, in bytes; zeros where the system does not tell.
fn memory() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let bytes_of = |field: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    (bytes_of("Rss:").unwrap_or(0), bytes_of("Pss:").unwrap_or(0))
}
