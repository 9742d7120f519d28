//! Watched output: lines that somebody wants to hear of, while there are few.
//!
//! Up to a number of matching lines within a window are told. One more is a flood: from then on nothing is told but the end,
//! which is promised instead. The monitor of a process asks; time is given by it.

use std::time::{Duration, Instant};

/// What to do with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It matches nothing, or the watch has ended.
    Nothing,
    /// Tell it.
    Tell,
    /// Say that it is too much, and promise the end.
    Flood,
}

/// The patterns of one process.
#[derive(Debug)]
pub(super) struct Watch {
    patterns: Vec<String>,
    most: u32,
    window: Duration,
    told: u32,
    since: Option<Instant>,
    flooded: bool,
}

impl Watch {
    pub(super) fn new(patterns: Vec<String>, most: u32, window: Duration) -> Self {
        Self { patterns, most, window, told: 0, since: None, flooded: false }
    }

    /// Looks at one line.
    pub(super) fn hear(&mut self, line: &str, now: Instant) -> Heard {
        if self.flooded || !self.patterns.iter().any(|pattern| line.contains(pattern.as_str())) {
            return Heard::Nothing;
        }
        if self.since.is_none_or(|since| now.duration_since(since) >= self.window) {
            (self.since, self.told) = (Some(now), 0);
        }
        self.told += 1;
        if self.told > self.most {
            self.flooded = true;
            return Heard::Flood;
        }
        Heard::Tell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_are_told_and_a_flood_is_told_once() {
        let mut watch = Watch::new(vec!["error".to_owned()], 2, Duration::from_secs(60));
        let now = Instant::now();
        assert_eq!(watch.hear("fine", now), Heard::Nothing);
        assert_eq!(watch.hear("an error", now), Heard::Tell);
        assert_eq!(watch.hear("error two", now), Heard::Tell);
        assert_eq!(watch.hear("error three", now), Heard::Flood);
        assert_eq!(watch.hear("error four", now + Duration::from_secs(120)), Heard::Nothing);
    }

    #[test]
    fn a_new_window_begins_anew() {
        let mut watch = Watch::new(vec!["x".to_owned()], 1, Duration::from_secs(10));
        let now = Instant::now();
        assert_eq!(watch.hear("x", now), Heard::Tell);
        assert_eq!(watch.hear("x", now + Duration::from_secs(11)), Heard::Tell);
    }
}
