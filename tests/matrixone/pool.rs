//! The pool: how many connections, what a deadline means, what is tried again, and what is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use memoria::engine::matrixone::pool::Pool;
use memoria::engine::matrixone::settings::Settings;
use memoria::error::{Error, ErrorKind};
use mysql_async::Value;

use crate::maria::{PASSWORD, beside_a_runtime, pool, shared, url};
use crate::proxy::{Proxy, Weather};
use crate::support::{eventually, seed};

/// Connections of this database's users, as the server counts them, without the one that asks.
const OTHERS: &str =
    "select count(*) from information_schema.processlist where db = database() and id <> connection_id()";

fn number(pool: &Pool, sql: &str) -> i64 {
    let row = pool.read(|session| session.first(sql, vec![])).unwrap().unwrap();
    mysql_async::from_value(row[0].clone())
}

#[test]
fn a_blocking_thread_asks_while_the_runtimes_one_thread_serves() {
    let Some(maria) = shared() else { return };
    let url = maria.url("asks");
    let found = beside_a_runtime(move |handle| {
        let pool = pool(&url, handle);
        pool.read(|session| {
            session.text("create table t (id int primary key, name varchar(20), raw blob)")?;
            session.run("insert into t values (?, ?, ?)", vec![1.into(), "日本".into(), Value::Bytes(vec![0, 255])])?;
            session.rows("select name, raw, null from t where id = ?", vec![1.into()])
        })
    });
    let (name, raw, nothing): (String, Vec<u8>, Option<i64>) = mysql_async::from_row(found.unwrap().remove(0));
    assert_eq!((name.as_str(), raw, nothing), ("日本", vec![0, 255], None));
}

#[test]
fn busy_sessions_share_at_most_eight_connections_and_a_quiet_pool_keeps_one() {
    let Some(maria) = shared() else { return };
    let (busy, watched) = (maria.url("busy"), maria.url("busy"));
    beside_a_runtime(move |handle| {
        let (busy, watching) = (Arc::new(pool(&busy, handle.clone())), pool(&watched, handle));
        number(&busy, "select 1");
        let most = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        number(&busy, "select sleep(0.01)");
                        most.fetch_max(number(&watching, OTHERS) as u64, Ordering::Relaxed);
                    }
                });
            }
        });
        // The watchers have eight of their own.
        assert!(busy.open_count() <= 8 && most.load(Ordering::Relaxed) <= 15, "{} {most:?}", busy.open_count());
        for _ in 0..3 {
            if busy.open_count() + watching.open_count() > 2 {
                std::thread::sleep(Duration::from_secs(10));
            }
        }
        eventually("one connection is left of each pool", || busy.open_count() == 1 && number(&watching, OTHERS) == 1);
    });
}

#[test]
fn a_database_that_is_missing_is_made() {
    let Some(maria) = shared() else { return };
    let url = maria.url("made-by_us");
    let name = beside_a_runtime(move |handle| {
        pool(&url, handle).read(|session| session.first("select database()", vec![])).unwrap().unwrap()
    });
    assert_eq!(mysql_async::from_row::<String>(name), "made-by_us");
}

#[test]
fn a_failed_transaction_keeps_nothing() {
    let Some(maria) = shared() else { return };
    let url = maria.url("fails");
    beside_a_runtime(move |handle| {
        let pool = pool(&url, handle);
        pool.read(|session| session.text("create table t (id int primary key)")).unwrap();
        let failed: Result<(), Error> = pool.write(|session| {
            session.run("insert into t values (1)", vec![])?;
            Err(Error::conflict("somebody else was here"))
        });
        assert_eq!(failed.unwrap_err().kind, ErrorKind::Conflict);
        let refused = pool.write(|session| {
            session.run("insert into t values (2)", vec![])?;
            session.run("insert into t values (2)", vec![])
        });
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Internal, "the same key twice is a fault of ours");
        assert_eq!(number(&pool, "select count(*) from t"), 0);
        pool.write(|session| session.run("insert into t values (3)", vec![])).unwrap();
        assert_eq!(number(&pool, "select sum(id) from t"), 3, "the connection is as good as before");
    });
}

#[test]
fn a_head_moves_by_compare_and_swap_and_no_move_is_lost() {
    let Some(maria) = shared() else { return };
    let url = maria.url("swaps");
    beside_a_runtime(move |handle| {
        let pool = pool(&url, handle);
        pool.read(|session| {
            session.text("create table heads (name int primary key, head bigint not null)")?;
            session.text("insert into heads values (1, 0)")
        })
        .unwrap();
        let moved = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let head = number(&pool, "select head from heads where name = 1");
                        let swap = "update heads set head = ? where name = 1 and head = ?";
                        let found = pool.write(|session| session.run(swap, vec![(head + 1).into(), head.into()]));
                        moved.fetch_add(found.unwrap(), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(number(&pool, "select head from heads where name = 1") as u64, moved.into_inner());
        let same = pool.write(|session| session.run("update heads set head = head where name = 1", vec![])).unwrap();
        assert_eq!(same, 1, "rows are counted that were found, changed or not");
    });
}

#[test]
fn deadlocks_are_tried_again_until_both_have_gone_through() {
    let Some(maria) = shared() else { return };
    let url = maria.url("locks");
    beside_a_runtime(move |handle| {
        let pool = pool(&url, handle);
        pool.read(|session| {
            session.text("create table t (id int primary key, n int not null)")?;
            session.text("insert into t values (1, 0), (2, 0)")
        })
        .unwrap();
        let tries = AtomicU64::new(0);
        let both = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for order in [[1, 2], [2, 1]] {
                let (pool, tries, both) = (&pool, &tries, &both);
                scope.spawn(move || {
                    let mut is_first = true;
                    pool.write(|session| {
                        tries.fetch_add(1, Ordering::Relaxed);
                        session.run("update t set n = n + 1 where id = ?", vec![order[0].into()])?;
                        if std::mem::take(&mut is_first) {
                            both.wait();
                        }
                        session.run("update t set n = n + 1 where id = ?", vec![order[1].into()])
                    })
                    .unwrap();
                });
            }
        });
        assert!(tries.into_inner() > 2, "there was a deadlock");
        assert_eq!(number(&pool, "select sum(n) from t"), 4);
    });
}

#[test]
fn a_silent_server_is_waited_for_no_longer_than_the_deadline() {
    let Some(maria) = shared() else { return };
    let proxy = Proxy::to(maria.port, seed());
    let url = url(proxy.port, "silence");
    beside_a_runtime(move |handle| {
        let pool = pool(&url, handle);
        number(&pool, "select 1");
        proxy.set(Weather::Silent);
        let error =
            pool.within(Duration::from_millis(600)).read(|session| session.first("select 1", vec![])).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.message.contains(&format!("127.0.0.1:{}", proxy.port)), "{error}");
        assert!(error.message.contains("does not answer in time"), "{error}");
        proxy.set(Weather::Clear);
        eventually("the server is found again", || pool.read(|session| session.first("select 1", vec![])).is_ok());
    });
}

#[test]
fn a_server_that_is_down_is_tried_once_by_each_request_until_it_is_back() {
    let Some(maria) = shared() else { return };
    let proxy = Proxy::to(maria.port, seed());
    let url = url(proxy.port, "down");
    beside_a_runtime(move |handle| {
        // Long enough to be tried more than once by a busy machine, and to be made when all is well again.
        let pool = pool(&url, handle).within(Duration::from_secs(4));
        proxy.set(Weather::Refuses);
        let ask = || pool.read(|session| session.first("select 1", vec![]));
        let before = proxy.cuts();
        let error = ask().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.message.contains("The next request tries again"), "{error}");
        let during = proxy.cuts();
        assert!(during - before > 1, "it was tried more than once");
        assert_eq!(ask().unwrap_err().kind, ErrorKind::Unavailable);
        assert_eq!(proxy.cuts() - during, 1, "after that, a request is told at once");
        proxy.set(Weather::Clear);
        ask().unwrap();
    });
}

#[test]
fn a_slow_way_is_no_fault() {
    let Some(maria) = shared() else { return };
    let proxy = Proxy::to(maria.port, seed());
    let url = url(proxy.port, "slow");
    beside_a_runtime(move |handle| {
        proxy.set(Weather::Slow(Duration::from_millis(30)));
        let pool = pool(&url, handle);
        pool.write(|session| session.text_rows("select 1")).unwrap();
    });
}

#[test]
fn all_connections_busy_is_said_with_their_number() {
    let Some(maria) = shared() else { return };
    let url = maria.url("busy_all");
    beside_a_runtime(move |handle| {
        let mut settings = Settings::from_url(&url).unwrap();
        settings.connections_max = 1;
        let pool = Pool::open(&settings, handle);
        let error = pool.read(|_| pool.within(Duration::from_millis(50)).read(|_| Ok(())));
        let error = error.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.message.contains("all 1 connections"), "{error}");
    });
}

#[test]
fn a_wrong_password_is_denied_and_never_shown() {
    let Some(maria) = shared() else { return };
    let url = maria.url("test").replace(PASSWORD, "wrong-and-secret");
    let error = beside_a_runtime(move |handle| pool(&url, handle).read(|_| Ok(())).unwrap_err());
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(!error.message.contains("wrong-and-secret"), "{error}");
}
