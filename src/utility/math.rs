//! Arithmetic that the standard library does not have, or not fast enough.

use std::num::NonZeroU64;

/// The smallest multiple of `align` that is not below `value`.
///
/// `align` is a power of two, and `value` lies at least `align` below `u64::MAX`, as every length and address does.
#[inline]
pub const fn align_up(value: u64, align: u64) -> u64 {
    debug_assert!(align.is_power_of_two());
    (value + (align - 1)) & !(align - 1)
}

/// A divisor that is known only at run time but used many times. Dividing by it costs one multiplication instead of a
/// division, and is exact for every dividend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FastDivisor {
    divisor: u64,
    /// `floor((2^64 - 1) / divisor)`.
    reciprocal: u64,
}

impl FastDivisor {
    /// Prepares for dividing by `divisor`.
    pub const fn new(divisor: NonZeroU64) -> Self {
        Self { divisor: divisor.get(), reciprocal: u64::MAX / divisor.get() }
    }

    /// The number to divide by.
    #[inline]
    pub const fn get(self) -> u64 {
        self.divisor
    }

    /// Quotient and remainder of `dividend`.
    #[inline]
    pub const fn div_rem(self, dividend: u64) -> (u64, u64) {
        // With d the divisor and m its reciprocal, 2^64 - d <= m*d < 2^64. So n*m/2^64 lies below n/d, by at most
        // n/2^64 < 1, and its floor is the quotient or one less than it. One comparison tells which.
        let estimate = ((dividend as u128 * self.reciprocal as u128) >> 64) as u64;
        let rest = dividend - estimate * self.divisor;
        let one_less = (rest >= self.divisor) as u64;
        (estimate + one_less, rest - one_less * self.divisor)
    }

    /// `dividend / divisor`.
    #[inline]
    pub const fn quotient(self, dividend: u64) -> u64 {
        self.div_rem(dividend).0
    }

    /// `dividend % divisor`.
    #[inline]
    pub const fn remainder(self, dividend: u64) -> u64 {
        self.div_rem(dividend).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn non_zero(value: u64) -> NonZeroU64 {
        NonZeroU64::new(value).unwrap()
    }

    fn assert_divides(dividend: u64, divisor: u64) {
        let fast = FastDivisor::new(non_zero(divisor));
        assert_eq!(fast.div_rem(dividend), (dividend / divisor, dividend % divisor), "{dividend} by {divisor}");
    }

    #[test]
    fn division_is_exact_around_every_power_of_two() {
        let near = |bits: u32| (0..3).map(move |step| (1u64 << bits).wrapping_add(step).wrapping_sub(1));
        for divisor in (0..64).flat_map(near).filter(|divisor| *divisor > 0).chain([u64::MAX]) {
            for dividend in (0..64).flat_map(near).chain([u64::MAX, divisor.wrapping_mul(3), divisor - 1]) {
                assert_divides(dividend, divisor);
            }
        }
    }

    proptest! {
        #[test]
        fn division_is_exact_for_log_addresses(dividend in 0u64..1 << 40, divisor in 1u64..1 << 24) {
            assert_divides(dividend, divisor);
            assert_divides(dividend / divisor * divisor, divisor);
        }

        #[test]
        fn division_is_exact_for_any_numbers(dividend: u64, divisor in 1u64..) {
            assert_divides(dividend, divisor);
        }
    }

    #[test]
    fn aligning_rounds_up_to_the_next_multiple() {
        assert_eq!(align_up(0, 4096), 0);
        assert_eq!(align_up(1, 4096), 4096);
        assert_eq!(align_up(4096, 4096), 4096);
        assert_eq!(align_up(4097, 1), 4097);
        assert_eq!(align_up(u64::MAX - 4096, 4096), u64::MAX - 4095);
    }
}
