//! What a snapshot costs: a context of four variables and one kilobyte, with no payload.

use std::hint::black_box;

use haversack::well_known::{PRINCIPAL, Principal, SESSION_ID, SessionId, TENANT_ID, TenantId};
use haversack::{Boundary, ContextVar, Keyring, Manifest, SealedFor, Snapshot, manifest};

use crate::measure::{Contestant, Rounds, measure};
use crate::table::Table;

static DOOR: Boundary = Boundary::new("bench");
static FACTS: ContextVar<Vec<String>> = ContextVar::new("facts").portable(1);
static OUT: Manifest = manifest![TENANT_ID, PRINCIPAL; SESSION_ID, FACTS];

pub(crate) fn snapshots(table: &mut Table, rounds: Rounds) {
    let made = made();
    let Some((visit, snapshot, keys, sealed)) = made else {
        table.note("snapshots: none could be made here");
        return;
    };
    let results = visit.run(|| {
        measure(
            rounds,
            &mut [
                Contestant::new(|| drop(black_box(OUT.capture()))),
                Contestant::new(|| drop(black_box(snapshot.seal(b"", &keys, &JOB)))),
                Contestant::new(|| drop(black_box(Snapshot::open(&sealed, &keys, &JOB)))),
                Contestant::new(|| drop(black_box(snapshot.restore(&OUT, &DOOR, |bindings| bindings)))),
            ],
        )
    });
    let bytes = sealed.len();
    table.row("capture, 4 variables".to_owned(), results[0], None, None);
    table.row(format!("seal, {bytes} bytes"), results[1], None, Some(5000.0));
    table.row(format!("open, {bytes} bytes"), results[2], None, Some(5000.0));
    table.row("restore, 4 variables".to_owned(), results[3], None, None);
}

const JOB: SealedFor<'static> = SealedFor { tenant: "acme", queue: "bench", id: "job" };

fn made() -> Option<(haversack::Visit, Snapshot, Keyring, Vec<u8>)> {
    let (tenant, principal) = (TenantId::new("acme").ok()?, Principal::new("ada").ok()?);
    let session = SessionId::new("session").ok()?;
    let facts = vec!["twenty four characters ..".to_owned(); 21];
    let visit = DOOR.enter(|bindings| {
        bindings
            .bind(&TENANT_ID, tenant)
            .bind(&PRINCIPAL, principal)
            .bind(&SESSION_ID, session)
            .bind(&FACTS, facts)
    });
    let visit = visit.ok()?;
    let snapshot = visit.run(|| OUT.capture()).ok()?;
    let keys = Keyring::generate().ok()?;
    let sealed = snapshot.seal(b"", &keys, &JOB).ok()?;
    Some((visit, snapshot, keys, sealed))
}
