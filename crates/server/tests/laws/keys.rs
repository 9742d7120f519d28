//! Keys: what opens the door, and that revoking closes it at the next request, whoever revoked.

use haversack_server::auth::admin::{self, Grant};
use haversack_store::{ControlDb, StoreOptions};
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode};
use serde_json::Value;

use super::harness::{TestServer, problem, start};

async fn with(server: &TestServer, header: &str) -> Response {
    let url = format!("{}/v1/sessions", server.server.url());
    server.http.get(url).header(AUTHORIZATION, header).send().await.unwrap()
}

fn grant(tenant: &str, principal: &str) -> Grant {
    Grant { tenant: tenant.into(), principal: principal.into(), label: String::new(), expires_at: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_well_formed_key_nothing_opens() {
    let server = start().await;
    let key = server.key("acme", "kim").await.text;
    let bare = server.http.get(format!("{}/v1/sessions", server.server.url())).send().await.unwrap();
    assert!(bare.headers()[WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer"));
    problem(bare, "HV0201").await;
    let cut = &key[..key.len() - 1];
    for bad in [
        "",
        "Bearer",
        "Bearer ",
        &key,
        &format!("Basic {key}"),
        &format!("Bearer {cut}"),
        &format!("Bearer {key}0"),
        &format!("Bearer {key} {key}"),
        &format!("Bearer \"{key}\""),
        &format!("Bearer {}", key.to_uppercase()),
        &format!("Bearer hv_../x_{}", "0".repeat(64)),
        &format!("Bearer {}", "x".repeat(8000)),
    ] {
        let text = problem(with(&server, bad).await, "HV0201").await;
        assert!(!text.contains(&key[4..]), "{text}");
    }
    let twice = server.http.get(format!("{}/v1/sessions", server.server.url()));
    let twice =
        twice.header(AUTHORIZATION, format!("Bearer {key}")).header(AUTHORIZATION, format!("Bearer {key}"));
    problem(twice.send().await.unwrap(), "HV0201").await;
    assert_eq!(with(&server, &format!("bearer {key}")).await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_id_and_a_wrong_secret_are_answered_alike() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    let secret = key.text.rsplit_once('_').unwrap().1;
    let wrong = format!("Bearer hv_{}_{}", key.id, "0".repeat(64));
    let unknown = format!("Bearer hv_{}_{secret}", "0".repeat(12));
    let mut answers = Vec::new();
    for header in [wrong, unknown] {
        let response = with(&server, &header).await;
        let headers: Vec<_> = response.headers().keys().map(|name| name.as_str().to_owned()).collect();
        let mut body: Value = serde_json::from_str(&problem(response, "HV0202").await).unwrap();
        body["instance"].take();
        answers.push((headers, body));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_at_the_next_request() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    let other = server.key("acme", "kim").await;
    assert_eq!(server.get(&key, "/v1/sessions").await.status(), StatusCode::OK);
    admin::revoke(server.server.engine().store().control(), &key.id, "test").await.unwrap();
    problem(server.get(&key, "/v1/sessions").await, "HV0203").await;
    assert_eq!(server.get(&other, "/v1/sessions").await.status(), StatusCode::OK);
    // Only who knows the secret learns that it was revoked.
    let guess = format!("Bearer hv_{}_{}", key.id, "0".repeat(64));
    problem(with(&server, &guess).await, "HV0202").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_made_or_revoked_beside_the_server_counts_at_the_next_request() {
    let server = start().await;
    let data = server.folder.path().join("data");
    let control = haversack::spawn_blocking(move || ControlDb::open_shared(&data, &StoreOptions::default()));
    let control = control.await.unwrap().unwrap();
    for _ in 0..20 {
        let issued = admin::issue(&control, grant("acme", "kim"), "test").await.unwrap();
        let header = format!("Bearer {}", issued.key.reveal());
        assert_eq!(with(&server, &header).await.status(), StatusCode::OK);
        admin::revoke(&control, &issued.row.id, "test").await.unwrap();
        problem(with(&server, &header).await, "HV0203").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_is_refused() {
    let server = start().await;
    let control = server.server.engine().store().control();
    let ends = |seconds| Some(Timestamp::now() + SignedDuration::from_secs(seconds));
    let expired = Grant { expires_at: ends(-1), ..grant("acme", "kim") };
    let issued = admin::issue(control, expired, "test").await.unwrap();
    problem(with(&server, &format!("Bearer {}", issued.key.reveal())).await, "HV0203").await;
    let valid = Grant { expires_at: ends(3600), ..grant("acme", "kim") };
    let issued = admin::issue(control, valid, "test").await.unwrap();
    assert_eq!(with(&server, &format!("Bearer {}", issued.key.reveal())).await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_keeps_its_identity_and_loses_its_secret() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    server.say(&key, "s", "hello").await;
    let control = server.server.engine().store().control();
    let rotated = admin::rotate(control, &key.id, None, "test").await.unwrap();
    problem(server.get(&key, "/v1/sessions/s").await, "HV0203").await;
    let new = super::harness::Key { id: rotated.row.id.clone(), text: rotated.key.reveal() };
    assert_eq!(server.get(&new, "/v1/sessions/s").await.status(), StatusCode::OK);
    let again = admin::rotate(control, &key.id, None, "test").await.unwrap_err();
    assert_eq!(again.code().id(), "HV0203");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_outside_the_rules_get_no_key() {
    let server = start().await;
    let control = server.server.engine().store().control();
    let unicode = "\u{fc}".repeat(2048);
    for bad in ["", "../x", "Acme", "a/b", "a b", ".a", "a%", &unicode] {
        for grant in [grant(bad, "kim"), grant("acme", bad)] {
            let fault = admin::issue(control, grant, "test").await.unwrap_err();
            assert_eq!(fault.code().id(), "HV0208");
            assert!(bad.is_empty() || !fault.detail().contains(bad));
        }
    }
    assert!(admin::list(control).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_data_folder_and_every_change_is_audited() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    let control = server.server.engine().store().control();
    let rotated = admin::rotate(control, &key.id, None, "ops").await.unwrap();
    admin::revoke(control, &rotated.row.id, "ops").await.unwrap();
    let trail = control.audit().list(10).await.unwrap();
    let acts: Vec<_> = trail.iter().map(|row| (row.actor.as_str(), row.action.as_str())).collect();
    assert_eq!(acts, [("ops", "key.revoke"), ("ops", "key.rotate"), ("test", "key.issue")]);
    for text in [key.text, rotated.key.reveal()] {
        let secret = text.rsplit_once('_').unwrap().1;
        let raw: Vec<u8> =
            (0..32).map(|at| u8::from_str_radix(&secret[2 * at..2 * at + 2], 16).unwrap()).collect();
        for entry in std::fs::read_dir(server.folder.path().join("data")).unwrap() {
            let path = entry.unwrap().path();
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!holds(secret.as_bytes()) && !holds(&raw), "{}", path.display());
        }
    }
}
