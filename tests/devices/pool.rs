//! What the thread pool adds to a blocking device.

use super::*;

#[test]
fn a_blocking_device_conforms() {
    check_device(|| ThreadPoolDevice::new(Scripted::default()));
    check_device(|| ThreadPoolDevice::with_threads(Scripted::default(), 1));
}

#[test]
fn a_device_that_panics_completes_with_an_error_and_goes_on() {
    let pool = ThreadPoolDevice::with_threads(Scripted::default(), 1);
    pool.get_ref().panics.store(true, Ordering::Release);
    for _ in 0..3 {
        let done = run(&pool, write_request(0, 1, 1));
        let error = done.result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeviceFailed);
        assert_eq!(error.field("message"), Some("the device is out of its mind"));
        assert_eq!(done.buf.len(), SECTOR);
    }
    pool.get_ref().panics.store(false, Ordering::Release);
    write(&pool, 0, 1, 1);
}

pub(crate) struct PanickingSink;

impl CompletionSink for PanickingSink {
    fn complete(&self, _token: u64, _done: IoDone) {
        panic!("the sink is out of its mind");
    }
}

#[test]
fn a_sink_that_panics_does_not_end_the_worker() {
    let pool = ThreadPoolDevice::with_threads(Scripted::default(), 1);
    for request in [write_request(0, 1, 1), IoRequest::sync()] {
        pool.submit(request, Arc::new(PanickingSink), 0);
    }
    write(&pool, 0, 1, 1);
    sync(&pool).unwrap();
}

#[test]
fn syncs_that_wait_for_one_are_answered_together() {
    let pool = ThreadPoolDevice::with_threads(Scripted::default(), 4);
    let device = pool.get_ref();
    let queue = CompletionQueue::new();
    device.gate.set_closed(true);
    submit(&pool, IoRequest::sync(), &queue, 0);
    device.gate.wait_until_arrived(1);
    for token in 1..20 {
        submit(&pool, IoRequest::sync(), &queue, token);
    }
    // The other threads would sooner sync than write, if they might.
    for token in 20..23 {
        submit(&pool, write_request(token, 1, 1), &queue, token);
    }
    device.gate.wait_until_arrived(4);
    assert_eq!(device.syncs.load(Ordering::Acquire), 1, "at most one is under way");
    device.gate.set_closed(false);
    for _ in 0..23 {
        queue.take_within(PATIENCE).expect("a completion").1.result.unwrap();
    }
    assert_eq!(device.syncs.load(Ordering::Acquire), 2);
}

#[test]
fn the_first_cause_of_a_failed_sync_is_reported_and_reads_go_on() {
    let pool = ThreadPoolDevice::with_threads(Scripted::default(), 2);
    pool.get_ref().sync_fails.store(true, Ordering::Release);
    assert_eq!(kind_of(sync(&pool)), ErrorKind::Io);
    pool.get_ref().sync_fails.store(false, Ordering::Release);
    for result in [sync(&pool), run(&pool, write_request(0, 1, 1)).result] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeviceFailed);
        assert!(error.to_string().contains("the platter is scratched"), "{error}");
    }
    assert_eq!(pool.get_ref().syncs.load(Ordering::Acquire), 1, "a failed sync is not tried again");
    assert_eq!(kind_of(run(&pool, read_request(0, 1)).result), ErrorKind::Limit, "the read reached the device");
}

#[test]
fn as_many_accesses_are_under_way_as_there_are_threads() {
    let pool = ThreadPoolDevice::with_threads(Scripted::default(), 3);
    let device = pool.get_ref();
    let queue = CompletionQueue::new();
    device.gate.set_closed(true);
    for token in 0..10 {
        submit(&pool, write_request(token, 1, 1), &queue, token);
    }
    device.gate.wait_until_arrived(3);
    assert!(queue.try_take().is_none());
    device.gate.set_closed(false);
    for _ in 0..10 {
        queue.take_within(PATIENCE).expect("a completion").1.result.unwrap();
    }
}
