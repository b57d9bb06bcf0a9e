//! An agent works while its daemon dies again and again, and notices nothing.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Agent, Chance, Done, Home, seed, setting, stored};

#[test]
fn a_thousand_stores_through_a_dying_daemon_are_a_thousand_memories() {
    let count = setting("MEMORIA_STORES", 1000) as usize;
    let mut chance = Chance(seed());
    let home = Home::new();
    let mut agent = Agent::introduced(&home, "busy");
    let (is_done, deaths) = (AtomicBool::new(false), AtomicU32::new(0));
    let begun = Instant::now();
    let ids = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(200 + chance.below(1800)));
                deaths.fetch_add(home.daemons().len() as u32, Ordering::Relaxed);
                home.kill_9();
            }
        });
        let _done = Done(&is_done);
        (0..count)
            .map(|number| {
                // A person's pace would be slower still: what matters is that many daemons die meanwhile.
                std::thread::sleep(Duration::from_millis(5));
                let id = agent.begin_store(&format!("fact number {number} of the long day"));
                let answer = agent.hear().expect("the shim lives on");
                assert_eq!(answer["id"], id);
                stored(&answer)
            })
            .collect::<HashSet<String>>()
    });
    let deaths = deaths.load(Ordering::Relaxed);
    println!("{count} stores through {deaths} deaths in {:.1?}", begun.elapsed());
    assert!(deaths >= 3, "too few deaths to say anything");
    assert_eq!(ids.len(), count);
    assert!(agent.leave() < Duration::from_secs(1));
    home.start();
    assert_eq!(home.json(&["status"])["memories"], count);
    assert!(home.run(&["verify"]).status.success());
}
