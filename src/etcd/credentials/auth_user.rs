//! A user of an etcd with authentication.

use std::fmt;

/// A password that its `Debug` form does not show.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    pub fn new(password: String) -> Self {
        Password(password)
    }

    /// Returns the password in clear text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// An etcd user with its password.
#[derive(Debug, Clone)]
pub struct AuthUser {
    pub name: String,
    pub password: Password,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_debug_form_hides_the_password() {
        let user = AuthUser { name: "root".to_owned(), password: Password::new("hunter2".to_owned()) };
        assert!(!format!("{user:?}").contains("hunter2"));
    }
}
