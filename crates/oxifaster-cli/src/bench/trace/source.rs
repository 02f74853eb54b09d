//! Where a trace comes from: a file or a pipe, plain or compressed by zstd.

use crate::failure::Failure;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

const BUFFER: usize = 1 << 18;
/// What a frame of zstd begins with.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The same of what is to be skipped, behind a first byte from 0x50 on.
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

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
    let mut input = Input { looked_at: Vec::new(), rest: BufReader::with_capacity(BUFFER, input) };
    let begin = input.look()?;
    let is_compressed = begin == MAGIC || is_skippable(&begin);
    let reader: Box<dyn Read> = match is_compressed {
        true => Box::new(Frames { input: Some(input), frame: None }),
        false => Box::new(input),
    };
    Ok((Box::new(BufReader::with_capacity(BUFFER, reader)), is_compressed))
}

/// What some programs put between frames.
fn is_skippable(begin: &[u8]) -> bool {
    begin.len() == MAGIC.len() && begin[0] & 0xf0 == 0x50 && begin[1..] == SKIPPABLE
}

/// An input whose next bytes can be looked at.
struct Input {
    looked_at: Vec<u8>,
    rest: BufReader<Box<dyn Read>>,
}

impl Input {
    /// The next four bytes, or as many as there are.
    fn look(&mut self) -> io::Result<Vec<u8>> {
        let missing = MAGIC.len().saturating_sub(self.looked_at.len()) as u64;
        self.rest.by_ref().take(missing).read_to_end(&mut self.looked_at)?;
        Ok(self.looked_at.clone())
    }
}

impl Read for Input {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.looked_at.is_empty() {
            return self.rest.read(bytes);
        }
        let count = bytes.len().min(self.looked_at.len());
        bytes[..count].copy_from_slice(&self.looked_at[..count]);
        self.looked_at.drain(..count);
        Ok(count)
    }
}

/// Frames of zstd, one after the other.
struct Frames {
    input: Option<Input>,
    frame: Option<Box<StreamingDecoder<Input, FrameDecoder>>>,
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
            let begin = input.look()?;
            if begin.is_empty() {
                return Ok(0);
            }
            if is_skippable(&begin) {
                let mut head = [0; 8];
                input.read_exact(&mut head)?;
                let length = head[4..].iter().rev().fold(0, |length, byte| length << 8 | u64::from(*byte));
                if io::copy(&mut input.by_ref().take(length), &mut io::sink())? < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.input = Some(input);
                continue;
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
        let skipped = [0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let all = [&skipped[..], &frame(b"hello "), &skipped, &frame(b"again\n"), &skipped].concat();
        assert_eq!(read(all).unwrap(), ("hello again\n".to_owned(), true));
        assert!(read(skipped[..9].to_vec()).is_err());
    }

    #[test]
    fn a_frame_that_is_cut_off_is_an_error() {
        let whole = frame(b"hello");
        for length in 5..whole.len() {
            assert!(read(whole[..length].to_vec()).is_err(), "{length} bytes");
        }
    }
}
