//! AWS's way to the network: our own small client, so that the program has one of them, and one TLS.

use crate::error::{AwsError, Problem};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_runtime_api::shared::IntoShared;
use aws_smithy_types::body::SdkBody;
use squall_http::{Authorities, ErrorKind, Headers, HttpError, Request, Response};
use std::path::PathBuf;
use std::time::Duration;

/// How long an answer is waited for where nobody says it: AWS's own orchestrator ends what takes too long before.
const PATIENCE: Duration = Duration::from_secs(30);

/// Our client in AWS's words.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    client: squall_http::HttpClient,
    patience: Duration,
}

impl Transport {
    /// Believes the web's authorities, and those in the file that `AWS_CA_BUNDLE` or else `SSL_CERT_FILE` names.
    pub(crate) fn shared() -> SharedHttpClient {
        let bundle = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(PathBuf::from);
        let client = squall_http::HttpClient::new(Authorities::from(bundle));
        Self { client, patience: PATIENCE }.into_shared()
    }
}

impl HttpClient for Transport {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        // Metadata services are waited for a second, as AWS wants it: mostly there are none.
        let patience = settings
            .read_timeout()
            .map_or(self.patience, |read| read.max(settings.connect_timeout().unwrap_or_default()));
        Self { patience, ..self.clone() }.into_shared()
    }
}

impl HttpConnector for Transport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self { client, patience } = self.clone();
        HttpConnectorFuture::new(async move {
            let request = translated(&request).map_err(|error| ConnectorError::user(error.into()))?;
            let response = client.request(&request, patience).await.map_err(failed)?;
            answer(response)
        })
    }
}

fn translated(request: &HttpRequest) -> Result<Request, HttpError> {
    let mut headers = Headers::default();
    for (name, value) in request.headers() {
        // Told anew, from the body.
        if !name.eq_ignore_ascii_case("content-length") {
            headers.set(name, value)?;
        }
    }
    let body = request.body().bytes().unwrap_or_default().to_vec();
    Ok(Request::new(request.method(), request.uri())?.headers(headers).body(body))
}

fn failed(error: HttpError) -> ConnectorError {
    match error.kind {
        ErrorKind::Timeout => ConnectorError::timeout(error.into()),
        ErrorKind::Request => ConnectorError::user(error.into()),
        _ => ConnectorError::io(error.into()),
    }
}

fn answer(response: Response) -> Result<HttpResponse, ConnectorError> {
    if response.is_truncated() {
        let message =
            format!("the answer is longer than what is read of one ({} bytes)", squall_http::BODY_KEPT);
        return Err(ConnectorError::user(AwsError::new(Problem::Unknown, message).into()));
    }
    let status = StatusCode::try_from(response.status).map_err(|error| ConnectorError::user(error.into()))?;
    let mut answer = HttpResponse::new(status, SdkBody::from(response.body.to_vec()));
    for (name, value) in &response.headers {
        if let Ok(value) = value.to_str() {
            answer.headers_mut().insert(name.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(answer)
}
