//! The keys that the workers ask for.

use crate::distribution::{Distribution, KeyChooser};
use crate::random::Random;

/// Keys of one thread, drawn before anything is timed: a draw from a zipfian distribution costs as much as a lookup. All
/// contestants get the same ones, from the same place on.
pub(crate) struct KeyStream(Vec<u64>);

/// Keys of a stream: so many that those that come again have long left every cache.
const LENGTH: usize = 1 << 24;
/// Keys of one call.
pub(crate) const CHUNK: usize = 512;

impl KeyStream {
    /// The streams of `threads` threads.
    pub(crate) fn draw(distribution: Distribution, keys: u64, threads: usize) -> Vec<Self> {
        let chooser = &KeyChooser::new(distribution, keys);
        let length = LENGTH.min((keys as usize * 4).next_multiple_of(CHUNK)).max(CHUNK);
        std::thread::scope(|scope| {
            let draws: Vec<_> = (0..threads as u64)
                .map(|thread| {
                    scope.spawn(move || {
                        let mut random = Random::new(1_000 + thread);
                        Self((0..length).map(|_| chooser.key(&mut random)).collect())
                    })
                })
                .collect();
            draws.into_iter().filter_map(|draw| draw.join().ok()).collect()
        })
    }

    /// Chunk number `at`, beginning again behind the last.
    #[inline]
    pub(crate) fn chunk(&self, at: usize) -> &[u64] {
        let start = at % (self.0.len() / CHUNK) * CHUNK;
        &self.0[start..start + CHUNK]
    }
}
