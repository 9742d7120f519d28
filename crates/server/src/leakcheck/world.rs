//! The world of one run: so many tenants with so many sessions each, all named alike, and a canary of every kind for
//! each conversation. It is made of two numbers and a salt; a canary is computed from its place and read back from its
//! letters, so nothing has to be looked up. The hops take their words from it, the searches find them with it.

use std::collections::BTreeSet;

use haversack::canary::forms;
use memchr::memmem::Finder;

use super::canary::{Canary, Cell, Kind, Reader};

/// Letters of a place in the world: 26 times 26 tenants, and as many sessions.
const DIGITS: usize = 2;

/// What the name of each tenant begins with; three digits follow.
const TENANT: &str = "clinic-";

/// Ends each canary with a letter that no suffix of a language begins with, so that nobody takes it for an inflection.
const END: u8 = b'q';

pub(super) struct World {
    tenants: usize,
    sessions: usize,
    salt: String,
    finder: Finder<'static>,
}

impl World {
    /// A world with fresh canaries. They are one word each, so that a model that cuts sentences keeps them whole.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub(super) fn fresh(tenants: usize, sessions: usize) -> anyhow::Result<Self> {
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random)?;
        let salt: String = random.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
        let finder = Finder::new(&salt).into_owned();
        Ok(Self { tenants, sessions, salt, finder })
    }

    pub(super) fn tenants(&self) -> usize {
        self.tenants
    }

    pub(super) fn sessions(&self) -> usize {
        self.sessions
    }

    /// Every conversation. Those of one session name stand side by side, because what is at work at the same time under
    /// the same name is what gets mixed up.
    pub(super) fn cells(&self) -> impl Iterator<Item = Cell> + Clone + use<> {
        let tenants = self.tenants;
        (0..self.sessions).flat_map(move |session| (0..tenants).map(move |tenant| Cell { tenant, session }))
    }

    /// The canary of that kind in a conversation.
    pub(super) fn word(&self, cell: Cell, kind: Kind) -> String {
        format!(
            "{}{}{}{}{}",
            kind.prefix(),
            self.salt,
            letters(cell.tenant),
            letters(cell.session),
            char::from(END)
        )
    }

    /// Every canary in bytes, each once, whatever it is written as: as it is, or as JSON, base64, hex and the other
    /// encodings in which a value leaves a program by accident.
    pub(super) fn find(&self, bytes: &[u8]) -> BTreeSet<Canary> {
        let mut found = BTreeSet::new();
        forms(bytes, &mut |_, bytes| found.extend(self.find_plain(bytes)));
        found
    }

    /// Every canary that stands in bytes as it is: for databases, of which there is too much to decode.
    pub(super) fn find_plain(&self, bytes: &[u8]) -> BTreeSet<Canary> {
        self.finder.find_iter(bytes).filter_map(|at| self.read(bytes, at)).collect()
    }

    /// The canaries in `text` that must not come out before `reader`.
    pub(super) fn crossed(&self, text: &str, reader: Reader) -> Vec<Canary> {
        self.find(text.as_bytes()).into_iter().filter(|canary| !reader.may_see(*canary)).collect()
    }

    /// Whether `text` names a tenant that is not `own`.
    pub(super) fn names_other(&self, text: &str, own: Option<usize>) -> bool {
        let named = text.split(TENANT).skip(1).filter_map(|rest| rest.get(..3)?.parse().ok());
        named.into_iter().any(|tenant: usize| tenant < self.tenants && Some(tenant) != own)
    }

    /// The canary around the salt at `at`.
    fn read(&self, bytes: &[u8], at: usize) -> Option<Canary> {
        let prefix = bytes.get(at.checked_sub(2)?..at)?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.prefix().as_bytes() == prefix)?;
        let mut rest = bytes.get(at + self.salt.len()..)?;
        let tenant = number(rest.split_off(..DIGITS)?)?;
        let session = number(rest.split_off(..DIGITS)?)?;
        let known = *rest.first()? == END && tenant < self.tenants && session < self.sessions;
        known.then_some(Canary { cell: Cell { tenant, session }, kind })
    }
}

impl Cell {
    pub(super) fn session_name(self) -> String {
        format!("ward-{}", self.session)
    }
}

/// The name of a tenant. All are equally long, so that none is the beginning of another.
pub(super) fn tenant_name(tenant: usize) -> String {
    format!("{TENANT}{tenant:03}")
}

fn letters(number: usize) -> String {
    let letter = |digit: usize| char::from(b'a' + u8::try_from(digit % 26).unwrap_or_default());
    [letter(number / 26), letter(number)].iter().collect()
}

fn number(letters: &[u8]) -> Option<usize> {
    letters.iter().try_fold(0, |number, letter| {
        letter.is_ascii_lowercase().then(|| number * 26 + usize::from(letter - b'a'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_canary_is_found_in_bytes_and_says_whose_it_is() {
        let world = World::fresh(60, 50).unwrap();
        let all: Vec<Canary> =
            world.cells().flat_map(|cell| Kind::ALL.map(|kind| Canary { cell, kind })).collect();
        let mut bytes = vec![0xff, b'f', b'a'];
        for canary in &all {
            bytes.extend(world.word(canary.cell, canary.kind).as_bytes());
        }
        assert_eq!(world.find(&bytes), all.iter().copied().collect());
        assert_eq!(all.len(), 60 * 50 * Kind::ALL.len());
    }

    #[test]
    fn an_encoded_canary_is_found() {
        use base64::Engine as _;
        let world = World::fresh(3, 3).unwrap();
        let canary = Canary { cell: Cell { tenant: 2, session: 1 }, kind: Kind::Token };
        let word = world.word(canary.cell, canary.kind);
        for before in ["", "a", "ab"] {
            let base64 = base64::engine::general_purpose::STANDARD.encode(format!("{before}{word}"));
            assert_eq!(world.find(format!("Basic {base64}").as_bytes()), [canary].into());
        }
        let hex: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
        let percent: String = word.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let json: String = word.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect();
        let wide: Vec<u8> = word.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [hex.as_bytes(), percent.as_bytes(), json.as_bytes(), &wide] {
            assert_eq!(world.find(bytes), [canary].into());
        }
    }

    #[test]
    fn half_a_canary_and_one_of_another_run_are_none() {
        let (world, other) = (World::fresh(3, 3).unwrap(), World::fresh(3, 3).unwrap());
        let cell = Cell { tenant: 2, session: 1 };
        let word = world.word(cell, Kind::Fact);
        assert!(world.find(&word.as_bytes()[..word.len() - 1]).is_empty());
        assert!(world.find(&word.as_bytes()[1..]).is_empty());
        assert!(world.find(other.word(cell, Kind::Fact).as_bytes()).is_empty());
    }

    #[test]
    fn a_canary_comes_out_before_its_own_people_only() {
        let world = World::fresh(3, 3).unwrap();
        let (own, next) = (Cell { tenant: 0, session: 0 }, Cell { tenant: 0, session: 1 });
        let fact = world.word(own, Kind::Fact);
        let attempt = world.word(own, Kind::Attempt);
        let token = world.word(own, Kind::Token);
        assert!(world.crossed(&fact, Reader::Owner(next)).is_empty());
        assert_eq!(world.crossed(&attempt, Reader::Owner(next)).len(), 1);
        assert!(world.crossed(&attempt, Reader::Owner(own)).is_empty());
        assert!(world.crossed(&attempt, Reader::Person(0)).is_empty());
        assert_eq!(world.crossed(&attempt, Reader::Person(1)).len(), 1);
        assert_eq!(world.crossed(&fact, Reader::Nobody).len(), 1);
        assert_eq!(world.crossed(&token, Reader::Owner(own)).len(), 1);
    }
}
