//! Identity is bound at doors: a door variable has no `set` and no `scope`, and no context takes it.
use haversack::well_known::{TENANT_ID, TenantId};
use haversack::{AtDoor, Context, ContextVar};

static OWN: ContextVar<u32, AtDoor> = ContextVar::new("own").at_door();

fn main() {
    let tenant = || TenantId::new("acme").unwrap();
    let _ = TENANT_ID.set(tenant());
    let _ = TENANT_ID.scope(tenant(), async {});
    TENANT_ID.sync_scope(tenant(), || ());
    let _ = Context::empty().bind(&TENANT_ID, tenant());
    let _ = OWN.set(1);
    let anywhere: &'static ContextVar<TenantId> = &TENANT_ID;
}
