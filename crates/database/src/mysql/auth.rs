//! How a password is shown to MySQL and MariaDB to be known.

use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

/// The ways that are spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plugin {
    /// `MariaDB`, and MySQL before 8.
    Native,
    /// MySQL since 8.
    CachingSha2,
    /// The password itself.
    Clear,
    /// The user of the system is enough.
    Socket,
}

impl Plugin {
    /// By its name.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "mysql_native_password" => Some(Self::Native),
            "caching_sha2_password" => Some(Self::CachingSha2),
            "mysql_clear_password" => Some(Self::Clear),
            "auth_socket" | "unix_socket" => Some(Self::Socket),
            _ => None,
        }
    }
}

/// What is answered to the server's random bytes. `is_private`: nobody else can hear it.
///
/// # Errors
/// Why it cannot be answered, and what to do.
pub(super) fn respond(
    plugin: &str,
    password: &str,
    nonce: &[u8],
    is_private: bool,
) -> Result<Vec<u8>, String> {
    match Plugin::of(plugin) {
        Some(Plugin::Clear) => in_the_clear(password, is_private),
        Some(_) if password.is_empty() => Ok(Vec::new()),
        // <https://mariadb.com/kb/en/authentication-plugin-mysql_native_password/>
        Some(Plugin::Native) => {
            let hash = |bytes: &[u8]| hashed(&SHA1_FOR_LEGACY_USE_ONLY, &[bytes]);
            let once = hash(password.as_bytes());
            Ok(mixed(&once, &hashed(&SHA1_FOR_LEGACY_USE_ONLY, &[nonce, &hash(&once)])))
        }
        // <https://dev.mysql.com/doc/dev/mysql-server/latest/page_caching_sha2_authentication_exchanges.html>
        Some(Plugin::CachingSha2) => {
            let once = hashed(&SHA256, &[password.as_bytes()]);
            let twice = hashed(&SHA256, &[&once]);
            Ok(mixed(&once, &hashed(&SHA256, &[&twice, nonce])))
        }
        Some(Plugin::Socket) => Ok(Vec::new()),
        None => Err(format!(
            "the user logs in by `{plugin}`, which Squall does not speak; give it mysql_native_password or \
             caching_sha2_password"
        )),
    }
}

/// The password itself, where nobody else hears it.
pub(super) fn in_the_clear(password: &str, is_private: bool) -> Result<Vec<u8>, String> {
    if !is_private {
        return Err("the server wants the password itself, which is said over TLS only: add sslmode=require"
            .to_owned());
    }
    Ok([password.as_bytes(), &[0]].concat())
}

fn hashed(algorithm: &'static Algorithm, parts: &[&[u8]]) -> Vec<u8> {
    digest(algorithm, &parts.concat()).as_ref().to_vec()
}

fn mixed(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_said_where_others_hear_it() {
        for plugin in ["mysql_clear_password", "dialog"] {
            let error = respond(plugin, "hunter2", &[1; 20], false).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert_eq!(respond("mysql_clear_password", "a", &[], true).unwrap(), b"a\0");
        assert_eq!(respond("mysql_native_password", "a", &[1; 20], false).unwrap().len(), 20);
        assert_eq!(respond("caching_sha2_password", "a", &[1; 20], false).unwrap().len(), 32);
        assert_eq!(respond("caching_sha2_password", "", &[1; 20], false).unwrap(), b"");
    }
}
