//! Roles on keys: who may see and erase what, in a tenant and in the installation.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::installation::{Installation, Server, client, settled};

const SECRET: &str = "a secret of sixteen bytes and more";

/// A group's words, which are nowhere else.
const WORDS: &str = "xylophonquartett";

/// An installation with a webhook account of `acme` whose groups have one conversation for all. `u-1` is kim, `u-2` is lee.
fn with_a_group() -> Installation {
    let installation = Installation::new(
        "[[gateway.accounts]]\nname = \"desk\"\nplatform = \"webhook\"\ntenant = \"acme\"\n\
         users = { u-1 = \"kim\", u-2 = \"lee\" }\nsecrets = [\"file:secret\"]\n\
         callbacks = [\"http://127.0.0.1:*\"]\n\
         sessions = { group = \"shared\" }\n",
    );
    installation.write("secret", SECRET);
    installation
}

/// A key with a role. Its tenant is left out where it is empty.
fn key_as(installation: &Installation, role: &str, tenant: &str, principal: &str) -> String {
    let mut arguments = vec!["--json", "keys", "issue", "--role", role, "--principal", principal];
    if !tenant.is_empty() {
        arguments.extend(["--tenant", tenant]);
    }
    let issued = installation.run(&arguments);
    assert!(issued.status.success(), "{}", String::from_utf8_lossy(&issued.stderr));
    let issued: Value = serde_json::from_slice(&issued.stdout).unwrap();
    assert_eq!(issued["role"], role);
    issued["key"].as_str().unwrap().to_owned()
}

/// A signed message in the group `g-1`.
async fn said_in_the_group(server: &Server, sender: &str, id: &str, text: &str) {
    let body = json!({
        "chat": { "id": "g-1", "type": "group" },
        "sender": { "id": sender, "name": sender },
        "text": text,
        // Nobody listens there: the delivery stays.
        "callback": "http://127.0.0.1:9/answers",
    })
    .to_string();
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{id}.{time}.{body}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let sent = client()
        .post(format!("{}/gateway/webhook/desk", server.url))
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", time)
        .header("webhook-signature", signature)
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), StatusCode::ACCEPTED, "{}", sent.text().await.unwrap());
}

async fn json_of(response: reqwest::Response) -> Value {
    let (status, text) = (response.status(), response.text().await.unwrap());
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The sessions of a list, once there is one.
async fn listed(server: &Server, key: &str, path: &str) -> Value {
    settled(async || {
        let list = json_of(server.get(key, path).await).await;
        let answered = list["sessions"].get(0).is_some_and(|session| session["turns"].as_u64() >= Some(1));
        answered.then_some(list)
    })
    .await
}

/// The path of a session below `base`, its name percent-encoded.
fn path_of(base: &str, session: &Value) -> String {
    let name = session["session"].as_str().unwrap();
    let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("{base}/{encoded}")
}

async fn erase(server: &Server, key: &str, path: &str) -> reqwest::Response {
    let request = client().request(Method::DELETE, format!("{}{path}", server.url)).bearer_auth(key);
    request.header("Haversack-Reason", "a request for erasure").send().await.unwrap()
}

async fn code_of(response: reqwest::Response, status: StatusCode) -> String {
    let (got, text) = (response.status(), response.text().await.unwrap());
    assert_eq!(got, status, "{text}");
    serde_json::from_str::<Value>(&text).unwrap()["code"].as_str().unwrap().to_owned()
}

/// Returns true if a word is in any raw file of any tenant.
fn in_the_files(installation: &Installation, word: &str) -> bool {
    let files = std::fs::read_dir(installation.path().join("data/tenants")).unwrap();
    files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .any(|bytes| bytes.windows(word.len()).any(|window| window == word.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_conversation_is_listed_and_read_by_its_members_alone() {
    let installation = with_a_group();
    let (kim, lee) = (installation.key("acme", "kim"), installation.key("acme", "lee"));
    let server = installation.serve();
    said_in_the_group(&server, "u-1", "m-1", &format!("hello {WORDS}")).await;
    let list = listed(&server, &kim, "/v1/sessions").await;
    let path = path_of("/v1/sessions", &list["sessions"][0]);
    let session = json_of(server.get(&kim, &path).await).await;
    assert!(session.to_string().contains(WORDS), "{session}");
    let deliveries = json_of(server.get(&kim, "/v1/deliveries").await).await;
    assert_eq!(deliveries["deliveries"].as_array().unwrap().len(), 1, "{deliveries}");
    // Lee has said nothing in it yet.
    assert_eq!(json_of(server.get(&lee, "/v1/sessions").await).await["sessions"], json!([]));
    assert_eq!(code_of(server.get(&lee, &path).await, StatusCode::NOT_FOUND).await, "HV0205");
    assert_eq!(json_of(server.get(&lee, "/v1/deliveries").await).await["deliveries"], json!([]));
    said_in_the_group(&server, "u-2", "m-2", "hello").await;
    listed(&server, &lee, "/v1/sessions").await;
    json_of(server.get(&lee, &path).await).await;
    // A member does not erase what others said.
    assert_eq!(code_of(erase(&server, &kim, &path).await, StatusCode::NOT_FOUND).await, "HV0205");
    json_of(server.get(&kim, &path).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_admin_erases_a_group_conversation_and_its_words_are_gone_from_the_file() {
    let installation = with_a_group();
    let kim = installation.key("acme", "kim");
    let admin = key_as(&installation, "tenant-admin", "acme", "ada");
    let other = key_as(&installation, "tenant-admin", "other", "ada");
    let server = installation.serve();
    said_in_the_group(&server, "u-1", "m-1", &format!("Remember that the code word is {WORDS}.")).await;
    let list = listed(&server, &admin, "/v1/admin/sessions").await;
    assert!(list["sessions"][0]["owner"].as_str().unwrap().starts_with("group:"), "{list}");
    let path = path_of("/v1/admin/sessions", &list["sessions"][0]);
    assert!(json_of(server.get(&admin, &path).await).await.to_string().contains(WORDS));
    let deliveries = json_of(server.get(&admin, "/v1/admin/deliveries").await).await;
    assert_eq!(deliveries["deliveries"].as_array().unwrap().len(), 1, "{deliveries}");
    // In the tenant of the key, and with its role.
    assert_eq!(json_of(server.get(&other, "/v1/admin/sessions").await).await["sessions"], json!([]));
    assert_eq!(code_of(erase(&server, &other, &path).await, StatusCode::NOT_FOUND).await, "HV0205");
    for response in [server.get(&kim, "/v1/admin/sessions").await, erase(&server, &kim, &path).await] {
        assert_eq!(code_of(response, StatusCode::FORBIDDEN).await, "HV0224");
    }
    assert!(in_the_files(&installation, WORDS));
    assert_eq!(json_of(erase(&server, &admin, &path).await).await["turns"], 1);
    assert!(!in_the_files(&installation, WORDS), "the words are in the raw file");
    assert_eq!(code_of(server.get(&admin, &path).await, StatusCode::NOT_FOUND).await, "HV0205");
    assert_eq!(json_of(server.get(&kim, "/v1/sessions").await).await["sessions"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_counts_and_enters_a_tenant_for_a_reason_only() {
    let installation = with_a_group();
    let kim = installation.key("acme", "kim");
    let operator = key_as(&installation, "operator", "", "ops");
    let server = installation.serve();
    assert_eq!(server.say(&kim, "desk", WORDS).await.status(), StatusCode::OK);
    let status = json_of(server.get(&operator, "/v1/operator/status").await).await;
    assert_eq!(status["tenants"]["acme"]["sessions"], 1, "{status}");
    assert_eq!(status["accounts"][0]["name"], "desk");
    assert!(status["tenants"]["acme"]["bytes"].as_u64().unwrap() > 0 && status["version"].is_string());
    assert!(!status.to_string().contains(WORDS), "{status}");
    let path = "/v1/operator/tenants/acme/sessions/desk";
    assert_eq!(code_of(server.get(&operator, path).await, StatusCode::UNPROCESSABLE_ENTITY).await, "HV0212");
    let read = async |path: &str| {
        let request = client().get(format!("{}{path}", server.url)).bearer_auth(&operator);
        request.header("Haversack-Reason", "ticket 4711").send().await.unwrap()
    };
    let session = json_of(read(path).await).await;
    assert!(session["owner"] == "kim" && session.to_string().contains(WORDS), "{session}");
    let unknown = read("/v1/operator/tenants/nobody/sessions").await;
    assert_eq!(code_of(unknown, StatusCode::NOT_FOUND).await, "HV0225");
    assert_eq!(json_of(erase(&server, &operator, path).await).await["turns"], 1);
    assert!(!in_the_files(&installation, WORDS));
    // The tenant's admin sees who looked and why; others do not see it, and nobody sees another tenant's.
    let (admin, other) = (
        key_as(&installation, "tenant-admin", "acme", "ada"),
        key_as(&installation, "tenant-admin", "other", "bob"),
    );
    let trail = json_of(server.get(&admin, "/v1/admin/audit").await).await;
    let looks = |action: &str, reason: &str| {
        let entries = trail["entries"].as_array().unwrap().iter();
        let by_operator =
            entries.filter(|entry| entry["actor"].as_str().unwrap().starts_with("operator:ops@"));
        by_operator
            .filter(|entry| {
                entry["action"] == action && entry["subject"] == "desk" && entry["note"] == reason
            })
            .count()
    };
    assert_eq!(looks("session.read", "ticket 4711"), 1, "{trail}");
    assert_eq!(looks("session.delete", "a request for erasure"), 1, "{trail}");
    assert_eq!(code_of(server.get(&kim, "/v1/admin/audit").await, StatusCode::FORBIDDEN).await, "HV0224");
    let others = json_of(server.get(&other, "/v1/admin/audit").await).await.to_string();
    assert!(!others.contains("4711") && !others.contains("desk"), "{others}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_key_opens_no_route_of_a_tenant() {
    let installation = Installation::new("");
    let operator = key_as(&installation, "operator", "", "ops");
    let server = installation.serve();
    for path in ["/v1/sessions", "/v1/jobs", "/v1/deliveries", "/v1/admin/sessions", "/mcp", "/gateway/ws"] {
        assert_eq!(
            code_of(server.get(&operator, path).await, StatusCode::FORBIDDEN).await,
            "HV0224",
            "{path}"
        );
    }
    let said = server.say(&operator, "s", "hello").await;
    assert_eq!(code_of(said, StatusCode::FORBIDDEN).await, "HV0224");
    let refused =
        installation.run(&["keys", "issue", "--role", "operator", "--tenant", "acme", "--principal", "ops"]);
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_a_member_unless_its_role_is_said_and_the_list_shows_the_role() {
    let installation = Installation::new("");
    let plain = installation.key("acme", "kim");
    let created = installation.run(&[
        "keys",
        "create",
        "--role",
        "tenant-admin",
        "--tenant",
        "acme",
        "--principal",
        "ada",
    ]);
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    let listed = installation.run(&["--json", "keys", "ls"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let rows: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let roles: Vec<_> = rows.iter().map(|row| (row["principal"].as_str(), row["role"].as_str())).collect();
    assert_eq!(roles, [(Some("kim"), Some("member")), (Some("ada"), Some("tenant-admin"))]);
    let table = String::from_utf8(installation.run(&["keys", "ls"]).stdout).unwrap();
    assert!(table.contains("ROLE") && table.contains("tenant-admin"), "{table}");
    let server = installation.serve();
    assert_eq!(server.get(&plain, "/v1/sessions").await.status(), StatusCode::OK);
    assert_eq!(
        code_of(server.get(&plain, "/v1/admin/sessions").await, StatusCode::FORBIDDEN).await,
        "HV0224"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_key_is_the_admin_of_its_tenant_and_of_no_other() {
    let installation = Installation::new("[server]\ndemo_keys = true\n");
    let _server = installation.serve();
    let listed = String::from_utf8(installation.run(&["--json", "keys", "ls"]).stdout).unwrap();
    let rows: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut tenants: Vec<_> = rows.iter().map(|row| row["tenant"].as_str().unwrap()).collect();
    tenants.sort_unstable();
    assert_eq!(tenants, ["contoso", "northwind"]);
    assert!(rows.iter().all(|row| row["role"] == "tenant-admin" && row["demo"] == true), "{rows:?}");
}

#[test]
fn a_key_that_could_not_be_shown_does_not_live() {
    let installation = Installation::new("");
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let mut issue = installation.command(&["keys", "issue", "--tenant", "acme", "--principal", "kim"]);
    let ended = issue.stdout(full).output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{}", String::from_utf8_lossy(&ended.stderr));
    let keys = installation.run(&["--json", "keys", "ls"]);
    let keys = String::from_utf8(keys.stdout).unwrap();
    assert!(keys.lines().count() == 1 && keys.contains("\"state\":\"revoked\""), "{keys}");
}
