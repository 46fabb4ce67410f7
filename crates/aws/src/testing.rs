//! Moto, a server that plays AWS, for tests: started on loopback, on a port of its own, ended by its number when dropped.
//!
//! `cargo xtask test` installs it (`pip install 'moto[server]'`) under `target/moto`.

use crate::client::{Ask, Aws, Place};
use crate::error::AwsError;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A server of the test's own.
pub struct Moto {
    process: Child,
    /// Where it is.
    pub url: String,
}

/// The region that tests use.
pub const REGION: &str = "eu-west-1";
/// The environment of programs that are to speak to moto, which takes any credentials.
pub const ENVIRONMENT: [(&str, &str); 4] = [
    ("AWS_ACCESS_KEY_ID", "AKIATEST"),
    ("AWS_SECRET_ACCESS_KEY", "not-a-secret"),
    ("AWS_REGION", REGION),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

/// Whether this program's own clients have such credentials, which tests cannot put into their own environment.
static HAS_CREDENTIALS: AtomicBool = AtomicBool::new(false);

pub(crate) fn with_credentials(loader: aws_config::ConfigLoader) -> aws_config::ConfigLoader {
    if !HAS_CREDENTIALS.load(Ordering::Relaxed) {
        return loader;
    }
    let [(_, key), (_, secret), ..] = ENVIRONMENT;
    loader.credentials_provider(aws_credential_types::Credentials::new(key, secret, None, None, "tests"))
}

impl Moto {
    /// Starts one; `Err` says why none can be.
    ///
    /// # Errors
    /// Where it is not installed or does not come up.
    pub fn start() -> Result<Self, String> {
        HAS_CREDENTIALS.store(true, Ordering::Relaxed);
        let program = program()
            .ok_or("moto is not installed; `cargo xtask test` does that: pip install 'moto[server]'")?;
        // Taken and let go; nobody else on this machine asks for ports in the moment between.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = port.map_err(|error| error.to_string())?.port();
        let process = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .env("MOTO_ALLOW_NONEXISTENT_REGION", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("start moto: {error}"))?;
        let moto = Self { process, url: format!("http://127.0.0.1:{port}") };
        for _ in 0..600 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(moto);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("moto did not come up".to_owned())
    }

    /// Where it is, for a client.
    pub fn place(&self) -> Place {
        Place { region: Some(REGION.to_owned()), endpoint: Some(self.url.clone()), profile: None }
    }

    /// Launches instances with tags, and gives their numbers.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn launch(
        &self,
        aws: &Aws,
        count: u32,
        tags: &[(&str, &str)],
    ) -> Result<Vec<String>, AwsError> {
        let mut parameters = vec![
            ("ImageId".to_owned(), "ami-12c6146b".to_owned()),
            ("MinCount".to_owned(), count.to_string()),
            ("MaxCount".to_owned(), count.to_string()),
            ("TagSpecification.1.ResourceType".to_owned(), "instance".to_owned()),
        ];
        for (at, (key, value)) in (1_u32..).zip(tags) {
            parameters.push((format!("TagSpecification.1.Tag.{at}.Key"), (*key).to_owned()));
            parameters.push((format!("TagSpecification.1.Tag.{at}.Value"), (*value).to_owned()));
        }
        let root = aws.ec2("ec2:RunInstances", &parameters).await?;
        Ok(root.items(&["instancesSet"]).map(|item| item.text_at(&["instanceId"])).collect())
    }

    /// Makes an Auto Scaling group with so many instances, which get its tags.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn group(
        &self,
        aws: &Aws,
        name: &str,
        count: u32,
        tags: &[(&str, &str)],
    ) -> Result<(), AwsError> {
        let own = |text: &str| text.to_owned();
        let launch = format!("{name}-launch");
        let configuration = [
            ("LaunchConfigurationName", launch.as_str()),
            ("ImageId", "ami-12c6146b"),
            ("InstanceType", "t3.micro"),
        ];
        let configuration = configuration.map(|(name, value)| (own(name), own(value)));
        aws.auto_scaling("autoscaling:CreateLaunchConfiguration", &configuration).await?;
        let count = count.to_string();
        let mut parameters: Vec<(String, String)> = [
            ("AutoScalingGroupName", name),
            ("LaunchConfigurationName", launch.as_str()),
            ("MinSize", "0"),
            ("MaxSize", "20"),
            ("DesiredCapacity", count.as_str()),
            ("AvailabilityZones.member.1", "eu-west-1a"),
            ("AvailabilityZones.member.2", "eu-west-1b"),
        ]
        .map(|(name, value)| (own(name), own(value)))
        .into();
        for (at, (key, value)) in (1_u32..).zip(tags) {
            let tag = format!("Tags.member.{at}");
            parameters.push((format!("{tag}.Key"), own(key)));
            parameters.push((format!("{tag}.Value"), own(value)));
            parameters.push((format!("{tag}.PropagateAtLaunch"), own("true")));
            parameters.push((format!("{tag}.ResourceId"), own(name)));
            parameters.push((format!("{tag}.ResourceType"), own("auto-scaling-group")));
        }
        aws.auto_scaling("autoscaling:CreateAutoScalingGroup", &parameters).await.map(|_| ())
    }

    /// Writes a sample of a metric, as old as said.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn sample(
        &self,
        aws: &Aws,
        namespace: &str,
        name: &str,
        values: &[f64],
        age: Duration,
    ) -> Result<(), AwsError> {
        let at = crate::cloudwatch::timestamp(std::time::SystemTime::now() - age)?;
        let mut parameters = vec![("Namespace".to_owned(), namespace.to_owned())];
        for (number, value) in (1_u32..).zip(values) {
            let datum = format!("MetricData.member.{number}");
            parameters.push((format!("{datum}.MetricName"), name.to_owned()));
            parameters.push((format!("{datum}.Value"), value.to_string()));
            parameters.push((format!("{datum}.Timestamp"), at.clone()));
            parameters.push((format!("{datum}.Dimensions.member.1.Name"), "Service".to_owned()));
            parameters.push((format!("{datum}.Dimensions.member.1.Value"), "shop".to_owned()));
        }
        let ask = Ask::query(
            crate::cloudwatch::CLOUDWATCH,
            "cloudwatch:PutMetricData",
            crate::cloudwatch::VERSION,
            &parameters,
        );
        aws.ask(ask).await.map(|_| ())
    }

    /// Makes a template of experiments, and gives its number.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn template(&self, aws: &Aws, tags: &[(&str, &str)]) -> Result<String, AwsError> {
        let tags: serde_json::Map<String, serde_json::Value> =
            tags.iter().map(|(key, value)| ((*key).to_owned(), serde_json::json!(value))).collect();
        let body = serde_json::json!({
            "clientToken": format!("{:?}", std::time::Instant::now()),
            "description": "One shop instance is stopped",
            "roleArn": "arn:aws:iam::123456789012:role/fis",
            "stopConditions": [{"source": "none"}],
            "targets": {"shop": {"resourceType": "aws:ec2:instance", "selectionMode": "COUNT(1)", "resourceTags": {"app": "shop"}}},
            "actions": {"stop": {
                "actionId": "aws:ec2:stop-instances", "parameters": {"startInstancesAfterDuration": "PT5M"},
                "targets": {"Instances": "shop"},
            }},
            "tags": tags,
        });
        aws.new_template(&body).await.map(|template| template.id)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program, where it was installed.
fn program() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = || {
        let own = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        let mut places = own.into_iter().chain([beside]).map(|folder| folder.join("moto/bin/moto_server"));
        places.find(|path| path.is_file())
    };
    FOUND.get_or_init(found).clone()
}
