//! Bringing one file to the schema that this release knows.
//!
//! A file carries its version in `meta`; a newer one is refused untouched, an older one is copied beside itself
//! and then changed in one transaction, an empty one is filled in one transaction. Each file is migrated when it
//! is opened, so that one bad file stops one tenant; only this crate calls it.

use std::path::{Path, PathBuf};

use crate::sqlite::{Connection, OptionalExtension, Transaction, writing};
use crate::{StoreError, now_millis};

/// The steps of one kind of file: step `n` (from 0) leads from version `n` to `n + 1`.
pub(crate) struct Schema {
    pub(crate) steps: &'static [&'static str],
}

/// The control file.
pub(crate) const CONTROL: Schema = Schema {
    steps: &[
        include_str!("../migrations/control/0001_first.sql"),
        include_str!("../migrations/control/0002_jobs.sql"),
        include_str!("../migrations/control/0003_pipelines.sql"),
        include_str!("../migrations/control/0004_gateway.sql"),
        include_str!("../migrations/control/0005_replaced_keys.sql"),
        include_str!("../migrations/control/0006_roles.sql"),
    ],
};

/// A tenant's file.
pub(crate) const TENANT: Schema = Schema {
    steps: &[
        include_str!("../migrations/tenant/0001_first.sql"),
        include_str!("../migrations/tenant/0002_outbox.sql"),
        include_str!("../migrations/tenant/0003_journal.sql"),
        include_str!("../migrations/tenant/0004_members.sql"),
    ],
};

/// What a file was before it was brought up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing was in it.
    Empty,
    /// It had this version or has been at the known one all along.
    Version(u32),
}

impl Schema {
    /// The newest version.
    pub(crate) fn known(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    /// The version in the file, refused when it is newer than known. Changes nothing.
    pub(crate) fn inspect(&self, conn: &Connection, path: &Path) -> Result<Before, StoreError> {
        let before = version(conn, path).map_err(|cause| cause.located("read the schema version", path))?;
        match before {
            Before::Version(found) if found > self.known() => {
                Err(StoreError::NewerSchema { file: path.to_path_buf(), found, known: self.known() })
            }
            _ => Ok(before),
        }
    }

    /// Brings the file to the known version; `fill` runs in the transaction that fills an empty one.
    ///
    /// # Errors
    /// Those of [`inspect`](Self::inspect), and whatever SQLite refuses: the file is then as it was.
    pub(crate) fn bring_up(
        &self,
        conn: &mut Connection,
        path: &Path,
        fill: impl FnOnce(&Transaction<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match self.inspect(conn, path)? {
            Before::Version(found) if found == self.known() => return Ok(()),
            Before::Version(found) => keep_copy(conn, path, found)?,
            Before::Empty => {}
        }
        let stepped = writing(conn, |tx| {
            // Asked again under the lock: another process may have brought the file up meanwhile.
            let (from, empty) = match self.inspect(tx, path)? {
                Before::Empty => (0, true),
                Before::Version(found) => (found, false),
            };
            if from == self.known() {
                return Ok(());
            }
            for step in self.steps.iter().skip(from as usize) {
                tx.execute_batch(step)?;
            }
            tx.execute(
                "INSERT OR REPLACE INTO meta (only_row, schema_version) VALUES (1, ?1)",
                [self.known()],
            )?;
            if empty { fill(tx) } else { Ok(()) }
        });
        stepped.map_err(|cause| cause.located("bring the schema up", path))
    }
}

fn version(conn: &Connection, path: &Path) -> Result<Before, StoreError> {
    let foreign = |what| StoreError::Corrupt { file: path.to_path_buf(), what };
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(Before::Empty);
    }
    let has_meta: bool = conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'meta')",
        [],
        |row| row.get(0),
    )?;
    if !has_meta {
        return Err(foreign("it is a database of some other program"));
    }
    let found: Option<i64> =
        conn.query_row("SELECT schema_version FROM meta", [], |row| row.get(0)).optional()?;
    found
        .and_then(|found| u32::try_from(found).ok())
        .filter(|found| *found > 0)
        .map(Before::Version)
        .ok_or_else(|| foreign("it has no valid schema version"))
}

/// Copies the file beside itself before its first change. The name says which version it holds.
fn keep_copy(conn: &Connection, path: &Path, found: u32) -> Result<(), StoreError> {
    let copy = copy_path(path, found);
    crate::backup::copy_into(conn, &copy).map_err(|cause| cause.located("copy before migration", path))
}

fn copy_path(path: &Path, found: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".schema-{found}-{}.bak", now_millis()));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreOptions;
    use crate::sqlite::{Access, open};

    const FIRST: &str = "CREATE TABLE meta (only_row INTEGER PRIMARY KEY, schema_version INTEGER NOT NULL);
                         CREATE TABLE facts (text TEXT NOT NULL);";
    const OLD: Schema = Schema { steps: &[FIRST] };
    const NEW: Schema = Schema { steps: &[FIRST, "ALTER TABLE facts ADD COLUMN source TEXT;"] };
    const BROKEN: Schema = Schema { steps: &[FIRST, "DELETE FROM facts; ALTER TABLE nothing ADD COLUMN x;"] };

    fn copies(dir: &Path) -> Vec<PathBuf> {
        let mut found: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "bak"))
            .collect();
        found.sort();
        found
    }

    fn old_file(dir: &Path) -> (PathBuf, Connection) {
        let path = dir.join("a.sqlite");
        let mut conn = open(&path, Access::Create, &StoreOptions::default()).unwrap();
        OLD.bring_up(&mut conn, &path, |tx| {
            tx.execute("INSERT INTO facts VALUES ('kept')", [])?;
            Ok(())
        })
        .unwrap();
        (path, conn)
    }

    #[test]
    fn older_is_copied_then_migrated() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut conn) = old_file(dir.path());
        assert_eq!(copies(dir.path()), Vec::<PathBuf>::new(), "a new file needs no copy");

        NEW.bring_up(&mut conn, &path, |_| panic!("an old file is not filled again")).unwrap();

        assert_eq!(NEW.inspect(&conn, &path).unwrap(), Before::Version(2));
        let kept: String =
            conn.query_row("SELECT text FROM facts WHERE source IS NULL", [], |r| r.get(0)).unwrap();
        assert_eq!(kept, "kept");
        let copies = copies(dir.path());
        assert_eq!(copies.len(), 1);
        let copy = open(&copies[0], Access::Read, &StoreOptions::default()).unwrap();
        assert_eq!(OLD.inspect(&copy, &copies[0]).unwrap(), Before::Version(1));
        let kept: String = copy.query_row("SELECT text FROM facts", [], |r| r.get(0)).unwrap();
        assert_eq!(kept, "kept");
    }

    #[test]
    fn failed_migration_leaves_the_file_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut conn) = old_file(dir.path());
        BROKEN.bring_up(&mut conn, &path, |_| Ok(())).unwrap_err();
        assert_eq!(OLD.inspect(&conn, &path).unwrap(), Before::Version(1));
        let kept: String = conn.query_row("SELECT text FROM facts", [], |r| r.get(0)).unwrap();
        assert_eq!(kept, "kept");
    }

    #[test]
    fn newer_is_refused_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut conn) = old_file(dir.path());
        NEW.bring_up(&mut conn, &path, |_| Ok(())).unwrap();
        drop(conn);
        let before = std::fs::read(&path).unwrap();

        let mut conn = open(&path, Access::Create, &StoreOptions::default()).unwrap();
        let refused = OLD.bring_up(&mut conn, &path, |_| Ok(())).unwrap_err();
        assert!(matches!(refused, StoreError::NewerSchema { found: 2, known: 1, .. }), "{refused}");
        drop(conn);
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}
