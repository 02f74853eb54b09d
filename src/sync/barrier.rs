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
    use std::sync::OnceLock;
    use std::sync::atomic::{Ordering, compiler_fence, fence};

    /// True if `membarrier` was registered for this process.
    static EXPEDITED: OnceLock<bool> = OnceLock::new();

    fn membarrier(command: libc::c_int) -> bool {
        // SAFETY: B1; the call takes three integers, touches no memory of ours, and reports refusal by its result.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0 as libc::c_int, 0 as libc::c_int) == 0 }
    }

    fn expedited() -> bool {
        *EXPEDITED.get_or_init(|| {
            membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
                && membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
        })
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

pub(crate) use imp::{heavy_barrier, light_barrier};
