//! The layer that fills the ring: it finds the place of each new span by its ancestors, and keeps it with the span,
//! where children and the log find it. Only `telemetry` installs it.

use std::sync::Arc;

use haversack::well_known::TRACE_CONTEXT;
use tracing::span::{Attributes, Id, Record as Values};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::super::fields::Fields;
use super::super::kind::Kind;
use super::super::owner::Owner;
use super::Ring;
use super::record::Record;

/// The place of a span in its record.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    record: Arc<Record>,
    /// `None` for a span that a full record did not take; its children are not recorded either.
    position: Option<u32>,
}

impl Place {
    /// The kind of work that the span belongs to, and its id.
    pub(crate) fn unit(&self) -> (Kind, &str) {
        (self.record.kind, &self.record.id)
    }

    /// Whether the current context is that of the same unit of work.
    fn same_unit(&self) -> bool {
        self.record.trace == TRACE_CONTEXT.bound()
    }
}

/// Fills a [`Ring`] from spans.
#[derive(Debug)]
pub(crate) struct RingLayer {
    pub(super) ring: Ring,
}

impl RingLayer {
    /// The place of a new span: in its parent's record, or as the root of its own. Work that began inside other work
    /// under a span of its own in the trace, as a delivery inside a turn, has its own record.
    fn place(
        &self,
        parent: Option<Place>,
        metadata: &'static Metadata<'static>,
        fields: Fields,
    ) -> Option<Place> {
        let kind = Kind::named(metadata.name());
        if let Some(parent) = parent
            && (kind.is_none() || parent.same_unit())
        {
            let position = match parent.position {
                Some(above) => parent.record.open(metadata, Some(above), fields),
                None => None,
            };
            return Some(Place { record: parent.record, position });
        }
        let id = fields.values.get(kind?.name())?.clone();
        let record = self.ring.begin(kind?, id, Owner::current().ok()?)?;
        let position = record.open(metadata, None, fields);
        Some(Place { record, position })
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

    fn on_record(&self, id: &Id, values: &Values<'_>, context: Context<'_, S>) {
        let Some(place) = place_of(id, &context) else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(position) = place.position {
            place.record.add(position, fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(Place { record, position: Some(position) }) = place_of(&id, &context) {
            record.close(position);
        }
    }
}

fn place_of<S: Subscriber + for<'a> LookupSpan<'a>>(id: &Id, context: &Context<'_, S>) -> Option<Place> {
    context.span(id).and_then(|span| span.extensions().get::<Place>().cloned())
}
