//! Taking memory from the system at once, by all cores, instead of page by page as it is used.

use super::Words;
use crate::error::Result;

/// Words of a piece, 32 MiB: long enough that handing it out costs nothing, and a whole number of huge pages.
#[cfg(not(oxifaster_loom))]
const PIECE: usize = (32 << 20) / size_of::<u64>();

/// Has the system give the memory of `areas`. The kernel zeroes what it gives, so this is the work of reading and writing it
/// all; it is shared by as many threads as there are cores and pieces.
///
/// # Errors
/// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the system does not have the memory.
#[cfg(not(oxifaster_loom))]
pub(crate) fn pretouch(areas: &[&Words]) -> Result<()> {
    use crate::sync::{AtomicUsize, Ordering};

    let pieces: Vec<_> = areas.iter().flat_map(|words| pieces_of(words)).collect();
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some((words, range)) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            // After a refusal nobody begins another piece.
            words.populate(range.clone()).inspect_err(|_| next.store(pieces.len(), Ordering::Relaxed))?;
        }
        Ok(())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        // A thread that is not to be had is not missed: those that are there share its work.
        let start = |_| std::thread::Builder::new().name("oxifaster-pretouch".into()).spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..cores.min(pieces.len())).map_while(start).collect();
        let own = work();
        let joined =
            others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.fold(own, Result::and)
    })
}

#[cfg(not(oxifaster_loom))]
fn pieces_of(words: &Words) -> impl Iterator<Item = (&Words, std::ops::Range<usize>)> {
    (0..words.len()).step_by(PIECE).map(move |start| (words, start..words.len().min(start + PIECE)))
}

/// The models' memory is there from birth.
#[cfg(oxifaster_loom)]
pub(crate) fn pretouch(_: &[&Words]) -> Result<()> {
    Ok(())
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;
    use crate::sync::Ordering;

    #[test]
    fn every_word_is_in_one_piece() {
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let words = Words::zeroed(len).unwrap();
            let mut end = 0;
            for (_, piece) in pieces_of(&words) {
                assert_eq!((piece.start, piece.is_empty()), (end, false));
                end = piece.end;
            }
            assert_eq!(end, len);
        }
    }

    #[test]
    fn what_is_there_already_stays() {
        let areas = [Words::zeroed(2 * PIECE + 5).unwrap(), Words::zeroed(0).unwrap(), Words::zeroed(700).unwrap()];
        for words in &areas {
            words.iter().step_by(512).for_each(|word| word.store(7, Ordering::Relaxed));
        }
        pretouch(&areas.each_ref()).unwrap();
        for words in &areas {
            for (at, word) in words.iter().enumerate() {
                assert_eq!(word.load(Ordering::Relaxed), if at % 512 == 0 { 7 } else { 0 });
            }
        }
    }
}
