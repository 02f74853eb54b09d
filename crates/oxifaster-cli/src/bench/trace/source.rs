//! Where a trace comes from: a file or a pipe, plain or compressed by zstd.

use crate::failure::Failure;
use ruzstd::decoding::StreamingDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

const BUFFER: usize = 1 << 18;
/// What a frame of zstd begins with.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A trace that can be read.
pub(super) struct Source {
    pub(super) reader: Box<dyn BufRead>,
    /// For people.
    pub(super) name: String,
    /// Bytes of it, if they are known.
    pub(super) length: Option<u64>,
}

/// Opens a file, or standard input if none is named.
pub(super) fn open(file: Option<&Path>) -> Result<Source, Failure> {
    let Some(path) = file else {
        let (reader, _) = plain(Box::new(io::stdin())).map_err(|error| unreadable("standard input", error))?;
        return Ok(Source { reader, name: "standard input".to_owned(), length: None });
    };
    let name = path.display().to_string();
    let opened = File::open(path).and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    let (file, metadata) = opened.map_err(|error| Failure::path("opening the trace", path, error))?;
    if metadata.is_dir() {
        return Err(Failure::usage(format!("{name} is a directory"), "give --trace a file, or - for standard input"));
    }
    let (reader, is_compressed) = plain(Box::new(file)).map_err(|error| unreadable(&name, error))?;
    Ok(Source { reader, name, length: (metadata.is_file() && !is_compressed).then_some(metadata.len()) })
}

/// The plain bytes of what may be compressed, and whether it is.
fn plain(input: Box<dyn Read>) -> io::Result<(Box<dyn BufRead>, bool)> {
    let mut input = input;
    let mut begin = Vec::new();
    input.by_ref().take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    let is_compressed = begin == MAGIC;
    let whole = BufReader::with_capacity(BUFFER, io::Cursor::new(begin).chain(input));
    Ok(match is_compressed {
        true => (Box::new(BufReader::with_capacity(BUFFER, Frames { input: Some(whole), frame: None })), true),
        false => (Box::new(whole), false),
    })
}

type Input = BufReader<io::Chain<io::Cursor<Vec<u8>>, Box<dyn Read>>>;

/// Frames of zstd, one after the other.
struct Frames {
    input: Option<Input>,
    frame: Option<Box<StreamingDecoder<Input, ruzstd::decoding::FrameDecoder>>>,
}

impl Read for Frames {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let read = frame.read(bytes)?;
                if read > 0 || bytes.is_empty() {
                    return Ok(read);
                }
                self.input = self.frame.take().map(|frame| frame.into_inner());
            }
            let Some(mut input) = self.input.take() else { return Ok(0) };
            if input.fill_buf()?.is_empty() {
                return Ok(0);
            }
            let frame = StreamingDecoder::new(input).map_err(io::Error::other)?;
            self.frame = Some(Box::new(frame));
        }
    }
}

fn unreadable(name: &str, source: io::Error) -> Failure {
    Failure::System { what: format!("reading the trace {name}"), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "hello " and "again\n", each a frame of its own, as raw blocks.
    fn frame(text: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([0x20, text.len() as u8]); // one segment, its length in one byte
        let block = (text.len() as u32) << 3 | 1; // the last block, raw
        bytes.extend(&block.to_le_bytes()[..3]);
        bytes.extend(text);
        bytes
    }

    fn read(bytes: Vec<u8>) -> io::Result<(String, bool)> {
        let (mut reader, is_compressed) = plain(Box::new(io::Cursor::new(bytes)))?;
        let mut text = String::new();
        reader.read_to_string(&mut text)?;
        Ok((text, is_compressed))
    }

    #[test]
    fn frames_are_told_from_plain_text() {
        assert_eq!(read(b"0,k".to_vec()).unwrap(), ("0,k".to_owned(), false));
        assert_eq!(read(Vec::new()).unwrap(), (String::new(), false));
        let two = [frame(b"hello "), frame(b"again\n")].concat();
        assert_eq!(read(two).unwrap(), ("hello again\n".to_owned(), true));
    }

    #[test]
    fn a_frame_that_is_cut_off_is_an_error() {
        let whole = frame(b"hello");
        for length in 5..whole.len() {
            assert!(read(whole[..length].to_vec()).is_err(), "{length} bytes");
        }
    }
}
