//! Export of spans over OTLP.
