//! What is exported and imported again is the same, whatever it is.

use super::export::to_file;
use super::fields::{self, Parser};
use super::lines;
use super::options::{Format, ImportOptions};
use super::split::{Found, Splitter};
use crate::bar::Bar;
use crate::plain::{AnyStore, Missing, Shape, open};
use clap::Parser as _;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Bytes that a format could trip over, and any others.
fn odd_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"".to_vec()),
        Just(b",".to_vec()),
        Just(b"\"".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b" ".to_vec()),
        Just(b"\\".to_vec()),
        Just(b"\0".to_vec()),
        Just(b"\xff".to_vec()),
        Just(b"\xed\xa0\x80".to_vec()),
        Just("\u{feff}".as_bytes().to_vec()),
        Just("\u{2028}\u{10ffff}\u{e4}".as_bytes().to_vec()),
        Just(b"{\"key\":1}".to_vec()),
        Just(b"key,value".to_vec()),
        ".{0,6}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn of_size(size: Option<usize>) -> BoxedStrategy<Vec<u8>> {
    match size {
        None => odd_bytes().boxed(),
        Some(size) => proptest::collection::vec(any::<u8>(), size..=size).boxed(),
    }
}

/// Shapes that there are stores for, with pairs that fit into them.
fn stores() -> impl Strategy<Value = (Shape, Pairs)> {
    let key = prop_oneof![Just(None), Just(Some(8)), Just(Some(16))];
    let value = prop_oneof![Just(None), Just(Some(8))];
    (key, value).prop_flat_map(|(key, value)| {
        let pairs = proptest::collection::btree_map(of_size(key), of_size(value), 0..30);
        (Just(Shape { key, value }), pairs)
    })
}

/// What a text of one format consists of.
fn parsed(text: &[u8], format: Format, shape: Shape) -> Pairs {
    let (mut splitter, mut parser, mut columns) = (Splitter::new(text, format), Parser::new(), None);
    let mut pairs = Pairs::new();
    loop {
        match splitter.advance().unwrap() {
            Found::End => return pairs,
            Found::Record => {}
            other => panic!("{other:?} in {}", String::from_utf8_lossy(text)),
        }
        let record = splitter.record();
        let entry = match (&columns, format) {
            (None, Format::Csv) => {
                columns = Some(parser.header(record).unwrap());
                continue;
            }
            (Some(columns), Format::Csv) => parser.read(record, columns, shape),
            (_, Format::Ndjson) => lines::read(record, shape),
        };
        let entry = entry.unwrap_or_else(|problem| panic!("{problem:?} in {}", String::from_utf8_lossy(record)));
        assert_eq!(pairs.insert(entry.key, entry.value), None, "each key comes once");
    }
}

fn import_line(directory: &Path, file: &Path, more: &[&str]) -> u8 {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: ImportOptions,
    }
    let words = [&["import", directory.to_str().unwrap(), file.to_str().unwrap(), "--memory", "8MiB"], more].concat();
    super::import::execute_with(&Line::parse_from(words).options, &crate::bench::Interrupt::default()).unwrap()
}

fn content(store: &dyn AnyStore) -> Pairs {
    let mut pairs = Pairs::new();
    let mut add = |key: &[u8], value: &[u8]| {
        assert_eq!(pairs.insert(key.to_vec(), value.to_vec()), None);
        Ok(())
    };
    store.each(&mut add).unwrap();
    pairs
}

proptest! {
    #[test]
    fn text_of_either_format_is_read_as_it_was_written((shape, pairs) in stores()) {
        let (mut ndjson, mut csv) = (Vec::new(), Vec::new());
        fields::write_header(&mut csv).unwrap();
        for (key, value) in &pairs {
            lines::write(&mut ndjson, key, value, shape).unwrap();
            fields::write(&mut csv, key, value, shape).unwrap();
        }
        prop_assert_eq!(&parsed(&ndjson, Format::Ndjson, shape), &pairs);
        prop_assert_eq!(&parsed(&csv, Format::Csv, shape), &pairs);
        // The last line feed may be missing.
        prop_assert_eq!(&parsed(ndjson.strip_suffix(b"\n").unwrap_or(&ndjson), Format::Ndjson, shape), &pairs);
        prop_assert_eq!(&parsed(csv.strip_suffix(b"\n").unwrap_or(&csv), Format::Csv, shape), &pairs);
    }

    #[test]
    fn any_input_is_imported_or_refused(text in odd_bytes(), more in odd_bytes(), size in proptest::option::of(0usize..20)) {
        let shape = Shape { key: size, value: None };
        let mut parser = Parser::new();
        let columns = parser.header(b"key,value,base64").unwrap();
        for record in [&text[..], &more] {
            let _ = lines::read(record, shape);
            let _ = parser.read(record, &columns, shape);
            let _ = parser.header(record);
        }
        // What was wrong before has no influence on what comes after.
        let entry = parser.read(b"a,b,\n", &columns, Shape::default()).unwrap();
        prop_assert_eq!((&entry.key[..], &entry.value[..]), (&b"a"[..], &b"b"[..]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn a_store_that_is_exported_and_imported_is_the_same((shape, pairs) in stores()) {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let store = open(&at("first"), Some(8 << 20), Missing::Make(shape)).unwrap();
        for (key, value) in &pairs {
            store.put(key, value).unwrap();
        }
        for (format, name) in [(Format::Ndjson, "all.ndjson"), (Format::Csv, "all.csv")] {
            let records = to_file(&*store, format, &at(name), &Bar::of_records("", 0, false)).unwrap();
            prop_assert_eq!(records, pairs.len() as u64);
            let sizes = [shape.key.map(|size| format!("--key-size={size}")), shape.value.map(|size| format!("--value-size={size}"))];
            let sizes: Vec<&str> = sizes.iter().flatten().map(String::as_str).collect();
            prop_assert_eq!(import_line(&at(&format!("second-{name}")), &at(name), &sizes), 0);
            let second = open(&at(&format!("second-{name}")), Some(8 << 20), Missing::Refuse).unwrap();
            prop_assert_eq!((second.shape(), content(&*second)), (shape, pairs.clone()));
        }
    }
}
