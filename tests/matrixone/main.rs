//! The shared engine. What needs a server that speaks the protocol runs against Debian's MariaDB, started here; what
//! needs MatrixOne itself runs where MEMORIA_TEST_MATRIXONE_URL names one. `cargo test matrixone` selects all of it.
#![cfg(target_os = "linux")]

#[path = "../support/eventful.rs"]
mod eventful;
mod maria;
mod proxy;
mod server;
#[path = "../support/mod.rs"]
mod support;

#[path = "copied.rs"]
mod matrixone_copied;
#[path = "doctor.rs"]
mod matrixone_doctor;
#[path = "faults.rs"]
mod matrixone_faults;
#[path = "laws.rs"]
mod matrixone_laws;
#[path = "moving.rs"]
mod matrixone_moving;
#[path = "offline.rs"]
mod matrixone_offline;
#[path = "pool.rs"]
mod matrixone_pool;
#[path = "same_answers.rs"]
mod matrixone_same_answers;
#[path = "skipped.rs"]
mod matrixone_skipped;
#[path = "tls.rs"]
mod matrixone_tls;
#[path = "upkeep.rs"]
mod matrixone_upkeep;
#[path = "v04.rs"]
mod matrixone_v04;
#[path = "weather.rs"]
mod matrixone_weather;
