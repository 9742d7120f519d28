//! Canaries: words that exist once in the world, so that finding one says whose it is.

use std::collections::{HashMap, HashSet};

pub(crate) const TENANTS: usize = 20;
pub(crate) const SESSIONS: usize = 10;

/// One conversation: a tenant, a session name that every other tenant uses too, and its two canaries.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) tenant: usize,
    pub(crate) session: usize,
    /// A fact that goes into recall.
    pub(crate) fact: String,
    /// An attempt that goes into the session cache.
    pub(crate) attempt: String,
}

impl Cell {
    pub(crate) fn session_name(&self) -> String {
        format!("ward-{}", self.session)
    }
}

pub(crate) fn tenant_name(tenant: usize) -> String {
    format!("clinic-{tenant:02}")
}

/// All conversations of a run.
pub(crate) struct World {
    pub(crate) cells: Vec<Cell>,
    salt: String,
    owners: HashMap<String, usize>,
}

impl World {
    /// Fresh canaries. They are one word each, so that a model that cuts sentences keeps them whole.
    pub(crate) fn fresh() -> Self {
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).expect("randomness");
        let salt: String = random.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
        let mut cells = Vec::new();
        let mut owners = HashMap::new();
        for tenant in 0..TENANTS {
            for session in 0..SESSIONS {
                let letter = |n: usize| char::from(b'a' + u8::try_from(n).expect("below 26"));
                let word = |kind| format!("{kind}{salt}{}{}q", letter(tenant), letter(session));
                let cell = Cell { tenant, session, fact: word("fa"), attempt: word("ta") };
                owners.insert(cell.fact.clone(), tenant);
                owners.insert(cell.attempt.clone(), tenant);
                cells.push(cell);
            }
        }
        Self { cells, salt, owners }
    }

    pub(crate) fn canaries(&self) -> impl Iterator<Item = (&str, usize)> {
        self.owners.iter().map(|(canary, tenant)| (canary.as_str(), *tenant))
    }

    /// Every canary in raw bytes, found in one pass by the part that all share.
    pub(crate) fn canaries_in(&self, bytes: &[u8]) -> HashSet<&str> {
        let (before, behind) = ("fa".len(), self.salt.len() + "abq".len());
        let places =
            bytes.windows(self.salt.len()).enumerate().filter(|(_, window)| *window == self.salt.as_bytes());
        let words = places.filter_map(|(at, _)| bytes.get(at.checked_sub(before)?..at + behind));
        let known = words.filter_map(|word| self.owners.get_key_value(std::str::from_utf8(word).ok()?));
        known.map(|(canary, _)| canary.as_str()).collect()
    }

    /// The tenants, other than `own`, whose canaries are in `text`.
    pub(crate) fn strangers_in(&self, text: &str, own: usize) -> Vec<usize> {
        let mut found: Vec<usize> = self
            .canaries()
            .filter(|(canary, tenant)| *tenant != own && text.contains(canary))
            .map(|(_, t)| t)
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}
