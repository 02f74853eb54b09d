//! The durable log as a log of values, and its scans as futures and streams.

use crate::executor::block_on;
use oxifaster::ErrorKind;
use oxifaster::device::MemoryDisk;
use oxifaster::log::{Codec, FasterLog, FasterLogConfig, Json, Postcard, TypedLog};
use serde::{Deserialize, Serialize};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Event {
    Opened { account: u64, name: String },
    Paid(Vec<i64>),
}

fn events() -> Vec<Event> {
    let event = |number: u64| match number % 3 {
        0 => Event::Opened { account: number, name: format!("number {number}") },
        _ => Event::Paid((0..number as i64 * 50).collect()), // some are larger than a page
    };
    (0..40).map(event).collect()
}

fn open(disk: &MemoryDisk) -> FasterLog {
    let config = FasterLogConfig::default().with_page_size_bits(12).with_memory(64 << 10);
    FasterLog::open(config, disk.clone()).unwrap()
}

fn come_back<C: Codec<Event> + Default>() {
    let disk = MemoryDisk::new();
    let log = TypedLog::<Event, C>::new(open(&disk));
    let places: Vec<_> = events().iter().map(|event| log.append(event).unwrap()).collect();
    assert_eq!(log.read_entry(places[39]).unwrap(), events()[39]);
    let last = block_on(log.append_async(&events()[0]).unwrap()).unwrap();
    drop(log);
    let log = TypedLog::<Event, C>::new(open(&disk));
    let found: Vec<_> = log.scan(..).map(Result::unwrap).collect();
    let expected: Vec<_> =
        places.into_iter().chain([last]).zip(events().into_iter().chain([events()[0].clone()])).collect();
    assert_eq!(found, expected);
    let foreign = log.log().append_and_wait(&[0xff; 7]).unwrap();
    assert_eq!(log.read_entry(foreign).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(log.scan(foreign..).next().unwrap().unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn values_come_back_in_either_form() {
    come_back::<Json>();
    come_back::<Postcard>();
}

#[test]
fn a_reader_awaits_values_until_the_log_is_complete() {
    let log = TypedLog::<Event, Postcard>::with_codec(open(&MemoryDisk::new()), Postcard);
    let read = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut scan, mut read) = (log.scan(..), Vec::new());
            block_on(async {
                while let Some(entry) = scan.next_async().await {
                    read.push(entry.unwrap().1);
                }
            });
            read
        });
        for event in &events() {
            log.append_and_wait(event).unwrap();
        }
        log.log().complete().unwrap();
        reader.join().unwrap()
    });
    assert_eq!(read, events());
}

#[test]
fn a_scan_is_a_stream() {
    fn poll(
        stream: Pin<&mut impl futures_core::Stream<Item = oxifaster::Result<(oxifaster::address::Address, Vec<u8>)>>>,
    ) -> Poll<Option<Vec<u8>>> {
        stream.poll_next(&mut Context::from_waker(Waker::noop())).map(|entry| entry.map(|entry| entry.unwrap().1))
    }
    let log = open(&MemoryDisk::new());
    let mut scan = log.scan(..);
    assert!(poll(Pin::new(&mut scan)).is_pending());
    log.append_and_wait(b"one").unwrap();
    assert_eq!(poll(Pin::new(&mut scan)), Poll::Ready(Some(b"one".to_vec())));
    log.complete().unwrap();
    assert_eq!(poll(Pin::new(&mut scan)), Poll::Ready(None));
}
