//! The lines and nodes beside a history, as `git log --graph` draws them: one lane for each commit that is awaited.
//! A lane keeps its column until its commit has come, so that no line ever runs askew.

use crate::model::CommitId;

/// What lies left of one commit: the lines above its row are drawn before it, those below after it.
#[derive(Debug, PartialEq, Eq)]
pub struct Rows {
    pub node: String,
    /// Where lines part or meet, below the node.
    pub edges: Vec<String>,
}

/// The lanes, from left to right: each waits for a commit; `None` is free.
#[derive(Default)]
pub struct Graph {
    lanes: Vec<Option<CommitId>>,
}

impl Graph {
    /// Commits come with children before their parents.
    pub fn draw(&mut self, commit: CommitId, parents: &[CommitId]) -> Rows {
        let own = self.lane_of(commit).unwrap_or_else(|| self.free_lane(0));
        self.lanes[own] = Some(commit);
        let node = self.row(|lane, awaited| match (lane == own, awaited) {
            (true, _) => '*',
            (false, true) => '│',
            (false, false) => ' ',
        });
        let mut edges = Vec::new();
        // Other parents first: their lines begin at the node.
        for parent in parents.iter().skip(1) {
            let known = self.lane_of(*parent);
            let lane = known.unwrap_or_else(|| self.free_lane(own + 1));
            let (near, far) = match (lane > own, known) {
                (true, None) => ('├', '╮'),
                (true, Some(_)) => ('├', '┤'),
                (false, _) => ('┤', '├'),
            };
            edges.push(self.edge((own, near), (lane, far)));
            self.lanes[lane] = Some(*parent);
        }
        let first = parents.first().copied();
        self.lanes[own] = None;
        match first.and_then(|first| self.lane_of(first)) {
            None => self.lanes[own] = first,
            Some(lane) => {
                // Two lines become one: the left one goes on.
                let (left, right) = (own.min(lane), own.max(lane));
                edges.push(self.edge((left, '├'), (right, '╯')));
                self.lanes[right] = None;
                self.lanes[left] = first;
            }
        }
        while self.lanes.last() == Some(&None) {
            self.lanes.pop();
        }
        Rows { node, edges }
    }

    fn lane_of(&self, commit: CommitId) -> Option<usize> {
        self.lanes.iter().position(|lane| *lane == Some(commit))
    }

    /// The first free lane from `start` on, made if need be.
    fn free_lane(&mut self, start: usize) -> usize {
        let free = self.lanes.iter().skip(start).position(Option::is_none).map(|at| at + start);
        free.unwrap_or_else(|| {
            self.lanes.push(None);
            self.lanes.len() - 1
        })
    }

    /// A line between two lanes, with what stands at its ends.
    fn edge(&self, one: (usize, char), other: (usize, char)) -> String {
        let (from, to) = (one.0.min(other.0), one.0.max(other.0));
        let mut row = String::new();
        for (lane, awaited) in self.lanes.iter().enumerate() {
            row.push(match awaited {
                _ if lane == one.0 => one.1,
                _ if lane == other.0 => other.1,
                Some(_) if from < lane && lane < to => '┼',
                None if from < lane && lane < to => '─',
                Some(_) => '│',
                None => ' ',
            });
            row.push(if from <= lane && lane < to { '─' } else { ' ' });
        }
        row.truncate(row.trim_end().len());
        row
    }

    fn row(&self, sign: impl Fn(usize, bool) -> char) -> String {
        let mut row = String::new();
        for (lane, awaited) in self.lanes.iter().enumerate() {
            row.push(sign(lane, awaited.is_some()));
            row.push(' ');
        }
        row.truncate(row.trim_end().len());
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(number: u8) -> CommitId {
        CommitId([number; 32])
    }

    fn drawn(history: &[(u8, &[u8])]) -> Vec<String> {
        let mut graph = Graph::default();
        let mut lines = Vec::new();
        for (number, parents) in history {
            let parents: Vec<_> = parents.iter().map(|parent| commit(*parent)).collect();
            let rows = graph.draw(commit(*number), &parents);
            lines.push(format!("{} {number}", rows.node));
            lines.extend(rows.edges);
        }
        assert!(graph.lanes.is_empty(), "every line ends in a node");
        lines
    }

    #[test]
    fn a_straight_history_is_a_straight_line() {
        assert_eq!(drawn(&[(3, &[2]), (2, &[1]), (1, &[])]), ["* 3", "* 2", "* 1"]);
    }

    #[test]
    fn a_merge_parts_and_its_branch_comes_together_again() {
        assert_eq!(
            drawn(&[(4, &[2, 3]), (3, &[1]), (2, &[1]), (1, &[])]),
            ["* 4", "├─╮", "│ * 3", "* │ 2", "├─╯", "* 1"]
        );
    }

    #[test]
    fn a_criss_cross_shows_both_merges_and_both_crossings() {
        // 6 and 5 merge 4 and 3 into each other; 7 merges both again.
        assert_eq!(
            drawn(&[(7, &[6, 5]), (6, &[4, 3]), (5, &[3, 4]), (4, &[2]), (3, &[2]), (2, &[])]),
            ["* 7", "├─╮", "* │ 6", "├─┼─╮", "│ * │ 5", "├─┤ │", "│ ├─╯", "* │ 4", "│ * 3", "├─╯", "* 2"]
        );
    }
}
