//! Whom encrypted connections trust. On Lambda the roots are in the program: reading those of the machine takes longer than everything else at start.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use reqwest::{Certificate, ClientBuilder};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// How every certificate in PEM begins.
const BEGIN: &str = "-----BEGIN";

/// The roots in the program, for all clients that trust no others.
static EMBEDDED: LazyLock<Arc<RootCertStore>> =
    LazyLock::new(|| Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }));

/// The roots that servers' certificates have to lead to.
#[derive(Debug, Clone)]
pub struct Trust {
    base: Base,
    own: Vec<CertificateDer<'static>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Machine,
    Embedded,
}

/// A bundle of roots is none; the text says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadBundle(String);

/// No client can be made for these roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no encrypted connection can be made on this machine")]
pub struct NoTls;

impl Trust {
    /// The roots of the machine.
    pub fn machine() -> Self {
        Self { base: Base::Machine, own: Vec::new() }
    }

    /// The roots that browsers trust, as of when this was built.
    pub fn embedded() -> Self {
        Self { base: Base::Embedded, own: Vec::new() }
    }

    /// These, and the ones in a bundle: certificates in PEM, or the path of a file with them.
    ///
    /// # Errors
    /// If it can't be read, holds no certificate, one that is none, or something else, such as a private key. Nothing of it is shown.
    pub fn and(mut self, bundle: &str) -> Result<Self, BadBundle> {
        let bad = |what: &str, why: String| BadBundle(format!("{what} {why}"));
        let (what, text) = if bundle.contains(BEGIN) {
            ("the certificates".to_owned(), bundle.as_bytes().to_vec())
        } else {
            let what = Path::new(bundle).display().to_string();
            let text = std::fs::read(bundle).map_err(|error| bad(&what, format!("can't be read: {error}")))?;
            (what, text)
        };
        // What has another label is passed over by the parser, and would never be missed.
        let text_of = String::from_utf8_lossy(&text);
        let labels = text_of.lines().map(str::trim).filter(|line| line.starts_with(BEGIN));
        if labels.clone().any(|line| line != "-----BEGIN CERTIFICATE-----") {
            return Err(bad(&what, "hold something else than certificates; only CERTIFICATE belongs there".to_owned()));
        }
        let expected = labels.count();
        let mut probe = RootCertStore::empty();
        let before = self.own.len();
        for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(&text)) {
            let certificate =
                certificate.map_err(|_| bad(&what, format!("are no PEM: certificate {number} can't be read")))?;
            probe
                .add(certificate.clone())
                .map_err(|_| bad(&what, format!("hold no usable root: certificate {number} is none")))?;
            self.own.push(certificate);
        }
        if expected == 0 || self.own.len() - before != expected {
            return Err(bad(&what, "hold no certificate in PEM, or one that is cut off".to_owned()));
        }
        Ok(self)
    }

    /// Lets an HTTP client trust these roots.
    ///
    /// # Errors
    /// If no TLS is to be had.
    pub(crate) fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder, NoTls> {
        if self.base == Base::Machine {
            let own = self.own.iter().map(|der| Certificate::from_der(der)).collect::<Result<Vec<_>, _>>();
            let own = own.map_err(|_| NoTls)?;
            return Ok(if own.is_empty() { builder } else { builder.tls_certs_merge(own) });
        }
        let mut roots = Arc::clone(&EMBEDDED);
        for certificate in &self.own {
            Arc::make_mut(&mut roots).add(certificate.clone()).map_err(|_| NoTls)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| NoTls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(builder.tls_backend_preconfigured(config))
    }
}
