//! A process that is killed leaves every acknowledged write, and no half of one.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use haversack::testing::tenant;

use crate::open;

const FOLDER: &str = "HAVERSACK_LAWS_FOLDER";

#[tokio::test]
async fn kill_leaves_whole_writes() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0_i64;
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::write_until_killed", "--ignored", "--nocapture"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let written =
            lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("wrote ")?.parse::<i64>().ok());
        // Killed in the middle of its work, a little later each time.
        acknowledged = written.take(round * 17).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();

        let store = open(dir.path());
        assert!(store.inspect(true).await.unwrap().iter().all(|report| report.problem.is_none()));
        let (sessions, turns, last) = tenant("a")
            .wrap(async {
                store
                    .tenant()
                    .unwrap()
                    .read("count", |conn| {
                        let row = conn.query_row(
                            "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM turns),
                                    (SELECT max(number) FROM turns)",
                            [],
                            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)),
                        )?;
                        Ok(row)
                    })
                    .await
                    .unwrap()
            })
            .await;
        assert_eq!(sessions, turns, "both rows of each write or none");
        assert!(last >= acknowledged, "{last} is in the file, {acknowledged} was acknowledged");
    }
    assert!(acknowledged >= 85);
}

#[tokio::test]
#[ignore = "run by kill_leaves_whole_writes, which kills it"]
async fn write_until_killed() {
    let Some(data) = std::env::var_os(FOLDER) else { return };
    let store = open(data.as_ref());
    tenant("a")
        .wrap(async {
            let db = store.tenant().unwrap();
            loop {
                let number = db
                    .write("two rows", |tx| {
                        let next: i64 =
                            tx.query_row("SELECT coalesce(max(number), 0) + 1 FROM turns", [], |row| {
                                row.get(0)
                            })?;
                        tx.execute(
                            "INSERT INTO sessions (session_id, principal, created_at, last_active_at)
                             VALUES (?1, 't', 1, 1)",
                            [format!("s{next}")],
                        )?;
                        tx.execute(
                            "INSERT INTO turns (turn_id, session_id, number, principal, status, started_at)
                             VALUES (?1, ?2, ?3, 't', 'done', 1)",
                            (format!("t{next}"), format!("s{next}"), next),
                        )?;
                        Ok(next)
                    })
                    .await
                    .unwrap();
                let mut out = std::io::stdout();
                writeln!(out, "wrote {number}").and_then(|()| out.flush()).unwrap();
            }
        })
        .await;
}
