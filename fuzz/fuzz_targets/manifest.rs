//! Any bytes as a manifest: a manifest that is written as it was read, or an error that says where.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxifaster::checkpoint::Manifest;
use oxifaster::utility::crc32c;

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // The same as a body, in a frame that is right: otherwise nothing would ever get past the checksum.
    let mut framed = format!("oxifaster manifest 1\nlength {}\n", bytes.len()).into_bytes();
    framed.extend(bytes);
    framed.push(b'\n');
    let sum = crc32c(&framed);
    framed.extend(format!("crc32c {sum:08x}\n").into_bytes());
    read(&framed);
});

fn read(bytes: &[u8]) {
    match Manifest::from_bytes(bytes) {
        Ok(manifest) => {
            let written = manifest.to_bytes().expect("what was read can be written");
            assert_eq!(Manifest::from_bytes(&written).expect("what was written can be read"), manifest);
        }
        Err(error) => {
            let offset = error.field("offset").and_then(|offset| offset.parse::<usize>().ok());
            assert!(offset.is_some_and(|offset| offset <= bytes.len()), "no offset within the bytes: {error}");
        }
    }
}
