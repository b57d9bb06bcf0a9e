//! An agent works while its daemon dies again and again, and notices nothing.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::support::{AT_ONCE, Agent, Chance, Done, Home, seed, setting, stored};

/// Fewer say nothing: a quick machine goes on until there were so many.
const DEATHS_MIN: u32 = 3;
/// Deaths one after the other without an answer between them.
const IN_VAIN_MAX: u32 = 3;

#[test]
fn a_thousand_stores_through_a_dying_daemon_are_a_thousand_memories() {
    let count = setting("MEMORIA_STORES", 1000) as usize;
    let mut chance = Chance(seed());
    let home = Home::new();
    let mut agent = Agent::introduced(&home, "busy");
    let (is_done, deaths, answers) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    let begun = Instant::now();
    let ids = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut seen, mut in_vain) = (0, 0);
            while !is_done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(200 + chance.below(1800)));
                let now = answers.load(Ordering::Relaxed);
                in_vain = if now > seen { 0 } else { in_vain + 1 };
                seen = now;
                // After five deaths a request is given up: on a slow machine, one is let through before.
                if in_vain >= IN_VAIN_MAX {
                    continue;
                }
                deaths.fetch_add(home.daemons().len() as u32, Ordering::Relaxed);
                home.kill_9();
            }
        });
        let _done = Done(&is_done);
        let is_enough = |number: usize| number >= count && deaths.load(Ordering::Relaxed) >= DEATHS_MIN;
        (0..)
            .take_while(|number| !is_enough(*number))
            .map(|number| {
                // A person's pace would be slower still: what matters is that many daemons die meanwhile.
                std::thread::sleep(Duration::from_millis(5));
                let id = agent.begin_store(&format!("fact number {number} of the long day"));
                let answer = agent.hear().expect("the shim lives on");
                assert_eq!(answer["id"], id);
                answers.fetch_add(1, Ordering::Relaxed);
                stored(&answer)
            })
            .collect::<Vec<String>>()
    });
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "each is a memory of its own");
    let deaths = deaths.load(Ordering::Relaxed);
    let count = ids.len();
    println!("{count} stores through {deaths} deaths in {:.1?}", begun.elapsed());
    assert!(agent.leave() < AT_ONCE);
    home.start();
    assert_eq!(home.json(&["status"])["memories"], count);
    assert!(home.run(&["verify"]).status.success());
}
