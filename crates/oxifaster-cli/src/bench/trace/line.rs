//! A line of a trace, as the public traces of Twitter's caches have them:
//!
//! ```text
//! timestamp, anonymized key, key size, value size, client id, operation, TTL
//! 0,q:q:1:8WTfjZU14ee,17,213,4,get,0
//! ```

use oxifaster::record::Expiry;

/// What a client asked of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Gets,
    Set,
    Add,
    Replace,
    Cas,
    Append,
    Prepend,
    Delete,
    Incr,
    Decr,
}

impl Verb {
    pub(super) const ALL: [Self; 11] = [
        Self::Get,
        Self::Gets,
        Self::Set,
        Self::Add,
        Self::Replace,
        Self::Cas,
        Self::Append,
        Self::Prepend,
        Self::Delete,
        Self::Incr,
        Self::Decr,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Gets => "gets",
            Self::Set => "set",
            Self::Add => "add",
            Self::Replace => "replace",
            Self::Cas => "cas",
            Self::Append => "append",
            Self::Prepend => "prepend",
            Self::Delete => "delete",
            Self::Incr => "incr",
            Self::Decr => "decr",
        }
    }

    /// True if it only asks for the value.
    pub(super) const fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::Gets)
    }

    /// True if a value comes with it.
    pub(super) const fn brings_value(self) -> bool {
        matches!(self, Self::Set | Self::Add | Self::Replace | Self::Cas | Self::Append | Self::Prepend)
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// The line that it comes from.
    pub(super) line: u64,
    pub(super) verb: Verb,
    /// As long as the trace says that the key was, at least.
    pub(super) key: Vec<u8>,
    pub(super) value_size: usize,
    /// Seconds that the value is to live; 0 for ever.
    pub(super) ttl: u64,
    /// Seconds since the trace began.
    pub(super) time: u64,
}

impl Request {
    /// When the value that it brings ends, by the clock of the trace.
    pub(super) const fn expiry(&self) -> Expiry {
        match self.ttl {
            0 => Expiry::NEVER,
            seconds => Expiry::at_ms(self.time.saturating_add(seconds).saturating_mul(1000)),
        }
    }
}

/// What fills a key up to its size: no anonymized key has it.
const FILLER: u8 = b'#';
/// Bytes of the longest value that a trace may speak of.
const VALUE_MAX: usize = 1 << 30;
/// Bytes of the longest key.
const KEY_MAX: usize = 1 << 16;

/// The request of a line, without its line end.
pub(super) fn parse(text: &[u8], line: u64) -> Result<Request, String> {
    // Keys may have commas in them: the other fields have none.
    let mut fields = text.rsplitn(6, |byte| *byte == b',');
    let mut next = |name: &str| fields.next().ok_or_else(|| format!("there is no {name}: a line has 7 fields"));
    let ttl = number("TTL", next("TTL")?)?;
    let verb = verb(next("operation")?)?;
    next("client id")?;
    let value_size = bounded("value size", next("value size")?, VALUE_MAX)?;
    let key_size = bounded("key size", next("key size")?, KEY_MAX)?;
    let first = next("key")?;
    let comma = first.iter().position(|byte| *byte == b',').ok_or("there is no key: a line has 7 fields")?;
    let time = number("timestamp", &first[..comma])?;
    let mut key = first[comma + 1..].to_vec();
    if key.len() > KEY_MAX {
        return Err(format!("a key of {} bytes", key.len()));
    }
    key.resize(key.len().max(key_size), FILLER);
    Ok(Request { line, verb, key, value_size, ttl, time })
}

fn verb(text: &[u8]) -> Result<Verb, String> {
    let named = |verb: &&Verb| verb.name().as_bytes() == text.trim_ascii();
    let verb = Verb::ALL.iter().find(named).copied();
    verb.ok_or_else(|| format!("{:?} is no operation", String::from_utf8_lossy(text)))
}

fn bounded(name: &str, text: &[u8], largest: usize) -> Result<usize, String> {
    let number = number(name, text)?;
    usize::try_from(number).ok().filter(|number| *number <= largest).ok_or_else(|| format!("a {name} of {number}"))
}

fn number(name: &str, text: &[u8]) -> Result<u64, String> {
    let number = std::str::from_utf8(text.trim_ascii()).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| format!("the {name} {:?} is no whole number", String::from_utf8_lossy(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_a_request() {
        let request = parse(b"7,q:q:1:8WTfjZU14ee,17,213,4,cas,3600", 9).unwrap();
        assert_eq!((request.line, request.verb, request.time, request.ttl), (9, Verb::Cas, 7, 3600));
        assert_eq!((&request.key[..], request.value_size), (&b"q:q:1:8WTfjZU14ee"[..], 213));
        for verb in Verb::ALL {
            assert_eq!(parse(format!("0,k,1,0,0,{},0", verb.name()).as_bytes(), 1).unwrap().verb, verb);
        }
    }

    #[test]
    fn keys_may_have_commas_and_are_as_long_as_they_were() {
        assert_eq!(parse(b"0,a,b,3,0,0,get,0", 1).unwrap().key, b"a,b");
        assert_eq!(parse(b"0,ab,5,0,0,get,0", 1).unwrap().key, b"ab###");
        assert_eq!(parse(b"0,abcdef,2,0,0,get,0", 1).unwrap().key, b"abcdef");
        assert_eq!(parse(b"0,,0,0,0,get,0", 1).unwrap().key, b"");
    }

    #[test]
    fn what_is_wrong_with_a_line_is_named() {
        for (text, said) in [
            (&b""[..], "TTL"),
            (b"k,1,2,3,get,0", "7 fields"),
            (b"0,k,1,2,3,steal,0", "steal"),
            (b"0,k,x,2,3,get,0", "key size"),
            (b"0,k,1,-2,3,get,0", "value size"),
            (b"0,k,1,99999999999,3,get,0", "value size"),
            (b"x,k,1,2,3,get,0", "timestamp"),
            (b"0,k,1,2,3,get,soon", "TTL"),
        ] {
            let error = parse(text, 1).unwrap_err();
            assert!(error.contains(said), "{}: {error}", String::from_utf8_lossy(text));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_an_error(text in proptest::collection::vec(any::<u8>(), 0..60), fields in "[0-9a-z,]{0,40}") {
            let _ = parse(&text, 1);
            let _ = parse(fields.as_bytes(), 1);
        }
    }
}
