//! Keeps what memory holds out of core files and swap.

use anyhow::{Context, Result, bail};
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

use crate::config::MemoryLock;

/// SECURITY: key material must not end up in a core file, nor be readable by a debugger of the same user.
pub fn forbid_core_dumps() -> Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Locks all memory that the process has and will have, page by page as it is used: what the cipher library and
/// the allocator hold cannot be told apart from the rest.
pub fn keep_out_of_swap(wanted: MemoryLock) -> Result<()> {
    let locked = match wanted {
        MemoryLock::Off => Ok(()),
        MemoryLock::Try | MemoryLock::Require => lock(),
    };
    match locked {
        Err(error) if wanted == MemoryLock::Try => {
            tracing::warn!("memory is not kept out of swap: {error:#}");
            Ok(())
        }
        locked => locked.context("`memory_lock` requires that memory is kept out of swap"),
    }
}

fn lock() -> Result<()> {
    // Root may; for others the limit stays as it is.
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    // With a limit, memory beyond it could not be had at all, and the process would end.
    if let Some(bytes) = getrlimit(Resource::Memlock).current {
        bail!("the limit of locked memory is {bytes} bytes; LimitMEMLOCK=infinity lifts it");
    }
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    mlockall(flags).context("mlockall")
}
