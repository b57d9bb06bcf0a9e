//! The processes from outside: the wire, the races, the deaths and the shim, with real programs in homes of their own.
#![cfg(target_os = "linux")]

mod support;

#[path = "daemon/flagged.rs"]
mod flagged;
#[path = "daemon/hand_over.rs"]
mod hand_over;
#[path = "daemon/kill9.rs"]
mod kill9;
#[path = "daemon/kill9_history.rs"]
mod kill9_history;
#[path = "daemon/lifecycle.rs"]
mod lifecycle;
#[path = "daemon/restart_under_shim.rs"]
mod restart_under_shim;
#[path = "daemon/sessions.rs"]
mod sessions;
#[path = "daemon/settings.rs"]
mod settings;
#[path = "daemon/shim.rs"]
mod shim;
#[path = "daemon/start_race.rs"]
mod start_race;
#[path = "daemon/trust.rs"]
mod trust;
#[path = "daemon/wire.rs"]
mod wire;
