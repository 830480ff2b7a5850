//! A call's query parameters, each known and given once.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use jiff::Timestamp;

use super::problem::Problem;

/// The parameters as axum hands them over.
pub(super) type Raw = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// The parameters of one call.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The parameters, if all of them are among `known` and none is there twice. One that is empty counts as left out.
    pub(super) fn of(raw: Raw, known: &[&str]) -> Result<Self, Problem> {
        let Query(mut given) =
            raw.map_err(|_| Problem::malformed("The query can't be read; mind its percent signs."))?;
        if given.iter().any(|(name, _)| !known.contains(&name.as_str())) {
            let list = known.join(", ");
            return Err(Problem::malformed(format!("There is an unknown query parameter; this call takes {list}.")));
        }
        if let Some(name) = known.iter().find(|known| given.iter().filter(|(name, _)| name == *known).count() > 1) {
            return Err(Problem::malformed(format!("Give the query parameter {name} once.")));
        }
        given.retain(|(_, value)| !value.is_empty());
        Ok(Self(given))
    }

    /// A parameter's text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter's value.
    pub(super) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.text(name)
            .map(|text| text.parse().map_err(|error| Problem::malformed(format!("{name}: {error}."))))
            .transpose()
    }

    /// A parameter that is a time, if it was given.
    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let bad = |_| Problem::malformed(format!("{name} has to be a time, such as 2026-11-23T08:00:00Z."));
        self.text(name).map(|text| text.parse().map_err(bad)).transpose()
    }
}
