//! What the program takes from its environment, read once, at the start.

use std::path::PathBuf;

use crate::client::http::Token;

/// The environment variables that are not command-line options.
pub(crate) struct Environment {
    /// `PULUMI_ACCESS_TOKEN`.
    pub(crate) token: Option<Token>,
    /// `SIGNOFF_URL`.
    pub(crate) url: Option<String>,
    /// `SIGNOFF_PULUMI_URL`.
    pub(crate) pulumi_url: Option<String>,
    /// Where `pulumi login` leaves its credentials.
    pub(crate) credentials_file: Option<PathBuf>,
    /// `NO_COLOR` is set to something.
    pub(crate) no_color: bool,
}

impl Environment {
    /// Reads it. A variable that is empty is one that is not set.
    pub(crate) fn read() -> Self {
        let pulumi_home = variable("PULUMI_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".pulumi")));
        Self {
            token: variable("PULUMI_ACCESS_TOKEN").map(Token::new),
            url: variable("SIGNOFF_URL"),
            pulumi_url: variable("SIGNOFF_PULUMI_URL"),
            credentials_file: pulumi_home.map(|home| home.join("credentials.json")),
            no_color: variable("NO_COLOR").is_some(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the command line reads its environment")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}
