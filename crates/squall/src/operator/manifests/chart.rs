//! The chart for Helm: the same objects, with holes for what a cluster's owner decides.
//!
//! `cargo xtask chart` writes it to `deploy/helm/squall`; what is committed is what it writes.

use super::{
    Fill, PORT_NAME, Part, WEBHOOK, WEBHOOK_PORT, When, agent_resources, operator_resources, parts, rights,
    yaml,
};
use crate::agent_pod::VERSION;
use crate::exit::{Failure, Outcome};
use clap::Args;
use serde_json::{Value as Json, json};
use std::path::PathBuf;
use std::process::ExitCode;
use yaml::raw;

/// `squall operator chart FOLDER`
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where it is written to
    folder: PathBuf,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        for (name, text) in files() {
            let path = self.folder.join(name);
            let written = std::fs::create_dir_all(path.parent().unwrap_or(&self.folder))
                .and_then(|()| std::fs::write(&path, text));
            written
                .map_err(|error| Failure::failed(format!("could not write {}: {error}", path.display())))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

const HEAD: &str = "# Made by `cargo xtask chart`: change crates/squall/src/operator/manifests.\n";

const NOTES: &str = "\
Squall's operator is in namespace {{ .Release.Namespace }}.
{{- if .Values.agents.enabled }}

Its agents share their node's process numbers and take capabilities; where PodSecurity is enforced, they start once the
namespace allows it:

  kubectl label namespace {{ .Release.Namespace }} pod-security.kubernetes.io/enforce=privileged
{{- end }}

Pods of a namespace are struck only where it says so:

  kubectl label namespace NAMESPACE squall.dev/chaos=allowed

To end everything in the cluster at once:

  kubectl apply -f - <<< '{apiVersion: squall.dev/v1, kind: Halt, metadata: {name: now}}'
";

/// All files of the chart, by their paths in it.
pub(crate) fn files() -> Vec<(String, String)> {
    let chart = json!({
        "apiVersion": "v2",
        "name": "squall",
        "type": "application",
        "description": "Chaos engineering: experiments as objects of a cluster, each with a verdict and everything put back",
        "version": VERSION,
        "appVersion": VERSION,
        "kubeVersion": ">=1.20.0-0",
    });
    let fill = fill();
    let templates = parts(&fill).into_iter().map(template);
    let within = Part {
        name: "rights-within",
        when: When::InEach,
        objects: vec![rights::strikes_in(&fill, raw(". | quote"))],
    };
    let mut files = vec![
        ("Chart.yaml".to_owned(), format!("{HEAD}{}", yaml::document(&chart))),
        ("values.yaml".to_owned(), values()),
        ("templates/NOTES.txt".to_owned(), NOTES.to_owned()),
    ];
    files.extend(templates);
    files.push(template(within));
    files
}

fn fill() -> Fill {
    let listens = format!("(list \"--webhook\" \"{WEBHOOK}\" \"--author\" \"required\")");
    let words = format!(
        "toJson (concat (list \"operator\") (ternary (list \"--chaos-mesh\") (list) $.Values.chaosMesh) (ternary {listens} \
         (list) $.Values.webhook.enabled) $.Values.operator.args)"
    );
    let port =
        format!("(dict \"name\" \"{PORT_NAME}\" \"containerPort\" {WEBHOOK_PORT} \"protocol\" \"TCP\")");
    let ready = format!("(dict \"tcpSocket\" (dict \"port\" \"{PORT_NAME}\") \"periodSeconds\" 2)");
    let ports = format!("toJson (ternary (list {port}) (list) $.Values.webhook.enabled)");
    Fill {
        namespace: raw("$.Release.Namespace | quote"),
        image: raw(
            "printf \"%s:%s\" $.Values.image.repository ($.Values.image.tag | default $.Chart.AppVersion) | quote",
        ),
        pull_policy: raw("$.Values.image.pullPolicy"),
        pull_secrets: raw("toJson $.Values.image.pullSecrets"),
        replicas: raw("$.Values.operator.replicas"),
        operator_words: raw(&words),
        operator_ports: raw(&ports),
        operator_ready: raw(&format!("toJson (ternary {ready} nil $.Values.webhook.enabled)")),
        operator_resources: raw("toJson $.Values.operator.resources"),
        agent_resources: raw("toJson $.Values.agents.resources"),
        labels: vec![
            ("app.kubernetes.io/instance", raw("$.Release.Name | quote")),
            ("app.kubernetes.io/managed-by", raw("$.Release.Service | quote")),
            ("helm.sh/chart", raw("printf \"%s-%s\" $.Chart.Name $.Chart.Version | quote")),
        ],
    }
}

/// One part as a template, under its condition.
fn template(part: Part) -> (String, String) {
    let (before, after) = match part.when {
        When::Always | When::Hook => ("", ""),
        When::Kinds => ("{{- if .Values.crds.enabled }}\n", "{{- end }}\n"),
        When::KindsOfChaosMesh => ("{{- if and .Values.crds.enabled .Values.chaosMesh }}\n", "{{- end }}\n"),
        When::ChaosMesh => ("{{- if .Values.chaosMesh }}\n", "{{- end }}\n"),
        When::Agents => ("{{- if .Values.agents.enabled }}\n", "{{- end }}\n"),
        When::NewAgents => (
            "{{- if and .Values.agents.enabled (semverCompare \">=1.30-0\" .Capabilities.KubeVersion.Version) }}\n",
            "{{- end }}\n",
        ),
        When::OldAgents => (
            "{{- if and .Values.agents.enabled (semverCompare \"<1.30-0\" .Capabilities.KubeVersion.Version) }}\n",
            "{{- end }}\n",
        ),
        When::Webhook => ("{{- if and .Values.webhook.enabled (not .Values.chaosMesh) }}\n", "{{- end }}\n"),
        When::WebhookForChaosMesh => {
            ("{{- if and .Values.webhook.enabled .Values.chaosMesh }}\n", "{{- end }}\n")
        }
        When::Everywhere => ("{{- if not .Values.strikeIn }}\n", "{{- end }}\n"),
        When::InEach => ("{{- range .Values.strikeIn }}\n---\n", "{{- end }}\n"),
    };
    let objects = part.objects.into_iter().map(kept);
    let documents: Vec<String> = objects.map(|object| yaml::document(&object)).collect();
    (format!("templates/{}.yaml", part.name), format!("{HEAD}{before}{}{after}", documents.join("---\n")))
}

/// A kind stays when the chart is taken away: with it would go all objects of it.
fn kept(mut object: Json) -> Json {
    if object["kind"] == "CustomResourceDefinition" {
        object["metadata"]["annotations"] = json!({"helm.sh/resource-policy": "keep"});
    }
    object
}

fn values() -> String {
    let (operator, agents) = (operator_resources(), agent_resources());
    format!(
        "{HEAD}
image:
  repository: squall
  # The chart's own version where empty. Agents on nodes are used only by an operator of the same version.
  tag: \"\"
  pullPolicy: IfNotPresent
  pullSecrets: []

crds:
  # Kinds stay when the chart goes. Those that somebody else has put there, `helm install --take-ownership` takes over.
  enabled: true

# The kinds of Chaos Mesh, too (chaos-mesh.org/v1alpha1). Not beside Chaos Mesh itself.
chaosMesh: false

# The namespaces in which the operator may change and delete objects. Empty: in all of them, and nodes.
# Which of them opted in, their label squall.dev/chaos says.
strikeIn: []

operator:
  # One acts; another takes over when it is gone.
  replicas: 2
  # More words for `squall operator`: [\"--author\", \"required\"]
  args: []
  resources: {operator}

webhook:
  # Records who wrote an object, and carries out nothing of which that is not known. Without it the operator carries out whatever is
  # written, whoever wrote it.
  enabled: true

agents:
  # One on each node, which waits. Without them each run makes pods where it needs them.
  enabled: true
  resources: {agents}
"
    )
}

/// Where the chart is, in the project.
#[cfg(test)]
fn folder() -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/squall")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_that_is_committed_is_the_one_that_is_made() {
        for (name, text) in files() {
            let committed = std::fs::read_to_string(folder().join(&name)).unwrap_or_default();
            assert!(committed == text, "{name} is another one: `cargo xtask chart` writes it anew");
        }
        let committed = std::fs::read_dir(folder().join("templates")).unwrap().count();
        assert_eq!(committed + 2, files().len(), "a template is left over");
    }

    #[test]
    fn no_text_of_a_schema_is_taken_for_an_expression() {
        for (name, text) in files().into_iter().filter(|(name, _)| name.contains("crds")) {
            let expressions = text.matches("{{").count();
            assert!(expressions == 2 && text.contains(".Values.crds.enabled"), "{name}");
        }
    }
}
