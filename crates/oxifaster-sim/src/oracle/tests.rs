//! The oracle against a second one that tries every order, and against planted faults of a recovery.

use super::*;
use crate::rng::SimRng;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const KEY: u64 = 5;
const GUIDS: [u128; 3] = [0xA, 0xB, 0xC];

/// A history of three sessions with a few operations on one key that overlap at random.
fn random_history(rng: &mut SimRng, per_session: u64) -> History {
    let mut history = History::new();
    let sessions = GUIDS.map(|guid| history.add_session(guid).unwrap());
    let mut left: Vec<u64> = sessions.iter().map(|_| rng.below(per_session + 1)).collect();
    let mut under_way: Vec<Option<Operation>> = vec![None; sessions.len()];
    let mut counts = [0; 3];
    for time in 1.. {
        let busy = |session: &usize| under_way[*session].is_some() || left[*session] > 0;
        let open: Vec<usize> = sessions.into_iter().filter(busy).collect();
        let Some(session) = open.get(rng.index(open.len())).copied() else { return history };
        if let Some(mut operation) = under_way[session].take() {
            operation.ended = time;
            history.push(operation);
            continue;
        }
        left[session] -= 1;
        counts[session] += 1;
        let action = [Action::Upsert, Action::Delete, Action::Add, Action::Add][rng.index(4)];
        let number = counts[session];
        let operation =
            Operation { session, number, serial: number * 10, key: KEY, action, begun: time, ended: 0, saw: None };
        under_way[session] = Some(operation);
    }
    history
}

fn random_cut(rng: &mut SimRng, history: &History) -> BTreeMap<u128, u64> {
    history.sessions().map(|(guid, last)| (guid, 10 * rng.below(last / 10 + 1))).collect()
}

/// What the operations within a cut leave, over all orders that keep each session's order and real time.
fn all_outcomes(history: &History, cut: &BTreeMap<u128, u64>) -> BTreeSet<Found> {
    let serials: Vec<u64> = history.sessions().map(|(guid, _)| cut[&guid]).collect();
    let within =
        |session: usize| history.of_session(session).iter().filter(move |next| next.serial <= serials[session]);
    let rows: Vec<Vec<Operation>> = {
        let within = &within;
        (0..GUIDS.len()).map(|session| within.clone()(session).copied().collect()).collect()
    };
    let mut outcomes = BTreeSet::new();
    try_orders(&rows, &mut vec![0; rows.len()], Found::Nothing, &mut outcomes);
    outcomes
}

fn try_orders(rows: &[Vec<Operation>], next: &mut Vec<usize>, state: Found, outcomes: &mut BTreeSet<Found>) {
    let waiting: Vec<Operation> =
        rows.iter().zip(next.iter()).flat_map(|(row, at)| row[*at..].iter().copied()).collect();
    if waiting.is_empty() {
        outcomes.insert(state);
    }
    for session in 0..rows.len() {
        let Some(operation) = rows[session].get(next[session]) else { continue };
        // Nothing that is still to come had ended before this one began.
        if waiting.iter().any(|other| other.ended < operation.begun) {
            continue;
        }
        next[session] += 1;
        try_orders(rows, next, apply(state, operation), outcomes);
        next[session] -= 1;
    }
}

fn apply(state: Found, operation: &Operation) -> Found {
    match (operation.action, state) {
        (Action::Upsert, _) => Found::Content(Content::written(operation.session, operation.number)),
        (Action::Delete, _) => Found::Nothing,
        (Action::Add, Found::Content(content)) => Found::Content(content.plus(operation.session)),
        (Action::Add, _) => Found::Content(Content::default().plus(operation.session)),
        (Action::Read, state) => state,
    }
}

/// A content that may or may not be possible, near to those that are.
fn some_content(rng: &mut SimRng, possible: &BTreeSet<Found>) -> Found {
    let all: Vec<Found> = possible.iter().copied().collect();
    let mut found = all[rng.index(all.len())];
    if rng.coin() {
        return found;
    }
    let Found::Content(content) = &mut found else {
        return Found::Content(Content::written(rng.index(3), 1 + rng.below(3)));
    };
    match rng.below(4) {
        0 => return Found::Nothing,
        1 => content.writer = None,
        2 => content.writer = Some(Writer { session: rng.index(3), number: 1 + rng.below(3) }),
        _ => {
            let lane = &mut content.added[rng.index(3)];
            *lane = if rng.coin() { *lane + 1 } else { lane.saturating_sub(1) };
        }
    }
    found
}

fn judge(history: &History, cut: &BTreeMap<u128, u64>, found: Found) -> Vec<Breach> {
    let contents = BTreeMap::from([(KEY, found)]);
    check(history, cut, &Recovered { serials: cut.clone(), contents })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]
    #[test]
    fn a_content_is_accepted_exactly_if_some_order_leaves_it(seed: u64) {
        let mut rng = SimRng::new(seed);
        let history = random_history(&mut rng, 3);
        let cut = random_cut(&mut rng, &history);
        let possible = all_outcomes(&history, &cut);
        for found in &possible {
            prop_assert_eq!(judge(&history, &cut, *found), vec![], "{:#?}", history);
        }
        for _ in 0..10 {
            let found = some_content(&mut rng, &possible);
            let is_empty = found == Found::Content(Content::default());
            let breaches = judge(&history, &cut, found);
            prop_assert_eq!(breaches.is_empty(), possible.contains(&found), "{} {:?} {:#?}", found, breaches, history);
            prop_assert!(!is_empty || !breaches.is_empty());
        }
    }
}

/// Operations one after the other: session, action.
fn sequence(steps: &[(usize, Action)]) -> History {
    let mut history = History::new();
    for guid in GUIDS {
        history.add_session(guid).unwrap();
    }
    let mut counts = [0; 3];
    for (time, (session, action)) in (1..).zip(steps) {
        counts[*session] += 1;
        let (number, begun) = (counts[*session], 2 * time);
        let (key, action) = (KEY, *action);
        let operation =
            Operation { session: *session, number, serial: number, key, action, begun, ended: begun + 1, saw: None };
        history.push(operation);
    }
    history
}

fn cut(serials: [u64; 3]) -> BTreeMap<u128, u64> {
    GUIDS.into_iter().zip(serials).collect()
}

fn clauses(breaches: &[Breach]) -> Vec<Clause> {
    breaches.iter().map(|breach| breach.clause).collect()
}

#[test]
fn each_fault_of_a_recovery_has_its_clause() {
    use Action::{Add, Delete, Upsert};
    let history = sequence(&[(0, Upsert), (1, Add), (1, Add), (0, Upsert), (1, Add), (0, Delete), (2, Add)]);
    let content = |writer: Option<(usize, u64)>, added: [u64; 3]| {
        let mut content =
            Content { writer: writer.map(|(session, number)| Writer { session, number }), ..Content::default() };
        content.added[..3].copy_from_slice(&added);
        Found::Content(content)
    };
    let cases = [
        ([2, 3, 0], content(Some((0, 2)), [0, 1, 0]), None),
        ([2, 3, 0], Found::Nothing, Some(Clause::Lost)),
        ([2, 3, 0], content(Some((0, 2)), [0, 0, 0]), Some(Clause::Lost)),
        ([2, 3, 0], content(Some((0, 1)), [0, 2, 0]), Some(Clause::Lost)),
        ([2, 3, 0], content(Some((0, 2)), [0, 2, 0]), Some(Clause::Repeated)),
        ([2, 3, 0], content(Some((0, 2)), [0, 9, 0]), Some(Clause::Repeated)),
        ([2, 3, 0], content(Some((0, 2)), [0, 1, 1]), Some(Clause::Phantom)),
        ([2, 3, 0], content(Some((1, 2)), [0, 1, 0]), Some(Clause::NeverWritten)),
        ([2, 3, 0], content(None, [0, 3, 0]), Some(Clause::Lost)),
        ([2, 3, 0], Found::Garbage, Some(Clause::Garbage)),
        ([1, 2, 0], content(Some((0, 1)), [0, 2, 0]), None),
        ([1, 2, 0], content(Some((0, 2)), [0, 0, 0]), Some(Clause::Phantom)),
        ([3, 3, 1], content(None, [0, 0, 1]), None),
        ([3, 3, 1], content(Some((0, 2)), [0, 1, 1]), Some(Clause::Lost)),
        ([3, 3, 1], Found::Nothing, Some(Clause::Lost)),
        ([3, 3, 0], Found::Nothing, None),
        ([0, 0, 0], Found::Nothing, None),
        ([0, 0, 0], content(Some((0, 1)), [0, 0, 0]), Some(Clause::Phantom)),
        ([0, 2, 0], content(None, [0, 2, 0]), None),
    ];
    for (serials, found, expected) in cases {
        let breaches = judge(&history, &cut(serials), found);
        assert_eq!(clauses(&breaches), expected.into_iter().collect::<Vec<_>>(), "{serials:?} {found}: {breaches:?}");
    }
}

#[test]
fn the_cut_lies_where_it_was_reported_and_where_operations_are() {
    let history = sequence(&[(0, Action::Upsert), (0, Action::Delete), (1, Action::Delete)]);
    let judge = |recovered: &[(u128, u64)], reported: [u64; 3]| {
        let serials = recovered.iter().copied().collect();
        let contents = BTreeMap::new();
        clauses(&check(&history, &cut(reported), &Recovered { serials, contents }))
    };
    assert_eq!(judge(&[(0xA, 2), (0xB, 1), (0xC, 0)], [2, 0, 0]), []);
    assert_eq!(judge(&[(0xA, 2), (0xB, 1)], [2, 0, 0]), [Clause::SessionMissing]);
    assert_eq!(judge(&[(0xA, 2), (0xB, 0), (0xC, 0)], [2, 1, 0]), [Clause::BelowReported]);
    assert_eq!(judge(&[(0xA, 3), (0xB, 1), (0xC, 0)], [2, 1, 0]), [Clause::NeverIssued]);
    assert_eq!(judge(&[(0xA, 2), (0xB, 1), (0xC, 0), (0xD, 0)], [2, 1, 0]), [Clause::SessionUnknown]);
}

#[test]
fn who_is_within_the_cut_saw_nobody_beyond_it() {
    let mut history = sequence(&[(0, Action::Upsert)]);
    let saw = Some(Some(Content::written(0, 1)));
    let add = Operation { session: 1, number: 1, serial: 1, key: KEY, action: Action::Add, begun: 10, ended: 11, saw };
    history.push(add);
    assert_eq!(judge(&history, &cut([1, 1, 0]), Found::Content(Content::written(0, 1).plus(1))), []);
    let breaches = judge(&history, &cut([0, 1, 0]), Found::Content(Content::default().plus(1)));
    assert_eq!(clauses(&breaches), [Clause::NotClosed], "{breaches:?}");
    // A read that was part of the prefix is a witness as well.
    let read = Operation { number: 2, serial: 2, action: Action::Read, begun: 12, ended: 13, ..add };
    history.push(Operation { saw: Some(Some(Content::written(0, 1).plus(1).plus(2))), ..read });
    history.push(Operation { session: 2, number: 1, serial: 1, begun: 14, ended: 15, saw: None, ..add });
    let breaches = judge(&history, &cut([1, 2, 0]), Found::Content(Content::written(0, 1).plus(1)));
    assert_eq!(clauses(&breaches), [Clause::NotClosed], "{breaches:?}");
}

#[test]
fn what_lies_beyond_the_cut_is_forgotten_before_the_next_one() {
    let mut history = sequence(&[(0, Action::Upsert), (0, Action::Add), (1, Action::Add)]);
    history.forget_beyond(&cut([1, 0, 0]));
    assert_eq!(history.sessions().map(|(_, last)| last).collect::<Vec<_>>(), [1, 0, 0]);
    assert_eq!(judge(&history, &cut([1, 0, 0]), Found::Content(Content::written(0, 1))), []);
    // A session without a cut makes room for another one.
    history.forget_beyond(&BTreeMap::from([(0xA, 1), (0xC, 0)]));
    assert_eq!(history.sessions().collect::<Vec<_>>(), [(0xA, 1), (0xC, 0)]);
    assert_eq!((history.session(0xB), history.add_session(0xD), history.session(0xD)), (None, Some(1), Some(1)));
}

#[test]
fn operations_stand_in_the_order_of_their_serial_numbers() {
    let mut history = sequence(&[]);
    for serial in [2, 3, 1] {
        let (key, action) = (KEY, Action::Delete);
        let times = (10 * serial, 10 * serial + 1);
        history.push(Operation {
            session: 0,
            number: 0,
            serial,
            key,
            action,
            begun: times.0,
            ended: times.1,
            saw: None,
        });
    }
    assert_eq!(history.of_session(0).iter().map(|next| next.serial).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn keys_that_nobody_wrote_hold_nothing() {
    let history = sequence(&[(0, Action::Upsert)]);
    let contents = BTreeMap::from([(KEY, Found::Content(Content::written(0, 1))), (6, Found::Nothing)]);
    let mut recovered = Recovered { serials: cut([1, 0, 0]), contents };
    assert_eq!(check(&history, &cut([1, 0, 0]), &recovered), []);
    recovered.contents.insert(6, Found::Content(Content::written(0, 1)));
    assert_eq!(clauses(&check(&history, &cut([1, 0, 0]), &recovered)), [Clause::NeverWritten]);
}
