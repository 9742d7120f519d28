//! Jobs in the control file of the store: one row a job, and its sealed request beside it.
//!
//! Engine calls see the rows of every tenant and are made by the worker alone; owner calls take the scope that the store
//! read from the context. Each call is one transaction of a bounded number of statements, however many jobs wait.

mod claim;
pub(crate) mod owner;
pub(crate) mod queue;
mod record;

use std::sync::Arc;

use haversack_store::{ControlDb, EngineRows, Store, StoreError, StoreOptions, now_millis};

use super::{Ask, Backend, Claimed, Lease, Record, Standing};

/// The control file, as workers see it.
#[derive(Clone)]
pub(crate) struct Sqlite {
    control: ControlDb,
    rows: EngineRows,
}

impl Sqlite {
    pub(crate) fn new(store: &Store) -> Self {
        let control = store.control().clone();
        let rows = control.engine();
        Self { control, rows }
    }

    /// A way in of its own, which waits for no other work of this process: for leases, which must be renewed whatever
    /// else goes on. Blocks.
    pub(crate) fn apart(store: &Store) -> Result<Self, StoreError> {
        let control = ControlDb::open_shared(store.path(), &StoreOptions::default())?;
        let rows = control.engine();
        Ok(Self { control, rows })
    }
}

impl Backend for Sqlite {
    async fn claim(&self, ask: Ask) -> Result<Claimed, StoreError> {
        self.rows.write("claim jobs", move |tx| claim::claim(tx, ask, now_millis())).await
    }

    async fn renew(&self, leases: Vec<Lease>, lease_ms: i64) -> Result<Vec<Standing>, StoreError> {
        let until = now_millis().saturating_add(lease_ms);
        self.rows.write("renew leases", move |tx| record::renew(tx, &leases, until)).await
    }

    async fn look(&self, leases: Vec<Lease>) -> Result<Vec<Standing>, StoreError> {
        self.rows.read("look at leases", move |conn| record::look(conn, &leases)).await
    }

    async fn record(&self, records: Arc<[Record]>) -> Result<Vec<bool>, StoreError> {
        self.rows.write("record jobs", move |tx| record::record(tx, &records, now_millis())).await
    }

    async fn sweep(&self) -> Result<usize, StoreError> {
        self.rows.write("sweep jobs", |tx| record::sweep(tx, now_millis())).await
    }

    fn version(&self) -> Result<u64, StoreError> {
        self.control.generation()
    }
}
