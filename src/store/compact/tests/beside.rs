//! Space that is given back while the next part is compacted.

use super::*;
use crate::device::FaultyDisk;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_space_of_a_part_is_given_back_while_the_next_one_is_read() {
    let disk = FaultyDisk::new(Shredder::new());
    let disk_plan = disk.plan();
    let store: FasterKv<u64, u64, _> = FasterKv::open(config().with_table_size(1 << 10), disk).unwrap();
    let mut session = store.start_session();
    for round in 0..20 {
        // Of every part a little is in use.
        (0..2000).for_each(|key| session.upsert(key, round).unwrap());
        (0..20).for_each(|key| session.upsert(10_000 + 20 * round + key, round).unwrap());
    }
    let config = CompactionConfig::default();
    let keep_up = |makes_durable| {
        let (pace, mut estimate) = (Pace::new(&config), Estimate::default());
        let upkeep = Upkeep {
            config: &config,
            target: config.target_utilization,
            pace: &pace,
            min_log_size: 0,
            holds_up_writers: false,
            estimate: &mut estimate,
            makes_durable,
        };
        store.keep_up(upkeep)
    };
    let first = keep_up(false).report.unwrap().unwrap();
    assert!(first.copied > 0, "{first:?}");
    assert!(store.awaits_durability());
    let given_back = store.given_back();
    disk_plan.pause_only(IoOp::Read);
    std::thread::scope(|scope| {
        let second = scope.spawn(|| keep_up(true));
        assert!(disk_plan.wait_until_held(1, PATIENCE), "the next part is read");
        let since = Instant::now();
        while store.given_back() == given_back && since.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        let is_given_back = store.given_back() > given_back;
        disk_plan.resume();
        assert!(is_given_back, "before anything of the next part has come");
        let Kept { report, reclaimed } = second.join().unwrap();
        assert!(report.unwrap().is_some() && reclaimed.unwrap() > 0);
    });
    assert!((0..2000).all(|key| session.read(&key).unwrap() == Some(19)));
    assert!((0..400).all(|key| session.read(&(10_000 + key)).unwrap() == Some(key / 20)));
}
