//! One thing to do, drawn by proptest. Memories, commits, names and operations are picked by number, modulo how many
//! there are, so that any list of actions can be done and made shorter.

use memoria::model::{Later, Rule};
use proptest::prelude::*;

/// Of three sessions, each with a branch checked out, one does something.
#[derive(Clone, Debug)]
pub struct Turn {
    pub session: usize,
    pub action: Action,
}

#[derive(Clone, Debug)]
pub enum Action {
    Write {
        steps: Vec<Step>,
        safety: bool,
    },
    Branch {
        from: Where,
    },
    Snapshot {
        at: Where,
    },
    Name {
        name: usize,
        what: Naming,
    },
    Checkout(usize),
    Merge {
        theirs: Where,
        rule: Rule,
        safety: bool,
    },
    /// Two branches merge each other's heads, neither knowing of the other's merge.
    Cross {
        other: usize,
        rule: Rule,
    },
    /// Settles all of what is open in a merge in progress, or only the first of it.
    Resolve {
        sides: Vec<Side>,
        is_all: bool,
    },
    /// Asks for the merge in progress again.
    Conclude,
    Abort,
    Pick {
        memories: Vec<usize>,
        from: Where,
        rule: Rule,
    },
    PickCommit {
        commit: Where,
        rule: Rule,
    },
    Apply {
        from: Where,
        to: Where,
        memories: Vec<usize>,
        rule: Rule,
    },
    Reset(Where),
    RollBack {
        whose: Whose,
        since: Option<usize>,
        later: Later,
    },
    Revert {
        commits: Vec<usize>,
        later: Later,
    },
    /// Of the branch's newest merge.
    RevertMerge,
    Undo {
        is_redone: bool,
    },
    Redo,
    SendAgain(usize),
    Acknowledge(usize),
    Erase(Vec<usize>),
    Compact,
    Reopen {
        is_index_lost: bool,
    },
    /// The next write meets a power cut at this step of the disk's.
    Crash(u64),
    Rest,
}

#[derive(Clone, Debug)]
pub enum Step {
    Store(Said),
    Correct { memory: usize, edit: Edit, expect: Expected },
    Purge { memory: usize, expect: Expected },
}

/// What a memory says, few enough that texts collide.
#[derive(Clone, Debug)]
pub struct Said {
    pub text: u8,
    pub project: u8,
    pub tags: u8,
    pub metadata: u8,
    pub is_tool: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Edit {
    Text(u8),
    Tag(u8),
    Field(u8, u8),
    Trust(u8),
    Pin,
}

#[derive(Clone, Copy, Debug)]
pub enum Expected {
    Live,
    Seen,
    Stale,
}

/// A revision.
#[derive(Clone, Copy, Debug)]
pub enum Where {
    /// A branch's head.
    Branch(usize),
    Name(usize),
    Commit(usize),
    /// A branch, a moment before now, by the moments at which commits were made.
    At(usize, usize),
}

#[derive(Clone, Copy, Debug)]
pub enum Naming {
    Rename,
    Delete,
    Restore,
    Protect,
    Open,
    /// A new one by the name of one that there is.
    Clash,
}

#[derive(Clone, Copy, Debug)]
pub enum Side {
    Base,
    Ours,
    Theirs,
    Text(u8),
}

#[derive(Clone, Copy, Debug)]
pub enum Whose {
    Agent(usize),
    Session(usize),
    Tool,
    Everybody,
}

fn said() -> impl Strategy<Value = Said> {
    (0..8u8, 0..3u8, 0..8u8, 0..9u8, prop::bool::weighted(0.2))
        .prop_map(|(text, project, tags, metadata, is_tool)| Said { text, project, tags, metadata, is_tool })
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => (0..8u8).prop_map(Edit::Text),
        3 => (0..3u8).prop_map(Edit::Tag),
        3 => (0..2u8, 0..3u8).prop_map(|(key, value)| Edit::Field(key, value)),
        1 => (1..4u8).prop_map(Edit::Trust),
        1 => Just(Edit::Pin),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let expect = || prop_oneof![5 => Just(Expected::Live), 3 => Just(Expected::Seen), 1 => Just(Expected::Stale)];
    prop_oneof![
        4 => said().prop_map(Step::Store),
        5 => (any::<usize>(), edit(), expect())
            .prop_map(|(memory, edit, expect)| Step::Correct { memory, edit, expect }),
        2 => (any::<usize>(), expect()).prop_map(|(memory, expect)| Step::Purge { memory, expect }),
    ]
}

fn anywhere() -> impl Strategy<Value = Where> {
    prop_oneof![
        4 => any::<usize>().prop_map(Where::Branch),
        2 => any::<usize>().prop_map(Where::Name),
        3 => any::<usize>().prop_map(Where::Commit),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(name, moment)| Where::At(name, moment)),
    ]
}

/// Mostly a branch, where something new is likeliest.
fn source() -> impl Strategy<Value = Where> {
    prop_oneof![5 => any::<usize>().prop_map(Where::Branch), 1 => anywhere()]
}

fn rule() -> impl Strategy<Value = Rule> {
    prop_oneof![5 => Just(Rule::Fail), 1 => Just(Rule::Ours), 1 => Just(Rule::Theirs)]
}

fn later() -> impl Strategy<Value = Later> {
    prop_oneof![3 => Just(Later::Keep), 1 => Just(Later::Take)]
}

fn numbers(most: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(any::<usize>(), 0..=most)
}

fn naming() -> impl Strategy<Value = Action> {
    let what = prop_oneof![
        1 => Just(Naming::Rename),
        3 => Just(Naming::Delete),
        2 => Just(Naming::Restore),
        1 => Just(Naming::Protect),
        2 => Just(Naming::Open),
        1 => Just(Naming::Clash),
    ];
    (any::<usize>(), what).prop_map(|(name, what)| Action::Name { name, what })
}

fn merging() -> impl Strategy<Value = Action> {
    let side = prop_oneof![Just(Side::Base), Just(Side::Ours), Just(Side::Theirs), (0..8u8).prop_map(Side::Text)];
    prop_oneof![
        10 => (source(), rule(), any::<bool>())
            .prop_map(|(theirs, rule, safety)| Action::Merge { theirs, rule, safety }),
        3 => (any::<usize>(), rule()).prop_map(|(other, rule)| Action::Cross { other, rule }),
        6 => (prop::collection::vec(side, 1..4), prop::bool::weighted(0.7))
            .prop_map(|(sides, is_all)| Action::Resolve { sides, is_all }),
        4 => Just(Action::Conclude),
        3 => Just(Action::Abort),
        3 => (numbers(3), source(), rule()).prop_map(|(memories, from, rule)| Action::Pick { memories, from, rule }),
        2 => (anywhere(), rule()).prop_map(|(commit, rule)| Action::PickCommit { commit, rule }),
        2 => (anywhere(), anywhere(), numbers(2), rule())
            .prop_map(|(from, to, memories, rule)| Action::Apply { from, to, memories, rule }),
    ]
}

fn going_back() -> impl Strategy<Value = Action> {
    let whose = prop_oneof![
        3 => (0..3usize).prop_map(Whose::Agent),
        2 => (0..3usize).prop_map(Whose::Session),
        1 => Just(Whose::Tool),
        1 => Just(Whose::Everybody),
    ];
    prop_oneof![
        2 => anywhere().prop_map(Action::Reset),
        3 => (whose, prop::option::of(any::<usize>()), later())
            .prop_map(|(whose, since, later)| Action::RollBack { whose, since, later }),
        3 => (numbers(2), later()).prop_map(|(commits, later)| Action::Revert { commits, later }),
        2 => Just(Action::RevertMerge),
        3 => any::<bool>().prop_map(|is_redone| Action::Undo { is_redone }),
        1 => Just(Action::Redo),
    ]
}

fn upkeep() -> impl Strategy<Value = Action> {
    prop_oneof![
            3 => any::<usize>().prop_map(Action::SendAgain),
            1 => any::<usize>().prop_map(Action::Acknowledge),
        1 => prop::collection::vec(any::<usize>(), 1..3).prop_map(Action::Erase),
        2 => Just(Action::Compact),
    //E        1 => prop::collection::vec(any::<usize>(), 1..3).prop_map(Action::Erase),
    //E        2 => Just(Action::Compact),
            2 => any::<bool>().prop_map(|is_index_lost| Action::Reopen { is_index_lost }),
            3 => (1..60u64).prop_map(Action::Crash),
            1 => Just(Action::Rest),
        ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        16 => (prop::collection::vec(step(), 1..4), prop::bool::weighted(0.2))
            .prop_map(|(steps, safety)| Action::Write { steps, safety }),
        3 => anywhere().prop_map(|from| Action::Branch { from }),
        2 => anywhere().prop_map(|at| Action::Snapshot { at }),
        2 => naming(),
        5 => any::<usize>().prop_map(Action::Checkout),
        12 => merging(),
        5 => going_back(),
        4 => upkeep(),
    ]
}

/// A whole story.
pub fn turns() -> impl Strategy<Value = Vec<Turn>> {
    prop::collection::vec((0..3usize, action()).prop_map(|(session, action)| Turn { session, action }), 1..45)
}
