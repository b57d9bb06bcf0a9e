//! The index alone at the size that the issue names: how fast versions come in, what that costs in memory, and what a
//! branch that diverged costs a question. `cargo bench --bench index [memories]`; ratios are of one run.

use std::fs;
use std::time::{Duration, Instant};

use memoria::engine::embedded::index::{Entry, Index, Watermark};
use memoria::lexical;
use memoria::model::{
    Confidence, Filter, Kind, Memory, MemoryId, Origin, Query, SessionId, Source, Time, Trust, VersionId,
};
use roaring::RoaringBitmap;

const NOW: Time = Time(1_800_000_000_000);

fn main() {
    let memories: u32 = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir().expect("a folder");
    let truth = |next_vid| Watermark { generation: 1, next_vid, store_id: [1; 16] };
    let index = Index::open(folder.path(), truth(0)).expect("an index");
    let begun = Instant::now();
    let mut tokens = 0u64;
    let (mut analysing, mut adding, mut looking) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    std::thread::scope(|scope| {
        let changed = memories / 10;
        for vid in 0..memories + changed {
            let first = if vid < memories { vid } else { (vid - memories) * 10 };
            let at = Instant::now();
            let entry = Entry::whole(memory(first, vid), version_id(vid), first);
            analysing += at.elapsed();
            let at = Instant::now();
            let Entry::Whole { memory, words, text, .. } = &entry else { continue };
            let known = index.vids_of(&memory.id).expect("vids");
            assert_eq!(known.is_empty(), vid == first);
            assert!(index.twins(text).expect("twins").is_empty());
            looking += at.elapsed();
            tokens += if vid < memories { u64::from(words.len) } else { 0 };
            let at = Instant::now();
            index.add(vid, &entry);
            adding += at.elapsed();
            if index.unflushed() >= Index::FLUSH_AT && vid % 512 == 0 {
                let index = &index;
                scope.spawn(move || index.flush().expect("a flush"));
            }
            if (vid + 1) % (memories / 10) == 0 {
                let (rate, memory) = (f64::from(vid + 1) / begun.elapsed().as_secs_f64(), memory_of_process());
                println!("{:>9} in, {rate:>7.0}/s so far, {memory}", vid + 1);
            }
        }
    });
    println!("analysing {analysing:.1?}, looking up {looking:.1?}, adding {adding:.1?}");
    let begun = Instant::now();
    index.rest().expect("rest");
    println!("rest: {:.1?}, {} on disk, {}", begun.elapsed(), megabytes(index.bytes()), memory_of_process());

    let main: RoaringBitmap = (0..memories).collect();
    let mut branch = main.clone();
    for n in 0..memories / 10 {
        branch.remove(n * 10);
        branch.insert(memories + n);
    }
    let ask = |state: &RoaringBitmap, question: &str| {
        let terms = lexical::terms_of_question(question);
        let query = Query { terms, vector: None, filter: Filter::default(), limit: 60, around: 2 };
        index.candidates(state, &query, None, memories, tokens, NOW).expect("candidates")
    };
    let begun = Instant::now();
    ask(&main, "which word17 answers");
    println!("first question after the rest: {:.1?}, {}", begun.elapsed(), memory_of_process());
    let questions =
        ["common word3 word90", "which word17 answers about word5 and word300", "often common word11 word12 word13"];
    // The best of many, by turns: what else the machine does disturbs both sides alike.
    for question in questions {
        let (mut on_main, mut on_branch) = (Duration::MAX, Duration::MAX);
        for _ in 0..25 {
            for (state, best) in [(&main, &mut on_main), (&branch, &mut on_branch)] {
                let begun = Instant::now();
                ask(state, question);
                *best = begun.elapsed().min(*best);
            }
        }
        let ratio = on_branch.as_secs_f64() / on_main.as_secs_f64();
        println!("`{question}`: main {on_main:.2?}, branch {on_branch:.2?}, ratio {ratio:.2}");
    }
    let of = |n: u32| -> RoaringBitmap { (0..n).map(|n| n * 10).chain((0..n).map(|n| memories + n)).collect() };
    for n in [500, 50_000.min(memories / 10), 100_000.min(memories / 10)] {
        let (set, begun) = (of(n), Instant::now());
        let numbers = index.memory_numbers(&set).expect("numbers");
        let grouping = begun.elapsed();
        let begun = Instant::now();
        let ids = index.ids(&numbers[..n as usize]).expect("ids");
        let naming = begun.elapsed();
        let begun = Instant::now();
        let versions = index.version_ids(&set).expect("version ids");
        println!(
            "{n} changed: memory numbers {grouping:.2?}, {} ids {naming:.2?}, {} version ids {:.2?}",
            ids.len(),
            versions.len(),
            begun.elapsed()
        );
    }
    let begun = Instant::now();
    let known = (0..1000u32).filter(|n| index.neighbours(&memory_id(n * 7)).expect("neighbours")[0].is_some()).count();
    println!("{known} neighbours {:.2?}", begun.elapsed());
    let begun = Instant::now();
    let known = (0..1000u32).filter(|n| index.vid_of(&version_id(n * 7)).expect("a vid").is_some()).count();
    println!("{known} vids of versions {:.2?}", begun.elapsed());
    let begun = Instant::now();
    index.rest().expect("rest");
    println!("rest: {:.1?}, {}", begun.elapsed(), memory_of_process());
    drop(index);
    let begun = Instant::now();
    let index = Index::open(folder.path(), truth(memories + memories / 10)).expect("an index");
    println!("open: {:.1?}, {} missing", begun.elapsed(), memories + memories / 10 - index.missing_from());
}

fn hash(n: u32, salt: u64) -> u64 {
    let mut z = (u64::from(n) << 8 | salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn memory_id(first: u32) -> MemoryId {
    MemoryId(u128::from(hash(first, 1)).wrapping_mul(0x1_0000_0000_0000_0001).to_le_bytes())
}

fn version_id(vid: u32) -> VersionId {
    let mut id = [0; 32];
    (0..4).for_each(|n| id[n * 8..n * 8 + 8].copy_from_slice(&hash(vid, 2 + n as u64).to_le_bytes()));
    VersionId(id)
}

/// About twenty words: a few that everybody has, others by a long tail.
fn memory(first: u32, vid: u32) -> Memory {
    let mut text = String::from("it is common that the ");
    for n in 0..14 {
        let dice = hash(vid, 10 + n);
        let word = (dice >> 32) % (1 << (2 + dice % 15));
        text.push_str(&format!("word{word} "));
    }
    if vid.is_multiple_of(2) {
        text.push_str("often ");
    }
    text.push_str(&format!("answers{vid}"));
    let origin =
        Origin { source: Source::Agent, agent: None, agent_version: None, session: None, tool: None, file: None };
    Memory {
        id: memory_id(first),
        kind: Kind::Semantic,
        text,
        tags: [format!("tag{}", vid % 50)].into(),
        trust: Trust::T3,
        confidence: Confidence(650),
        project: None,
        session: SessionId::new(format!("session {}", vid / 40)).ok(),
        subject: None,
        origin,
        created_at: NOW,
        observed_at: Time(NOW.0 + i64::from(vid)),
        expires_at: None,
        pinned: false,
        metadata: String::new(),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// On Linux, as it says itself.
fn memory_of_process() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
}
