//! The operator door: every tenant can be entered, each entry is written down first, and without the row nobody enters.

use haversack::well_known::TenantId;
use haversack::well_known::{PRINCIPAL, TENANT_ID};
use haversack_server::operator::Operator;

use super::harness::{TestServer, start};

async fn with_two_tenants() -> TestServer {
    let server = start().await;
    for tenant in ["acme", "other"] {
        let key = server.key(tenant, "kim").await;
        server.say(&key, "s", "hello").await;
    }
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn each_entry_is_audited_before_anything_is_read() {
    let server = with_two_tenants().await;
    let store = server.server.engine().store().clone();
    let operator = Operator::new(store.clone(), "root").unwrap();
    let mut tenants = operator.tenants().await.unwrap();
    tenants.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    assert_eq!(tenants.iter().map(TenantId::as_str).collect::<Vec<_>>(), ["acme", "other"]);
    for tenant in &tenants {
        let visit = operator.enter(tenant, "look").await.unwrap();
        let trail = store.control().audit().list(1).await.unwrap();
        assert_eq!((trail[0].actor.as_str(), trail[0].action.as_str()), ("operator:root", "look"));
        assert_eq!(trail[0].tenant.as_deref(), Some(tenant.as_str()));
        let (bound, who, own) =
            visit.run(|| (TENANT_ID.get().unwrap(), PRINCIPAL.get().unwrap(), store.tenant().is_ok()));
        assert_eq!((bound.as_str(), who.as_str(), own), (tenant.as_str(), "operator:root", true));
    }
    assert!(store.tenant().is_err(), "outside a door there is no tenant");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_row_nobody_enters() {
    let server = with_two_tenants().await;
    let store = server.server.engine().store().clone();
    let operator = Operator::new(store.clone(), "root").unwrap();
    let tenants = operator.tenants().await.unwrap();
    server.server.shutdown().await.unwrap();
    assert!(operator.enter(&tenants[0], "look").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_not_the_principal_of_a_key() {
    let server = with_two_tenants().await;
    let store = server.server.engine().store().clone();
    let operator = Operator::new(store, "root").unwrap();
    let tenants = operator.tenants().await.unwrap();
    // No key can carry the operator's name, and the operator sees no principal's sessions as his own.
    assert!(haversack_server::auth::name::check_name("principal", "operator:root").is_err());
    let visit = operator.enter(&tenants[0], "look").await.unwrap();
    let agents = server.server.engine().agents().clone();
    let sessions =
        visit.wrap(async move { agents.history().unwrap().sessions(10, None).await.unwrap() }).await;
    assert!(sessions.is_empty());
}
