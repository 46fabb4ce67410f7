//! The client: AWS's own way from a request to an answer, with our request in front and our reading behind.

use crate::endpoint::{self, Service};
use crate::error::{AwsError, Complaint, Problem, causes};
use crate::transport::Transport;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::auth::{SigV4OperationSigningConfig, SigningOptions};
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::auth::{
    AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
};
use aws_smithy_runtime_api::client::identity::SharedIdentityResolver;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SigningName;
use aws_types::region::SigningRegion;
use aws_types::service_config::ServiceConfigKey;
use squall_http::encoded;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a call is tried, with AWS's own pauses in between.
const TRIES: u32 = 3;
/// How long one try may take to connect.
const CONNECTS_WITHIN: Duration = Duration::from_secs(2);

/// So many characters are told of what each source of credentials said.
const LONGEST_CAUSE: usize = 600;

/// Where in AWS, and as whom. What is not said is taken from the settings that every tool of AWS uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The region: `eu-west-1`.
    pub region: Option<String>,
    /// Another address for all services, such as that of a server that plays AWS.
    pub endpoint: Option<String>,
    /// The profile of the configuration files whose settings and credentials count.
    pub profile: Option<String>,
}

/// A client of AWS in one region.
#[derive(Debug, Clone)]
pub struct Aws {
    config: SdkConfig,
    region: String,
    patience: Duration,
    /// Whether it has had an answer, so that it has credentials by now.
    has_asked: Arc<AtomicBool>,
}

/// A request, before it has an address and a signature.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) service: Service,
    /// `ec2:StopInstances`, as policies call it.
    pub(crate) action: &'static str,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

impl Ask {
    /// A request of the "query" protocol: a form with an action, a version, and parameters.
    pub(crate) fn query(
        service: Service,
        action: &'static str,
        version: &str,
        parameters: &[(String, String)],
    ) -> Self {
        let name = action.split_once(':').map_or(action, |(_, name)| name);
        let own = [("Action".to_owned(), name.to_owned()), ("Version".to_owned(), version.to_owned())];
        let pairs = own.iter().chain(parameters).map(|(name, value)| format!("{name}={}", encoded(value)));
        Self {
            service,
            action,
            method: "POST",
            path: "/".to_owned(),
            content_type: "application/x-www-form-urlencoded; charset=utf-8",
            body: pairs.collect::<Vec<_>>().join("&"),
        }
    }

    /// A request of the "REST JSON" protocol.
    pub(crate) fn json(
        service: Service,
        action: &'static str,
        method: &'static str,
        path: String,
        body: Option<&serde_json::Value>,
    ) -> Self {
        let body = body.map(ToString::to_string).unwrap_or_default();
        Self { service, action, method, path, content_type: "application/json", body }
    }

    fn request(&self) -> Result<HttpRequest, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = HttpRequest::new(SdkBody::from(self.body.as_str()));
        request.set_method(self.method)?;
        request.set_uri(self.path.as_str())?;
        let headers = request.headers_mut();
        headers.insert("user-agent", concat!("squall/", env!("CARGO_PKG_VERSION")));
        headers.insert("accept", "application/xml, application/json");
        if !self.body.is_empty() {
            headers.insert("content-type", self.content_type);
            headers.insert("content-length", self.body.len().to_string());
        }
        Ok(request)
    }
}

impl Aws {
    /// Reads settings and finds where credentials are to be had. `patience` is how long one call may take with all its
    /// tries.
    ///
    /// # Errors
    /// `Invalid` where no region is known, or one that cannot be.
    pub async fn open(place: &Place, patience: Duration) -> Result<Self, AwsError> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(Transport::shared())
            .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
            .timeout_config(timeouts(patience));
        if let Some(region) = &place.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &place.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &place.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        #[cfg(any(test, feature = "testing"))]
        let loader = crate::testing::with_credentials(loader);
        let config = loader.load().await;
        let region = config.region().map(ToString::to_string).ok_or_else(|| {
            let profile = place.profile.as_ref().map(|name| format!(" for the profile {name}")).unwrap_or_default();
            let message = format!(
                "find out the region of AWS{profile}: none is given, none is in AWS_REGION, in ~/.aws/config or in the \
                 metadata of this machine; give one: `region: eu-west-1`, or AWS_REGION=eu-west-1"
            );
            AwsError::new(Problem::Invalid, message)
        })?;
        endpoint::check_region(&region)?;
        Ok(Self { config, region, patience, has_asked: Arc::default() })
    }

    /// The same client with another patience.
    #[must_use]
    pub fn within(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// The same client with less patience, but for one that has not asked anything yet.
    #[must_use]
    pub fn hurried(&self, patience: Duration) -> Self {
        let is_used = self.has_asked.load(Ordering::Relaxed);
        if is_used { self.within(patience) } else { self.clone() }
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The address that was given in place of AWS's own, where one was.
    pub fn endpoint(&self) -> Option<&str> {
        self.config.endpoint_url()
    }

    /// Asks, and hands on what was answered.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Vec<u8>, AwsError> {
        let (service, action) = (ask.service, ask.action);
        let address = self.address(service);
        let Some(credentials) = self.config.credentials_provider() else {
            return Err(self.no_credentials(action, "the settings name no source of them"));
        };
        let mut layer = Layer::new("squall");
        layer.store_put(SigningName::from_static(service.signing));
        layer.store_put(SigningRegion::from(Region::new(self.region.clone())));
        let signing_options = SigningOptions::default();
        layer.store_put(SigV4OperationSigningConfig { signing_options, ..Default::default() });
        layer.store_put(AuthSchemeOptionResolverParams::new(()));
        let resolver = StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID]);
        let components = RuntimeComponentsBuilder::new("squall")
            .with_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()))
            .with_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(resolver)))
            .with_identity_cache(self.config.identity_cache())
            .with_identity_resolver(SCHEME_ID, SharedIdentityResolver::new(credentials));
        let mut builder = Operation::builder()
            .service_name(service.id)
            .operation_name(action)
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&address)
            .standard_retry(&RetryConfig::standard().with_max_attempts(TRIES))
            .retry_classifier(HttpStatusCodeClassifier::default())
            .retry_classifier(TransientErrorClassifier::<Complaint>::new())
            .retry_classifier(AwsErrorCodeClassifier::<Complaint>::new())
            .timeout_config(timeouts(self.patience))
            .with_connection_poisoning()
            .runtime_plugin(
                StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components),
            );
        if let Some(client) = self.config.http_client() {
            builder = builder.http_client(client);
        }
        let operation = builder.serializer(|ask: Ask| ask.request()).deserializer(read).build();
        let answer = operation.invoke(ask).await.map_err(|error| self.told(action, &address, error));
        self.has_asked.fetch_or(answer.is_ok(), Ordering::Relaxed);
        answer
    }

    /// The address of a service: what the settings say for it, or for all of them, or AWS's own.
    fn address(&self, service: Service) -> String {
        let key = ServiceConfigKey::builder()
            .service_id(service.id)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url");
        let own = key.build().ok().and_then(|key| self.config.service_config()?.load_config(key));
        let given = self.config.endpoint_url().map(str::to_owned).or(own);
        given.unwrap_or_else(|| endpoint::of(service, &self.region, self.config.use_fips().unwrap_or(false)))
    }

    fn told(&self, action: &str, address: &str, error: SdkError<Complaint, HttpResponse>) -> AwsError {
        let tried = format!("{action} in {} at {address}", self.region);
        match &error {
            SdkError::ServiceError(service) => {
                let complaint = service.err();
                let remedy = complaint.remedy(action).map(|remedy| format!("; {remedy}")).unwrap_or_default();
                AwsError::new(complaint.problem(), format!("{tried}: {complaint}{remedy}"))
            }
            SdkError::TimeoutError(_) => {
                AwsError::new(Problem::Unknown, format!("{tried}: no answer within {:?}", self.patience))
            }
            _ => {
                let causes = causes(&error);
                if causes.contains("credential") || causes.contains("identity") || causes.contains("token") {
                    return self.no_credentials(action, &causes);
                }
                AwsError::new(Problem::Unknown, format!("{tried}: {causes}"))
            }
        }
    }

    fn no_credentials(&self, action: &str, causes: &str) -> AwsError {
        // AWS tells each source in a line of its own.
        let causes = causes.split_whitespace().collect::<Vec<_>>().join(" ");
        let message = format!(
            "{action} in {}: no credentials for AWS; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run \
             where a role is given (`aws sts get-caller-identity` checks it); {}",
            self.region,
            causes.chars().take(LONGEST_CAUSE).collect::<String>()
        );
        AwsError::new(Problem::Forbidden, message)
    }
}

fn timeouts(patience: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECTS_WITHIN.min(patience))
        .operation_attempt_timeout(patience.mul_f64(0.6))
        .operation_timeout(patience)
        .build()
}

/// An answer, or the complaint in it.
fn read(response: &HttpResponse) -> Result<Vec<u8>, OrchestratorError<Complaint>> {
    let body = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        return Ok(body.to_vec());
    }
    let status = response.status().as_u16();
    let header = response.headers().get("x-amzn-errortype");
    Err(OrchestratorError::operation(complaint(status, header, &String::from_utf8_lossy(body))))
}

/// What an answer complains of, in XML or in JSON.
fn complaint(status: u16, header: Option<&str>, body: &str) -> Complaint {
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(body) {
        let text = |names: [&str; 2]| names.iter().find_map(|name| json[*name].as_str()).map(str::to_owned);
        let code = header.map(str::to_owned).or_else(|| text(["__type", "code"])).unwrap_or_default();
        // `com.amazonaws.fis#ValidationException:http://…`
        let code = code.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default();
        let code = if code.is_empty() { format!("status {status}") } else { code.to_owned() };
        return Complaint::new(&code, &text(["message", "Message"]).unwrap_or_default());
    }
    let root = crate::xml::Element::read(body).ok();
    let error = root.as_ref().and_then(|root| root.find("Error"));
    match error {
        Some(error) => Complaint::new(error.at(&["Code"]).unwrap_or("Unknown"), &error.text_at(&["Message"])),
        None => {
            Complaint::new(&format!("status {status}"), "the answer is none of AWS; is the address right?")
        }
    }
}

/// Waits for an answer where there is no runtime, or one that must not be blocked: on a thread of its own.
///
/// # Panics
/// Where the future panics.
pub fn wait<T: Send>(future: impl Future<Output = Result<T, AwsError>> + Send) -> Result<T, AwsError> {
    let failed = |why: String| AwsError::new(Problem::Unknown, format!("ask AWS: {why}"));
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| failed(error.to_string()))?.block_on(future)
    };
    std::thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|_| Err(failed("the one who asked is gone".to_owned())))
    })
}
