//! Every route declares the role that it needs, and refuses every other key.

use haversack::well_known::{Principal, TenantId};
use haversack_server::auth::KeyRole;
use haversack_server::auth::admin::{self, Grant};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::harness::{Key, TestServer, start};

async fn key(server: &TestServer, role: KeyRole, principal: &str) -> Key {
    let grant = Grant {
        tenant: if role == KeyRole::Operator { String::new() } else { "acme".to_owned() },
        principal: principal.to_owned(),
        label: String::new(),
        expires_at: None,
        role,
    };
    let issued = admin::issue(server.server.engine().store().control(), grant, "test").await.unwrap();
    Key { id: issued.row.id.clone(), text: issued.key.reveal() }
}

/// A code as a problem document shows it.
fn code(code: &str) -> String {
    format!("\"code\":\"{code}\"")
}

/// Every operation of the document: method, path with names filled in, and the role that it declares.
fn operations(document: &Value) -> Vec<(Method, String, Option<KeyRole>)> {
    let mut all = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let declared = operation["security"].as_array().map(|security| {
                let words = security[0]["api_key"].as_array().cloned().unwrap_or_default();
                let [word] = &words[..] else { panic!("{method} {path} declares no single role: {words:?}") };
                KeyRole::named(word.as_str().unwrap()).unwrap_or_else(|| panic!("{method} {path}: {word}"))
            });
            // A session that nobody has, so that nothing is started or deleted by the way.
            let filled =
                path.replace("{code}", "HV0001").replace("{tenant}", "acme").replace("{account}", "a");
            let mut parts = filled.split('/').map(|part| if part.starts_with('{') { "none" } else { part });
            let filled = parts.by_ref().collect::<Vec<_>>().join("/");
            all.push((Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(), filled, declared));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_takes_the_role_that_it_declares_and_no_other() {
    let server = start().await;
    let mut keys = Vec::new();
    for role in KeyRole::ALL {
        keys.push((role, key(&server, role, "kim").await));
    }
    let document = serde_json::to_value(haversack_server::http::openapi_document()).unwrap();
    let mut operations = operations(&document);
    // It is no part of the document, which has one page of its own for it.
    operations.push((Method::POST, "/mcp".to_owned(), Some(KeyRole::Member)));
    operations.push((Method::GET, "/gateway/ws".to_owned(), Some(KeyRole::Member)));
    let (mut refused, mut passed) = (0, 0);
    for (method, path, declared) in operations {
        for (role, key) in &keys {
            let request = server.request(method.clone(), &path, key).header("Haversack-Reason", "a law");
            let answer = request.send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            let what = format!("{method} {path} with {role}: {status} {text}");
            assert!(!status.is_server_error(), "{what}");
            if declared.is_none_or(|needed| role.covers(needed)) {
                assert!(!text.contains(&code("HV0224")) && !text.contains(&code("HV0203")), "{what}");
                passed += 1;
            } else {
                assert!(status == StatusCode::FORBIDDEN && text.contains(&code("HV0224")), "{what}");
                refused += 1;
            }
        }
        let bare = server.http.request(method.clone(), format!("{}{path}", server.server.url()));
        let bare = bare.send().await.unwrap();
        let unknown = bare.text().await.unwrap().contains(&code("HV0201"));
        assert_eq!(unknown, declared.is_some(), "{method} {path} without a key");
    }
    assert!(refused > 30 && passed > 50, "{refused} {passed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_holds_the_roles_of_its_live_keys_in_its_tenant() {
    let server = start().await;
    key(&server, KeyRole::Member, "kim").await;
    let ada = key(&server, KeyRole::TenantAdmin, "ada").await;
    key(&server, KeyRole::Operator, "ops").await;
    let (keys, acme) = (server.server.engine().store().control().keys(), TenantId::new("acme").unwrap());
    let holds = async |tenant: &TenantId, principal: &str, role| {
        keys.holds(tenant, &Principal::new(principal).unwrap(), role).await.unwrap()
    };
    assert!(holds(&acme, "ada", KeyRole::TenantAdmin).await && holds(&acme, "ada", KeyRole::Member).await);
    assert!(holds(&acme, "kim", KeyRole::Member).await && !holds(&acme, "kim", KeyRole::TenantAdmin).await);
    assert!(!holds(&acme, "ops", KeyRole::Operator).await && !holds(&acme, "ops", KeyRole::Member).await);
    assert!(!holds(&TenantId::new("other").unwrap(), "ada", KeyRole::TenantAdmin).await);
    admin::revoke(server.server.engine().store().control(), &ada.id, "test").await.unwrap();
    assert!(!holds(&acme, "ada", KeyRole::TenantAdmin).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_look_into_a_tenant_is_written_down_with_its_reason() {
    let server = start().await;
    let kim = key(&server, KeyRole::Member, "kim").await;
    server.say(&kim, "s", "hello").await;
    let (ada, ops) =
        (key(&server, KeyRole::TenantAdmin, "ada").await, key(&server, KeyRole::Operator, "ops").await);
    assert_eq!(server.get(&ada, "/v1/admin/sessions/s").await.status(), StatusCode::OK);
    let request = server.request(Method::GET, "/v1/operator/tenants/acme/sessions/s", &ops);
    let read = request.header("Haversack-Reason", "ticket 4711").send().await.unwrap();
    assert_eq!(read.status(), StatusCode::OK);
    let trail = server.server.engine().store().control().audit().list(3).await.unwrap();
    let by = |actor: &str, note: Option<&str>| {
        trail.iter().any(|row| {
            row.actor == actor
                && row.action == "session.read"
                && row.tenant.as_deref() == Some("acme")
                && row.subject.as_deref() == Some("s")
                && row.note.as_deref() == note
        })
    };
    assert!(by(&format!("tenant-admin:ada@{}", ada.id), None), "{trail:?}");
    assert!(by(&format!("operator:ops@{}", ops.id), Some("ticket 4711")), "{trail:?}");
    assert_eq!(trail[2].note.as_deref(), Some("role operator"));
}
