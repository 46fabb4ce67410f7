//! Who vouches for the webhook: an authority of the operator's own, which no public one knows. All its replicas share it by a
//! Secret; each makes a certificate for itself, and keeps the key of that in memory. The authority is made anew long before it
//! is over, and the one before is believed until then.

use crate::agent_pod::{COMPONENT_LABEL, NAME_LABEL};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::civil::Date;
use jiff::{Span, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value as Json, json};
use squall_kubernetes::{Cluster, ClusterError, Kind, Operation, Problem, Reference};
use std::sync::Arc;

/// The Secret that holds it.
pub(super) const SECRET: &str = "squall-webhook";

/// How often one that somebody else changes at the same time is looked at again.
const TRIES: usize = 5;

/// How long an authority counts.
fn counts_for() -> Span {
    2.years()
}

/// An authority is made anew when it counts no longer than this.
fn renewed_before() -> Span {
    1.year()
}

/// How long the certificate of one replica counts; it is made anew at every look.
fn certificate_counts_for() -> Span {
    30.days()
}

/// An authority and its key.
pub(super) struct Authority {
    certificate: String,
    key: KeyPair,
    until: Date,
    /// The certificate of the one before, and until when it counts.
    previous: Option<(String, Date)>,
}

impl Authority {
    /// A new one, which counts from yesterday: clocks differ.
    fn begin(today: Date, previous: Option<(String, Date)>) -> Result<Self, String> {
        let failed = |error: rcgen::Error| format!("could not make a certificate authority: {error}");
        let until = today.checked_add(counts_for()).map_err(|error| error.to_string())?;
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = parameters(today, until).self_signed(&key).map_err(failed)?.pem();
        Ok(Self { certificate, key, until, previous })
    }

    /// The certificates that are believed, as PEM.
    pub(super) fn bundle(&self) -> String {
        let previous = self.previous.as_ref().map(|(certificate, _)| certificate.as_str());
        format!("{}{}", self.certificate, previous.unwrap_or_default())
    }

    /// A certificate for a server of these names, and how it speaks TLS with it.
    pub(super) fn vouch_for(&self, names: &[String], today: Date) -> Result<ServerConfig, String> {
        let failed = |error: &dyn std::fmt::Display| {
            format!("could not make a certificate for {}: {error}", names.join(", "))
        };
        let until =
            today.checked_add(certificate_counts_for()).map_err(|error| failed(&error))?.min(self.until);
        let mut certificate = CertificateParams::new(names).map_err(|error| failed(&error))?;
        certificate.distinguished_name = named("Squall webhook");
        between(&mut certificate, today, until);
        certificate.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        certificate.use_authority_key_identifier_extension = true;
        let issuer = Issuer::new(parameters(today, self.until), &self.key);
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let certificate = certificate.signed_by(&key, &issuer);
        let certificate = certificate.map_err(|error| failed(&error))?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| failed(&error))?.with_no_client_auth();
        config.with_single_cert(vec![certificate.der().clone()], key).map_err(|error| failed(&error))
    }

    /// The one that comes after this one, if it is time.
    fn next(&self, today: Date) -> Result<Option<Self>, String> {
        let is_time = today.checked_add(renewed_before()).is_ok_and(|soon| soon >= self.until);
        let still = (self.until > today).then(|| (self.certificate.clone(), self.until));
        if is_time { Self::begin(today, still).map(Some) } else { Ok(None) }
    }

    /// The data of a Secret.
    fn written(&self) -> Json {
        let encoded = |text: &str| BASE64.encode(text);
        let mut data = json!({
            "ca.crt": encoded(&self.certificate),
            "ca.key": encoded(&self.key.serialize_pem()),
            "until": encoded(&self.until.to_string()),
        });
        if let Some((certificate, until)) = &self.previous {
            data["previous.crt"] = encoded(certificate).into();
            data["previous.until"] = encoded(&until.to_string()).into();
        }
        data
    }

    /// That of a Secret.
    fn read(secret: &Json, today: Date) -> Result<Self, String> {
        let text = |name: &str| -> Option<String> {
            String::from_utf8(BASE64.decode(secret["data"][name].as_str()?).ok()?).ok()
        };
        let date = |name: &str| text(name)?.parse::<Date>().ok();
        let read = || {
            let key = KeyPair::from_pem(&text("ca.key")?).ok()?;
            let previous = text("previous.crt").zip(date("previous.until"));
            let previous = previous.filter(|(_, until)| *until > today);
            let certificate =
                text("ca.crt").filter(|text| text.starts_with("-----BEGIN CERTIFICATE-----"))?;
            Some(Self { certificate, key, until: date("until")?, previous })
        };
        read().ok_or_else(|| {
            format!("the Secret {SECRET} holds no certificate authority of Squall's; delete it, and it is made anew")
        })
    }
}

/// What an authority is called is always the same, so that its certificate need not be read to go on from it.
fn parameters(today: Date, until: Date) -> CertificateParams {
    let mut authority = CertificateParams::default();
    authority.distinguished_name = named("Squall operator");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    between(&mut authority, today, until);
    authority
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// From the day before today, since clocks differ, until the beginning of a day.
fn between(parameters: &mut CertificateParams, today: Date, until: Date) {
    let part = |number: i8| u8::try_from(number).unwrap_or(1);
    let beginning = |day: Date| date_time_ymd(day.year().into(), part(day.month()), part(day.day()));
    parameters.not_before = beginning(today.yesterday().unwrap_or(today));
    parameters.not_after = beginning(until);
}

/// The authority that all replicas share: the one that is there, made anew where it is time, or the first.
///
/// # Errors
/// Says what was tried and why it was not possible.
pub(super) async fn shared(cluster: &Cluster, namespace: &str, today: Date) -> Result<Authority, String> {
    let reference = Kind::SECRET.named(Some(namespace), SECRET);
    for _ in 0..TRIES {
        let there = cluster.get(&reference).await.map_err(|error| error.to_string())?;
        let (authority, tried) = match &there {
            None => {
                let first = Authority::begin(today, None)?;
                let tried = create(cluster, namespace, &first).await;
                (first, tried)
            }
            Some(secret) => {
                let known = Authority::read(secret, today)?;
                let Some(next) = known.next(today)? else { return Ok(known) };
                let tried = replace(cluster, &reference, secret, &next).await;
                (next, tried)
            }
        };
        match tried {
            Ok(()) => return Ok(authority),
            // Another replica was as quick, and its word counts.
            Err(error) if matches!(error.problem, Problem::Conflict | Problem::NotFound) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(format!("the Secret {namespace}/{SECRET} was changed {TRIES} times while it was being renewed"))
}

async fn create(cluster: &Cluster, namespace: &str, authority: &Authority) -> Result<(), ClusterError> {
    let labels = json!({NAME_LABEL.0: NAME_LABEL.1, COMPONENT_LABEL: "webhook"});
    let secret = json!({"metadata": {"name": SECRET, "labels": labels}, "data": authority.written()});
    cluster.create(&Kind::SECRET, Some(namespace), &secret).await.map(|_| ())
}

async fn replace(
    cluster: &Cluster,
    reference: &Reference,
    secret: &Json,
    authority: &Authority,
) -> Result<(), ClusterError> {
    let operations = [
        Operation::unchanged(secret),
        Operation::Replace { path: "/data".to_owned(), value: authority.written() },
    ];
    cluster.patch(reference, &operations).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn an_authority_is_read_as_it_was_written() {
        let today = date(2026, 2, 3);
        let first = Authority::begin(today, None).unwrap();
        let read = Authority::read(&json!({"data": first.written()}), today).unwrap();
        assert_eq!((read.bundle(), read.until), (first.bundle(), date(2028, 2, 3)));
        assert!(read.next(today).unwrap().is_none());
        read.vouch_for(&["squall-webhook.squall-system.svc".to_owned(), "10.0.0.1".to_owned()], today)
            .unwrap();
        for torn in ["ca.crt", "ca.key", "until"] {
            let mut data = first.written();
            data[torn] = json!("bm90aGluZw==");
            let error = Authority::read(&json!({"data": data}), today).map(|_| ()).unwrap_err();
            assert!(error.contains("delete it"), "{error}");
        }
    }

    #[test]
    fn it_is_made_anew_in_time_and_the_one_before_is_believed_meanwhile() {
        let first = Authority::begin(date(2026, 2, 3), None).unwrap();
        let second = first.next(date(2027, 2, 3)).unwrap().unwrap();
        assert_eq!(second.bundle(), format!("{}{}", second.certificate, first.certificate));
        let read = |day: Date| Authority::read(&json!({"data": second.written()}), day).unwrap().bundle();
        assert_eq!(read(date(2028, 2, 2)), second.bundle());
        assert_eq!(read(date(2028, 2, 3)), second.certificate);
        let late = first.next(date(2030, 1, 1)).unwrap().unwrap();
        assert_eq!(late.bundle(), late.certificate);
    }
}
