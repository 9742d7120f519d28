//! Declarations: the uses that look like those that must not compile, and do.

use haversack::well_known::{TENANT_ID, TenantId};
use haversack::{Boundary, Context, ContextVar, FutureExt};

use crate::leaked::leaked;

static LOCALE: ContextVar<u32> = ContextVar::new("locale");
static EVERYTHING: ContextVar<String> = ContextVar::new("everything")
    .default(String::new)
    .portable(1)
    .outbound("x-everything")
    .shown()
    .env("EVERYTHING");
static DOOR: Boundary = Boundary::new("door").requires(&[&TENANT_ID, &LOCALE]);
static TABLE: [ContextVar<u32>; 2] = [ContextVar::new("first"), ContextVar::new("second")];

fn is_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn uses_that_look_like_misuses_compile() {
    // A variable made at run time, on purpose.
    let dynamic = leaked::<u32>("dynamic");
    assert_eq!(dynamic.sync_scope(1, || dynamic.get().unwrap()), 1);
    assert_eq!(TABLE[1].sync_scope(2, || TABLE[1].get().unwrap()), 2);

    // A token may be held over an await by a task that changes threads.
    let future = async {
        let token = LOCALE.set(1).unwrap();
        std::future::ready(()).await;
        token.reset().unwrap();
    };
    drop(is_send(future.with_context(Context::empty())));
    drop(is_send(LOCALE.scope(1, async {})));

    // A visit that is kept.
    let visit = DOOR.enter(|b| b.bind(&TENANT_ID, TenantId::new("acme").unwrap()).bind(&LOCALE, 1)).unwrap();
    visit.run(|| assert_eq!(TENANT_ID.with(|tenant| tenant.as_str().len()).unwrap(), 4));

    // A variable whose type has a lifetime of its own.
    static NAME: ContextVar<&'static str> = ContextVar::new("name");
    assert_eq!(NAME.sync_scope("ada", || NAME.get().unwrap()), "ada");
    assert_eq!(EVERYTHING.get().unwrap(), "");
}
