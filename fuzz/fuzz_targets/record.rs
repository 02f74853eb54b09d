//! Any bytes as a record, of every kind of layout: a record whose key and value lie in them, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxifaster::record::{Encoded, Expiring, Key, RecordLayout, Value};

fuzz_target!(|bytes: &[u8]| {
    parse::<u64, u64>(bytes);
    parse::<u64, [u8; 100]>(bytes);
    parse::<[u8; 13], u8>(bytes);
    parse::<u64, Vec<u8>>(bytes);
    parse::<Vec<u8>, u64>(bytes);
    parse::<Vec<u8>, [u8; 100]>(bytes);
    parse::<Vec<u8>, Vec<u8>>(bytes);
    parse::<String, Box<[u8]>>(bytes);
    parse::<String, Encoded<Vec<u32>>>(bytes);
    parse::<u64, Expiring<u64>>(bytes);
    parse::<[u8; 13], Expiring<()>>(bytes);
    parse::<u64, Expiring<[u8; 100]>>(bytes);
    parse::<String, Expiring<Vec<u8>>>(bytes);
    parse::<Vec<u8>, Expiring<u8>>(bytes);
});

fn parse<K: Key, V: Value>(bytes: &[u8]) {
    if let Ok(record) = RecordLayout::parse::<K, V>(bytes) {
        assert!(record.info.is_present(), "a record without a header");
        let value = record.value.as_ref().map_or(&[][..], Value::as_bytes);
        assert!(record.key.as_bytes().len() + value.len() <= bytes.len(), "more than there is");
        assert_eq!(record.value.is_none() && record.large_len().is_none(), record.info.is_tombstone());
    }
}
