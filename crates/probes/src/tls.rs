//! TLS: who a server says it is, until when, and whether that is to be believed.

mod certificate;

use crate::tcp::Address;
use crate::timeout::Timeout;
use certificate::Certificate;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_http::Authorities;
use squall_model::probe::{Observe, Pending, Probe, ProbeError, ValueKind};
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

const SECONDS_OF_A_DAY: f64 = 86_400.0;

/// What stands under `tls:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Host and port: `shop.example.com:443`, `[::1]:8443`.
    address: Address,
    /// The name that is asked for (SNI) and that the certificate must be for; the host of `address`, where not given.
    #[serde(default)]
    server_name: Option<String>,
    /// A PEM file with certificate authorities to believe beside the web's. Without it, the file that `SSL_CERT_FILE`
    /// names counts.
    #[serde(default)]
    authorities: Option<PathBuf>,
    /// How long it may take to connect and to agree.
    #[serde(default)]
    timeout: Timeout,
}

/// The `tls` probe.
pub struct Tls {
    address: Address,
    name: ServerName<'static>,
    authorities: Authorities,
    timeout: Timeout,
}

impl Probe for Tls {
    const NAME: &'static str = "tls";
    const SUMMARY: &'static str = "Looks at the certificate of a server with TLS";
    const EXAMPLE: &'static str = "\
- tls: {address: \"shop.example.com:443\"}
  expect: verified == true and days_left > 14
";
    const VALUES: &'static [(&'static str, &'static str)] = &[
        (
            "verified",
            "whether the certificate is for this name, valid now, and of an authority that is believed",
        ),
        ("cause", "why it is not; absent where it is"),
        ("days_left", "days until it ends, with a fraction; below zero once it has"),
        ("age_days", "days since it began, with a fraction; below zero before"),
        ("subject", "of whom it is: `CN=shop.example.com, O=Example`"),
        ("issuer", "who gave it out"),
        ("names", "the names and addresses that it is for, with a comma and a blank between"),
        ("protocol", "what was agreed on: TLSv1.3 or TLSv1.2"),
        ("latency", "seconds to connect and to agree"),
    ];
    const KINDS: &'static [(&'static str, ValueKind)] = &[
        ("verified", ValueKind::YesOrNo),
        ("days_left", ValueKind::Number),
        ("age_days", ValueKind::Number),
    ];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("verified == true");
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        let Parameters { address, server_name, authorities, timeout } = parameters;
        let name = server_name.unwrap_or_else(|| address.host().to_owned());
        let name = ServerName::try_from(name.clone())
            .map_err(|_| ProbeError(format!("{name:?} is not the name of a server")))?;
        Ok(Self { address, name, authorities: authorities.into(), timeout })
    }
}

impl Observe for Tls {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async {
            let late = |_| format!("not done within {}", Duration::from(self.timeout));
            let looked =
                timeout(self.timeout.get(), self.look()).await.map_err(late).and_then(|looked| looked);
            looked.map_err(|why| ProbeError(format!("look at the certificate of {}: {why}", self.address)))
        })
    }

    fn patience(&self) -> Duration {
        self.timeout.patience()
    }
}

impl Tls {
    async fn look(&self) -> Result<Reading, String> {
        let begun = Instant::now();
        let seen = Arc::new(Seen::new(&self.authorities)?);
        let config = ClientConfig::builder_with_provider(seen.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(seen.clone())
            .with_no_client_auth();
        let target = (self.address.host(), self.address.port());
        let tcp = TcpStream::connect(target).await.map_err(|error| format!("connect: {error}"))?;
        let connector = TlsConnector::from(Arc::new(config));
        let handshake = connector.connect(self.name.clone(), tcp).await;
        let stream = handshake.map_err(|error| format!("agree on TLS: {error}"))?;
        let seconds = begun.elapsed().as_secs_f64();
        let protocol = stream.get_ref().1.protocol_version().and_then(|version| version.as_str());
        let (der, verified) = seen.taken().ok_or("the server showed no certificate")?;
        let certificate = Certificate::read(&der).ok_or("its certificate cannot be read")?;
        let mut reading = described(certificate);
        reading.insert("latency".to_owned(), Value::Number(seconds));
        let protocol = protocol.unwrap_or("unknown").replace("TLSv1_", "TLSv1.");
        reading.insert("protocol".to_owned(), Value::Text(protocol));
        reading.insert("verified".to_owned(), Value::Bool(verified.is_ok()));
        reading.extend(verified.err().map(|error| ("cause".to_owned(), Value::Text(error.to_string()))));
        Ok(reading)
    }
}

fn described(certificate: Certificate) -> Reading {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let days = |seconds: f64| Value::Number(seconds / SECONDS_OF_A_DAY);
    let Certificate { subject, issuer, names, begins, ends } = certificate;
    Reading::from([
        ("days_left".to_owned(), days(ends as f64 - now)),
        ("age_days".to_owned(), days(now - begins as f64)),
        ("subject".to_owned(), Value::Text(subject)),
        ("issuer".to_owned(), Value::Text(issuer)),
        ("names".to_owned(), Value::Text(names.join(", "))),
    ])
}

/// Lets any certificate pass, and keeps it with what is to be thought of it. Nothing is sent on such a connection.
#[derive(Debug)]
struct Seen {
    provider: Arc<CryptoProvider>,
    judge: Arc<WebPkiServerVerifier>,
    certificate: Mutex<Option<Verified>>,
}

/// A certificate, and whether it is believed.
type Verified = (CertificateDer<'static>, Result<(), Error>);

impl Seen {
    fn new(authorities: &Authorities) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = Arc::new(authorities.roots().map_err(|error| error.to_string())?);
        let judge = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
        let judge = judge.map_err(|error| format!("set up TLS: {error}"))?;
        Ok(Self { provider, judge, certificate: Mutex::default() })
    }

    fn taken(&self) -> Option<Verified> {
        self.certificate.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        revocation: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.judge.verify_server_cert(own, others, name, revocation, now).map(drop);
        let mut seen = self.certificate.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some((own.clone().into_owned(), verified));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_probe::{ask, built, refusal};
    use rcgen::{CertificateParams, DnType, date_time_ymd};
    use serde_json::json;
    use squall_http::testing::{
        RawServer, Speech, TestServer, answer, authority, local_certificate, refusing_address, tls_by,
    };

    /// What is read of a server with such a certificate; `trusted` where its authority is known.
    fn looked(change: impl FnOnce(&mut CertificateParams), trusted: bool, name: &str) -> Reading {
        let authority = authority();
        let mut certificate = local_certificate();
        change(&mut certificate);
        let speech = Speech { http2: false, tls: Some(tls_by(&authority, certificate, &[])) };
        let server = TestServer::speaking(speech, |_| async { answer(200, "") });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("authority.pem");
        std::fs::write(&file, authority.pem()).unwrap();
        let mut parameters = json!({"address": server.address.to_string(), "server_name": name});
        if trusted {
            parameters["authorities"] = file.to_str().into();
        }
        ask(&built::<Tls>(parameters)).unwrap()
    }

    #[test]
    fn a_certificate_is_read_and_judged() {
        let reading = looked(
            |certificate| {
                certificate.distinguished_name.push(DnType::CommonName, "shop");
                certificate.distinguished_name.push(DnType::OrganizationName, "Wetter & Söhne");
                certificate.not_before = date_time_ymd(2020, 2, 29);
                certificate.not_after = date_time_ymd(2099, 12, 31);
            },
            true,
            "localhost",
        );
        assert_eq!(reading["verified"], Value::Bool(true), "{reading:?}");
        assert!(!reading.contains_key("cause"));
        assert_eq!(reading["names"], Value::from("localhost, 127.0.0.1"));
        assert!(reading["subject"].to_string().contains("CN=shop, O=Wetter & Söhne"), "{reading:?}");
        assert_eq!(reading["protocol"], Value::from("TLSv1.3"));
        // 2020-02-29 to 2099-12-31 are 29160 days.
        let [left, age] = ["days_left", "age_days"].map(|name| reading[name].number().unwrap());
        assert!((left + age - 29_160.0).abs() < 0.01 && left > 0.0 && age > 0.0, "{left} {age}");
    }

    #[test]
    fn why_a_certificate_is_not_believed_is_said() {
        let expired = looked(|it| it.not_after = date_time_ymd(2021, 1, 1), true, "localhost");
        assert!(expired["days_left"].number().unwrap() < -365.0);
        let early = looked(|it| it.not_before = date_time_ymd(2080, 1, 1), true, "localhost");
        assert!(early["age_days"].number().unwrap() < -365.0);
        let unknown = looked(|_| {}, false, "localhost");
        let other = looked(|_| {}, true, "shop.test");
        for (reading, words) in [
            (expired, "expired"),
            (early, "not valid yet"),
            (unknown, "UnknownIssuer"),
            (other, "not valid for name"),
        ] {
            let cause = reading["cause"].to_string();
            assert!(cause.contains(words), "{cause}");
            assert_eq!(reading["verified"], Value::Bool(false));
        }
    }

    #[test]
    fn what_is_no_tls_is_unknown() {
        let (_held, refusing) = refusing_address();
        let plain = RawServer::start(|mut stream| {
            use std::io::Write;
            let _ = stream.write_all(b"220 hello\r\n");
        });
        let silent = RawServer::start(|mut stream| drop(std::io::Read::read(&mut stream, &mut [0; 4096])));
        for (address, words) in [
            (refusing.to_string(), "refused"),
            (plain.address.to_string(), "agree on TLS"),
            (silent.address.to_string(), "look at the certificate of"),
        ] {
            let error =
                ask(&built::<Tls>(json!({"address": address, "timeout": "500ms"}))).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(&address), "{error}");
        }
        assert!(refusal::<Tls>(json!({"address": "a:1", "server_name": "a b"})).contains("name of a server"));
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        let der =
            local_certificate().self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec();
        assert!(Certificate::read(&der).is_some());
        for cut in 0..der.len() {
            assert_eq!(Certificate::read(&der[..cut]), None, "{cut}");
        }
    }
}
