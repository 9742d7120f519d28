//! Knowledge folders: one a tenant, and no way out of it.

use std::path::Path;

use haversack_agent::tool::ToolError;
use haversack_agent::tool::knowledge::{Found, Knowledge};
use haversack_store::Scope;

use super::house::door;

const SECRET: &str = "# Vault\n\nThe vault opens with Quillfeather.\n";

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn search(knowledge: &Knowledge, tenant: &str, query: &str) -> Result<Found, ToolError> {
    let visit = door(tenant, "kim", "s");
    visit.run(|| knowledge.search(&Scope::current().unwrap(), query, 5))
}

#[test]
fn a_tenant_sees_its_own_folder_and_no_other() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a/one.md", SECRET);
    write(root.path(), "b/deep/er/two.md", "# Times\n\nThe vault opens at eight.\n");
    write(root.path(), "loose.md", SECRET);
    let knowledge = Knowledge::new(Some(root.path().to_path_buf()));
    let a = search(&knowledge, "a", "vault").unwrap();
    assert!(a.sections[0].text.contains("Quillfeather"));
    let b = search(&knowledge, "b", "vault").unwrap();
    assert_eq!((b.sections.len(), b.sections[0].file.as_str()), (1, "deep/er/two.md"));
    assert!(!b.sections[0].text.contains("Quillfeather"));
    assert_eq!(search(&knowledge, "c", "vault").unwrap(), Found::default(), "no folder is no knowledge");
    assert_eq!(search(&Knowledge::new(None), "a", "vault").unwrap(), Found::default());
}

#[test]
fn a_tenant_name_is_not_a_path() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "inside/a/one.md", SECRET);
    write(root.path(), "one.md", SECRET);
    let knowledge = Knowledge::new(Some(root.path().join("inside")));
    for name in [
        "..",
        "../inside/a",
        "a/",
        "./a",
        "A",
        "a/../a",
        ".",
        "a\\b",
        "a\0",
        "/",
        "\u{ff41}",
        " a",
        "a%",
        "*",
    ] {
        assert_eq!(search(&knowledge, name, "vault").unwrap(), Found::default(), "{name:?}");
    }
    assert_eq!(search(&knowledge, "a", "vault").unwrap().sections.len(), 1, "and the plain name works");
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    use std::os::unix::fs::symlink;
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "outside.md", SECRET);
    write(root.path(), "k/a/secret.md", SECRET);
    write(root.path(), "k/b/plain.md", "# Vault\n\nNothing.\n");
    symlink(root.path().join("outside.md"), root.path().join("k/b/absolute.md")).unwrap();
    symlink("../a/secret.md", root.path().join("k/b/relative.md")).unwrap();
    symlink("../a", root.path().join("k/b/folder")).unwrap();
    symlink("a", root.path().join("k/c")).unwrap();
    let knowledge = Knowledge::new(Some(root.path().join("k")));
    let found = search(&knowledge, "b", "vault Quillfeather").unwrap();
    assert_eq!(found.sections.len(), 1, "{found:?}");
    assert_eq!(found.skipped, 2, "links to files are counted");
    assert_eq!(search(&knowledge, "c", "vault").unwrap(), Found::default(), "a link is no tenant's folder");
}

#[test]
fn a_changed_file_is_read_again() {
    let root = tempfile::tempdir().unwrap();
    let knowledge = Knowledge::new(Some(root.path().to_path_buf()));
    assert_eq!(search(&knowledge, "a", "vault").unwrap(), Found::default());
    write(root.path(), "a/one.md", "# Vault\n\nIt opens at eight.\n");
    assert!(search(&knowledge, "a", "vault").unwrap().sections[0].text.contains("eight"));
    write(root.path(), "a/one.md", "# Vault\n\nIt opens at eleven.\n");
    assert!(search(&knowledge, "a", "vault").unwrap().sections[0].text.contains("eleven"));
    std::fs::remove_file(root.path().join("a/one.md")).unwrap();
    assert!(search(&knowledge, "a", "vault").unwrap().sections.is_empty());
}

#[test]
fn files_that_are_no_text_or_too_large_are_left_out_and_counted() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a/good.md", "# Vault\n\nYes.\n");
    write(root.path(), "a/large.md", &"vault ".repeat(200_000));
    std::fs::write(root.path().join("a/binary.md"), [0xff, 0xfe, 0x00]).unwrap();
    write(root.path(), "a/notes.txt", SECRET);
    let found = search(&Knowledge::new(Some(root.path().to_path_buf())), "a", "vault").unwrap();
    assert_eq!((found.sections.len(), found.skipped), (1, 2));
}

#[test]
fn a_scope_of_another_entry_is_refused_before_anything_is_read() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a/one.md", SECRET);
    let knowledge = Knowledge::new(Some(root.path().to_path_buf()));
    let scope = door("a", "kim", "s").run(|| Scope::current().unwrap());
    let refused = door("b", "kim", "s").run(|| knowledge.search(&scope, "vault", 5));
    assert!(matches!(refused, Err(ToolError::Foreign(_) | ToolError::Store(_))), "{refused:?}");
}
