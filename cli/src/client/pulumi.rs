//! The calls that a reviewer makes at Pulumi Cloud, with their own token.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::json;

use super::base::BaseUrl;
use super::http::{Http, Token};
use crate::failure::Failure;

/// A client of one Pulumi Cloud.
pub(crate) struct Pulumi {
    http: Http,
}

/// A change request as Pulumi Cloud shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Proposal {
    /// What it would do.
    pub(crate) action: String,
    /// What it says of itself.
    pub(crate) description: String,
    /// Its newest revision.
    pub(crate) latest_revision_number: i64,
    /// Its status.
    pub(crate) status: String,
    /// The environment that it is about.
    pub(crate) entity: Entity,
}

/// What a change request is about.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Entity {
    project: String,
    name: String,
}

impl Proposal {
    /// The environment, as project/environment.
    pub(crate) fn environment(&self) -> String {
        format!("{}/{}", self.entity.project, self.entity.name)
    }
}

impl Pulumi {
    /// A client of the Pulumi Cloud at this address.
    ///
    /// # Errors
    /// If the token is no token.
    pub(crate) fn new(base: BaseUrl, token: &Token) -> Result<Self, Failure> {
        Ok(Self { http: Http::new(base, token, "application/vnd.pulumi+8")? })
    }

    /// Its address.
    pub(crate) fn base(&self) -> &BaseUrl {
        &self.http.base
    }

    /// Reads a change request.
    ///
    /// # Errors
    /// As every call, and if the answer is none.
    pub(crate) async fn proposal(&self, organization: &str, id: &str) -> Result<Proposal, Failure> {
        let url = self.http.base.join(&["api", "change-requests", organization, checked(id)?]);
        let json = self.http.call(Method::GET, url, HeaderMap::new(), None).await?.json()?;
        Proposal::deserialize(&json)
            .map_err(|error| Failure::Failed(format!("no change request that makes sense: {error}")))
    }

    /// Approves one revision of a change request.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn approve(
        &self,
        organization: &str,
        id: &str,
        revision: i64,
        comment: Option<&str>,
    ) -> Result<(), Failure> {
        let url = self.http.base.join(&["api", "change-requests", organization, checked(id)?, "approve"]);
        let mut body = json!({"revisionNumber": revision});
        if let Some(comment) = comment {
            body["comment"] = comment.into();
        }
        self.http.call(Method::POST, url, HeaderMap::new(), Some(&body)).await.map(drop)
    }

    /// Closes a change request, which can't be opened again.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn close(&self, organization: &str, id: &str, comment: &str) -> Result<(), Failure> {
        let url = self.http.base.join(&["api", "change-requests", organization, checked(id)?, "close"]);
        let body = json!({"comment": comment});
        self.http.call(Method::POST, url, HeaderMap::new(), Some(&body)).await.map(drop)
    }
}

/// An id that signoff names goes into an address with the reviewer's token: it has to be an id and nothing else.
fn checked(id: &str) -> Result<&str, Failure> {
    let is_id = (1..=200).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    is_id.then_some(id).ok_or_else(|| Failure::Failed("that is not the id of a change request".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::checked;

    #[test]
    fn ids_are_ids() {
        assert!(checked("0f8f1c2e-7a1b-4c55_x").is_ok());
        for bad in ["", "..", "a/b", "a?b", "a%2fb", &"x".repeat(201)] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }
}
