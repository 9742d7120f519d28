//! A tenant is an opaque equality key, never a prefix, a path or a pattern.

use haversack::testing::tenant;

use crate::{add_session, contains, fresh, sessions, tenant_files};

fn awkward() -> Vec<String> {
    let mut names: Vec<String> = [
        "acme",
        "acme-corp",
        "acme_corp",
        "acme%",
        "acme_",
        "ac%",
        "Acme",
        "ACME",
        "acme ",
        " acme",
        "acme:1",
        "acme/../b",
        "../acme",
        "..",
        ".",
        "/",
        "/etc/passwd",
        "b",
        "acme\0",
        "acme\0b",
        "\0",
        "аcme",
        "acme\u{301}",
        "acmé",
        "acme\u{200b}",
        "' OR 1=1 --",
        "'; DROP TABLE sessions; --",
        "\"",
        "`",
        "*",
        "?",
        "[a-z]*",
        "NEAR(a)",
        "a OR b",
        "\\",
        "~",
        "$HOME",
        "con",
        "nul",
        "\n",
        "\u{202e}emca",
        "🦀",
    ]
    .map(str::to_owned)
    .into();
    names.push("x".repeat(4096));
    names.push(format!("{}y", "x".repeat(4095)));
    names.push("é".repeat(2048));
    names
}

#[tokio::test]
async fn a_tenant_is_an_opaque_key() {
    let (dir, store) = fresh();
    let names = awkward();
    for (number, name) in names.iter().enumerate() {
        tenant(name)
            .wrap(async {
                add_session(&store.tenant().unwrap(), &format!("canary-{number}-")).await.unwrap();
            })
            .await;
    }
    for (number, name) in names.iter().enumerate() {
        let found = tenant(name).wrap(async { sessions(&store.tenant().unwrap()).await.unwrap() }).await;
        assert_eq!(found, [format!("canary-{number}-")], "{name:?}");
    }
    let mut known: Vec<_> = store.tenants().await.unwrap().iter().map(|id| id.as_str().to_owned()).collect();
    let mut expected = names.clone();
    known.sort();
    expected.sort();
    assert_eq!(known, expected);

    store.close().await.unwrap();
    // One file each, all in one folder, all with names of one form, each with one canary.
    let files = tenant_files(dir.path());
    assert_eq!(files.len(), names.len());
    for file in files {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        assert!(stem.len() == 64 && stem.bytes().all(|b| b.is_ascii_hexdigit()), "{stem}");
        let bytes = std::fs::read(&file).unwrap();
        let canaries =
            (0..names.len()).filter(|n| contains(&bytes, format!("canary-{n}-").as_bytes())).count();
        assert_eq!(canaries, 1, "{stem}");
    }
    let mut top: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    top.retain(|name| !name.starts_with("control.sqlite-"));
    top.sort();
    assert_eq!(top, ["control.sqlite", "haversack.lock", "tenants"]);
}
