//! The file in which `pulumi login` leaves access tokens.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use crate::client::base::BaseUrl;
use crate::client::http::Token;
use crate::failure::Failure;

/// The largest credentials file that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// What `pulumi login` wrote down.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Credentials {
    current: Option<String>,
    #[serde(rename = "accessTokens")]
    access_tokens: Option<HashMap<String, String>>,
    accounts: Option<HashMap<String, Account>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Account {
    #[serde(rename = "accessToken")]
    access_token: Option<String>,
}

impl Credentials {
    /// Reads the file; one that is not there holds nothing.
    ///
    /// # Errors
    /// If it can't be read, or is not what `pulumi login` writes. The error never shows its content.
    pub(crate) fn read(file: &Path) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::Usage(format!("{}: {why}", file.display()));
        match std::fs::metadata(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(wrong(&error.to_string())),
            Ok(metadata) if metadata.len() > MAX_FILE => return Err(wrong("is too large for a file of credentials")),
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(file).map_err(|error| wrong(&error.to_string()))?;
        Self::parse(&text).ok_or_else(|| wrong("is not a file of credentials as pulumi login writes it"))
    }

    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The Pulumi Cloud that one is logged in to, if it is one (and no file or bucket).
    pub(crate) fn current(&self) -> Option<BaseUrl> {
        self.current.as_deref()?.parse().ok()
    }

    /// The token for this Pulumi Cloud.
    pub(crate) fn token(&self, cloud: &BaseUrl) -> Option<Token> {
        let tokens = self.access_tokens.iter().flatten().map(|(url, token)| (url, Some(token)));
        let accounts = self.accounts.iter().flatten().map(|(url, account)| (url, account.access_token.as_ref()));
        accounts
            .chain(tokens)
            .filter(|(url, _)| url.parse::<BaseUrl>().is_ok_and(|url| url == *cloud))
            .filter_map(|(_, token)| token.map(|token| token.trim()).filter(|token| !token.is_empty()))
            .map(Token::new)
            .next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str, cloud: &str) -> Option<String> {
        Credentials::parse(text).unwrap().token(&cloud.parse().unwrap()).map(|token| token.secret().to_owned())
    }

    #[test]
    fn the_token_is_that_of_the_cloud_asked_for() {
        let text = r#"{"current": "https://api.pulumi.com",
            "accessTokens": {"https://api.pulumi.com": "pul-1", "https://pulumi.example": "pul-2"},
            "accounts": {"https://api.pulumi.com/": {"accessToken": "pul-3", "username": "alice"}}}"#;
        assert_eq!(token(text, "https://api.pulumi.com").as_deref(), Some("pul-3"));
        assert_eq!(token(text, "https://pulumi.example/").as_deref(), Some("pul-2"));
        assert_eq!(token(text, "https://else.example"), None);
    }

    #[test]
    fn files_without_tokens_hold_nothing() {
        for text in ["{}", r#"{"accessTokens": null, "accounts": {"https://api.pulumi.com": {"accessToken": ""}}}"#] {
            assert_eq!(token(text, "https://api.pulumi.com"), None);
        }
        assert!(Credentials::parse("[1]").is_none());
        assert!(Credentials::parse(r#"{"current": "file://~"}"#).unwrap().current().is_none());
    }

    #[test]
    fn an_error_does_not_show_the_file() {
        let file = std::env::temp_dir().join(format!("signoff-credentials-{}.json", std::process::id()));
        std::fs::write(&file, "pul-secret").unwrap();
        let said = Credentials::read(&file).err().unwrap().to_string();
        std::fs::remove_file(&file).unwrap();
        assert!(!said.contains("pul-secret"), "{said}");
    }
}
