//! Accesses of one session to the same blocks, made once.
//!
//! Records are smaller than blocks, so operations that are in flight together often want the same one: neighbours in the
//! order of writing, or the same hot key twice. Blocks never change once they are written, so the first access serves all.

use crate::device::{IoDone, IoRequest, Token};
use crate::memory::IoBuf;
use std::collections::VecDeque;

/// Accesses under way, with those that wait for the same bytes, and completions made out of theirs.
#[derive(Default)]
pub(crate) struct Merger {
    under_way: Vec<Access>,
    done: VecDeque<(Token, IoDone)>,
}

struct Access {
    token: Token,
    offset: u64,
    len: usize,
    followers: Vec<(Token, IoBuf)>,
    /// It has been waited for in vain: it may still come, but nobody else is to rely on it.
    is_late: bool,
}

impl Merger {
    /// The request, if it has to be made; `None` if one that is under way brings the same bytes.
    pub(crate) fn lead(&mut self, request: IoRequest, token: Token) -> Option<IoRequest> {
        let same =
            |access: &&mut Access| !access.is_late && access.offset == request.offset && access.len == request.len;
        // One without a buffer has to be made, so that it is refused.
        if !request.buf.is_empty()
            && let Some(access) = self.under_way.iter_mut().find(same)
        {
            access.followers.push((token, request.buf));
            return None;
        }
        self.under_way.push(Access {
            token,
            offset: request.offset,
            len: request.len,
            followers: Vec::new(),
            is_late: false,
        });
        Some(request)
    }

    /// Takes in a completion, and keeps a copy of it for everyone who follows.
    pub(crate) fn finish(&mut self, token: Token, done: &IoDone) {
        let Some(at) = self.under_way.iter().position(|access| access.token == token) else { return };
        let access = self.under_way.swap_remove(at);
        for (follower, mut buf) in access.followers {
            let len = access.len.min(buf.len()).min(done.buf.len());
            buf[..len].copy_from_slice(&done.buf[..len]);
            self.done.push_back((follower, IoDone { buf, result: done.result.clone() }));
        }
    }

    /// Notes that what is under way did not come in time.
    pub(crate) fn note_late(&mut self) {
        self.under_way.iter_mut().for_each(|access| access.is_late = true);
    }

    /// A completion made out of another one's.
    pub(crate) fn take(&mut self) -> Option<(Token, IoDone)> {
        self.done.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};
    use crate::memory::AlignedBuf;

    fn read(offset: u64) -> IoRequest {
        IoRequest::read(offset, 4096, AlignedBuf::zeroed(4096))
    }

    #[test]
    fn who_wants_the_same_bytes_gets_them_from_the_access_under_way() {
        let mut merger = Merger::default();
        let mut first = merger.lead(read(0), 1).unwrap();
        assert!(merger.lead(read(0), 2).is_none() && merger.lead(read(0), 3).is_none());
        assert!(merger.lead(read(4096), 4).is_some(), "other bytes");
        assert!(merger.take().is_none());
        first.buf[17] = 9;
        merger.finish(1, &first.done(Ok(4096)));
        for token in [2, 3] {
            let (follower, done) = merger.take().unwrap();
            assert_eq!((follower, done.buf[17], done.result.unwrap()), (token, 9, 4096));
        }
        assert!(merger.take().is_none() && merger.lead(read(0), 5).is_some(), "that access is over");
    }

    #[test]
    fn who_follows_a_late_access_is_served_when_it_comes_but_nobody_joins_it() {
        let mut merger = Merger::default();
        let first = merger.lead(read(0), 1).unwrap();
        assert!(merger.lead(read(0), 2).is_none());
        merger.note_late();
        assert!(merger.lead(read(0), 3).is_some());
        merger.finish(1, &first.done(Ok(4096)));
        assert_eq!(merger.take().map(|(token, _)| token), Some(2));
    }

    #[test]
    fn who_has_no_memory_for_the_bytes_does_not_get_them_from_another() {
        let mut merger = Merger::default();
        assert!(merger.lead(read(0), 1).is_some());
        assert!(merger.lead(IoRequest::read(0, 4096, IoBuf::empty()), 2).is_some());
        assert!(merger.lead(read(0), 3).is_none());
    }

    #[test]
    fn who_follows_an_access_that_fails_fails_with_it() {
        let mut merger = Merger::default();
        let first = merger.lead(read(0), 1).unwrap();
        assert!(merger.lead(read(0), 2).is_none());
        merger.finish(1, &first.failed(Error::new(ErrorKind::Io, "on purpose")));
        assert_eq!(merger.take().unwrap().1.result.unwrap_err().kind(), ErrorKind::Io);
    }
}
