//! Undo and redo of one session against a naive stack of whole states, while others write beside it.

use std::collections::BTreeMap;

use super::*;

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % end.max(1) as u64) as usize
    }
}

type Texts = BTreeMap<String, String>;

async fn round(rng: &mut Rng) {
    let world = World::new();
    let (mut one, mut other) = (agent("p"), agent("p"));
    let (mut now, mut undoable, mut redoable) = (Texts::new(), Vec::<Texts>::new(), Vec::<(Texts, Vec<Texts>)>::new());
    let mut others = Vec::new();
    for n in 0..40 {
        let mine: Vec<String> = now.keys().cloned().collect();
        let some = mine.get(rng.below(mine.len())).cloned();
        let before = now.clone();
        match (rng.below(8), some) {
            (0..3, _) => {
                let text = format!("note {n}");
                now.insert(world.store(&mut one, &text).await, text);
                undoable.push(before);
                redoable.clear();
            }
            (3, Some(id)) => {
                let text = format!("corrected {n}");
                world.correct(&mut one, &id, &text).await;
                now.insert(id, text);
                undoable.push(before);
                redoable.clear();
            }
            (4, Some(id)) => {
                world.purge(&mut one, &id).await;
                now.remove(&id);
                undoable.push(before);
                redoable.clear();
            }
            (5, _) => {
                let text = format!("somebody else's {n}");
                world.store(&mut other, &text).await;
                others.push(text);
            }
            (6, _) => {
                let count = 1 + rng.below(3).min(undoable.len().saturating_sub(1));
                let undone = world.undo(&mut one, Way::Undo, count as u32).await;
                if undoable.is_empty() {
                    assert_eq!(kind_of(undone), ErrorKind::NotFound);
                } else {
                    assert!(undone.unwrap().commit.is_some());
                    // What was taken back together is done again together, and then counts one by one.
                    let taken = undoable.split_off(undoable.len() - count);
                    now.clone_from(&taken[0]);
                    redoable.push((before, taken));
                }
            }
            (_, _) => {
                let redone = world.undo(&mut one, Way::Redo, 1).await;
                match redoable.pop() {
                    None => assert_eq!(kind_of(redone), ErrorKind::NotFound),
                    Some((state, taken)) => {
                        assert!(redone.unwrap().commit.is_some());
                        undoable.extend(taken);
                        now = state;
                    }
                }
            }
        }
        let mut expected: Vec<String> = now.values().chain(&others).cloned().collect();
        expected.sort_unstable();
        assert_eq!(world.here(&mut one).await, expected, "after step {n}");
    }
}

#[tokio::test]
async fn undo_and_redo_of_a_session_are_a_stack() {
    let given = std::env::var("MEMORIA_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| memoria::clock::now().0 as u64);
    println!("SEED={seed}");
    let rounds = std::env::var("MEMORIA_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(12);
    let mut rng = Rng(seed);
    for _ in 0..rounds {
        round(&mut rng).await;
    }
}
