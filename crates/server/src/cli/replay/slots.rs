//! Fresh values for the slots of a replay. Each kind is put together from parts, so that there are millions of values
//! and none of them is in the repository; the seed decides which. The replay asks for one value a slot and gets one that
//! is in no other value's text, whichever tenant that belongs to.

/// What a slot stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Given and family name.
    Person,
    /// Letters and digits in groups, as on an order.
    Code,
    /// Five or six digits.
    Number,
    /// A town.
    City,
    /// A day, `2031-04-17`.
    Date,
    /// An address in a domain that nobody owns.
    Email,
    /// One made-up word.
    Word,
    /// An amount, `48170 EUR`.
    Money,
}

impl Kind {
    /// Every kind by its name in a file.
    pub const ALL: [(&'static str, Kind); 8] = [
        ("person", Kind::Person),
        ("code", Kind::Code),
        ("number", Kind::Number),
        ("city", Kind::City),
        ("date", Kind::Date),
        ("email", Kind::Email),
        ("word", Kind::Word),
        ("money", Kind::Money),
    ];

    /// The kind of this name.
    pub fn find(name: &str) -> Option<Kind> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind)
    }
}

/// Makes values. Two generators with one seed that are asked the same give the same.
#[derive(Debug)]
pub struct Generator {
    random: Random,
    taken: Vec<String>,
}

impl Generator {
    /// A generator that has given nothing yet.
    pub fn new(seed: u64) -> Self {
        Self { random: Random(seed), taken: Vec::new() }
    }

    /// A value that neither contains nor is contained in one given before, letters compared without case.
    pub fn value(&mut self, kind: Kind) -> String {
        loop {
            let value = self.random.value(kind);
            let folded = value.to_lowercase();
            if !self.taken.iter().any(|taken| taken.contains(&folded) || folded.contains(taken.as_str())) {
                self.taken.push(folded);
                return value;
            }
        }
    }
}

/// SplitMix64: small, good enough to choose words with, and the same on every machine. Nothing here is a secret.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both included.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.next() % from.len() as u64).unwrap_or(0);
        from[at]
    }

    fn value(&mut self, kind: Kind) -> String {
        match kind {
            Kind::Person => format!("{} {}", self.name(2), self.name(3)),
            Kind::Code => {
                let (head, tail) = (self.letters(2), self.letters(2));
                format!("{head}{}-{}{tail}", self.between(2, 9), self.between(1_000, 9_999))
            }
            Kind::Number => self.between(10_000, 999_999).to_string(),
            Kind::City => {
                let name = self.name(2);
                format!("{name}{}", self.pick(&["burg", "holm", "ford", "mere", "stad", "wick", "haven"]))
            }
            Kind::Date => {
                let (year, month) = (self.between(2027, 2059), self.between(1, 12));
                format!("{year}-{month:02}-{:02}", self.between(1, 28))
            }
            Kind::Email => {
                let (who, at) = (self.syllables(3), self.syllables(2));
                format!("{who}.{}@{at}.example", self.between(10, 99))
            }
            Kind::Word => self.syllables(4),
            Kind::Money => format!("{} EUR", self.between(1_100, 99_999) * 10),
        }
    }

    fn name(&mut self, syllables: usize) -> String {
        let lower = self.syllables(syllables);
        let mut letters = lower.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
    }

    fn syllables(&mut self, count: usize) -> String {
        const ONSET: [&str; 18] =
            ["b", "br", "d", "dr", "f", "g", "gr", "k", "l", "m", "n", "p", "r", "s", "t", "tr", "v", "z"];
        const VOWEL: [&str; 8] = ["a", "e", "i", "o", "u", "ai", "eo", "ou"];
        const CODA: [&str; 6] = ["l", "n", "r", "s", "x", "m"];
        let mut word = String::new();
        for _ in 0..count {
            word.push_str(self.pick(&ONSET));
            word.push_str(self.pick(&VOWEL));
        }
        word.push_str(self.pick(&CODA));
        word
    }

    fn letters(&mut self, count: usize) -> String {
        // Without letters that look like digits.
        const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRTUVWXYZ";
        (0..count)
            .map(|_| {
                let at = usize::try_from(self.next() % LETTERS.len() as u64).unwrap_or(0);
                char::from(LETTERS[at])
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(seed: u64) -> Vec<String> {
        let mut generator = Generator::new(seed);
        (0..60).flat_map(|_| Kind::ALL).map(|(_, kind)| generator.value(kind)).collect()
    }

    #[test]
    fn a_seed_decides_every_value() {
        assert_eq!(all(7), all(7));
        let (seven, eight) = (all(7), all(8));
        assert!(seven.iter().all(|value| !eight.contains(value)), "two seeds share a value");
    }

    #[test]
    fn no_value_stands_inside_another() {
        let values = all(99);
        for (at, value) in values.iter().enumerate() {
            for (other_at, other) in values.iter().enumerate() {
                assert!(
                    at == other_at || !other.to_lowercase().contains(&value.to_lowercase()),
                    "{value} in {other}"
                );
            }
        }
    }
}
