//! `Halt`, an object of a whole cluster: while there is one, nothing of Squall's runs there, whoever began it.

use serde_json::Value as Json;
use squall_kubernetes::Kind;

/// `squall.dev/v1 Halt`
pub(crate) const HALT: Kind = Kind::everywhere("squall.dev", "v1", "Halt", "halts");

/// Why nothing may run, if so: in the words of the first halt.
pub(crate) fn reason<'h>(halts: impl IntoIterator<Item = &'h Json>) -> Option<String> {
    let halt = halts.into_iter().find(|halt| halt["metadata"]["deletionTimestamp"].is_null())?;
    let name = halt["metadata"]["name"].as_str().unwrap_or_default();
    Some(match halt["spec"]["reason"].as_str().unwrap_or_default() {
        "" => format!("halted by Halt {name}; it is there until it is deleted"),
        reason => format!("halted by Halt {name}: {reason}"),
    })
}
