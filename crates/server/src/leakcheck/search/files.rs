//! Raw files: each canary lies where its kind may lie and nowhere else, whatever a file says of itself. Everything on
//! the site is read as bytes, but for the logs, which have a search of their own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use memchr::memmem;
use sha2::{Digest, Sha256};

use super::secrets::Secrets;
use crate::leakcheck::canary::{Canary, Disk, Kind};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::stage::Site;
use crate::leakcheck::world::{World, tenant_name};

/// The file that all tenants share, and its logs.
const CONTROL: &str = "control.sqlite";

/// In the name of every database and its logs.
const DATABASE: &str = ".sqlite";

/// How whatever is sealed begins.
const SEALED: &[u8] = b"HVSEAL\0";

/// A word of the key file that is at least so long is a key.
const KEY: usize = 40;

/// Reads every file. Canaries of the kinds `wanted` that may lie in clear must be found.
///
/// # Errors
/// When the folder cannot be read.
pub(in crate::leakcheck) fn look(
    site: &Site,
    world: &World,
    wanted: &[Kind],
    report: &mut Report,
) -> anyhow::Result<()> {
    let owners: Vec<String> = (0..world.tenants()).map(|tenant| hash(&tenant_name(tenant))).collect();
    let ring = ring(site)?;
    let secrets = Secrets::of(site);
    let mut held = BTreeSet::new();
    for path in files(site.folder(), &site.logs())? {
        let Some(bytes) = read(&path)? else { continue };
        let name = path.strip_prefix(site.folder()).unwrap_or(&path).to_string_lossy().into_owned();
        let place = place_of(&name);
        report.looked(place, 1);
        let found = if name.contains(DATABASE) { world.find_plain(&bytes) } else { world.find(&bytes) };
        let strange: Vec<Canary> = found
            .iter()
            .filter(|canary| !may_lie(**canary, &name, &owners[canary.cell.tenant]))
            .copied()
            .collect();
        report.crossed(place, &strange, &format!("the file {name}"));
        held.extend(found);
        if secrets.are_in(&bytes) {
            report.crossing(place, format!("the secret of an API key is in the file {name}"));
        }
        if path != site.ring() && ring.iter().any(|key| memmem::find(&bytes, key).is_some()) {
            report.crossing(place, format!("a key of the ring is in the file {name}"));
        }
    }
    let kinds = wanted.iter().filter(|kind| kind.disk() != Disk::Nowhere);
    let all = kinds.flat_map(|kind| world.cells().map(|cell| Canary { cell, kind: *kind }));
    let missing = all.filter(|canary| !held.contains(canary)).count();
    if missing > 0 {
        let detail = format!("{missing} canaries are in no file: is the right folder searched?");
        report.gap(Place::Files, detail);
    }
    Ok(())
}

/// Shows that the search of what all tenants share comes across what is sealed there: so many rows at least.
///
/// # Errors
/// When the folder cannot be read.
pub(in crate::leakcheck) fn sealed(site: &Site, rows: usize, report: &mut Report) -> anyhow::Result<()> {
    let mut found = 0;
    for path in files(site.folder(), &site.logs())? {
        if path.to_string_lossy().contains(CONTROL) {
            found += read(&path)?.map_or(0, |bytes| memmem::find_iter(&bytes, SEALED).count());
        }
    }
    report.looked(Place::Control, found);
    if found < rows {
        report.gap(Place::Control, format!("{found} of {rows} sealed rows are where they were searched for"));
    }
    Ok(())
}

/// What all tenants share is a place of its own.
fn place_of(name: &str) -> Place {
    if name.contains(CONTROL) || name.ends_with(".keys") { Place::Control } else { Place::Files }
}

/// The keys that seal what leaves a process, as they are written.
fn ring(site: &Site) -> anyhow::Result<Vec<Vec<u8>>> {
    let Some(text) = read(&site.ring())? else { return Ok(Vec::new()) };
    let words = text.split(|byte| !byte.is_ascii_alphanumeric() && !b"+/=_-".contains(byte));
    Ok(words.filter(|word| word.len() >= KEY).map(<[u8]>::to_vec).collect())
}

/// Whether a canary may lie in the file of that name; `owner` is what its tenant's files and folders are called.
fn may_lie(canary: Canary, name: &str, owner: &str) -> bool {
    // The handbooks are the operator's, in folders that have the tenants' names.
    if name.starts_with("knowledge/") {
        return canary.kind == Kind::Handbook && name.contains(&tenant_name(canary.cell.tenant));
    }
    match canary.kind.disk() {
        Disk::Own => name.contains(owner),
        Disk::Control => name.contains(owner) || name.contains(CONTROL),
        Disk::Nowhere => false,
    }
}

/// How the store names what belongs to a tenant. Worked out here again, so that a mistake there is not repeated here.
pub(super) fn hash(tenant: &str) -> String {
    Sha256::digest(tenant.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn files(folder: &Path, except: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let listed = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in listed {
        let path = entry?.path();
        if path.is_dir() && path != except {
            found.extend(files(&path, except)?);
        } else if path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

/// The bytes of a file; `None` when it has gone since it was listed.
fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
