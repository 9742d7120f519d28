//! The room for strangers: how many connections are open and how many bytes of heads and bodies are under way, of everybody and
//! of each address. Both count before a key is looked at, so they know nothing of tenants. When the room is full, a new
//! connection takes the place of the one that has been silent longest and never showed a key. The listener asks.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The most connections and bytes, in all and for each address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) connections: usize,
    pub(crate) connections_per_address: usize,
    pub(crate) bytes: usize,
    pub(crate) bytes_per_address: usize,
}

/// The room of a listener. Cheap to clone.
#[derive(Clone)]
pub(super) struct Room {
    shared: Arc<Shared>,
}

struct Shared {
    bounds: Bounds,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    open: usize,
    bytes: usize,
    addresses: HashMap<IpAddr, Held>,
    connections: HashMap<u64, Connection>,
    /// Connections without a request, by when that began.
    silent: BTreeMap<u64, u64>,
    /// The last number that was given.
    last: u64,
}

#[derive(Default)]
struct Held {
    open: usize,
    bytes: usize,
}

struct Connection {
    address: IpAddr,
    /// It showed a key or a signature.
    known: bool,
    requests: usize,
    silent_since: Option<u64>,
    close: Arc<Notify>,
}

/// The verdict on a new connection.
pub(super) enum Admission {
    /// It has a place.
    Open(Line),
    /// Its address has too many, and all of them are busy.
    Refused,
    /// All places are busy. [`Room::changed`] says when to ask again.
    Full,
}

/// An open connection in the hands of its task.
pub(super) struct Line {
    number: u64,
    close: Arc<Notify>,
    place: Place,
}

/// The place of a connection among those that may be open. Each of its requests has it among its extensions; it is free when
/// nobody holds it any more.
#[derive(Clone)]
pub(super) struct Place(Arc<Placed>);

struct Placed {
    shared: Arc<Shared>,
    address: IpAddr,
    number: u64,
}

/// A request that its connection is busy with, until this is dropped.
pub(super) struct Busy {
    shared: Arc<Shared>,
    number: u64,
}

/// Bytes that are under way. They count until this is dropped.
pub(super) struct Bytes {
    shared: Arc<Shared>,
    address: IpAddr,
    held: usize,
    refused: Arc<AtomicBool>,
}

impl Room {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { shared: Arc::new(Shared { bounds, state: Mutex::default(), changed: Notify::new() }) }
    }

    /// Gives a place to a connection from `address`, if there is one or a silent connection can make way.
    pub(super) fn admit(&self, address: IpAddr) -> Admission {
        let (address, bounds) = (block_of(address), self.shared.bounds);
        let mut state = self.shared.state();
        let of_address = state.addresses.get(&address).map_or(0, |held| held.open);
        if of_address >= bounds.connections_per_address && !state.make_way(Some(address)) {
            return Admission::Refused;
        }
        if state.open >= bounds.connections && !state.make_way(None) {
            return Admission::Full;
        }
        let number = state.next();
        let close = Arc::new(Notify::new());
        let connection = Connection {
            address,
            known: false,
            requests: 0,
            silent_since: Some(number),
            close: Arc::clone(&close),
        };
        state.connections.insert(number, connection);
        state.silent.insert(number, number);
        state.open += 1;
        state.addresses.entry(address).or_default().open += 1;
        let place = Place(Arc::new(Placed { shared: Arc::clone(&self.shared), address, number }));
        Admission::Open(Line { number, close, place })
    }

    /// Waits until a place may be free.
    pub(super) async fn changed(&self) {
        self.shared.changed.notified().await;
    }
}

impl Line {
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// A request begins.
    pub(super) fn begin(&self) -> Busy {
        let shared = Arc::clone(&self.place.0.shared);
        shared.state().begin(self.number);
        Busy { shared, number: self.number }
    }

    /// No bytes yet, of this connection's address.
    pub(super) fn bytes(&self) -> Bytes {
        let Placed { shared, address, .. } = &*self.place.0;
        Bytes { shared: Arc::clone(shared), address: *address, held: 0, refused: Arc::default() }
    }

    /// Waits until this connection has to make way for another.
    pub(super) fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let close = Arc::clone(&self.close);
        async move { close.notified().await }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.place.0.shared.state().forget(self.number);
    }
}

impl Place {
    /// The connection showed a key or a signature, so that it makes way last.
    pub(super) fn is_known(&self) {
        if let Some(connection) = self.0.shared.state().connections.get_mut(&self.0.number) {
            connection.known = true;
        }
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.open = state.open.saturating_sub(1);
        state.of(self.address, |held| held.open = held.open.saturating_sub(1));
        drop(state);
        self.shared.changed.notify_one();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.shared.state().end(self.number);
        self.shared.changed.notify_one();
    }
}

impl Bytes {
    /// Counts more bytes; false if there is no room for them.
    pub(super) fn take(&mut self, more: usize) -> bool {
        let bounds = self.shared.bounds;
        let mut state = self.shared.state();
        let of_address = state.addresses.get(&self.address).map_or(0, |held| held.bytes);
        if state.bytes + more > bounds.bytes || of_address + more > bounds.bytes_per_address {
            self.refused.store(true, Ordering::Relaxed);
            return false;
        }
        state.bytes += more;
        state.addresses.entry(self.address).or_default().bytes += more;
        self.held += more;
        true
    }

    /// Counts none any more.
    pub(super) fn release(&mut self) {
        let held = std::mem::take(&mut self.held);
        if held == 0 {
            return;
        }
        let mut state = self.shared.state();
        state.bytes = state.bytes.saturating_sub(held);
        state.of(self.address, |of| of.bytes = of.bytes.saturating_sub(held));
    }

    /// How many are counted.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Says whether bytes were refused, also after this is gone.
    pub(super) fn refused(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.refused)
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.release();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn of(&mut self, address: IpAddr, change: impl FnOnce(&mut Held)) {
        let Some(held) = self.addresses.get_mut(&address) else { return };
        change(held);
        if held.open == 0 && held.bytes == 0 {
            self.addresses.remove(&address);
        }
    }

    fn begin(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        connection.requests += 1;
        if let Some(since) = connection.silent_since.take() {
            self.silent.remove(&since);
        }
    }

    fn end(&mut self, number: u64) {
        let now = self.next();
        let Some(connection) = self.connections.get_mut(&number) else { return };
        connection.requests = connection.requests.saturating_sub(1);
        if connection.requests == 0 {
            connection.silent_since = Some(now);
            self.silent.insert(now, number);
        }
    }

    fn forget(&mut self, number: u64) {
        if let Some(since) = self.connections.remove(&number).and_then(|connection| connection.silent_since) {
            self.silent.remove(&since);
        }
    }

    /// Closes the connection that has been silent longest, of `address` if one is given: first one that showed no key.
    fn make_way(&mut self, address: Option<IpAddr>) -> bool {
        let candidates = self.silent.values().filter_map(|number| {
            let connection = self.connections.get(number)?;
            let fits = address.is_none_or(|address| address == connection.address);
            fits.then_some((*number, connection.known))
        });
        let mut known = None;
        let mut stranger = None;
        for (number, is_known) in candidates {
            if !is_known {
                stranger = Some(number);
                break;
            }
            known = known.or(Some(number));
        }
        let Some(number) = stranger.or(known) else { return false };
        if let Some(connection) = self.connections.get(&number) {
            connection.close.notify_one();
        }
        self.forget(number);
        true
    }
}

/// Returns the unit that counts as one address: for IPv6 the /64 network, which one subscriber has whole.
fn block_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const BOUNDS: Bounds =
        Bounds { connections: 3, connections_per_address: 2, bytes: 100, bytes_per_address: 60 };

    fn open(room: &Room, address: &str) -> Option<Line> {
        match room.admit(address.parse().unwrap()) {
            Admission::Open(line) => Some(line),
            Admission::Refused | Admission::Full => None,
        }
    }

    fn is_closed(line: &Line) -> bool {
        line.closed().now_or_never().is_some()
    }

    #[test]
    fn the_longest_silent_stranger_makes_way_and_busy_connections_do_not() {
        let room = Room::new(BOUNDS);
        let known = open(&room, "192.0.2.1").unwrap();
        known.place().is_known();
        let busy = open(&room, "192.0.2.2").unwrap();
        let request = busy.begin();
        let stranger = open(&room, "192.0.2.3").unwrap();
        let next = open(&room, "192.0.2.4").unwrap();
        assert!(is_closed(&stranger) && !is_closed(&known) && !is_closed(&busy));
        let _request = next.begin();
        drop(stranger);
        let last = open(&room, "192.0.2.5").unwrap();
        assert!(is_closed(&known));
        drop(known);
        let _request = last.begin();
        assert!(open(&room, "192.0.2.6").is_none(), "all of them are busy");
        drop(request);
        assert!(open(&room, "192.0.2.6").is_some());
        assert!(is_closed(&busy));
    }

    #[test]
    fn an_address_has_its_share_and_a_network_of_version_six_is_one() {
        let room = Room::new(BOUNDS);
        let first = open(&room, "2001:db8::1").unwrap();
        let _busy = first.begin();
        let second = open(&room, "2001:db8::2").unwrap();
        let _third = open(&room, "2001:db8::3").unwrap();
        assert!(is_closed(&second) && !is_closed(&first));
        let _other = open(&room, "2001:db8:0:1::1").unwrap();
    }

    #[test]
    fn bytes_have_a_bound_for_all_and_for_each_address() {
        let room = Room::new(BOUNDS);
        let (a, b) = (open(&room, "192.0.2.1").unwrap(), open(&room, "192.0.2.2").unwrap());
        let (mut of_a, mut of_b) = (a.bytes(), b.bytes());
        assert!(of_a.take(60) && !of_a.take(1));
        assert!(of_b.take(40) && !of_b.take(1), "all together");
        drop(of_a);
        assert!(of_b.take(20) && !of_b.take(1));
        assert!(of_b.refused().load(Ordering::Relaxed));
        of_b.release();
        assert!(a.bytes().take(60));
    }
}
