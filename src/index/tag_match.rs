//! Looking for a tag in all entries of a bucket at once.
//!
//! Which of the seven entries it is cannot be predicted, and a mispredicted branch here throws away the loads of the
//! operations behind. So all entries are compared, and only "is it here at all" is a branch. Vector instructions do it in
//! a sixth of the instructions of the portable loop.
//!
//! * **T1** The vector code reads the 64 bytes of one bucket, which the reference it is given keeps alive, and writes
//!   nothing. On x86-64 every aligned 8-byte lane of such a load is as atomic as a load of the word by itself, and ordered
//!   like one; it is written in assembly because Rust has no vector load of atomic words. What it finds is a hint: the
//!   caller loads the word again and judges that.
//! * **T2** Vector code runs only on processors that were asked and have it.
#![allow(unsafe_code)]

use super::bucket::{ENTRIES, WORDS};
use super::entry::Entry;
use crate::sync::{AtomicU64, Ordering};

/// The entries that hold `tag` and are in force, a bit each. A hint: by the time it is returned they may have changed.
#[inline]
pub(super) fn matching(bucket: &[AtomicU64; WORDS], tag: u16) -> u32 {
    #[cfg(all(target_arch = "x86_64", not(oxifaster_loom)))]
    match vector::level() {
        vector::AVX512 => return vector::matching_avx512(bucket, tag),
        vector::SSE41 => return vector::matching_sse41(bucket, tag),
        _ => {}
    }
    matching_portable(bucket, tag)
}

/// The name of the way in which this process looks.
pub(crate) fn tag_match_name() -> &'static str {
    #[cfg(all(target_arch = "x86_64", not(oxifaster_loom)))]
    match vector::level() {
        vector::AVX512 => return "avx512",
        vector::SSE41 => return "sse4.1",
        _ => {}
    }
    "portable"
}

#[inline]
fn matching_portable(bucket: &[AtomicU64; WORDS], tag: u16) -> u32 {
    let hit = |word: &AtomicU64| u32::from(Entry(word.load(Ordering::Acquire)).is_in_force(tag));
    bucket[..ENTRIES].iter().enumerate().fold(0, |bits, (at, word)| bits | hit(word) << at)
}

/// An entry in force with tag `t` is the only word `w` for which `(w - 1) >> 48 == t`; see [`Entry::is_in_force`].
#[cfg(all(target_arch = "x86_64", not(oxifaster_loom)))]
mod vector {
    use super::{ENTRIES, WORDS};
    use crate::sync::{AtomicU8, AtomicU64, Ordering};
    use std::arch::asm;

    const UNKNOWN: u8 = 0;
    pub(super) const NONE: u8 = 1;
    pub(super) const SSE41: u8 = 2;
    pub(super) const AVX512: u8 = 3;
    const ENTRY_BITS: u32 = (1 << ENTRIES) - 1;

    static LEVEL: AtomicU8 = AtomicU8::new(UNKNOWN);

    /// The best this processor has.
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

    #[inline]
    pub(super) fn matching_avx512(bucket: &[AtomicU64; WORDS], tag: u16) -> u32 {
        let bits: u32;
        // SAFETY: T1, T2. The upper registers are used so that no later SSE instruction pays for their width.
        unsafe {
            asm!(
                "vpternlogd zmm16, zmm16, zmm16, 0xff",
                "vpbroadcastq zmm17, {tag}",
                "vpaddq zmm16, zmm16, zmmword ptr [{bucket}]",
                "vpsrlq zmm16, zmm16, 48",
                "vpcmpeqq k1, zmm16, zmm17",
                "kmovw {bits:e}, k1",
                bucket = in(reg) bucket.as_ptr(),
                tag = in(reg) u64::from(tag),
                bits = lateout(reg) bits,
                out("zmm16") _,
                out("zmm17") _,
                out("k1") _,
                options(nostack, readonly, preserves_flags),
            );
        }
        bits & ENTRY_BITS
    }

    #[inline]
    pub(super) fn matching_sse41(bucket: &[AtomicU64; WORDS], tag: u16) -> u32 {
        let pairs: u32;
        // SAFETY: T1, T2.
        unsafe {
            asm!(
                "pcmpeqd {ones}, {ones}",
                "movq {tags}, {tag}",
                "punpcklqdq {tags}, {tags}",
                "movdqu {a}, xmmword ptr [{bucket}]",
                "movdqu {b}, xmmword ptr [{bucket} + 16]",
                "movdqu {c}, xmmword ptr [{bucket} + 32]",
                "movdqu {d}, xmmword ptr [{bucket} + 48]",
                "paddq {a}, {ones}",
                "paddq {b}, {ones}",
                "paddq {c}, {ones}",
                "paddq {d}, {ones}",
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
                tag = in(reg) u64::from(tag),
                pairs = lateout(reg) pairs,
                ones = out(xmm_reg) _,
                tags = out(xmm_reg) _,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack, readonly, preserves_flags),
            );
        }
        every_other_bit(pairs) & ENTRY_BITS
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

    proptest! {
        #[test]
        fn every_way_of_looking_finds_the_same(words: [u64; WORDS], few in proptest::array::uniform8(word()), tag in 0..4u16) {
            for words in [words, few] {
                let line = Line(words.map(AtomicU64::new));
                for tag in [tag, (words[3] >> 48) as u16 & 0x3fff] {
                    let expected = matching_portable(&line.0, tag);
                    for (at, word) in words[..ENTRIES].iter().enumerate() {
                        prop_assert_eq!(expected >> at & 1 == 1, Entry(*word).is_in_force(tag));
                    }
                    prop_assert_eq!(matching(&line.0, tag), expected);
                    #[cfg(target_arch = "x86_64")]
                    {
                        if is_x86_feature_detected!("avx512f") {
                            prop_assert_eq!(vector::matching_avx512(&line.0, tag), expected);
                        }
                        if is_x86_feature_detected!("sse4.1") {
                            prop_assert_eq!(vector::matching_sse41(&line.0, tag), expected);
                        }
                    }
                }
            }
        }
    }
}
