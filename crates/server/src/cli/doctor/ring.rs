//! The key file: whether it is there, outside the data, its owner's alone, and as old as what was sealed with it. Nothing
//! is made where there is nothing. `doctor` calls it.

use std::path::Path;

use haversack_store::{KeyFile, now_millis};

use super::Check;
use crate::code::Code;
use crate::config::Config;
use crate::problem::Fault;

pub(super) async fn look(config: &Config) -> Check {
    let name = "key file";
    let data = &config.store.path;
    let path = config.keys.path(data);
    let oldest = oldest_job(data).await;
    if !path.exists() {
        return match oldest {
            None => Check::ok(name, format!("{} will be made at the first start", path.display())),
            Some(_) => Check::finding(name, Code::KeyFileUnusable, lost(&path, "is not there")),
        };
    }
    let opened = KeyFile::open(&path, data).and_then(|file| Ok((file.path().to_owned(), file.keyring()?)));
    let (path, ring) = match opened {
        Ok(opened) => opened,
        Err(error) => return Check::fault(name, &Fault::from(error)),
    };
    let first = ring.keys().map(|key| key.created_at).min();
    if oldest.zip(first).is_some_and(|(sealed, first)| sealed < first) {
        return Check::finding(name, Code::KeyFileUnusable, lost(&path, "is newer than they are"));
    }
    let now = now_millis();
    let opens = ring.keys().filter(|key| key.retires_at.is_none_or(|at| at > now)).count();
    let all = ring.keys().count();
    let place = path.display();
    Check::ok(name, format!("{place}: outside the data, for its owner alone; {opens} of {all} keys open"))
}

fn lost(path: &Path, what: &str) -> String {
    format!(
        "jobs wait that were sealed before, and {} {what}; put the key file back from its copy, or they wait until they fail",
        path.display()
    )
}

/// When the oldest job that is not over was submitted; nothing where no control file is, or none that can be read: that is
/// a finding of its own already.
async fn oldest_job(data: &Path) -> Option<i64> {
    if !data.join("control.sqlite").exists() {
        return None;
    }
    let control = super::super::keys::control(data).await.ok()?;
    haversack_jobs::oldest_live(&control).await.ok()?
}
