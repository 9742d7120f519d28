//! The table that the bench prints: ratio first.

use std::fmt;

/// Rows in the order in which they were measured.
pub(crate) struct Table {
    peer: &'static str,
    rows: Vec<Row>,
    notes: Vec<String>,
}

struct Row {
    name: String,
    ns: f64,
    peer: Option<f64>,
    target: Option<f64>,
}

impl Table {
    pub(crate) fn new(peer: &'static str) -> Self {
        Self { peer, rows: Vec::new(), notes: Vec::new() }
    }

    pub(crate) fn row(&mut self, name: String, ns: f64, peer: Option<f64>, target: Option<f64>) {
        self.rows.push(Row { name, ns, peer, target });
    }

    pub(crate) fn note(&mut self, note: &str) {
        self.notes.push(note.to_owned());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.peer;
        writeln!(f, "| what | x {peer} | ns | {peer} ns | target ns | met |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for Row { name, ns, peer, target } in &self.rows {
            let ratio = peer.map_or(String::from("-"), |peer| format!("{:.2}", ns / peer));
            let peer = peer.map_or(String::from("-"), |peer| format!("{peer:.2}"));
            let met = target.map_or("-", |target| if *ns <= target { "yes" } else { "no" });
            let target = target.map_or(String::from("-"), |target| format!("{target:.1}"));
            writeln!(f, "| {name} | {ratio} | {ns:.2} | {peer} | {target} | {met} |")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}
