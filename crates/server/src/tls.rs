//! The cryptography behind HTTPS. `rustls` wants one provider for the process, and a client that is built before it
//! was chosen fails; whoever builds an HTTP client calls [`install`] first.

/// Chooses the provider of the process, once; a choice that was made before stays.
pub(crate) fn install() {
    // An error says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
