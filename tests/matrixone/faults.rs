//! Connections cut in mid-statement and servers killed in mid-write: nothing that was acknowledged is lost, and nothing
//! is done twice.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use memoria::engine::matrixone::pool::Pool;
use memoria::error::{Error, ErrorKind, Result};

use crate::maria::{Maria, beside_a_runtime, pool, shared, url};
use crate::proxy::{Proxy, Weather};
use crate::support::{Done, seed, setting};

/// The write of an engine in small: the lock, the operation's id, the work, its reply.
fn write(pool: &Pool, op: u64) -> Result<u64> {
    pool.write(|session| {
        let next = session.first("select next from meta where id = 1 for update", vec![])?;
        let next: u64 = mysql_async::from_row(next.ok_or_else(|| Error::corrupt("there is no meta"))?);
        if let Some(known) = session.first("select reply from ops where op = ?", vec![op.into()])? {
            return Ok(mysql_async::from_row(known));
        }
        session.run("insert into work values (?, ?)", vec![next.into(), op.into()])?;
        session.run("insert into ops values (?, ?)", vec![op.into(), next.into()])?;
        session.run("update meta set next = next + 1 where id = 1", vec![])?;
        Ok(next)
    })
}

/// As the service does: an unknown outcome is asked for again under the same id.
fn write_surely(pool: &Pool, op: u64) -> Option<u64> {
    for _ in 0..20 {
        match write(pool, op) {
            Ok(reply) => return Some(reply),
            Err(error) => assert!(matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Unknown), "{error}"),
        }
    }
    None
}

fn make_tables(pool: &Pool) {
    pool.read(|session| {
        session.text("create table meta (id int primary key, next bigint not null)")?;
        session.text("insert into meta values (1, 1)")?;
        session.text("create table ops (op bigint primary key, reply bigint not null)")?;
        // No key on the operation: one that is done twice shows.
        session.text("create table work (n bigint primary key, op bigint not null)")
    })
    .unwrap();
}

/// Every acknowledged write is there once, with the reply that was given; nothing is there twice.
fn check(pool: &Pool, acknowledged: &BTreeMap<u64, u64>) {
    let rows = pool.read(|session| session.rows("select op, n from work", vec![])).unwrap();
    let rows: Vec<(u64, u64)> = rows.into_iter().map(mysql_async::from_row).collect();
    let done: BTreeMap<u64, u64> = rows.iter().copied().collect();
    assert_eq!(done.len(), rows.len(), "an operation was done twice");
    let lost: Vec<_> = acknowledged.iter().filter(|(op, reply)| done.get(op) != Some(reply)).collect();
    assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
}

#[test]
fn no_acknowledged_write_is_lost_or_doubled_by_connections_that_are_cut() {
    let Some(maria) = shared() else { return };
    let (seed, wanted) = (seed(), setting("MEMORIA_ROUNDS", 200));
    let (straight, port) = (maria.url("cuts"), maria.port);
    let (acknowledged, cuts) = beside_a_runtime(move |handle| {
        let straight = pool(&straight, handle.clone());
        make_tables(&straight);
        let proxy = Proxy::to(port, seed);
        let through = pool(&url(proxy.port, "cuts"), handle);
        proxy.set(Weather::Cuts { bytes_max: 6_000 });
        let (next, acknowledged) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while proxy.cuts() < wanted {
                        let op = next.fetch_add(1, Ordering::Relaxed);
                        if let Some(reply) = write_surely(&through, op) {
                            acknowledged.lock().unwrap().insert(op, reply);
                        }
                    }
                });
            }
        });
        let acknowledged = acknowledged.into_inner().unwrap();
        check(&straight, &acknowledged);
        (acknowledged.len(), proxy.cuts())
    });
    println!("{cuts} cuts, {acknowledged} acknowledged writes: 0 lost, 0 doubled");
    assert!(cuts >= wanted && acknowledged > 0);
}

#[test]
fn no_acknowledged_write_is_lost_or_doubled_by_a_server_that_is_killed() {
    let Some(maria) = Maria::start(&[]) else { return };
    let url = maria.url("killed");
    beside_a_runtime(move |handle| {
        let pool = pool(&url, handle);
        make_tables(&pool);
        let (next, acknowledged) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _over = Done(&is_over);
            for _ in 0..4 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let op = next.fetch_add(1, Ordering::Relaxed);
                        if let Some(reply) = write_surely(&pool, op) {
                            acknowledged.lock().unwrap().insert(op, reply);
                        }
                    }
                });
            }
            for _ in 0..3 {
                let before = acknowledged.lock().unwrap().len();
                crate::support::eventually("there are more writes", || {
                    acknowledged.lock().unwrap().len() > before + 20
                });
                maria.kill();
                std::thread::sleep(Duration::from_millis(100));
                maria.begin();
            }
        });
        let acknowledged = acknowledged.into_inner().unwrap();
        check(&pool, &acknowledged);
        println!("3 kills, {} acknowledged writes: 0 lost, 0 doubled", acknowledged.len());
    });
}

#[test]
fn a_commit_whose_outcome_nobody_can_tell_is_called_unknown() {
    let Some(maria) = shared() else { return };
    let proxy = Proxy::to(maria.port, seed());
    let url = url(proxy.port, "unknown");
    beside_a_runtime(move |handle| {
        let pool = pool(&url, handle);
        pool.read(|session| session.text("create table t (id int primary key)")).unwrap();
        // The silence begins when all is said but COMMIT, and lasts.
        let error = pool.within(Duration::from_secs(4)).write(|session| {
            session.run("replace into t values (1)", vec![])?;
            proxy.set(Weather::Silent);
            Ok(())
        });
        assert_eq!(error.unwrap_err().kind, ErrorKind::Unknown);
    });
}
