//! The clauses that hold for channels, checked on the device's own channel, if it has one, and on a shared one.

use super::{Bench, DEPTH, PATIENCE, demand};
use crate::device::{CompletionQueue, IoChannel, IoDone, IoRequest, SharedChannel, StorageDevice, Token};
use crate::error::ErrorKind;
use crate::memory::{AlignedBuf, IoBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// More than a channel has under way at once.
const MANY: usize = 3 * DEPTH;
const SECTORS: u64 = 40;

pub(super) fn check<D: StorageDevice>(make: impl Fn() -> D) {
    for own in [true, false] {
        let device = Arc::new(make());
        let open = || -> Option<Box<dyn IoChannel>> {
            if own { device.channel() } else { Some(Box::new(SharedChannel::new(Arc::clone(&device)))) }
        };
        let bench = Bench { device: &*device, info: device.info(), queue: CompletionQueue::new() };
        let Some(mut channel) = open() else { continue };
        nothing_under_way_is_not_waited_for(&mut *channel);
        accesses_of_all_kinds_complete(&bench, &mut *channel);
        wrong_requests_are_refused(&bench, &mut *channel);
        if !bench.info.readable {
            continue;
        }
        bench.write("C6", 0, SECTORS as usize);
        reads_are_short_at_the_end_only(&bench, &mut *channel);
        many_reads_complete_once(&bench, &mut *channel);
        reads_complete_for_one_who_never_waits(&bench, &mut *channel);
        let channel = a_channel_moves_between_threads(&bench, channel);
        drop(channel);
        for _ in 0..16 {
            let (Some(dropped), Some(mut next)) = (open(), open()) else { break };
            a_channel_is_dropped_with_reads_under_way(&bench, dropped);
            // Nothing of the one that is gone arrives here.
            let buffers = submit_many(&bench, &mut *next);
            take_many(&bench, &mut *next, &buffers);
        }
        bench.expect_written("C1", 0, SECTORS as usize);
    }
}

#[allow(clippy::panic, reason = "the result of a test suite")]
fn take(channel: &mut dyn IoChannel, clause: &str) -> (Token, IoDone) {
    match channel.take_within(PATIENCE) {
        Some(completion) => completion,
        None => panic!("clause {clause} is violated: a request on a channel did not complete within {PATIENCE:?}"),
    }
}

fn run(channel: &mut dyn IoChannel, clause: &str, request: IoRequest) -> IoDone {
    channel.submit(request, Token::MAX);
    let (token, done) = take(channel, clause);
    demand(token == Token::MAX, clause, "a completion carries the token of its request");
    done
}

fn nothing_under_way_is_not_waited_for(channel: &mut dyn IoChannel) {
    channel.flush();
    let begin = Instant::now();
    demand(channel.try_take().is_none(), "C1", "nothing completes that was not submitted");
    demand(channel.take_within(PATIENCE).is_none(), "C1", "nothing completes that was not submitted");
    demand(begin.elapsed() < PATIENCE / 2, "C1", "a channel with nothing under way does not wait");
}

fn accesses_of_all_kinds_complete<D: StorageDevice>(bench: &Bench<'_, D>, channel: &mut dyn IoChannel) {
    let write = run(channel, "C1", bench.write_request(0, 2)).result;
    demand(matches!(write, Ok(len) if len == 2 * bench.info.sector_size), "C1", "a write reports all of its bytes");
    demand(matches!(run(channel, "C5", IoRequest::sync()).result, Ok(0)), "C5", "a sync succeeds");
    let truncation = run(channel, "C8", IoRequest::truncate_before(0)).result;
    demand(matches!(truncation, Ok(0)), "C8", "a truncation succeeds");
    if bench.info.readable {
        let read = run(channel, "C1", bench.read_request(0, 2));
        bench.expect_content("C1", 0, 2, &read);
    }
}

fn wrong_requests_are_refused<D: StorageDevice>(bench: &Bench<'_, D>, channel: &mut dyn IoChannel) {
    let size = bench.info.sector_size;
    let buf = || AlignedBuf::zeroed(2 * size);
    let last_sector = u64::MAX - (size as u64 - 1);
    for (offset, len) in [(1, size), (0, size - 1), (0, 3 * size), (last_sector, size)] {
        let done = run(channel, "C10", IoRequest::read(offset, len, buf()));
        let refused = matches!(&done.result, Err(error) if error.kind() == ErrorKind::Config);
        demand(refused, "C10", "a request that cannot be carried out is refused with Config");
        demand(done.buf.len() == 2 * size, "C2", "the buffer comes back");
    }
    let done = run(channel, "C10", IoRequest::read(0, size, IoBuf::empty()));
    let refused = matches!(&done.result, Err(error) if error.kind() == ErrorKind::Limit);
    demand(refused, "C10", "a request for whose buffer there was no memory is refused with Limit");
}

fn reads_are_short_at_the_end_only<D: StorageDevice>(bench: &Bench<'_, D>, channel: &mut dyn IoChannel) {
    let size = bench.info.sector_size;
    bench.write("C6", SECTORS + 20, 2);
    let hole = run(channel, "C6", bench.read_request(SECTORS, 20));
    demand(matches!(hole.result, Ok(read) if read == 20 * size), "C6", "a read below the end is not short");
    demand(hole.buf.iter().all(|byte| *byte == 0), "C6", "what was never written reads as zeros");
    let across = run(channel, "C6", bench.read_request(SECTORS + 21, 4));
    demand(matches!(across.result, Ok(read) if read == size), "C6", "a read across the end stops at the end");
    let beyond = run(channel, "C6", bench.read_request(1_000, 1));
    demand(matches!(beyond.result, Ok(0)), "C6", "a read beyond the end gives nothing, and is no error");
    let nothing = run(channel, "C6", bench.read_request(0, 0));
    demand(matches!(nothing.result, Ok(0)), "C6", "an access to no bytes is a success");
}

/// The place of the read number `token`: of many lengths, all over the device.
fn place(token: Token) -> (u64, usize) {
    let sectors = 1 + token % 5;
    (token * 7 % (SECTORS - sectors), sectors as usize)
}

fn submit_many<D: StorageDevice>(bench: &Bench<'_, D>, channel: &mut dyn IoChannel) -> Vec<usize> {
    let request = |token| {
        let (sector, sectors) = place(token);
        bench.read_request(sector, sectors)
    };
    let mut buffers = Vec::new();
    for token in 0..MANY as u64 {
        let request = request(token);
        buffers.push(request.buf.as_ptr().addr());
        channel.submit(request, token);
        if token % 32 == 31 {
            channel.flush();
        }
    }
    channel.flush();
    buffers
}

fn take_many<D: StorageDevice>(bench: &Bench<'_, D>, channel: &mut dyn IoChannel, buffers: &[usize]) {
    let mut completions: Vec<_> = (0..MANY).map(|_| take(channel, "C1")).collect();
    completions.sort_by_key(|(token, _)| *token);
    for (expected, (token, done)) in (0..).zip(&completions) {
        demand(*token == expected, "C1", "each request completes exactly once, under its token");
        demand(done.buf.as_ptr().addr() == buffers[expected as usize], "C2", "the very buffer comes back");
        let (sector, sectors) = place(*token);
        bench.expect_content("C1", sector, sectors, done);
    }
    demand(channel.try_take().is_none(), "C1", "nothing completes twice");
}

fn many_reads_complete_once<D: StorageDevice>(bench: &Bench<'_, D>, channel: &mut dyn IoChannel) {
    for _ in 0..4 {
        let buffers = submit_many(bench, channel);
        take_many(bench, channel, &buffers);
    }
}

fn reads_complete_for_one_who_never_waits<D: StorageDevice>(bench: &Bench<'_, D>, channel: &mut dyn IoChannel) {
    submit_many(bench, channel);
    let (begin, mut left) = (Instant::now(), MANY);
    while left > 0 {
        demand(begin.elapsed() < PATIENCE, "C1", "reads complete also if nobody waits");
        left -= usize::from(channel.try_take().is_some());
    }
}

/// Reads that one thread started are awaited by another when the first is gone.
fn a_channel_moves_between_threads<D: StorageDevice>(
    bench: &Bench<'_, D>,
    mut channel: Box<dyn IoChannel>,
) -> Box<dyn IoChannel> {
    for _ in 0..16 {
        let submitted = thread::scope(|scope| {
            let submit = || {
                let buffers = submit_many(bench, &mut *channel);
                (channel, buffers)
            };
            scope.spawn(submit).join()
        });
        let buffers;
        (channel, buffers) = submitted.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        take_many(bench, &mut *channel, &buffers);
    }
    channel
}

fn a_channel_is_dropped_with_reads_under_way<D: StorageDevice>(bench: &Bench<'_, D>, mut channel: Box<dyn IoChannel>) {
    submit_many(bench, &mut *channel);
    // Some that are not even started.
    channel.submit(bench.read_request(0, 3), 0);
    take(&mut *channel, "C1");
    let begin = Instant::now();
    drop(channel);
    demand(begin.elapsed() < PATIENCE, "C1", "a channel that is dropped does not wait for long");
}
