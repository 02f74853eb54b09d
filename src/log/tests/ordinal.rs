//! Numbers, times, and commits by name.

use super::{config, data, entries, open, sizes};
use crate::address::Address;
use crate::device::MemoryDisk;
use crate::error::ErrorKind;
use crate::log::{CommitName, FasterLog};
use crate::utility::unix_milliseconds;
use std::time::{Duration, Instant, SystemTime};

/// Draws numbers, the same ones every time.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Every look-up there is, of some entries.
fn check(log: &FasterLog, first: u64, expected: &[(Address, Vec<u8>)]) {
    let end = first + expected.len() as u64;
    assert_eq!(log.numbers().unwrap(), first..end, "numbers");
    for (number, (address, _)) in (first..).zip(expected).step_by(1 + expected.len() / 16) {
        assert_eq!(log.entry_at(number).unwrap(), Some(*address), "entry {number}");
        assert_eq!(log.number_of(*address).unwrap(), number, "at {address}");
    }
    assert_eq!(log.entry_at(end).unwrap(), None);
    assert!(first == 0 || log.entry_at(first - 1).unwrap().is_none());
}

#[test]
fn entries_have_numbers_and_are_found_by_them_whatever_was_cut_off() {
    let (disk, mut rng) = (MemoryDisk::new(), Draw(5));
    let (mut expected, mut first, mut sizes) = (Vec::new(), 0u64, sizes());
    for round in 0..60 {
        let log = open(&disk);
        for _ in 0..1 + rng.below(40) {
            let data = data(rng.below(1000), sizes.next().unwrap() % 6_000);
            expected.push((log.append(&data).unwrap(), data));
            if rng.below(5) == 0 {
                log.commit().unwrap();
            }
        }
        let uncommitted = log.append(b"not yet").unwrap();
        assert_eq!(log.number_of(uncommitted).unwrap_err().kind(), ErrorKind::NotFound);
        expected.push((uncommitted, b"not yet".to_vec()));
        log.commit().unwrap();
        match rng.below(6) {
            0 => {
                let kept = rng.below(expected.len() as u64 + 1) as usize;
                let at = expected.get(kept).map_or(log.tail(), |entry| entry.0);
                log.truncate_before(at).unwrap();
                expected.drain(..kept);
                first += kept as u64;
            }
            1 => {
                let kept = rng.below(expected.len() as u64) as usize;
                log.truncate_suffix(expected[kept].0).unwrap();
                let gone = expected.split_off(kept);
                assert_eq!(log.number_of(gone[0].0).unwrap_err().kind(), ErrorKind::NotFound);
            }
            _ => {}
        }
        check(&log, first, &expected);
        drop(log);
        if round % 7 == 0 {
            check(&FasterLog::open_read_only(config(), disk.duplicate()).unwrap(), first, &expected);
        }
    }
    assert_eq!(entries(&open(&disk)), expected);
}

#[test]
fn a_crash_takes_no_number_with_it() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    for round in 0..20u64 {
        for number in 0..30 {
            log.append(&data(round * 30 + number, 50)).unwrap();
        }
        log.commit().unwrap();
        for number in 0..200 {
            log.append(&data(number, 90)).unwrap(); // full pages are written, and no record says so
        }
        while log.core.log.is_writing() {
            log.core.log.help();
        }
        let crashed = open(&disk.duplicate());
        let found = entries(&crashed);
        check(&crashed, 0, &found);
        let next = crashed.append_and_wait(b"next").unwrap();
        assert_eq!(crashed.number_of(next).unwrap(), found.len() as u64);
    }
}

#[test]
fn a_time_leads_to_the_first_entry_that_may_be_of_it() {
    let log = open(&MemoryDisk::new());
    let now = || SystemTime::UNIX_EPOCH + Duration::from_millis(unix_milliseconds());
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    assert_eq!(log.first_after(long_ago).unwrap(), None);
    let (mut times, mut places) = (Vec::new(), Vec::new());
    for number in 0..40 {
        let started = Instant::now();
        times.push(now());
        places.push(log.append_and_wait(&data(number, 100)).unwrap());
        while started.elapsed() < Duration::from_millis(2) {
            std::hint::spin_loop(); // times are told apart by the millisecond
        }
    }
    assert_eq!(log.first_after(long_ago).unwrap(), Some(places[0]));
    assert_eq!(log.first_after(now() + Duration::from_secs(60)).unwrap(), None);
    for (number, time) in times.iter().enumerate() {
        let found = log.first_after(*time).unwrap().unwrap();
        assert!(found <= places[number] && found >= places[number.saturating_sub(1)], "{number}: {found}");
    }
}

#[test]
fn a_log_is_opened_as_it_was_at_a_commit_by_number_or_by_cookie() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let (mut commits, mut all) = (Vec::new(), Vec::new());
    for number in 0..50u64 {
        for part in 0..5 {
            let data = data(number * 5 + part, 700);
            all.push((log.append(&data).unwrap(), data));
        }
        log.set_cursor("at", all.last().unwrap().0).unwrap();
        let cookie = [b'c', (number / 2) as u8];
        let commit = if number % 2 == 0 { log.commit_with(&cookie) } else { log.commit() }.unwrap();
        commits.push((commit, all.len()));
    }
    log.truncate_before(all[52].0).unwrap();
    let known: Vec<_> = log.commits().map(Result::unwrap).collect();
    assert!(known.windows(2).all(|two| two[0].number == two[1].number + 1 && two[0].time >= two[1].time));
    assert_eq!(known.iter().filter(|commit| commit.cookie.is_some()).count(), 20);
    drop(log);

    let is_gone = |name: &CommitName| {
        let before = disk.duplicate();
        for opened in [
            FasterLog::open_read_only_at(config(), before.clone(), name),
            FasterLog::open_at(config(), before.clone(), name),
        ] {
            assert_eq!(opened.map(drop).unwrap_err().kind(), ErrorKind::NotFound, "{name:?}");
        }
        assert_eq!(entries(&open(&before)), all[52..], "nothing was changed");
    };
    is_gone(&CommitName::Number(commits[5].0.number));
    is_gone(&CommitName::Number(1 << 40));
    is_gone(&CommitName::Cookie(b"nobody's".to_vec()));

    for (commit, len) in &commits[11..] {
        let number = CommitName::Number(commit.number);
        let view = FasterLog::open_read_only_at(config(), disk.duplicate(), &number).unwrap();
        assert_eq!(entries(&view), all[52..*len]);
        check(&view, 52, &all[52..*len]);
        assert_eq!((view.cookie(), view.cursor("at")), (commit.cookie.clone(), Some(all[len - 1].0)));
    }
    for (at, name) in [(31, CommitName::Number(commits[31].0.number)), (30, CommitName::Cookie(vec![b'c', 15]))] {
        let (commit, len) = &commits[at];
        let place = disk.duplicate();
        let log = FasterLog::open_at(config(), place.clone(), &name).unwrap();
        assert_eq!(entries(&log), all[52..*len], "{name:?}");
        assert_eq!((log.cookie(), log.cursor("at")), (commit.cookie.clone(), Some(all[len - 1].0)));
        drop(log);
        let log = open(&place);
        let mut expected = all[52..*len].to_vec();
        expected.push((log.append_and_wait(b"goes on").unwrap(), b"goes on".to_vec()));
        assert!(expected.last().unwrap().0 > all.last().unwrap().0, "addresses are never used twice");
        check(&log, 52, &expected);
        assert!(log.commits().next().unwrap().unwrap().number > commits[49].0.number);
        let gone = CommitName::Number(commits[at + 1].0.number);
        drop(log);
        let error = FasterLog::open_at(config(), place, &gone).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "what was cut off has no commits");
    }
}

#[test]
fn what_a_commit_cannot_hold_is_refused_and_the_log_goes_on() {
    let log = open(&MemoryDisk::new());
    let place = log.append(b"x").unwrap();
    let refused = (0..256).map(|name| log.set_cursor(&format!("{name:0>100}"), place)).find_map(Result::err).unwrap();
    assert_eq!(refused.kind(), ErrorKind::Limit, "{refused}");
    assert_eq!(log.commit_with(&[7; 4000]).unwrap_err().kind(), ErrorKind::Limit);
    log.append_and_wait(b"y").unwrap();
}
