//! A set-up that makes no sense is refused with the name of what is wrong; it never panics.

use oxifaster::ErrorKind;
use oxifaster::device::{FileSystemDisk, MemoryDisk, NullDisk};
use oxifaster::store::{FasterKv, FasterKvConfig};
use proptest::prelude::*;
use std::time::Duration;

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let config = FasterKvConfig::default;
    let wrong = [
        ("table_size", config().with_table_size(0)),
        ("table_size", config().with_table_size(u64::MAX)),
        ("log_memory_size", config().with_log_memory_size(0)),
        ("log_memory_size", config().with_log_memory_size(3 << 12).with_page_size_bits(12)),
        ("page_size_bits", config().with_page_size_bits(0)),
        ("page_size_bits", config().with_page_size_bits(11)),
        ("page_size_bits", config().with_page_size_bits(31)),
        ("page_size_bits", config().with_page_size_bits(u32::MAX)),
        ("mutable_fraction", config().with_mutable_fraction(-0.1)),
        ("mutable_fraction", config().with_mutable_fraction(1.1)),
        ("mutable_fraction", config().with_mutable_fraction(f64::NAN)),
        ("memory_budget", config().with_memory_budget(0)),
        ("memory_budget", config().with_memory_budget(u64::MAX)),
        ("memory_budget", config().with_memory_budget(1 << 20).with_table_size(1 << 20)),
        ("max_pending", config().with_max_pending(0)),
        ("max_pending", config().with_max_pending(usize::MAX)),
    ];
    for (field, config) in wrong {
        let error = FasterKv::<u64, u64, _>::open(config.clone(), MemoryDisk::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{config:?}: {error}");
        assert!(error.to_string().contains(field), "{field}: {error}");
        let panicked = std::panic::catch_unwind(|| FasterKv::<u64, u64, _>::new(config, MemoryDisk::new()));
        assert!(panicked.is_err(), "{field}: `new` says that it panics where `open` fails");
    }
}

#[test]
fn a_record_that_fits_on_no_page_is_refused() {
    let config = FasterKvConfig::default().with_page_size_bits(12).with_log_memory_size(1 << 20);
    let error = FasterKv::<u64, [u8; 4096], _>::open(config.clone(), MemoryDisk::new()).unwrap_err();
    assert_eq!((error.kind(), error.field("page_size_bits")), (ErrorKind::Config, Some("12")), "{error}");
    // The largest that fits is kept, on every page and on the device.
    let store = FasterKv::<u64, [u8; 4096 - 64 - 24], _>::open(config, MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    (0..1_000).for_each(|key| session.upsert(key, [key as u8; 4008]).unwrap());
    store.evict().unwrap();
    (0..1_000).for_each(|key| assert_eq!(session.read(&key).unwrap(), Some([key as u8; 4008])));
}

#[test]
fn the_default_never_panics_with_an_empty_device() {
    let dir = tempfile::tempdir().unwrap();
    drop(FasterKv::<u64, u64, _>::new(FasterKvConfig::default(), NullDisk::new()));
    drop(FasterKv::<u64, (), _>::new(FasterKvConfig::default(), MemoryDisk::new()));
    drop(FasterKv::<(), u8, _>::new(FasterKvConfig::default(), MemoryDisk::new()));
    drop(FasterKv::<[u8; 300], [u8; 1 << 20], _>::new(FasterKvConfig::default(), MemoryDisk::new()));
    let file = FileSystemDisk::single_file(dir.path().join("log")).unwrap();
    drop(FasterKv::<u64, u64, _>::new(FasterKvConfig::default(), file));
}

#[test]
fn a_place_that_cannot_be_written_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let error = FileSystemDisk::open(file.join("log")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.to_string().contains("file"), "{error}");
    let missing = FileSystemDisk::single_file(dir.path().join("file").join("log")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Io, "{missing}");
}

fn any_config() -> impl Strategy<Value = FasterKvConfig> {
    // Sizes of all magnitudes, up to what a test may allocate.
    let size = |bits: u32| (0..=bits, any::<u64>()).prop_map(|(bits, value)| value & ((1u64 << bits) - 1));
    let optional = |strategy| proptest::option::weighted(0.5, strategy);
    let sizes = (optional(size(18)), optional(size(25)), optional(size(28)), proptest::option::of(0..40u32));
    (sizes, -0.1..1.1f64, 0..100usize).prop_map(|((table, log, budget, bits), fraction, pending)| {
        let mut config = FasterKvConfig::default().with_mutable_fraction(fraction).with_max_pending(pending);
        (config.table_size, config.log_memory_size) = (table, log);
        (config.memory_budget, config.page_size_bits) = (budget, bits);
        config.with_wait_limit(Duration::from_secs(5))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is accepted works; whatever is not is a configuration error.
    #[test]
    fn any_set_up_works_or_is_refused(config in any_config()) {
        match FasterKv::<u64, [u64; 9], _>::open(config, MemoryDisk::new()) {
            Ok(store) => {
                let mut session = store.start_session();
                for key in 0..2_000 {
                    session.upsert(key, [key; 9]).unwrap();
                }
                store.evict().unwrap();
                for key in 0..2_000 {
                    prop_assert_eq!(session.read(&key).unwrap(), Some([key; 9]));
                }
            }
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Config, "{}", error),
        }
    }
}
