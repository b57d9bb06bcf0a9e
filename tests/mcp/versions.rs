//! Arguments of the tools about branches, snapshots, diffs, merges and histories: what they become, what they refuse.

use memoria::model::{Filter, Later, OriginFilter, Page, ProjectId, Rule, SessionId, Source, Time, Walk};
use memoria::wire::message::{
    Apply, Back, Blame, Branch, Checkout, Diff, Doomed, Log, Lookalikes, Merge, Mode, Pick, Place, Request, Resolve,
    Revert, Rollback, Settle, Side, Snapshot, Undo, View, Way, WhichNames,
};
use serde_json::{Value, json};

use crate::backend::Agent;
use crate::samples::name;

const MAY: &str = "2026-05-01T00:00:00Z";
const MAY_MS: i64 = 1_777_593_600_000;

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn page(limit: u32, offset: u32) -> Page {
    Page { limit, offset }
}

async fn check(cases: Vec<(&str, Value, Request)>) {
    let agent = Agent::start();
    for (tool, arguments, request) in cases {
        let result = agent.call(tool, arguments.clone()).await;
        assert_eq!(result["isError"], false, "{tool} {arguments}: {}", result["content"][0]["text"]);
        let asked = agent.backend.0.asked.lock().unwrap().pop().expect("a request").1;
        assert_eq!(asked, request, "{tool} {arguments}");
    }
}

#[tokio::test]
async fn names_become_the_request_that_they_say() {
    let here = || View { branch: Some(name("b")), at: text("14:00") };
    let created = |from: Option<&str>| {
        Request::Branch(Branch::Create { name: name("b"), from: from.map(str::to_owned), note: None })
    };
    check(vec![
        (
            "memory_snapshot",
            json!({"name": "s", "description": "why", "branch": "b", "at": "14:00"}),
            Request::Snapshot(Snapshot::Create { name: name("s"), at: here(), note: text("why") }),
        ),
        (
            "memory_snapshots",
            json!({"limit": 5, "offset": 10, "branch": "b"}),
            Request::Snapshot(Snapshot::List { branch: Some(name("b")), page: page(5, 10) }),
        ),
        (
            "memory_snapshot_delete",
            json!({"names": "a, b"}),
            Request::Snapshot(Snapshot::Delete(Doomed::Names(vec![name("a"), name("b")]))),
        ),
        (
            "memory_snapshot_delete",
            json!({"names": ["a", "b"]}),
            Request::Snapshot(Snapshot::Delete(Doomed::Names(vec![name("a"), name("b")]))),
        ),
        (
            "memory_snapshot_delete",
            json!({"prefix": "before-"}),
            Request::Snapshot(Snapshot::Delete(Doomed::Prefix("before-".to_owned()))),
        ),
        (
            "memory_snapshot_delete",
            json!({"older_than": MAY}),
            Request::Snapshot(Snapshot::Delete(Doomed::Older(Time(MAY_MS)))),
        ),
        (
            "memory_snapshot_delete",
            json!({"names": "a", "restore": true}),
            Request::Snapshot(Snapshot::Restore { name: name("a") }),
        ),
        ("memory_branch", json!({"name": "b"}), created(None)),
        ("memory_branch", json!({"name": "b", "from": "2h ago"}), created(Some("2h ago"))),
        ("memory_branch", json!({"name": "b", "from_snapshot": "nightly"}), created(Some("nightly"))),
        ("memory_branch", json!({"name": "b", "from_timestamp": MAY}), created(Some(MAY))),
        (
            "memory_branch",
            json!({"name": "b", "rename_to": "c"}),
            Request::Branch(Branch::Rename { name: name("b"), new: name("c") }),
        ),
        ("memory_branches", json!({}), Request::Branch(Branch::List { names: WhichNames::Living })),
        ("memory_branches", json!({"deleted": true}), Request::Branch(Branch::List { names: WhichNames::All })),
        ("memory_branch_delete", json!({"name": "b"}), Request::Branch(Branch::Delete { name: name("b") })),
        (
            "memory_branch_delete",
            json!({"name": "b", "restore": true}),
            Request::Branch(Branch::Restore { name: name("b") }),
        ),
        ("memory_checkout", json!({"name": "main"}), Request::Checkout(Checkout { name: name("main") })),
    ])
    .await;
}

#[tokio::test]
async fn diffs_and_histories_become_the_request_that_they_say() {
    let diff = |from: Option<&str>, branch: Option<&str>, place, limit| {
        let (from, branch) = (from.map(str::to_owned), branch.map(name));
        let (to, filter, page, alike) = (text("x"), Filter::default(), page(limit, 0), Lookalikes::Find);
        Request::Diff(Diff { from, to, branch, place, filter, page, alike })
    };
    check(vec![
        ("memory_diff", json!({"source": "x"}), diff(None, None, Place::Everywhere, 50)),
        ("memory_diff", json!({"source": "x", "branch": "b"}), diff(Some("b"), Some("b"), Place::Everywhere, 50)),
        (
            "memory_diff",
            json!({"source": "x", "against": "14:00", "branch": "b", "project": "global", "limit": 0}),
            diff(Some("14:00"), Some("b"), Place::Global, 0),
        ),
        (
            "memory_log",
            json!({"memory_id": "abcdef01", "agent": "cursor", "session_id": "s", "project": "p", "since": MAY,
                   "until": MAY, "all": true, "limit": 3, "offset": 4, "branch": "b", "at": "nightly"}),
            Request::Log(Log {
                view: View { branch: Some(name("b")), at: text("nightly") },
                walk: Walk::All,
                project: ProjectId::new("p").ok(),
                memory: text("abcdef01"),
                agent: text("cursor"),
                session: SessionId::new("s").ok(),
                since: Some(Time(MAY_MS)),
                until: Some(Time(MAY_MS)),
                page: page(3, 4),
            }),
        ),
        (
            "memory_log",
            json!({"agent": "user"}),
            Request::Log(Log { agent: text("you"), page: page(20, 0), ..Log::default() }),
        ),
        (
            "memory_blame",
            json!({"memory_id": "abcdef01"}),
            Request::Blame(Blame { view: View::default(), id: "abcdef01".to_owned() }),
        ),
    ])
    .await;
}

#[tokio::test]
async fn merges_and_picks_become_the_request_that_they_say() {
    let merge = |into: Option<&str>, rule, mode, page| {
        let (source, into) = ("x".to_owned(), into.map(name));
        Request::Merge(Merge { source, into, rule, note: None, mode, page })
    };
    let pick = |rule| {
        let (what, from, into) = (vec!["a".to_owned(), "b".to_owned()], "x".to_owned(), Some(name("t")));
        Request::Pick(Pick { what, from, into, rule, mode: Mode::Do, page: page(20, 0) })
    };
    let apply = |from: Option<&str>, to: &str, ids: &[&str]| {
        let (from, to, ids) = (from.map(str::to_owned), to.to_owned(), ids.iter().map(|id| (*id).to_owned()).collect());
        Request::Apply(Apply { from, to, ids, into: None, rule: Rule::Fail, mode: Mode::DryRun, page: page(20, 0) })
    };
    let (plain, done) = (page(20, 0), Mode::Do);
    let mut cases = vec![
        ("memory_merge", json!({"source": "x"}), merge(None, Rule::Fail, done, plain)),
        ("memory_merge", json!({"source": "x", "target": "t"}), merge(Some("t"), Rule::Fail, done, plain)),
        ("memory_merge", json!({"source": "x", "branch": "t"}), merge(Some("t"), Rule::Fail, done, plain)),
        (
            "memory_merge",
            json!({"source": "x", "dry_run": true, "limit": 2, "offset": 1}),
            merge(None, Rule::Fail, Mode::DryRun, page(2, 1)),
        ),
        ("memory_pick", json!({"source": "x", "target": "t", "ids": "a,b"}), pick(Rule::Fail)),
        (
            "memory_pick",
            json!({"source": "x", "target": "t", "strategy": "skip",
                   "selector": {"type": "key_list", "keys": ["a", "b"]}}),
            pick(Rule::Ours),
        ),
        (
            "memory_pick",
            json!({"source": "x", "dry_run": true,
                   "selector": {"type": "snapshot_range", "from_snapshot": "s1", "to_snapshot": "s2"}}),
            apply(Some("s1"), "s2", &[]),
        ),
        ("memory_apply", json!({"source": "x", "dry_run": "true"}), apply(None, "x", &[])),
        (
            "memory_apply",
            json!({"source": "x", "against": "y", "ids": ["a", "b"], "dry_run": true}),
            apply(Some("y"), "x", &["a", "b"]),
        ),
    ];
    for (words, rule) in [
        (["fail", "fail", "fail"], Rule::Fail),
        (["ours", "append", "skip"], Rule::Ours),
        (["theirs", "accept", "replace"], Rule::Theirs),
    ] {
        for word in words {
            cases.push(("memory_merge", json!({"source": "x", "strategy": word}), merge(None, rule, done, plain)));
        }
    }
    check(cases).await;
}

#[tokio::test]
async fn what_goes_back_becomes_the_request_that_it_says() {
    let back = |what| Request::Rollback(Rollback { branch: None, what, mode: Mode::Do, page: page(20, 0) });
    let of = |agent: Option<&str>, origin, since: Option<i64>, later| Back::Of {
        agent: agent.map(str::to_owned),
        session: None,
        project: None,
        origin,
        since: since.map(Time),
        until: None,
        later,
    };
    let undo = |way, count| Request::Undo(Undo { way, count, branch: None, mode: Mode::Do, page: page(20, 0) });
    let commits = |later| {
        let commits = vec!["aaaaaaaa".to_owned(), "bbbbbbbb".to_owned()];
        Request::Revert(Revert { commits, branch: Some(name("b")), later, mode: Mode::Do, page: page(20, 0) })
    };
    let settle = |what| Request::Resolve(Resolve { into: None, what, page: page(20, 0) });
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    check(vec![
        ("memory_rollback", json!({"name": "nightly"}), back(Back::To("nightly".to_owned()))),
        (
            "memory_rollback",
            json!({"agent": "reader", "since": MAY}),
            back(of(Some("reader"), None, Some(MAY_MS), Later::Keep)),
        ),
        (
            "memory_rollback",
            json!({"origin": "tool", "force": true}),
            back(of(None, Some(OriginFilter::Source(Source::Tool)), None, Later::Take)),
        ),
        (
            "memory_rollback",
            json!({"origin": "notes.md"}),
            back(of(None, Some(OriginFilter::Named("notes.md".to_owned())), None, Later::Keep)),
        ),
        ("memory_rollback", json!({"agent": "user"}), back(of(Some("you"), None, None, Later::Keep))),
        (
            "memory_rollback",
            json!({"session_id": "s", "project": "p", "until": MAY, "branch": "b", "dry_run": true, "limit": 1}),
            Request::Rollback(Rollback {
                branch: Some(name("b")),
                what: Back::Of {
                    agent: None,
                    session: SessionId::new("s").ok(),
                    project: ProjectId::new("p").ok(),
                    origin: None,
                    since: None,
                    until: Some(Time(MAY_MS)),
                    later: Later::Keep,
                },
                mode: Mode::DryRun,
                page: page(1, 0),
            }),
        ),
        ("memory_revert", json!({"commit": "aaaaaaaa, bbbbbbbb", "branch": "b"}), commits(Later::Keep)),
        (
            "memory_revert",
            json!({"commit": ["aaaaaaaa", "bbbbbbbb"], "branch": "b", "force": true}),
            commits(Later::Take),
        ),
        ("memory_undo", json!({}), undo(Way::Undo, 1)),
        ("memory_redo", json!({"count": "2"}), undo(Way::Redo, 2)),
        ("memory_resolve", json!({}), settle(Settle::Look)),
        (
            "memory_resolve",
            json!({"memory_id": "a,b", "take": "theirs"}),
            settle(Settle::Take { ids: ids(&["a", "b"]), side: Side::Theirs }),
        ),
        (
            "memory_resolve",
            json!({"all": true, "take": "base"}),
            settle(Settle::Take { ids: ids(&[]), side: Side::Base }),
        ),
        (
            "memory_resolve",
            json!({"memory_id": "a", "text": "both"}),
            settle(Settle::Text { id: "a".to_owned(), text: "both".to_owned() }),
        ),
        ("memory_resolve", json!({"commit": true}), settle(Settle::Commit)),
        (
            "memory_resolve",
            json!({"abort": true, "target": "t"}),
            Request::Resolve(Resolve { into: Some(name("t")), what: Settle::Abort, page: page(20, 0) }),
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_contradicts_itself_is_refused_with_what_would_do() {
    let agent = Agent::start();
    for (tool, arguments, sentence) in [
        ("memory_snapshot", json!({}), "needs `name`"),
        ("memory_snapshot", json!({"name": "Before Import"}), "`name`: `Before Import` cannot be a name"),
        ("memory_branch", json!({"name": "b", "from": "x", "from_snapshot": "y"}), "give `from` once"),
        ("memory_branch", json!({"name": "b", "from": "x", "rename_to": "y"}), "give one of them"),
        ("memory_snapshot_delete", json!({}), "exactly one of"),
        ("memory_snapshot_delete", json!({"names": "a", "prefix": "b"}), "exactly one of"),
        ("memory_snapshot_delete", json!({"names": "a,b", "restore": true}), "its name alone"),
        ("memory_snapshot_delete", json!({"older_than": "some day"}), "`older_than`: `some day` is not a time"),
        ("memory_diff", json!({}), "needs `source`"),
        ("memory_merge", json!({"source": "x", "strategy": "mine"}), "fail, ours (also: skip, append)"),
        ("memory_merge", json!({"source": "x", "target": "a", "branch": "b"}), "mean the same"),
        ("memory_merge", json!({"source": "x", "dry_run": "perhaps"}), "true or false"),
        ("memory_pick", json!({"source": "x"}), "either `ids` or `selector`"),
        ("memory_pick", json!({"source": "x", "ids": "a", "selector": {"type": "key_list"}}), "either"),
        ("memory_pick", json!({"source": "x", "selector": {"type": "key_list"}}), "needs `keys`"),
        ("memory_pick", json!({"source": "x", "selector": {"type": "retrieve", "query": "q"}}), "memory_retrieve"),
        ("memory_pick", json!({"source": "x", "selector": {"type": "all"}}), "key_list or snapshot_range"),
        ("memory_pick", json!({"source": "x", "selector": {"type": "key_list", "keys": ["a"], "k": 1}}), "`k`"),
        ("memory_pick", json!({"source": "x", "selector": {"type": "snapshot_range"}}), "needs `from_snapshot`"),
        ("memory_rollback", json!({}), "needs `name`"),
        ("memory_rollback", json!({"name": "x", "agent": "y"}), "not both"),
        ("memory_rollback", json!({"name": "x", "force": true}), "leave it out"),
        ("memory_rollback", json!({"force": true}), "whose writes"),
        ("memory_rollback", json!({"since": "some day"}), "`since`: `some day` is not a time"),
        ("memory_revert", json!({"commit": " , "}), "needs `commit`"),
        ("memory_undo", json!({"count": 0}), "1 or more"),
        ("memory_resolve", json!({"memory_id": "a"}), "one thing at a time"),
        ("memory_resolve", json!({"take": "ours"}), "one thing at a time"),
        ("memory_resolve", json!({"all": true, "memory_id": "a", "take": "ours"}), "one thing at a time"),
        ("memory_resolve", json!({"memory_id": "a,b", "text": "x"}), "one thing at a time"),
        ("memory_resolve", json!({"commit": true, "abort": true}), "one thing at a time"),
        ("memory_resolve", json!({"all": true, "take": "mine"}), "base, ours or theirs"),
    ] {
        let result = agent.call(tool, arguments.clone()).await;
        let said = result["content"][0]["text"].as_str().unwrap();
        assert_eq!(result["isError"], true, "{tool} {arguments}");
        assert!(said.contains(sentence), "{tool} {arguments}: {said}");
    }
    assert!(agent.backend.0.asked.lock().unwrap().is_empty());
}
