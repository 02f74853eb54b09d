//! Looking for a tag in all entries of a bucket at once.
//!
//! Which of the seven entries it is cannot be predicted, and a mispredicted branch here throws away the loads of the
//! operations behind. So all entries are compared, and only "is it here at all" is a branch. Vector instructions do it in
//! a sixth of the instructions of the portable loop.
//!
//! * **T1** The vector code reads the 64 bytes of one bucket, which the reference it is given keeps alive, and writes
//!   nothing. On x86-64 every aligned 8-byte lane of such a load is as atomic as a load of the word by itself, and ordered
//!   like one (acquire); it is written in assembly because Rust has no vector load of atomic words. Who follows the address
//!   in a word that was found depends on it, so the compiler keeps the order as well.
//! * **T2** Vector code runs only on processors that were asked and have it.
#![allow(unsafe_code)]

use super::bucket::{ENTRIES, WORDS};
use super::entry::Entry;
use crate::sync::{AtomicU64, Ordering};

/// An entry in force with `tag`: its word, and its place in the bucket. By the time they are returned the bucket may have
/// changed; the word was there, whole.
#[inline(always)]
pub(super) fn find(bucket: &[AtomicU64; WORDS], tag: u16, level: Level) -> Option<(usize, u64)> {
    #[cfg(all(target_arch = "x86_64", not(oxifaster_loom)))]
    if level.0 == vector::AVX512 {
        let (word, bits) = vector::find_avx512(bucket, Entry::upper(tag));
        // Zero bits would be the place 32; the mask keeps the compiler from looking for it.
        return if word == 0 { None } else { Some((bits.trailing_zeros() as usize % WORDS, word)) };
    }
    find_by_bits(bucket, tag, level)
}

#[inline(never)]
fn find_by_bits(bucket: &[AtomicU64; WORDS], tag: u16, level: Level) -> Option<(usize, u64)> {
    loop {
        let bits = matching(bucket, tag, level);
        if bits == 0 {
            return None;
        }
        let place = bits.trailing_zeros() as usize % WORDS;
        // Acquire: who follows the address finds the record that was written before the entry was.
        let word = bucket[place].load(Ordering::Acquire);
        if Entry(word).is_in_force(tag) {
            return Some((place, word));
        }
        // It was taken out in between, and may be in another slot by now.
    }
}

/// The entries that hold `tag` and are in force, a bit each. A hint: by the time it is returned they may have changed.
fn matching(bucket: &[AtomicU64; WORDS], tag: u16, level: Level) -> u32 {
    #[cfg(all(target_arch = "x86_64", not(oxifaster_loom)))]
    if level.0 == vector::SSE41 {
        return vector::matching_sse41(bucket, Entry::upper(tag));
    }
    let _ = level;
    matching_portable(bucket, tag)
}

/// The best way of looking that this processor has: asked for once for many buckets (T2).
#[derive(Debug, Clone, Copy)]
pub(super) struct Level(#[cfg(all(target_arch = "x86_64", not(oxifaster_loom)))] u8);

impl Level {
    #[inline(always)]
    pub(super) fn of_this_processor() -> Self {
        #[cfg(all(target_arch = "x86_64", not(oxifaster_loom)))]
        return Self(vector::level());
        #[cfg(not(all(target_arch = "x86_64", not(oxifaster_loom))))]
        Self()
    }
}

/// The name of the way in which this process looks.
pub(crate) fn tag_match_name() -> &'static str {
    #[cfg(all(target_arch = "x86_64", not(oxifaster_loom)))]
    match Level::of_this_processor().0 {
        vector::AVX512 => return "avx512",
        vector::SSE41 => return "sse4.1",
        _ => {}
    }
    "portable"
}

fn matching_portable(bucket: &[AtomicU64; WORDS], tag: u16) -> u32 {
    let hit = |word: &AtomicU64| u32::from(Entry(word.load(Ordering::Acquire)).is_in_force(tag));
    bucket[..ENTRIES].iter().enumerate().fold(0, |bits, (at, word)| bits | hit(word) << at)
}

/// The upper 16 bits tell an entry in force with a tag from every other word of a bucket; see [`Entry::upper`].
#[cfg(all(target_arch = "x86_64", not(oxifaster_loom)))]
mod vector {
    use super::WORDS;
    use crate::sync::{AtomicU8, AtomicU64, Ordering};
    use std::arch::asm;

    const UNKNOWN: u8 = 0;
    pub(super) const NONE: u8 = 1;
    pub(super) const SSE41: u8 = 2;
    pub(super) const AVX512: u8 = 3;

    static LEVEL: AtomicU8 = AtomicU8::new(UNKNOWN);

    /// The best that this processor has and the environment allows.
    #[inline]
    pub(super) fn level() -> u8 {
        match LEVEL.load(Ordering::Relaxed) {
            UNKNOWN => ask(),
            level => level,
        }
    }

    /// `portable`, `sse4.1` or `avx512` allow no more than that; whatever else it says is ignored.
    const SWITCH: &str = "OXIFASTER_TAG_MATCH";

    #[cold]
    fn ask() -> u8 {
        let best = if is_x86_feature_detected!("avx512f") {
            AVX512
        } else if is_x86_feature_detected!("sse4.1") {
            SSE41
        } else {
            NONE
        };
        let allowed = match std::env::var(SWITCH).as_deref() {
            Ok("portable") => NONE,
            Ok("sse4.1") => SSE41,
            _ => AVX512,
        };
        let level = best.min(allowed);
        LEVEL.store(level, Ordering::Relaxed);
        level
    }

    /// The word with these upper bits, zero if there is none, and the bit of its place.
    #[inline(always)]
    pub(super) fn find_avx512(bucket: &[AtomicU64; WORDS], upper: u64) -> (u64, u32) {
        let (word, bits): (u64, u32);
        // SAFETY: T1, T2. The upper registers are used so that no later SSE instruction pays for their width.
        unsafe {
            asm!(
                "vmovdqu64 zmm16, zmmword ptr [{bucket}]",
                "vpbroadcastq zmm17, {upper}",
                "vpsrlq zmm18, zmm16, 48",
                "vpcmpeqq k1, zmm18, zmm17",
                "vpcompressq zmm16 {{k1}} {{z}}, zmm16",
                "vmovq {word}, xmm16",
                "kmovw {bits:e}, k1",
                bucket = in(reg) bucket.as_ptr(),
                upper = in(reg) upper,
                word = lateout(reg) word,
                bits = lateout(reg) bits,
                out("zmm16") _,
                out("zmm17") _,
                out("zmm18") _,
                out("k1") _,
                options(nostack, readonly, preserves_flags),
            );
        }
        (word, bits)
    }

    pub(super) fn matching_sse41(bucket: &[AtomicU64; WORDS], upper: u64) -> u32 {
        let pairs: u32;
        // SAFETY: T1, T2.
        unsafe {
            asm!(
                "movq {tags}, {upper}",
                "punpcklqdq {tags}, {tags}",
                "movdqu {a}, xmmword ptr [{bucket}]",
                "movdqu {b}, xmmword ptr [{bucket} + 16]",
                "movdqu {c}, xmmword ptr [{bucket} + 32]",
                "movdqu {d}, xmmword ptr [{bucket} + 48]",
                "psrlq {a}, 48",
                "psrlq {b}, 48",
                "psrlq {c}, 48",
                "psrlq {d}, 48",
                "pcmpeqq {a}, {tags}",
                "pcmpeqq {b}, {tags}",
                "pcmpeqq {c}, {tags}",
                "pcmpeqq {d}, {tags}",
                "packssdw {a}, {b}",
                "packssdw {c}, {d}",
                "packsswb {a}, {c}",
                "pmovmskb {pairs:e}, {a}",
                bucket = in(reg) bucket.as_ptr(),
                upper = in(reg) upper,
                pairs = lateout(reg) pairs,
                tags = out(xmm_reg) _,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack, readonly, preserves_flags),
            );
        }
        every_other_bit(pairs)
    }

    /// Bits 0, 2, 4 ... of sixteen, moved together.
    #[inline]
    fn every_other_bit(pairs: u32) -> u32 {
        let mut bits = pairs & 0x5555;
        bits = (bits | bits >> 1) & 0x3333;
        bits = (bits | bits >> 2) & 0x0f0f;
        (bits | bits >> 4) & 0x00ff
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[repr(align(64))]
    struct Line([AtomicU64; WORDS]);

    /// Words that are free, of few tags, tentative, or anything.
    fn word() -> impl Strategy<Value = u64> {
        let entry = (0..4u64, 0..3u64, 0..4u64).prop_map(|(flags, tag, address)| flags << 62 | tag << 48 | address);
        prop_oneof![Just(0), entry, any::<u64>(), Just(u64::MAX), Just((1 << 48) - 1), Just(1 << 48)]
    }

    /// What each way that this processor has says.
    fn ways(line: &Line, tag: u16) -> Vec<u32> {
        let mut ways = vec![matching_portable(&line.0, tag)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("sse4.1") {
                ways.push(vector::matching_sse41(&line.0, Entry::upper(tag)));
            }
            if is_x86_feature_detected!("avx512f") {
                let (word, bits) = vector::find_avx512(&line.0, Entry::upper(tag));
                let first = line.0[bits.trailing_zeros() as usize % WORDS].load(Ordering::Relaxed);
                assert_eq!(word, if bits == 0 { 0 } else { first });
                ways.push(bits);
            }
        }
        ways
    }

    proptest! {
        #[test]
        fn every_way_of_looking_finds_the_same(words: [u64; WORDS], few in proptest::array::uniform8(word()), tag in 0..4u16) {
            for words in [words, few] {
                // The last word is never an entry, so no word of the kind stands there.
                let mut words = words;
                words[ENTRIES] &= !(1 << 62);
                let line = Line(words.map(AtomicU64::new));
                for tag in [tag, (words[3] >> 48) as u16 & 0x3fff] {
                    let in_force = |(at, word): (usize, &u64)| u32::from(Entry(*word).is_in_force(tag)) << at;
                    let expected: u32 = words[..ENTRIES].iter().enumerate().map(in_force).sum();
                    for way in ways(&line, tag) {
                        prop_assert_eq!(way, expected);
                    }
                    let found = find(&line.0, tag, Level::of_this_processor());
                    let first = expected.trailing_zeros() as usize;
                    prop_assert_eq!(found, (expected > 0).then(|| (first, words[first % WORDS])));
                }
            }
        }
    }
}
