//! The recent turns of this process: a bounded ring of span trees, filled by a `tracing` layer. Each turn belongs to
//! the tenant and principal under which its root span was opened, and each span finds its turn by its ancestors. The
//! only way to read is [`Ring::turn`], which takes the reader from the current context and knows no other.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use haversack::MissingContext;
use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID, TenantId};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use super::tree::{Bindings, TurnTree, Unit};

/// Name of the span that begins a turn; it carries the turn's id in a field of the same name.
const ROOT: &str = "turn";

/// How much the ring keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Turns over all tenants; 0 records none.
    pub turns: usize,
    /// Turns of one tenant, so that a busy tenant does not push out the others.
    pub turns_per_tenant: usize,
    /// Units of work of one turn; the rest is counted as dropped.
    pub units_per_turn: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { turns: 2_048, turns_per_tenant: 256, units_per_turn: 512 }
    }
}

/// The ring. Cheap to clone; clones share what is recorded.
#[derive(Debug, Clone, Default)]
pub struct Ring {
    shared: Arc<Shared>,
}

impl Ring {
    /// An empty ring.
    pub fn new(bounds: Bounds) -> Self {
        Self { shared: Arc::new(Shared { bounds, recent: Mutex::default() }) }
    }

    /// The tree of a turn of the current tenant and principal. `None` when the ring does not hold it, or not any more,
    /// or when it belongs to somebody else: a reader cannot tell these apart.
    ///
    /// # Errors
    /// [`MissingContext`] when no tenant or principal is bound, that is, outside a door.
    pub fn turn(&self, turn: &str) -> Result<Option<TurnTree>, MissingContext> {
        let reader = Owner::current()?;
        let Some(found) = lock(&self.shared.recent).by_id.get(turn).cloned() else { return Ok(None) };
        if !may_read(&reader, &found.owner) {
            return Ok(None);
        }
        Ok(Some(found.tree()))
    }

    /// The layer that fills this ring.
    pub(super) fn layer(&self) -> RingLayer {
        RingLayer { ring: self.clone() }
    }

    /// The turn that a root span begins, or, when the same owner comes again with the same id, continues. `None` when
    /// the id is somebody else's.
    fn begin(&self, id: String, owner: Owner) -> Option<Arc<Turn>> {
        if self.shared.bounds.turns == 0 {
            return None;
        }
        let mut recent = lock(&self.shared.recent);
        if let Some(known) = recent.by_id.get(&id) {
            return (known.owner == owner).then(|| Arc::clone(known));
        }
        let turn = Arc::new(Turn {
            id,
            owner,
            began: Instant::now(),
            started_at: now_ms(),
            max_units: self.shared.bounds.units_per_turn,
            record: Mutex::default(),
        });
        recent.insert(Arc::clone(&turn), self.shared.bounds);
        Some(turn)
    }
}

/// The one check that stands between a reader and somebody else's turn.
fn may_read(reader: &Owner, owner: &Owner) -> bool {
    #[cfg(feature = "mutants")]
    if haversack::mutants::active(haversack::mutants::Mutant::RingFilter) {
        return true;
    }
    reader == owner
}

#[derive(Debug, Default)]
struct Shared {
    bounds: Bounds,
    recent: Mutex<Recent>,
}

/// Whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    tenant: TenantId,
    principal: Principal,
}

impl Owner {
    fn current() -> Result<Self, MissingContext> {
        Ok(Self { tenant: TENANT_ID.get()?, principal: PRINCIPAL.get()? })
    }
}

/// The turns in the order they began.
#[derive(Debug, Default)]
struct Recent {
    by_id: HashMap<String, Arc<Turn>>,
    order: VecDeque<Arc<Turn>>,
    per_tenant: HashMap<TenantId, usize>,
}

impl Recent {
    fn insert(&mut self, turn: Arc<Turn>, bounds: Bounds) {
        let own = self.per_tenant.get(&turn.owner.tenant).copied().unwrap_or(0);
        if own >= bounds.turns_per_tenant {
            let oldest = self.order.iter().position(|held| held.owner.tenant == turn.owner.tenant);
            if let Some(oldest) = oldest {
                self.remove(oldest);
            }
        }
        if self.order.len() >= bounds.turns {
            self.remove(0);
        }
        *self.per_tenant.entry(turn.owner.tenant.clone()).or_default() += 1;
        self.by_id.insert(turn.id.clone(), Arc::clone(&turn));
        self.order.push_back(turn);
    }

    fn remove(&mut self, position: usize) {
        let Some(gone) = self.order.remove(position) else { return };
        self.by_id.remove(&gone.id);
        if let Some(count) = self.per_tenant.get_mut(&gone.owner.tenant) {
            *count -= 1;
            if *count == 0 {
                self.per_tenant.remove(&gone.owner.tenant);
            }
        }
    }
}

#[derive(Debug)]
struct Turn {
    id: String,
    owner: Owner,
    began: Instant,
    started_at: i64,
    max_units: usize,
    record: Mutex<Units>,
}

#[derive(Debug, Default)]
struct Units {
    units: Vec<Entry>,
    running: usize,
    dropped: u64,
}

#[derive(Debug)]
struct Entry {
    metadata: &'static Metadata<'static>,
    parent: Option<u32>,
    fields: Fields,
    start_us: u64,
    elapsed_us: Option<u64>,
    context: Bindings,
}

impl Turn {
    /// Adds a unit and returns its position; `None` when the turn is full.
    fn open(&self, metadata: &'static Metadata<'static>, parent: Option<u32>, fields: Fields) -> Option<u32> {
        // A unit that runs under somebody else's context is a defect elsewhere; this tree must not tell whose.
        let context = match Owner::current() {
            Ok(owner) if owner != self.owner => Bindings::withheld(),
            _ => Bindings::current(),
        };
        let start_us = self.elapsed();
        let mut record = lock(&self.record);
        if record.units.len() >= self.max_units {
            record.dropped += 1;
            return None;
        }
        let position = u32::try_from(record.units.len()).ok()?;
        record.running += 1;
        record.units.push(Entry { metadata, parent, fields, start_us, elapsed_us: None, context });
        Some(position)
    }

    fn add(&self, position: u32, fields: Fields) {
        if let Some(entry) = lock(&self.record).units.get_mut(position as usize) {
            entry.fields.values.extend(fields.values);
        }
    }

    fn close(&self, position: u32) {
        let now = self.elapsed();
        let mut record = lock(&self.record);
        if let Some(entry) = record.units.get_mut(position as usize)
            && entry.elapsed_us.is_none()
        {
            entry.elapsed_us = Some(now.saturating_sub(entry.start_us));
            record.running -= 1;
        }
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn tree(&self) -> TurnTree {
        let record = lock(&self.record);
        let units = record.units.iter().zip(0..).map(|(entry, id)| entry.unit(id)).collect();
        TurnTree {
            turn: self.id.clone(),
            started_at: self.started_at,
            complete: record.running == 0,
            dropped: record.dropped,
            units,
        }
    }
}

impl Entry {
    fn unit(&self, id: u32) -> Unit {
        let at = self.metadata.file().map(|file| match self.metadata.line() {
            Some(line) => format!("{file}:{line}"),
            None => file.to_owned(),
        });
        Unit {
            id,
            parent: self.parent,
            name: self.metadata.name().to_owned(),
            target: self.metadata.target().to_owned(),
            at,
            fields: self
                .fields
                .values
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            start_us: self.start_us,
            elapsed_us: self.elapsed_us,
            context: self.context.clone(),
        }
    }
}

/// The place of a span in its turn; kept in the span's extensions, where its children and the log find it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    turn: Arc<Turn>,
    /// `None` for a span that a full turn did not record; its children are not recorded either.
    position: Option<u32>,
}

impl Place {
    /// The turn's id.
    pub(super) fn turn_id(&self) -> &str {
        &self.turn.id
    }
}

/// Fills a [`Ring`] from spans.
#[derive(Debug)]
pub(super) struct RingLayer {
    ring: Ring,
}

impl RingLayer {
    /// The place of a new span: inside its parent's turn, or as the root of its own.
    fn place(
        &self,
        parent: Option<Place>,
        metadata: &'static Metadata<'static>,
        fields: Fields,
    ) -> Option<Place> {
        if let Some(parent) = parent {
            let position = match parent.position {
                Some(above) => parent.turn.open(metadata, Some(above), fields),
                None => None,
            };
            return Some(Place { turn: parent.turn, position });
        }
        if metadata.name() != ROOT {
            return None;
        }
        let id = fields.values.get(ROOT)?.clone();
        let turn = self.ring.begin(id, Owner::current().ok()?)?;
        let position = turn.open(metadata, None, fields);
        Some(Place { turn, position })
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RingLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let parent = span.parent().and_then(|parent| parent.extensions().get::<Place>().cloned());
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(place) = self.place(parent, attributes.metadata(), fields) {
            span.extensions_mut().insert(place);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(place) = place_of(id, &context) else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(position) = place.position {
            place.turn.add(position, fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(Place { turn, position: Some(position) }) = place_of(&id, &context) {
            turn.close(position);
        }
    }
}

fn place_of<S: Subscriber + for<'a> LookupSpan<'a>>(id: &Id, context: &Context<'_, S>) -> Option<Place> {
    context.span(id).and_then(|span| span.extensions().get::<Place>().cloned())
}

/// A panic elsewhere does not make what is recorded less true.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
