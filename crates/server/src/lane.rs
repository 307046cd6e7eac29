//! Work that takes a core for milliseconds or seconds: on threads of its own, a few at a time, and never more
//! waiting than can be answered soon.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::error::{Error, Result};

/// Threads with a bounded queue, of which each organisation has a share.
pub struct Lane {
    threads: Arc<Semaphore>,
    inside: Arc<Mutex<HashMap<String, usize>>>,
    all_max: usize,
    organisation_max: usize,
}

impl Lane {
    /// `threads` work at once; of all that work or wait there are at most `all_max`, and `organisation_max` of
    /// one organisation.
    pub fn new(threads: usize, all_max: usize, organisation_max: usize) -> Self {
        Self {
            threads: Arc::new(Semaphore::new(threads)),
            inside: Arc::default(),
            all_max,
            organisation_max,
        }
    }

    /// Runs `work` in its turn, or refuses when too many are before it. Whoever stops waiting keeps the place
    /// until the work is done.
    pub async fn run<T: Send + 'static>(
        &self,
        organisation: &str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = self.enter(organisation)?;
        let thread = self.threads.clone().acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _held = (place, thread);
            work()
        });
        done.await.map_err(|error| Error::bug(error.to_string()))?
    }

    /// How much work of an organisation is done or waits here.
    pub fn count(&self, organisation: &str) -> usize {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.get(organisation).copied().unwrap_or_default()
    }

    fn enter(&self, organisation: &str) -> Result<Place> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = inside.values().sum();
        let own = inside.get(organisation).copied().unwrap_or_default();
        if all >= self.all_max || own >= self.organisation_max {
            return Err(Error::TooMany { retry_after_seconds: 2 });
        }
        inside.insert(organisation.to_owned(), own + 1);
        Ok(Place { inside: self.inside.clone(), organisation: organisation.to_owned() })
    }
}

/// A place in the queue, given back when dropped.
struct Place {
    inside: Arc<Mutex<HashMap<String, usize>>>,
    organisation: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = inside.get_mut(&self.organisation) {
            *own -= 1;
            if *own == 0 {
                inside.remove(&self.organisation);
            }
        }
    }
}

/// The lanes of a server.
pub struct Lanes {
    /// Makes and imports key pairs: a second or so each.
    pub making: Lane,
    /// Makes key pairs that the clock asks for, so that no caller holds rotations up.
    pub making_by_clock: Lane,
    /// Uses private RSA keys: some milliseconds each.
    pub using: Lane,
}

impl Default for Lanes {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            making: Lane::new((cores / 2).max(1), 16, 4),
            making_by_clock: Lane::new(1, 16, 16),
            using: Lane::new(cores, 1024, 256),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::task::{Context, Waker};

    fn is_pending<F: Future>(future: &mut Pin<Box<F>>) -> bool {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test]
    async fn an_organisation_has_its_share_and_no_more() {
        let lane = Arc::new(Lane::new(1, 3, 2));
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let first = lane.clone();
        let first = async move { first.run("a", move || Ok(gate.recv().is_ok())).await };
        let second = lane.run("a", || Ok(true));
        let mut first = Box::pin(first);
        let mut second = Box::pin(second);
        assert!(is_pending(&mut first));
        assert!(is_pending(&mut second));
        assert!(matches!(lane.run("a", || Ok(())).await, Err(Error::TooMany { .. })));
        let mut other = Box::pin(lane.run("b", || Ok(true)));
        assert!(is_pending(&mut other));
        assert!(matches!(lane.run("c", || Ok(())).await, Err(Error::TooMany { .. })));
        // Whoever waits and goes away makes room; whoever works keeps the place until the end.
        drop(second);
        drop(first);
        assert_eq!(lane.inside.lock().unwrap().values().sum::<usize>(), 2);
        open.send(()).unwrap();
        assert!(other.await.unwrap());
        while !lane.inside.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    }
}
