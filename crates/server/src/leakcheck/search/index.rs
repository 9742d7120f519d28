//! Full-text indexes: the words of a tenant's own index, and of no other's. An index holds a copy of each word, and holds it
//! shortened: a word that begins as its neighbour does is written without its beginning, so most canaries in an index are not
//! found as bytes. It is asked for its words instead, of every index that a tenant's file has.

use std::path::Path;

use haversack_store::StoreError;
use haversack_store::sqlite::Transaction;

use super::handles;
use crate::leakcheck::canary::{Canary, Cell, Disk, Kind};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::world::{World, tenant_name};

/// Opens the data folder that the product left, and reads every index of every tenant.
///
/// # Errors
/// When the folder cannot be opened.
pub(in crate::leakcheck) async fn look(
    world: &World,
    data: &Path,
    report: &mut Report,
) -> anyhow::Result<()> {
    let store = handles::opened(data).await?;
    for tenant in 0..world.tenants() {
        let visit = handles::enter(Cell { tenant, session: 0 })?;
        let reading = visit.run(|| Ok::<_, StoreError>(store.tenant()?.write("read an index", words)));
        judge(world, tenant, &reading?.await?, report);
    }
    store.close().await?;
    Ok(())
}

/// The words of all indexes of a tenant.
fn judge(world: &World, tenant: usize, words: &str, report: &mut Report) {
    let name = tenant_name(tenant);
    report.looked(Place::Files, 1);
    let found = world.find_plain(words.as_bytes());
    let own = |canary: &Canary| canary.cell.tenant == tenant && canary.kind.disk() == Disk::Own;
    let strange: Vec<Canary> = found.iter().filter(|canary| !own(canary)).copied().collect();
    report.crossed(Place::Files, &strange, &format!("the index of {name}"));
    let facts =
        world.cells().filter(|cell| cell.tenant == tenant).map(|cell| Canary { cell, kind: Kind::Fact });
    let missing = facts.filter(|fact| !found.contains(fact)).count();
    if missing > 0 {
        report.gap(Place::Files, format!("{missing} facts of {name} are in no index of its own"));
    }
}

/// Every word that is in an index, whether or not there is a row that says it, one a line.
fn words(tx: &Transaction<'_>) -> Result<String, StoreError> {
    let mut indexes =
        tx.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%USING fts5%'")?;
    let indexes: Vec<String> = indexes.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut text = String::new();
    for index in indexes {
        // Of this connection only: nothing of it comes into the file.
        let name = index.replace('\'', "''");
        tx.execute_batch(&format!(
            "CREATE VIRTUAL TABLE temp.leakcheck_words USING fts5vocab ('main', '{name}', 'row');"
        ))?;
        let mut terms = tx.prepare("SELECT term FROM temp.leakcheck_words")?;
        for term in terms.query_map([], |row| row.get::<_, String>(0))? {
            text.push_str(&term?);
            text.push('\n');
        }
        drop(terms);
        tx.execute_batch("DROP TABLE temp.leakcheck_words;")?;
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // `#[tokio::test]` blocks on its runtime, where no frame is
mod tests {
    use super::*;

    /// What is told of an installation in which the index of the first tenant alone holds these words, in no row.
    async fn told_of(world: &World, extra: &[String]) -> Report {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let store = handles::opened(&data).await.unwrap();
        for tenant in 0..world.tenants() {
            let own = world.cells().filter(|cell| cell.tenant == tenant);
            let mut texts: Vec<String> = own.map(|cell| world.word(cell, Kind::Fact)).collect();
            texts.extend(extra.iter().filter(|_| tenant == 0).cloned());
            let visit = handles::enter(Cell { tenant, session: 0 }).unwrap();
            let writing = visit.run(|| {
                store.tenant().unwrap().write("fill an index", move |tx| {
                    let mut insert = tx.prepare("INSERT INTO memories_fts (text) VALUES (?1)")?;
                    texts.iter().try_for_each(|text| insert.execute([text]).map(drop))?;
                    Ok(())
                })
            });
            writing.await.unwrap();
        }
        store.close().await.unwrap();
        let mut report = Report::new(world);
        look(world, &data, &mut report).await.unwrap();
        report
    }

    #[tokio::test]
    async fn a_word_of_another_that_is_in_the_index_alone_is_found() {
        let world = World::fresh(2, 3).unwrap();
        let clean = told_of(&world, &[]).await;
        assert!(clean.is_clean(), "{:?}", clean.findings);
        let others: Vec<String> =
            (0..3).map(|session| world.word(Cell { tenant: 1, session }, Kind::Fact)).collect();
        for extra in &others {
            assert_eq!(told_of(&world, std::slice::from_ref(extra)).await.crossings, 1);
        }
        assert_eq!(
            told_of(&world, &[world.word(Cell { tenant: 0, session: 0 }, Kind::Token)]).await.crossings,
            1
        );
    }
}
