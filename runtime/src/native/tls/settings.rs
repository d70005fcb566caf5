//! What a session is made with: roots, the client's own certificate, the server's name. Errors are sentences.

use super::provider::provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, Error, RootCertStore};
use std::sync::Arc;

/// `certificate` and `key` are both empty, or neither.
pub fn config(ca: &str, certificate: &str, key: &str) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    // A bundle may have certificates that are none to us (as Go, we leave them out), but not only such.
    roots.add_parsable_certificates(certificates("CA", ca)?);
    if roots.is_empty() {
        return Err("the CA has no certificate that can be used".to_owned());
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let mut config = if certificate.is_empty() && key.is_empty() {
        builder.with_no_client_auth()
    } else {
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| "the client key is no private key in PEM".to_owned())?;
        builder.with_client_auth_cert(certificates("client certificate", certificate)?, key).map_err(|error| {
            match error {
                Error::InconsistentKeys(_) => "the client key does not belong to the client certificate".to_owned(),
                other => format!("the client certificate or its key cannot be used: {other}"),
            }
        })?
    };
    // A process has few connections: what would be kept for the next one is of no use.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// At least one.
fn certificates(what: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(list) if !list.is_empty() => Ok(list),
        _ => Err(format!("the {what} is no certificate in PEM")),
    }
}

pub fn server_name(name: String) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.as_str())
        .map(|name| name.to_owned())
        .map_err(|_| format!("{name:?} is neither a DNS name nor an address"))
}
