//! Housekeeping: runs whose time is up, and folders of runs that are gone.
//!
//! Rows go first, in a transaction that notes the folder; then the folder, with whatever of its children still runs; then
//! the note. A crash in between leaves a note, and the next sweep goes on. The program's worker calls it now and then, for
//! all tenants, outside of any door; whoever deletes runs removes their folders at once by the same functions.

use std::path::{Path, PathBuf};
use std::time::Duration;

use haversack_store::{Store, now_millis};

use crate::PipelineError;
use crate::catalog::RunFolder;
use crate::run_log::{Leftover, cleared, expire, leftovers};

/// How many runs one transaction deletes, so that nobody waits long for it.
const AT_ONCE: usize = 50;
/// How often a folder that does not go, because something still writes in it, is tried before the next sweep has it.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// Deletes what ended longer than `keep` ago, and the folders that are noted; how many runs.
pub(crate) async fn sweep(store: Store, catalog: PathBuf, keep: Duration) -> Result<usize, PipelineError> {
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    let mut swept = 0;
    loop {
        let before = now_millis().saturating_sub(keep);
        let expired =
            store.control().engine().write("sweep ended runs", move |tx| expire(tx, before, AT_ONCE));
        let count = expired.await?;
        swept += count;
        if count < AT_ONCE {
            break;
        }
    }
    let mut after = Leftover { tenant: String::new(), folder: String::new() };
    loop {
        let from = after.clone();
        let noted = store
            .control()
            .engine()
            .read("list folders of runs that are gone", move |c| leftovers(c, &from, AT_ONCE));
        let noted = noted.await?;
        let Some(last) = noted.last() else { return Ok(swept) };
        after = last.clone();
        let (there, count) = (noted.len(), remove(&store, &catalog, noted).await?);
        if count < there {
            tracing::warn!(
                folders = there - count,
                "folders of runs that are gone could not be removed; trying again later"
            );
        }
    }
}

/// Removes noted folders, and their notes; how many went.
pub(crate) async fn remove(
    store: &Store,
    catalog: &Path,
    noted: Vec<Leftover>,
) -> Result<usize, PipelineError> {
    let catalog = catalog.to_path_buf();
    let work = move || noted.into_iter().filter(|left| went(&catalog, left)).collect::<Vec<_>>();
    let gone = haversack::spawn_blocking(work).await;
    let gone = gone.map_err(|_| PipelineError::Internal("the pool is gone"))?;
    let count = gone.len();
    if count > 0 {
        store.control().engine().write("forget folders that are gone", move |tx| cleared(tx, &gone)).await?;
    }
    Ok(count)
}

/// Blocks.
fn went(catalog: &Path, left: &Leftover) -> bool {
    let folder = RunFolder::left(catalog, left);
    for tried in 1.. {
        if folder.remove().is_ok() {
            return true;
        }
        if tried == TRIES {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    false
}
