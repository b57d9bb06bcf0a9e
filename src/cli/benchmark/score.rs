//! The existing Memoria's own score of its scenario files: `0.65 · MQS + 0.35 · AUS`, with its grades. Pure.
//! Filling up to `top_k` costs precision: whoever always does gets 89.9 on core-v1 at most, whatever its ranking.

/// What a question of a scenario wants to read in the texts of its answer, and what not. Case does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub expected: Vec<String>,
    pub excluded: Vec<String>,
}

/// Shares of one answer, 0 to 100 each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// Texts that hold something expected; 0 of an empty answer.
    pub precision: f64,
    /// Expected strings that were read.
    pub recall: f64,
    /// Excluded strings that were not.
    pub noise_free: f64,
}

/// Both shares must reach this for an assertion to pass.
const PASS_AT: f64 = 80.0;

impl Quality {
    pub fn of(wanted: &Contents, texts: &[String]) -> Self {
        let texts: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
        let is_in_some = |what: &&String| texts.iter().any(|text| text.contains(&what.to_lowercase()));
        let is_relevant = |text: &&String| wanted.expected.iter().any(|what| text.contains(&what.to_lowercase()));
        let share = |count: usize, of: usize| if of == 0 { 100.0 } else { 100.0 * count as f64 / of as f64 };
        Self {
            precision: if texts.is_empty() {
                0.0
            } else {
                share(texts.iter().filter(is_relevant).count(), texts.len())
            },
            recall: share(wanted.expected.iter().filter(is_in_some).count(), wanted.expected.len()),
            noise_free: 100.0
                - if wanted.excluded.is_empty() {
                    0.0
                } else {
                    share(wanted.excluded.iter().filter(is_in_some).count(), wanted.excluded.len())
                },
        }
    }

    pub fn passes(&self) -> bool {
        self.recall >= PASS_AT && self.noise_free >= PASS_AT
    }
}

/// One scenario's score, 0 to 100: MQS is the mean of the three shares, each averaged over the assertions; AUS is the
/// mean of the steps that succeeded (all, of none) and the assertions that passed.
pub fn scenario(assertions: &[Quality], steps: usize, steps_done: usize) -> f64 {
    let mean = |of: fn(&Quality) -> f64| super::metrics::mean(assertions.iter().map(of)).unwrap_or(0.0);
    let mqs = (mean(|q| q.precision) + mean(|q| q.recall) + mean(|q| q.noise_free)) / 3.0;
    let step_success = if steps == 0 { 100.0 } else { 100.0 * steps_done as f64 / steps as f64 };
    let aus = (step_success + mean(|q| if q.passes() { 100.0 } else { 0.0 })) / 2.0;
    0.65 * mqs + 0.35 * aus
}

pub fn grade(score: f64) -> &'static str {
    match score {
        90.0.. => "S",
        80.0.. => "A",
        70.0.. => "B",
        60.0.. => "C",
        _ => "D",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(expected: &[&str], excluded: &[&str]) -> Contents {
        let owned = |list: &[&str]| list.iter().map(|what| (*what).to_owned()).collect();
        Contents { expected: owned(expected), excluded: owned(excluded) }
    }

    fn quality(expected: &[&str], excluded: &[&str], texts: &[&str]) -> Quality {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Quality::of(&contents(expected, excluded), &texts)
    }

    #[test]
    fn the_right_answer_alone_has_everything() {
        let right = quality(&["port 5433"], &["port 5432"], &["The database listens on PORT 5433."]);
        assert_eq!(right, Quality { precision: 100.0, recall: 100.0, noise_free: 100.0 });
        assert_eq!((scenario(&[right], 0, 0), grade(scenario(&[right], 0, 0))), (100.0, "S"));
    }

    #[test]
    fn filling_up_caps_the_score_whatever_the_ranking() {
        // One relevant text and two fillers: precision 1/3, so MQS 77.8; 0.65 · 77.8 + 0.35 · 100.
        let filled = quality(&["blue"], &[], &["blue sky", "red", "green"]);
        assert!((filled.precision - 100.0 / 3.0).abs() < 1e-9 && filled.passes());
        let score = scenario(&[filled], 0, 0);
        assert!((score - (0.65 * 700.0 / 9.0 + 35.0)).abs() < 1e-9, "{score}");
        assert_eq!(grade(score), "A");
    }

    #[test]
    fn an_empty_answer_keeps_only_what_it_did_not_say() {
        let empty = quality(&["blue"], &["red"], &[]);
        assert_eq!(empty, Quality { precision: 0.0, recall: 0.0, noise_free: 100.0 });
        // MQS 33.3, AUS 50 (no steps, nothing passed).
        assert!((scenario(&[empty], 0, 0) - (0.65 * 100.0 / 3.0 + 0.35 * 50.0)).abs() < 1e-9);
    }

    #[test]
    fn noise_and_failed_steps_cost_their_share() {
        let noisy = quality(&["a", "b", "c", "d"], &["x", "y"], &["a b c", "x"]);
        assert_eq!(noisy, Quality { precision: 50.0, recall: 75.0, noise_free: 50.0 });
        assert!(!noisy.passes());
        let good = quality(&["a"], &[], &["a"]);
        // MQS (75 + 87.5 + 75) / 3; AUS (50 + 50) / 2.
        let score = scenario(&[noisy, good], 2, 1);
        assert!((score - (0.65 * 237.5 / 3.0 + 0.35 * 50.0)).abs() < 1e-9, "{score}");
    }

    #[test]
    fn grades_begin_where_memoria_lets_them_begin() {
        assert_eq!([90.0, 89.99, 80.0, 70.0, 60.0, 59.9, 0.0].map(grade), ["S", "A", "A", "B", "C", "D", "D"]);
    }
}
