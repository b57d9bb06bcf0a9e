//! Names lead from what is asked about to what answers, in a real store, and never before what answers directly.

use memoria::clock;
use memoria::engine::conformance::samples::{apply, memory};
use memoria::engine::embedded::Embedded;
use memoria::engine::{At, Engine};
use memoria::model::{Change, Filter, Moment, Name, Revision, Verb};
use memoria::search::{Question, Ranked, RankedHit, Ranking, retrieve};

struct Store {
    runtime: tokio::runtime::Runtime,
    engine: Embedded,
    _home: tempfile::TempDir,
}

impl Store {
    fn of(texts: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let derived = home.path().join("derived");
        std::fs::create_dir_all(&derived).unwrap();
        let truth = home.path().join("memoria.redb");
        let engine = Embedded::open(&truth, &derived.join("index"), &derived.join("vectors"), 1 << 20).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let changes = texts.iter().map(|text| Change::Store(memory(text))).collect();
        runtime.block_on(apply(&engine, Verb::Store, changes)).unwrap();
        Self { runtime, engine, _home: home }
    }

    fn head(&self) -> At {
        self.runtime.block_on(self.engine.resolve(&Revision::Name(Name::main()), clock::now())).unwrap()
    }

    fn ask(&self, text: &str, top_k: usize) -> Ranked {
        let ask = Ranking {
            top_k,
            max_tokens: 0,
            min_score: 0.05,
            project: None,
            session: None,
            moment: Moment::Now(clock::now()),
        };
        let question = Question { text, meaning: None };
        self.runtime.block_on(retrieve(&self.engine, &self.head(), &question, Filter::default(), &ask)).unwrap()
    }
}

fn texts(ranked: &Ranked) -> Vec<&str> {
    ranked.hits.iter().map(|hit| hit.version.memory.text.as_str()).collect()
}

const TEAM: [&str; 8] = [
    "Mira maintains the ledger-api.",
    "ledger-api parses its input with fastyaml 3.1.4.",
    "fastyaml 3.1.4 is affected by CVE-2031-5521, a heap overflow.",
    "Oskar maintains the mail-relay.",
    "mail-relay speaks SMTP only.",
    "Lunch is at noon on the roof.",
    "The retrospective is held on Thursdays.",
    "Coffee is ordered by the office team.",
];

#[test]
fn a_person_leads_over_a_service_and_a_library_to_the_defect() {
    let store = Store::of(&TEAM);
    let ranked = store.ask("does anything that Mira is responsible for have a security problem?", 5);
    let found = texts(&ranked);
    assert_eq!(found.first(), Some(&TEAM[0]));
    assert!(found.contains(&TEAM[1]) && found.contains(&TEAM[2]), "{found:?}");
    assert!(!found.contains(&TEAM[4]), "{found:?}");
    let defect = ranked.hits.iter().find(|hit| hit.version.memory.text == TEAM[2]).unwrap();
    assert!(defect.parts.link > 0.0 && defect.parts.reason.contains("shares a name with a hit above"));
}

#[test]
fn names_lead_in_chinese_texts_too() {
    let all = [
        "@陈晨 负责 ledger-api 的开发。",
        "ledger-api 使用 fastyaml 3.1.4 解析输入。",
        "fastyaml 3.1.4 存在 CVE-2031-5521 漏洞。",
        "@周明 负责 mail-relay。",
        "会议室在三楼。",
        "午饭十二点开始。",
    ];
    let found = Store::of(&all).ask("陈晨开发的东西安全吗？", 5);
    let found = texts(&found);
    assert_eq!(found.first(), Some(&all[0]));
    assert!(found.contains(&all[2]), "{found:?}");
}

#[test]
fn a_hop_comes_after_every_direct_hit_and_changes_none_of_them() {
    let store = Store::of(&TEAM);
    let is_direct = |hit: &&RankedHit| hit.parts.link == 0.0;
    for question in
        ["who maintains the mail-relay and the ledger-api?", "what does Mira do about fastyaml?", "ledger-api", "Oskar"]
    {
        // With room for one, there is no room for a hop.
        let alone = store.ask(question, 1);
        let ranked = store.ask(question, 8);
        let first_hop = ranked.hits.iter().position(|hit| hit.parts.link > 0.0).unwrap_or(ranked.hits.len());
        assert!(ranked.hits.iter().skip(first_hop).all(|hit| hit.parts.link > 0.0), "{question}: {:?}", texts(&ranked));
        assert_eq!(alone.hits.first(), ranked.hits.iter().find(is_direct), "{question}");
        assert!(ranked.hits.is_sorted_by(|a, b| a.score >= b.score), "{question}");
    }
}

#[test]
fn a_question_whose_words_are_all_answered_needs_no_hop() {
    let store = Store::of(&TEAM);
    let ranked = store.ask("when is lunch on the roof?", 5);
    assert_eq!(texts(&ranked), ["Lunch is at noon on the roof."]);
}

#[test]
fn a_question_about_nothing_leads_nowhere() {
    let store = Store::of(&TEAM);
    assert!(store.ask("which guitar does Felix play?", 5).hits.is_empty());
}
