//! Descriptions: what a context binds, as plain data that is safe to print and to store.
//!
//! A value is printed only where its variable declares that it may be ([`shown`](crate::ContextVar::shown));
//! secrets and undeclared values leave only their presence.

use std::fmt;

use serde::Serialize;

use crate::Boundary;
use crate::cell::{self, Binding, Frame, Slots};

/// What a context binds. `Display` prints it as a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The number of the entry; `None` where the context came through no boundary.
    pub entry: Option<u64>,
    /// The boundary that the entry was minted at.
    pub boundary: Option<&'static str>,
    /// In the order in which the variables were first bound in this process.
    pub bindings: Vec<BindingInfo>,
}

/// One binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BindingInfo {
    /// The variable.
    pub name: &'static str,
    /// The value, or `[secret]`, or `[hidden]` where the variable does not declare that it may be shown.
    pub value: String,
    /// Whether `value` is the value itself and not a placeholder.
    pub shown: bool,
    /// The source line that bound it, as `file:line`.
    pub bound_at: String,
    /// The boundary of the entry under which it was bound.
    pub boundary: Option<&'static str>,
    /// Whether the current frame bound it itself; `false` where it was inherited.
    pub own: bool,
}

impl Description {
    /// Formats user values, so `slots` is a copy of its own and no cell is borrowed.
    pub(crate) fn of(slots: &Slots) -> Self {
        let entry = slots.entry().map(|state| state.entry());
        Self {
            entry: entry.map(|entry| entry.number()),
            boundary: entry.map(|entry| entry.boundary()),
            bindings: slots.bindings().map(BindingInfo::of).collect(),
        }
    }
}

impl BindingInfo {
    fn of(binding: &Binding) -> Self {
        let (meta, mark) = (binding.meta(), binding.mark());
        let (value, shown) = match Shown(binding).print() {
            Some(value) => (value, true),
            None if meta.policy.is_secret() => ("[secret]".to_owned(), false),
            None => ("[hidden]".to_owned(), false),
        };
        Self {
            name: meta.name,
            value,
            shown,
            bound_at: format!("{}:{}", mark.bound_at.file(), mark.bound_at.line()),
            boundary: mark.boundary.map(Boundary::name),
            own: cell::current(|frame: Option<&Frame>| frame.is_some_and(|frame| frame.made(mark))),
        }
    }
}

/// Prints a value where its variable allows it. A value whose `Display` fails counts as hidden.
struct Shown<'a>(&'a Binding);

impl Shown<'_> {
    fn print(&self) -> Option<String> {
        struct Once<'a>(&'a Binding, std::cell::Cell<bool>);
        impl fmt::Display for Once<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0.show(f) {
                    Some(Ok(())) => Ok(()),
                    Some(Err(_)) | None => {
                        self.1.set(false);
                        Ok(())
                    }
                }
            }
        }
        let once = Once(self.0, std::cell::Cell::new(true));
        let text = once.to_string();
        once.1.get().then_some(text)
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.entry, self.boundary) {
            (Some(entry), Some(boundary)) => write!(f, "context of entry {entry} ({boundary})")?,
            _ => f.write_str("context of no entry")?,
        }
        if self.bindings.is_empty() {
            return f.write_str("\n└─ nothing is bound");
        }
        let name = self.bindings.iter().map(|binding| binding.name.len()).max().unwrap_or(0);
        let values: Vec<String> = self.bindings.iter().map(|binding| on_one_line(&binding.value)).collect();
        let value = values.iter().map(|value| value.chars().count()).max().unwrap_or(0);
        for (index, (binding, v)) in self.bindings.iter().zip(&values).enumerate() {
            let branch = if index + 1 == self.bindings.len() { "└─" } else { "├─" };
            let how = if binding.own { "own" } else { "inherited" };
            let by = binding.boundary.unwrap_or("no boundary");
            let BindingInfo { name: n, bound_at, .. } = binding;
            write!(f, "\n{branch} {n:name$} = {v:value$}  {how}, bound at {bound_at} by {by}")?;
        }
        Ok(())
    }
}

/// The value with everything escaped that could end its line or turn its direction: a tenant's name must not be
/// able to draw a binding that is not there.
fn on_one_line(value: &str) -> String {
    let mut line = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => line.extend(c.escape_unicode()),
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}
