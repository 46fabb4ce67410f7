//! Whom a client believes, and by what it shows who it is itself, where TLS is spoken.

use std::env;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::{ErrorKind, HttpError};

/// What a client of TLS goes by. Files are read each time that a server is to be spoken to, and not before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Whom it believes.
    pub authorities: Authorities,
    /// Who it says it is, where a server asks.
    pub identity: Option<Identity>,
}

impl From<Authorities> for Trust {
    fn from(authorities: Authorities) -> Self {
        Self { authorities, identity: None }
    }
}

impl Trust {
    /// TLS by rustls on ring, offering `protocols` (ALPN).
    pub(super) fn connector(&self, protocols: &[&[u8]]) -> Result<TlsConnector, HttpError> {
        let wrong = |error: rustls::Error| HttpError::new(ErrorKind::Tls, "set up TLS", error.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_root_certificates(self.authorities.roots()?);
        let mut config = match &self.identity {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let (certificates, key) = identity.read()?;
                config.with_client_auth_cert(certificates, key).map_err(|error| identity.refused(&error))?
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// A client's own certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// A PEM file with the certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// A PEM file with the key of the certificate.
    pub key: PathBuf,
}

impl Identity {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), HttpError> {
        let certificates = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect)
            .map_err(|error| unreadable("the client's certificate", &self.certificate, &error))?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| unreadable("the client's key", &self.key, &error))?;
        Ok((certificates, key))
    }

    fn refused(&self, error: &rustls::Error) -> HttpError {
        let tried =
            format!("use the certificate {} with the key {}", self.certificate.display(), self.key.display());
        HttpError::new(ErrorKind::Tls, tried, error.to_string())
    }
}

fn unreadable(what: &str, path: &Path, error: &dyn Display) -> HttpError {
    HttpError::new(ErrorKind::Tls, format!("read {what} from {}", path.display()), error.to_string())
}

/// Which certificate authorities are believed beside those of the web (Mozilla's list). They are read each time that a
/// server with TLS is to be spoken to, and not before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Authorities {
    /// Those in the PEM file that the environment variable `SSL_CERT_FILE` names, if it is set.
    #[default]
    Environment,
    /// Those in this PEM file.
    File(PathBuf),
}

impl Authorities {
    /// Those that are believed.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`] where the file cannot be read.
    pub fn roots(&self) -> Result<RootCertStore, HttpError> {
        let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        let known = roots.len();
        let Some(path) = self.path() else { return Ok(roots) };
        let wrong = |error: &dyn Display| unreadable("certificate authorities", &path, error);
        for certificate in CertificateDer::pem_file_iter(&path).map_err(|error| wrong(&error))? {
            roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
        }
        if roots.len() == known {
            return Err(wrong(&"it holds no certificate"));
        }
        Ok(roots)
    }

    fn path(&self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(path.clone()),
            Self::Environment => {
                env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()).map(PathBuf::from)
            }
        }
    }
}

impl From<Option<PathBuf>> for Authorities {
    fn from(path: Option<PathBuf>) -> Self {
        path.map_or(Self::Environment, Self::File)
    }
}
