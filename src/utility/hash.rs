//! The hash of a key. It decides where a key lives in the index and is part of the disk format: index images and
//! hash-ordered files hold it, so the function never changes, whatever the machine or the version of the crate.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_inline};

/// Seed and secrets of the key hash, fixed for all time. They differ from the function's defaults so that collisions
/// published for those do not apply. The seed is the fraction of the golden ratio: nothing up the sleeve.
const SECRETS: RapidSecrets = RapidSecrets::seed(0x9e37_79b9_7f4a_7c15);

/// The 64-bit hash of a key.
///
/// The top bits are the [`tag`](Self::tag), the low bits choose the [`bucket`](Self::bucket); with up to 2^50 buckets
/// the two share no bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(u64);

impl KeyHash {
    /// Names the function, with its seed and secrets, in files: 1 is rapidhash v3 as [`of_bytes`](Self::of_bytes) uses it.
    pub const ID: u32 = 1;
    /// Bits of a tag.
    pub const TAG_BITS: u32 = 14;

    /// The hash of a key with these bytes: one folded multiplication for keys of 8 bytes, rapidhash v3 with a fixed seed
    /// for all others (`docs/decisions/0010-hash-of-a-word.md`).
    #[inline(always)]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        match <&[u8; 8]>::try_from(bytes) {
            Ok(word) => Self(fold(u64::from_le_bytes(*word))),
            Err(_) => Self(of_any_length(bytes)),
        }
    }

    /// A chosen value in place of a hash, for tests and for hashes read back from a file.
    #[inline]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The top 14 bits.
    #[inline]
    pub const fn tag(self) -> u16 {
        (self.0 >> (u64::BITS - Self::TAG_BITS)) as u16
    }

    /// The low bits that `mask` selects: the bucket number in a table of `mask + 1` buckets.
    #[inline]
    pub const fn bucket(self, mask: u64) -> u64 {
        self.0 & mask
    }
}

/// The lower half of a product has good upper bits, its upper half good lower bits: together they are good all over.
#[inline(always)]
const fn fold(word: u64) -> u64 {
    let product = (word ^ 0x9e37_79b9_7f4a_7c15) as u128 * 0xd6e8_feb8_6659_fd93;
    product as u64 ^ (product >> 64) as u64
}

/// Kept out of line: the function is large, and the callers of `of_bytes` are many.
#[inline(never)]
fn of_any_length(bytes: &[u8]) -> u64 {
    rapidhash_v3_inline::<true, false, false>(bytes, &SECRETS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ascending(len: usize) -> Vec<u8> {
        (0..len).map(|at| at as u8).collect()
    }

    /// The hashes of the bytes 0, 1, 2, .. of every length from 0 to 64. They are in files: they never change.
    #[rustfmt::skip]
    const BY_LENGTH: [u64; 65] = [
        0x3385_4e2e_aa09_182d, 0x25e1_4c49_9e63_a514, 0xbb24_5ca8_dd7f_1281, 0xfa78_86c4_b988_6dd8, 0xf74d_a764_a899_a708,
        0x896c_0804_93cf_f968, 0xdca4_1b34_30f3_7ef2, 0x5718_7227_c121_883c, 0x66c9_734f_3fb8_e168, 0xee52_60d5_f9be_2c28,
        0xdadd_babc_ba0a_1561, 0x25fb_607b_6033_7d86, 0x8625_2038_860b_3448, 0x1e18_2b9b_62bb_2e87, 0x1e4a_799c_d6a6_d678,
        0x2bce_240c_60db_3f27, 0xc190_d514_2de9_ee32, 0x6e72_4cf9_49cb_6436, 0x7be4_b922_10fd_2da9, 0x80f9_7554_b8f7_4315,
        0xb148_1ce3_b94b_881e, 0x2fb2_211c_ea06_63b0, 0x7d3e_abe4_06e0_a446, 0x0df9_3e61_db34_b19f, 0x28a1_509a_8fc3_e1e3,
        0x487c_f25a_c0a8_f5b3, 0x441d_615b_c8fd_e42c, 0x1254_6c56_2118_a056, 0x0317_67eb_b708_804f, 0x8bc9_e2b6_8cc0_bb45,
        0x2562_c13b_e560_56fa, 0x6b87_c604_df09_68c8, 0xd2e7_4255_8b14_a461, 0xa8ad_df8e_ae08_4053, 0xa38e_8997_8716_6850,
        0x06d8_c527_0e4f_2044, 0xda37_db0d_b7c3_224a, 0x7b0c_ce0d_b865_fc09, 0xa85d_c78c_2616_4c97, 0x049f_9c79_0b30_bea5,
        0x90b2_de6d_4622_18f7, 0x6c40_3b29_45c7_6403, 0xf001_aece_f180_e1cd, 0x043e_d18a_ba28_1d83, 0x5fe8_a1af_8acb_4d8e,
        0x57f7_b1ce_166d_95a1, 0xffc1_ac7b_6a8f_ddfc, 0xf2c0_ae40_82af_e5fb, 0x0165_5161_a221_081d, 0x87d6_544e_8c3d_f83c,
        0x3ae2_719c_767f_6aca, 0x04ac_8a95_eb8b_19da, 0x72a8_a362_a608_1350, 0x185b_37ec_a4ef_cddc, 0x6f35_01f6_8c78_fd1f,
        0x93bc_2556_cd62_ef42, 0xdf44_b0f6_8be6_c6d2, 0xf69d_6aa0_4c1b_e556, 0x3192_067c_d738_4f2e, 0xcd6f_e6d3_85cb_a465,
        0xe154_8669_3e24_5616, 0x3c0c_c59a_e5b6_1f40, 0x24a4_e5c1_e5ae_9df7, 0x3a61_8e01_d2e8_3a74, 0xdbc4_459e_1e5b_5e5c,
    ];

    #[test]
    fn the_hash_is_the_one_that_is_in_files() {
        for (len, expected) in BY_LENGTH.into_iter().enumerate() {
            let bytes = ascending(len);
            assert_eq!(KeyHash::of_bytes(&bytes).get(), expected, "of {len} bytes");
        }
        assert_eq!(KeyHash::of_bytes(&ascending(113)).get(), 0x6e3a_7a60_ffff_30df);
        assert_eq!(KeyHash::of_bytes(&ascending(1000)).get(), 0x7b3e_b74f_a0be_61c2);
    }

    #[test]
    fn the_tag_is_the_top_and_the_bucket_the_bottom() {
        let hash = KeyHash::from_raw(0xfffc_0000_0000_0005);
        assert_eq!((hash.tag(), hash.bucket(3), hash.bucket(7)), (0x3fff, 1, 5));
        assert_eq!(KeyHash::from_raw(0x0003_ffff_ffff_ffff).tag(), 0);
    }

    /// Keys in a row, at any distance of a power of two, also with other bits set: as few meet as would by chance, in a
    /// bucket (8 of 65,536 keys in one of 8,192 on average) and in bucket and tag (16 pairs on average).
    #[test]
    fn keys_that_count_up_in_any_steps_spread_over_buckets_and_tags() {
        for shift in 0..=48 {
            for offset in [0, 1 << 63, 0x0123_4567_89ab_cdef] {
                let hash = |key: u64| KeyHash::of_bytes(&(key << shift ^ offset).to_le_bytes());
                let mut places: Vec<(u64, u16)> =
                    (0..65_536).map(|key| (hash(key).bucket(8191), hash(key).tag())).collect();
                places.sort_unstable();
                let fullest = places.chunk_by(|a, b| a.0 == b.0).map(<[_]>::len).max();
                assert!(fullest < Some(32), "{fullest:?} keys in one bucket, steps of 2^{shift} from {offset:#x}");
                let meeting = places.windows(2).filter(|pair| pair[0] == pair[1]).count();
                assert!(meeting < 60, "{meeting} pairs, steps of 2^{shift} from {offset:#x}");
            }
        }
    }
}
