//! Whose data it is comes from the key alone: nothing else in a request names a tenant, and two tenants with
//! the same names never meet.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::harness::{Gated, json_of, problem, start, start_with};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_key_names_the_tenant() {
    let server = start().await;
    let acme = server.key("acme", "kim").await;
    let other = server.key("acme-corp", "kim").await;
    server.say(&acme, "s", "Remember that our account manager is Robin Canary.").await;

    let path = "/v1/sessions/s/turns?tenant=acme&tenant_id=acme&principal=kim";
    let request = server
        .request(Method::POST, path, &other)
        .header("X-Tenant", "acme")
        .header("X-Tenant-Id", "acme")
        .header("X-Haversack-Tenant", "acme")
        .header("Haversack-Tenant", "acme")
        .header("X-Principal", "kim")
        .header("Cookie", "tenant=acme")
        .header("baggage", "tenant=acme")
        .json(&json!({ "message": "Who is our account manager?" }));
    let reply = json_of(request.send().await.unwrap(), StatusCode::OK).await;
    assert!(!reply.to_string().contains("Canary"), "{reply}");
    assert!(server.say(&acme, "s2", "Who is our account manager?").await.contains("Robin Canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_name_in_two_tenants_is_two_sessions() {
    let server = start().await;
    let acme = server.key("acme", "kim").await;
    let other = server.key("other", "kim").await;
    server.say(&acme, "s", "Remember that our account manager is Robin Canary.").await;
    server.say(&other, "s", "Remember that our account manager is Alex Other.").await;
    for (key, own, foreign) in [(&acme, "Robin Canary", "Alex Other"), (&other, "Alex Other", "Robin Canary")]
    {
        let answer = server.say(key, "s", "Who is our account manager?").await;
        assert!(answer.contains(own) && !answer.contains(foreign), "{answer}");
        let view = server.get(key, "/v1/sessions/s").await.text().await.unwrap();
        assert!(view.contains(own) && !view.contains(foreign), "{view}");
        let delete = server.request(Method::DELETE, "/v1/sessions/s", key).send().await.unwrap();
        assert_eq!(json_of(delete, StatusCode::OK).await["turns"], 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_session_does_not_hold_up_the_same_name_of_another_tenant() {
    let model = Gated::closed();
    let server = start_with(|config| config.limits.session_queue = 0, Some(model.clone())).await;
    let acme = server.key("acme", "kim").await;
    let other = server.key("other", "kim").await;
    let later = |key| server.turn(key, "s", "hello").header("Prefer", "respond-async").send();
    assert_eq!(later(&acme).await.unwrap().status(), StatusCode::ACCEPTED);
    model.called(1).await;
    assert_eq!(later(&other).await.unwrap().status(), StatusCode::ACCEPTED);
    model.called(2).await;
    problem(later(&acme).await.unwrap(), "HV0220").await;
    model.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_idempotency_key_in_two_tenants_is_two_turns() {
    let model = Gated::closed();
    let server = start_with(|_| {}, Some(model.clone())).await;
    let acme = server.key("acme", "kim").await;
    let other = server.key("other", "kim").await;
    let later = async |key| {
        let request =
            server.turn(key, "s", "hello").header("Idempotency-Key", "k").header("Prefer", "respond-async");
        json_of(request.send().await.unwrap(), StatusCode::ACCEPTED).await["turn"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (first, second) = (later(&acme).await, later(&other).await);
    assert_ne!(first, second);
    problem(server.get(&other, &format!("/v1/turns/{first}")).await, "HV0206").await;
    problem(server.get(&other, &format!("/v1/turns/{first}/events")).await, "HV0206").await;
    problem(server.get(&acme, &format!("/v1/turns/{second}")).await, "HV0206").await;
    model.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_belongs_to_its_principal() {
    let server = start().await;
    let kim = server.key("acme", "kim").await;
    let sam = server.key("acme", "sam").await;
    let reply = json_of(server.turn(&kim, "s", "hello").send().await.unwrap(), StatusCode::OK).await;
    let turn = reply["turn"].as_str().unwrap();
    for path in ["", "/events", "/context"] {
        problem(server.get(&sam, &format!("/v1/turns/{turn}{path}")).await, "HV0206").await;
    }
    let resume = server.turn(&sam, "s", "hello").header("Last-Event-ID", format!("{turn}.0"));
    problem(resume.send().await.unwrap(), "HV0206").await;
}
