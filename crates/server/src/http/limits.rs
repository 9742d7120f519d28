//! The rate limit of each tenant: a token bucket in memory, one a tenant. It is asked once a request, after
//! the key and before any work. Buckets that are full again say nothing and are dropped.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use haversack::well_known::TenantId;

/// Above this many buckets the full ones are dropped.
const SWEEP_AT: usize = 1024;

pub(super) struct TenantRates {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<TenantId, Bucket>>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl TenantRates {
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: f64::from(per_second), burst: f64::from(burst), buckets: Mutex::default() }
    }

    /// Takes one token of the tenant, or says after how many seconds there will be one.
    pub(super) fn take(&self, tenant: &TenantId) -> Result<(), u32> {
        self.take_at(tenant, Instant::now())
    }

    fn take_at(&self, tenant: &TenantId, now: Instant) -> Result<(), u32> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() > SWEEP_AT && !buckets.contains_key(tenant) {
            buckets.retain(|_, bucket| self.filled(bucket, now) < self.burst);
        }
        let bucket = buckets.entry(tenant.clone()).or_insert(Bucket { tokens: self.burst, at: now });
        bucket.tokens = self.filled(bucket, now);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let seconds = ((1.0 - bucket.tokens) / self.per_second).ceil().max(1.0);
        // The rate is at least one a second, so this is one.
        Err(seconds as u32)
    }

    fn filled(&self, bucket: &Bucket, now: Instant) -> f64 {
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.tokens + since * self.per_second).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use haversack::well_known::TenantId;

    use super::TenantRates;

    #[test]
    fn one_tenant_does_not_use_up_anothers_rate() {
        let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
        let rates = TenantRates::new(2, 3);
        let now = Instant::now();
        for _ in 0..3 {
            assert!(rates.take_at(&a, now).is_ok());
        }
        assert_eq!(rates.take_at(&a, now), Err(1));
        assert!(rates.take_at(&b, now).is_ok());
        let later = now + Duration::from_millis(500);
        assert!(rates.take_at(&a, later).is_ok());
        assert!(rates.take_at(&a, later).is_err());
    }

    #[test]
    fn a_pause_refills_to_the_burst_and_no_further() {
        let a = TenantId::new("a").unwrap();
        let rates = TenantRates::new(1000, 2);
        let now = Instant::now();
        assert!(rates.take_at(&a, now).is_ok());
        let later = now + Duration::from_secs(60);
        assert!(rates.take_at(&a, later).is_ok());
        assert!(rates.take_at(&a, later).is_ok());
        assert!(rates.take_at(&a, later).is_err());
    }
}
