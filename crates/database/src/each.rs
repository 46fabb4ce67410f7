//! What servers have no command for: the same said of each client that fits.

use squall_model::server::is_like;
use std::collections::BTreeMap;

/// Whether a client is as a condition says: `user=app`, `name!=squall*`; a star at the end stands for anything.
pub(crate) fn fits(client: &BTreeMap<String, String>, condition: &str) -> bool {
    let Some((name, wanted)) = condition.split_once('=') else { return false };
    let (name, is_not) = name.strip_suffix('!').map_or((name, false), |name| (name, true));
    // What the server does not tell fits nothing, so that nobody is struck by it.
    let Some(value) = client.get(name) else { return false };
    is_like(value, wanted) != is_not
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_speaks_of_what_is_told() {
        let client =
            BTreeMap::from([("name".to_owned(), "squall-1".to_owned()), ("user".into(), "app".into())]);
        for (condition, fitting) in [
            ("user=app", true),
            ("user!=app", false),
            ("name=squall*", true),
            ("name!=squall*", false),
            ("age=3", false),
            ("age!=3", false),
            ("user", false),
        ] {
            assert_eq!(fits(&client, condition), fitting, "{condition}");
        }
    }
}
