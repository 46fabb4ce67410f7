//! Who is at work: the name that history and audit log keep.

use std::fs;

/// Name of the user: whoever called sudo, else the owner of this process.
pub(crate) fn name() -> String {
    let user = rustix::process::getuid();
    let by_sudo = || std::env::var("SUDO_USER").ok().filter(|name| !name.is_empty());
    if user.is_root()
        && let Some(name) = by_sudo()
    {
        return name;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&users, user.as_raw()).unwrap_or_else(|| format!("user {}", user.as_raw()))
}

/// The name of a number in a file such as `/etc/passwd` (passwd(5): name, password, number, …).
fn name_in(users: &str, number: u32) -> Option<String> {
    let number = number.to_string();
    let named = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    };
    users.lines().find_map(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_named() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(name_in(users, 1000).as_deref(), Some("ann"));
        assert_eq!(name_in(users, 0).as_deref(), Some("root"));
        assert_eq!(name_in(users, 7), None);
        assert!(!name().is_empty());
    }
}
