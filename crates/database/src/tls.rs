//! TLS to servers, in the manners of PostgreSQL's `sslmode`.

use crate::{DatabaseError, Reason};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use squall_model::server::{ServerRef, TlsMode};
use std::path::Path;
use std::sync::Arc;

/// How TLS is spoken to a server.
pub(crate) fn configuration(server: &ServerRef) -> Result<ClientConfig, DatabaseError> {
    let wrong = |cause: String| DatabaseError::new(Reason::Denied, server, "set up TLS for", cause);
    let provider = Arc::new(ring::default_provider());
    let chain = match server.tls {
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => None,
        TlsMode::VerifyCa | TlsMode::VerifyFull => {
            let roots = Arc::new(roots(server.authorities.as_deref()).map_err(wrong)?);
            let builder = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
            Some(builder.build().map_err(|error| wrong(error.to_string()))?)
        }
    };
    let verifier = Verifier { chain, names: server.tls == TlsMode::VerifyFull, provider: provider.clone() };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let Some((certificate, key)) = &server.certificate else { return Ok(builder.with_no_client_auth()) };
    let told = |path: &Path, error: String| wrong(format!("{}: {error}", path.display()));
    let certificates = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| told(certificate, error.to_string()))?;
    let own = PrivateKeyDer::from_pem_file(key).map_err(|error| told(key, error.to_string()))?;
    builder.with_client_auth_cert(certificates, own).map_err(|error| told(certificate, error.to_string()))
}

/// The name that a server's certificate must bear.
pub(crate) fn name(server: &ServerRef) -> Result<ServerName<'static>, DatabaseError> {
    ServerName::try_from(server.host.clone())
        .map_err(|error| DatabaseError::new(Reason::Unsupported, server, "use TLS with", error.to_string()))
}

/// Those of the web, or those in a file alone.
fn roots(file: Option<&Path>) -> Result<RootCertStore, String> {
    let Some(path) = file else { return Ok(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()) };
    let told = |cause: String| format!("certificate authorities in {}: {cause}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| told(error.to_string()))? {
        let certificate = certificate.map_err(|error| told(error.to_string()))?;
        roots.add(certificate).map_err(|error| told(error.to_string()))?;
    }
    if roots.is_empty() { Err(told("it holds no certificate".to_owned())) } else { Ok(roots) }
}

/// Believes as much as the mode says.
#[derive(Debug)]
struct Verifier {
    /// Checks who signed; none where anybody may be at the other end.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// Whether the name must fit too.
    names: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        status: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(certificate, intermediates, name, status, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.names => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
