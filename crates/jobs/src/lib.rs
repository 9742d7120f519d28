//! Durable background jobs on Haversack: sealed context, leases, retries, typed handlers

#![forbid(unsafe_code)]
