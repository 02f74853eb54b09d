//! The asymmetric barrier of the epoch: free for the thread that pins, dear for the thread that reclaims.
//!
//! * **B1** Of two threads of which one does `store X; light_barrier(); load Y` and the other
//!   `store Y; heavy_barrier(); load X`, at least one sees the other's store.
//! * **B2** The choice between the two implementations is made once, before the first light barrier returns, and never
//!   changes, so a light barrier of one kind never meets a heavy barrier of the other.
//!
//! On Linux the heavy side asks the kernel to run a full barrier on every running thread of the process
//! (`membarrier`, private expedited), which lets the light side be a mere compiler fence. Where the kernel refuses it,
//! and off Linux, both sides are sequentially consistent fences. See `docs/decisions/0002-asymmetric-barrier.md`.
#![allow(unsafe_code)]

#[cfg(all(target_os = "linux", not(oxifaster_loom)))]
mod imp {
    use std::sync::Once;
    use std::sync::atomic::{AtomicU8, Ordering, compiler_fence, fence};

    const UNKNOWN: u8 = 0;
    const FENCES: u8 = 1;
    const EXPEDITED: u8 = 2;

    /// Which implementation this process uses; never changes once it is known (B2).
    static CHOICE: AtomicU8 = AtomicU8::new(UNKNOWN);
    static CHOOSE: Once = Once::new();

    fn membarrier(command: libc::c_int) -> bool {
        // SAFETY: B1; the call takes three integers, touches no memory of ours, and reports refusal by its result.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0 as libc::c_int, 0 as libc::c_int) == 0 }
    }

    #[inline]
    fn expedited() -> bool {
        match CHOICE.load(Ordering::Relaxed) {
            UNKNOWN => choose(),
            choice => choice == EXPEDITED,
        }
    }

    #[cold]
    fn choose() -> bool {
        CHOOSE.call_once(|| {
            let works = membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
                && membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED);
            CHOICE.store(if works { EXPEDITED } else { FENCES }, Ordering::Relaxed);
        });
        CHOICE.load(Ordering::Relaxed) == EXPEDITED
    }

    /// True if a light barrier is a barrier of the compiler only.
    pub(crate) fn barriers_are_free() -> bool {
        expedited()
    }

    #[inline]
    pub(crate) fn light_barrier() {
        if expedited() { compiler_fence(Ordering::SeqCst) } else { fence(Ordering::SeqCst) }
    }

    /// False if the kernel refused: then nothing may be concluded from what is read afterwards.
    #[must_use]
    pub(crate) fn heavy_barrier() -> bool {
        fence(Ordering::SeqCst);
        !expedited() || membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED) || membarrier(libc::MEMBARRIER_CMD_GLOBAL)
    }
}

#[cfg(not(all(target_os = "linux", not(oxifaster_loom))))]
mod imp {
    use crate::sync::{Ordering, fence};

    pub(crate) fn barriers_are_free() -> bool {
        false
    }

    #[inline]
    pub(crate) fn light_barrier() {
        fence(Ordering::SeqCst)
    }

    #[must_use]
    pub(crate) fn heavy_barrier() -> bool {
        fence(Ordering::SeqCst);
        true
    }
}

pub(crate) use imp::{barriers_are_free, heavy_barrier, light_barrier};

/// What a light barrier is where [`barriers_are_free`].
#[inline]
pub(crate) fn compiler_barrier() {
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
}
