//! The raw files: each canary is in its own tenant's file and in no other, whatever the file says of itself.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::canary::{TENANTS, World, tenant_name};
use super::child::Report;

pub(crate) fn check(folder: &Path, world: &World, report: &mut Report) {
    let files = read(folder);
    let names: BTreeMap<usize, String> =
        (0..TENANTS).map(|tenant| (tenant, file_stem(&tenant_name(tenant)))).collect();
    let found: Vec<(&PathBuf, HashSet<&str>)> =
        files.iter().map(|(path, bytes)| (path, world.canaries_in(bytes))).collect();
    for (canary, tenant) in world.canaries() {
        let own = &names[&tenant];
        let holders: Vec<&PathBuf> =
            found.iter().filter(|(_, canaries)| canaries.contains(canary)).map(|(path, _)| *path).collect();
        let strangers = holders.iter().filter(|path| !path.to_string_lossy().contains(own.as_str())).count();
        if strangers > 0 {
            report.add(
                "raw files",
                format!("a canary of tenant {tenant} is in {strangers} files that are not its own"),
            );
        }
        if holders.is_empty() {
            report.add(
                "raw files",
                format!("a canary of tenant {tenant} is nowhere: is the right folder searched?"),
            );
        }
    }
}

fn file_stem(tenant: &str) -> String {
    Sha256::digest(tenant.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            files.append(&mut read(&entry));
        } else {
            let bytes = std::fs::read(&entry).expect("a file");
            files.push((entry, bytes));
        }
    }
    files
}
