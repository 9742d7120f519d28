//! The tables that the bench prints: ratios and targets first, nanoseconds after them.

use std::fmt;

use crate::measure::{Medians, Who};

/// Rows in the order in which they were measured.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    notes: Vec<String>,
}

struct Row {
    name: String,
    values: Medians,
    target: Option<f64>,
}

impl Table {
    pub(crate) fn row(&mut self, name: impl Into<String>, values: Medians, target: Option<f64>) {
        self.rows.push(Row { name: name.into(), values, target });
    }

    /// Adds what a crowd cost the peer that was measured by itself.
    pub(crate) fn crowd(&mut self, name: &str, each: Option<f64>) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.name == name) {
            row.values.put(Who::Python, each);
        }
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Whether anybody was measured in that column.
    fn columns(&self) -> Vec<Who> {
        let measured = |who: &Who| self.rows.iter().any(|row| row.values.of(*who).is_some());
        Who::ALL.into_iter().filter(measured).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns();
        let others: Vec<Who> = columns.iter().copied().filter(|who| *who != Who::Ours).collect();

        writeln!(f, "How many times ours the others take; what is below 1 is faster than ours.\n")?;
        heading(f, &["what", "target", "holds"], &others)?;
        for Row { name, values, target } in &self.rows {
            let Some(ours) = values.of(Who::Ours) else { continue };
            let limit = target.map_or(String::from("-"), |target| format!("{target:.1}"));
            let holds = target.map_or("-", |target| if ours <= target { "yes" } else { "no" });
            write!(f, "| {name} | {limit} | {holds} |")?;
            cells(f, &others, |who| values.of(who).map(|value| format!("{:.2}", value / ours)))?;
        }

        writeln!(f, "\nNanoseconds of one operation, median round; bytes where the row says so.\n")?;
        heading(f, &["what"], &columns)?;
        for Row { name, values, .. } in &self.rows {
            write!(f, "| {name} |")?;
            cells(f, &columns, |who| values.of(who).map(|value| format!("{value:.2}")))?;
        }
        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

fn heading(f: &mut fmt::Formatter<'_>, first: &[&str], columns: &[Who]) -> fmt::Result {
    let names: Vec<&str> = first.iter().copied().chain(columns.iter().map(|who| who.name())).collect();
    writeln!(f, "| {} |", names.join(" | "))?;
    writeln!(f, "|{}", "---|".repeat(names.len()))
}

fn cells(f: &mut fmt::Formatter<'_>, columns: &[Who], cell: impl Fn(Who) -> Option<String>) -> fmt::Result {
    let cells: Vec<String> =
        columns.iter().map(|who| cell(*who).unwrap_or_else(|| String::from("-"))).collect();
    writeln!(f, " {} |", cells.join(" | "))
}
