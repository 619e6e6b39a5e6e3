//! A user of an etcd that has authentication on.

use std::fmt;

/// A password that its `Debug` form does not show.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    pub fn new(password: String) -> Self {
        Password(password)
    }

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
    fn nothing_secret_has_a_debug_form() {
        let user = AuthUser { name: "root".to_owned(), password: Password::new("hunter2".to_owned()) };
        assert!(!format!("{user:?}").contains("hunter2"));
    }
}
