//! One seed, one run.

use super::*;
use oxifaster::directory::Directory;
use oxifaster_sim::{Access, Cause, CrashPolicy, Latency, Lie, Medium, SimConfig, SimRng, When};

/// A program that does a bit of everything; returns what it was told.
fn run_program(world: &SimWorld, choices: u64) -> Vec<u64> {
    let (disk, directory, queue) = (world.disk("log"), world.directory("dir"), CompletionQueue::new());
    let mut rng = SimRng::new(choices);
    let mut told = Vec::new();
    world.fail(Access::DiskWrite, When::OneIn(20), Cause::Broken);
    world.lie(Medium::Disk, When::OneIn(20), Lie::FlippedRead);
    world.fail(Access::FileWrite, When::OneIn(20), Cause::Full);
    for round in 0..300 {
        match rng.below(6) {
            0..3 => disk.submit(write_request(rng.below(10), round as u8), Arc::clone(&queue) as _, round),
            3 => disk.submit(read_request(rng.below(10)), Arc::clone(&queue) as _, round),
            4 => {
                let name = format!("file-{}", rng.below(5));
                let write = || directory.create(&name)?.write_at(0, name.as_bytes());
                told.push(u64::from(write().is_ok()));
                told.push(u64::from(directory.rename(&name, "target").is_ok()));
                told.push(directory.names().unwrap().first().map_or(0, |first| first.len() as u64));
            }
            _ => told.push(disk.poll() as u64),
        }
        while let Some((token, done)) = queue.try_take() {
            told.extend([token, done.result.map_or(99, |len| len as u64), u64::from(done.buf[5])]);
        }
    }
    told
}

#[test]
fn one_seed_gives_one_run_and_another_seed_another() {
    let run = |seed| {
        let world = SimWorld::new(seed);
        let told = run_program(&world, 1);
        assert_eq!(world.unasked(), 0, "nothing was left to the clock");
        let fingerprints: Vec<_> = CrashPolicy::ALL.map(|policy| world.crash(policy).image.fingerprint()).to_vec();
        (told, world.trace(), fingerprints, world.events())
    };
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
        assert_ne!(run(seed).1.shape(), run(seed + 1).1.shape());
    }
}

#[test]
fn what_survives_whole_or_is_synced_is_what_readers_saw() {
    for seed in 0..100 {
        let world = SimWorld::new(seed);
        run_program(&world, seed);
        world.settle();
        let names = |world: &SimWorld| {
            let mut names = world.directory("dir").names().unwrap();
            names.sort();
            names
        };
        let seen = |world: &SimWorld| {
            world.repair();
            let blocks: Vec<_> = (0..10).map(|block| read_log(world, block)).collect();
            (blocks, names(world))
        };
        let now = seen(&world);
        assert_eq!(seen(&world.crash(CrashPolicy::KeepAll).restart()), now, "seed {seed}");
        sync(&world.disk("log"));
        world.directory("dir").sync().unwrap();
        assert_eq!(seen(&world.crash(CrashPolicy::LoseAll).restart()), now, "seed {seed}");
    }
}

#[test]
fn names_and_bytes_change_the_full_hash_and_not_the_shape() {
    let run = |name: &str, byte| {
        let world = SimWorld::with(1, SimConfig::default().with_latency(Latency::None));
        world.directory("dir").create(name).unwrap();
        write(&world.disk("log"), 0, byte);
        world.trace()
    };
    let first = run("a", 1);
    assert_eq!(first, run("a", 1));
    for other in [run("b", 1), run("a", 2)] {
        assert_eq!(first.shape(), other.shape());
        assert_ne!(first.full(), other.full());
    }
}

#[test]
fn accesses_overtake_each_other_and_none_is_forgotten() {
    let mut overtaken = 0;
    for seed in 0..50 {
        let world = SimWorld::new(seed);
        let (disk, queue) = (world.disk("log"), CompletionQueue::new());
        (0..20).for_each(|token| disk.submit(write_request(token, 1), Arc::clone(&queue) as _, token));
        world.settle();
        let order: Vec<u64> = std::iter::from_fn(|| queue.try_take()).map(|(token, _)| token).collect();
        overtaken += usize::from(!order.is_sorted());
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
    }
    assert!(overtaken > 40, "{overtaken}");
}

#[test]
fn who_waits_without_polling_is_served_and_the_world_says_so() {
    let world = SimWorld::with(1, SimConfig::default().with_patience(Duration::from_millis(2)));
    let (disk, queue) = (world.disk("log"), CompletionQueue::new());
    while world.in_flight() < 2 {
        start(&disk, write_request(0, 1), &queue);
    }
    while world.in_flight() > 0 {
        queue.take_within(PATIENCE).expect("the clock moves what nobody polls for");
    }
    assert!(world.unasked() > 0);
}

#[test]
fn reads_and_syncs_without_a_channel_are_answered_promptly() {
    let world = SimWorld::new(1);
    let (disk, queue) = (world.disk("log"), CompletionQueue::new());
    for _ in 0..50 {
        start(&disk, IoRequest::sync(), &queue);
        assert!(queue.try_take().is_some());
        start(&disk, read_request(0), &queue);
        assert!(queue.try_take().is_some());
    }
    assert_eq!(world.in_flight(), 0);
}

#[test]
fn a_dropped_handle_leaves_nothing_under_way() {
    let world = SimWorld::new(1);
    let (disk, other, queue) = (world.disk("log"), world.disk("log"), CompletionQueue::new());
    (0..20).for_each(|_| start(&disk, write_request(0, 1), &queue));
    (0..20).for_each(|_| start(&other, write_request(0, 1), &queue));
    drop((disk, other));
    assert_eq!((world.in_flight(), world.unasked()), (0, 0));
    assert_eq!(std::iter::from_fn(|| queue.try_take()).count(), 40);
}
