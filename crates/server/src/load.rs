//! What one caller, one organisation and all of them together may ask of the server at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config::Limits;
use crate::error::{Error, Result};
use crate::metrics::LoadFigures;

/// Counts, and turns away what is too much.
pub struct Load {
    auth_failures: Rate<IpAddr>,
    credentials: Rate<String>,
    organisations: Rate<String>,
    places: Arc<Places>,
    figures: LoadFigures,
}

impl Load {
    pub fn new(limits: &Limits, figures: LoadFigures) -> Self {
        Self {
            auth_failures: Rate::new(limits.auth_failures_per_minute, Quota::per_minute),
            credentials: Rate::new(limits.requests_per_second_per_credential, Quota::per_second),
            organisations: Rate::new(
                limits.requests_per_second_per_organisation,
                Quota::per_second,
            ),
            places: Arc::new(Places {
                max: limits.in_flight_max,
                share: limits.in_flight_per_organisation_max,
                taken: Mutex::default(),
            }),
            figures,
        }
    }

    /// Lets a call in, which gives its place back by dropping it. Nobody's credential and nobody's organisation are "",
    /// and have no rate.
    pub fn enter(&self, credential: &str, organisation: &str) -> Result<Place> {
        for (rates, name, by) in [
            (&self.credentials, credential, "credential"),
            (&self.organisations, organisation, "organisation"),
        ] {
            if !name.is_empty() {
                rates.check(name).inspect_err(|_| self.figures.limited(by))?;
            }
        }
        Places::take(&self.places, organisation).inspect_err(|error| match error {
            Error::Busy => self.figures.shed(),
            _ => self.figures.limited("organisation"),
        })
    }

    /// Counts one failed authentication. Too many when the address has used its share up.
    pub fn count_auth_failure(&self, client: IpAddr) -> Result<()> {
        // Whoever has one IPv6 address has the whole /64.
        let share = match client {
            IpAddr::V4(_) => client,
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        };
        self.auth_failures.check(&share).inspect_err(|_| self.figures.limited("address"))
    }

    /// Forgets who has not called lately.
    pub fn shrink(&self) {
        self.auth_failures.shrink();
        self.credentials.shrink();
        self.organisations.shrink();
    }

    /// Calls under way.
    pub fn in_flight(&self) -> usize {
        self.places.lock().all
    }
}

/// So many in a time, for each key.
struct Rate<K: Hash + Eq + Clone>(Option<DefaultKeyedRateLimiter<K>>);

impl<K: Hash + Eq + Clone> Rate<K> {
    /// 0 is no limit.
    fn new(count: u32, per: fn(NonZeroU32) -> Quota) -> Self {
        Self(NonZeroU32::new(count).map(per).map(RateLimiter::keyed))
    }

    fn check<Q: ToOwned<Owned = K> + ?Sized>(&self, key: &Q) -> Result<()> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        limiter.check_key(&key.to_owned()).map_err(|early| {
            let wait = early.wait_time_from(DefaultClock::default().now());
            Error::TooMany { retry_after_seconds: wait.as_secs() + 1 }
        })
    }

    fn shrink(&self) {
        if let Some(limiter) = &self.0 {
            limiter.retain_recent();
        }
    }
}

/// Calls under way, of everybody and of each organisation.
struct Places {
    max: usize,
    share: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// Only those that have some.
    by_organisation: HashMap<String, usize>,
}

impl Places {
    fn take(places: &Arc<Self>, organisation: &str) -> Result<Place> {
        let mut taken = places.lock();
        let own = taken.by_organisation.get(organisation).copied().unwrap_or_default();
        // Its own share first: whoever asks too much hears that, and not that the server has too much to do.
        if own >= places.share {
            return Err(Error::TooMany { retry_after_seconds: 1 });
        }
        if taken.all >= places.max {
            return Err(Error::Busy);
        }
        taken.all += 1;
        taken.by_organisation.insert(organisation.to_owned(), own + 1);
        Ok(Place { places: places.clone(), organisation: organisation.to_owned() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call's place.
pub struct Place {
    places: Arc<Places>,
    organisation: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all = taken.all.saturating_sub(1);
        match taken.by_organisation.get_mut(&self.organisation) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.by_organisation.remove(&self.organisation)),
        }
    }
}

/// Where a request's place is kept until it is answered, once it has one.
#[derive(Clone, Default)]
pub struct Held(Arc<OnceLock<Place>>);

impl Held {
    pub fn keep(&self, place: Place) {
        // A request enters once.
        let _ = self.0.set(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(change: impl FnOnce(&mut Limits)) -> Load {
        let mut limits = Limits { auth_failures_per_minute: 0, ..Limits::default() };
        change(&mut limits);
        Load::new(&limits, LoadFigures::default())
    }

    #[test]
    fn nobody_takes_the_places_of_others() {
        let load = load(|limits| {
            (limits.in_flight_max, limits.in_flight_per_organisation_max) = (5, 3);
        });
        let mut noisy: Vec<_> = (0..3).map(|_| load.enter("pat-1", "acme").unwrap()).collect();
        for _ in 0..1000 {
            assert!(matches!(load.enter("pat-1", "acme"), Err(Error::TooMany { .. })));
        }
        let quiet = load.enter("pat-2", "globex").unwrap();
        let nobody = load.enter("", "").unwrap();
        assert!(matches!(load.enter("pat-2", "globex"), Err(Error::Busy)));
        assert_eq!(load.in_flight(), 5);
        noisy.pop();
        drop(load.enter("pat-2", "globex").unwrap());
        drop((noisy, quiet, nobody));
        assert_eq!(load.in_flight(), 0);
        assert!(load.places.lock().by_organisation.is_empty());
    }

    #[test]
    fn each_credential_and_each_organisation_has_its_own_rate() {
        let load = load(|limits| {
            limits.requests_per_second_per_credential = 20;
            limits.requests_per_second_per_organisation = 30;
        });
        let enter = |credential: &str, organisation: &str, count: usize| {
            (0..count).filter(|_| load.enter(credential, organisation).is_ok()).count()
        };
        // One more may pass while these are counted.
        assert!((20..=22).contains(&enter("pat-1", "acme", 100)));
        assert!((9..=12).contains(&enter("pat-2", "acme", 100)));
        assert!((20..=22).contains(&enter("pat-3", "globex", 100)));
    }
}
