//! Message gateway on Haversack: platforms, sessions, reply routes and a delivery ledger

#![forbid(unsafe_code)]
