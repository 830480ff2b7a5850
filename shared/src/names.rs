//! What people and Pulumi Cloud call things: parsed once, at the door, into types that can't hold anything else.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest part of a stack or environment name, in characters (Pulumi's own limit for names).
pub const MAX_PART: usize = 100;
/// Longest login that is taken, in characters.
pub const MAX_LOGIN: usize = 200;
/// Longest reason, in characters.
pub const MAX_REASON: usize = 1_000;

/// A name that is not what it should be; the text says what it should be, for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadName(pub String);

/// Serializes as its text, and takes only text that parses.
macro_rules! text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.to_string()
            }
        }
    };
}

/// Whether `part` can stand as one part of a name: letters, digits, `-`, `_` and `.`, but no path trick.
fn is_part(part: &str) -> bool {
    (1..=MAX_PART).contains(&part.len())
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && part.bytes().any(|b| b != b'.')
}

fn three_parts(text: &str, what: &str) -> Result<[String; 3], BadName> {
    match text.split('/').collect::<Vec<_>>()[..] {
        [a, b, c] if [a, b, c].into_iter().all(is_part) => Ok([a.to_owned(), b.to_owned(), c.to_owned()]),
        _ => Err(BadName(format!(
            "{what} is three names with slashes between them, each of letters, digits, '-', '_' and '.' ({MAX_PART} at most)"
        ))),
    }
}

/// A Pulumi organization.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Organization(String);

impl Organization {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Organization {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        if is_part(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName(format!("an organization is a name of letters, digits, '-', '_' and '.' ({MAX_PART} at most)")))
        }
    }
}

impl fmt::Display for Organization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text!(Organization);

/// A stack's full name: `organization/project/stack`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StackName {
    /// The organization that owns it.
    pub organization: Organization,
    /// The Pulumi project.
    pub project: String,
    /// The stack within the project.
    pub stack: String,
}

impl FromStr for StackName {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let [organization, project, stack] = three_parts(text, "a stack (organization/project/stack)")?;
        Ok(Self { organization: Organization(organization), project, stack })
    }
}

impl fmt::Display for StackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.organization, self.project, self.stack)
    }
}

text!(StackName);

/// An ESC environment's full name: `organization/project/environment`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvironmentName {
    /// The organization that owns it.
    pub organization: Organization,
    /// The ESC project.
    pub project: String,
    /// The environment within the project.
    pub name: String,
}

impl EnvironmentName {
    /// `project/environment`, as Pulumi Cloud names it within an organization.
    pub fn qualified(&self) -> String {
        format!("{}/{}", self.project, self.name)
    }
}

impl FromStr for EnvironmentName {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let [organization, project, name] = three_parts(text, "an environment (organization/project/environment)")?;
        Ok(Self { organization: Organization(organization), project, name })
    }
}

impl fmt::Display for EnvironmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.organization, self.project, self.name)
    }
}

text!(EnvironmentName);

/// Somebody's login at Pulumi Cloud. Two logins are the same without regard to case.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Login(String);

impl Login {
    /// The login as Pulumi Cloud spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which logins are compared and used in keys.
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

impl PartialEq for Login {
    fn eq(&self, other: &Self) -> bool {
        self.folded() == other.folded()
    }
}

impl Eq for Login {}

impl Hash for Login {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().hash(state);
    }
}

impl PartialOrd for Login {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Login {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded().cmp(&other.folded())
    }
}

impl FromStr for Login {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let fits = (1..=MAX_LOGIN).contains(&text.chars().count());
        // The Kelvin sign is the one character that is not ASCII and becomes an ASCII letter in lower case: it would pass for a k.
        if fits && !text.chars().any(|c| hides(c) || c.is_whitespace() || c == '\u{212A}') {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName(format!("a login is 1 to {MAX_LOGIN} characters that can be seen, without spaces")))
        }
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text!(Login);

/// The name under which signoff knows one of the identities that it works as (`default`, `payments`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PrincipalName(String);

impl PrincipalName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for PrincipalName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for PrincipalName {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let good = (1..=40).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && text.starts_with(|c: char| c.is_ascii_lowercase());
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName(
                "a principal is a name of lower-case letters, digits and '-', beginning with a letter (40 at most)"
                    .to_owned(),
            ))
        }
    }
}

impl fmt::Display for PrincipalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text!(PrincipalName);

/// What a deployment does. These are the operations that can be asked for; Pulumi Cloud has more (drift), which a gate does not cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// `pulumi up`
    #[default]
    Update,
    /// `pulumi preview`
    Preview,
    /// `pulumi refresh`
    Refresh,
    /// `pulumi destroy`
    Destroy,
}

impl Operation {
    /// All of them, in the order in which the documentation names them.
    pub const ALL: [Self; 4] = [Self::Update, Self::Preview, Self::Refresh, Self::Destroy];

    /// The word that Pulumi Cloud uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Preview => "preview",
            Self::Refresh => "refresh",
            Self::Destroy => "destroy",
        }
    }
}

impl FromStr for Operation {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.as_str() == text)
            .ok_or_else(|| BadName("an operation is one of update, preview, refresh, destroy".to_owned()))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A full git commit hash, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Commit(String);

impl Commit {
    /// The forty hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Commit {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        if text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(BadName("a commit is the full hash: 40 hexadecimal digits".to_owned()))
        }
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text!(Commit);

/// Why somebody asks. Reviewers read it, so it can hold nothing that shows otherwise than it reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

impl Reason {
    /// The text, with `\n` as the only control character.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let text = text.replace("\r\n", "\n");
        let bad =
            |c: char| (c.is_control() && c != '\n') || is_bidirectional(c) || matches!(c, '\u{2028}' | '\u{2029}');
        if !(1..=MAX_REASON).contains(&text.chars().count()) || text.trim().is_empty() {
            Err(BadName(format!("a reason is 1 to {MAX_REASON} characters, and says something")))
        } else if text.chars().any(bad) {
            Err(BadName(
                "a reason has no control characters but line breaks, and none that change the direction of text"
                    .to_owned(),
            ))
        } else {
            Ok(Self(text))
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text!(Reason);

/// Characters that have no place in what others show in one line: they act on what shows it, turn it round, show as nothing or break lines.
pub fn hides(c: char) -> bool {
    c.is_control()
        || is_bidirectional(c)
        || is_invisible(c)
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FFF9}'..='\u{FFFB}')
}

/// Characters that show as nothing (the usual ones of Unicode's `Default_Ignorable_Code_Point`): with them, one name looks like another.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{34F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}')
        || matches!(c, '\u{200B}'..='\u{200D}' | '\u{2060}'..='\u{2065}' | '\u{206A}'..='\u{206F}' | '\u{3164}')
        || matches!(c, '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Characters that change the direction in which text shows (Unicode's `Bidi_Control`).
pub fn is_bidirectional(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The id of a request: `req_` and a ULID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestId(ulid::Ulid);

impl RequestId {
    /// A request id of this ULID.
    pub fn new(ulid: ulid::Ulid) -> Self {
        Self(ulid)
    }

    /// The ULID without its prefix.
    pub fn ulid(self) -> ulid::Ulid {
        self.0
    }
}

impl FromStr for RequestId {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        text.strip_prefix("req_")
            .and_then(|ulid| ulid::Ulid::from_string(ulid).ok())
            .map(Self)
            // One spelling for each id: what is decoded from lower case or look-alike digits would be a second one.
            .filter(|id| id.to_string() == text)
            .ok_or_else(|| BadName("a request id is req_ and 26 letters and digits".to_owned()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "req_{}", self.0)
    }
}

text!(RequestId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_three_plain_parts_and_no_path_tricks() {
        assert_eq!("acme/web/prod".parse::<StackName>().unwrap().to_string(), "acme/web/prod");
        for bad in [
            "acme/web",
            "acme/web/prod/x",
            "acme//prod",
            "acme/../prod",
            "acme/./prod",
            "a b/c/d",
            "acme/web/pröd",
            "",
            "acme/web/prod\n",
        ] {
            assert!(bad.parse::<StackName>().is_err(), "{bad:?}");
            assert!(bad.parse::<EnvironmentName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn logins_are_the_same_without_regard_to_case_only() {
        let login = |text: &str| text.parse::<Login>().unwrap();
        assert_eq!(login("Alice"), login("aLICE"));
        assert_ne!(login("alice"), login("аlice"), "a Cyrillic look-alike is somebody else");
        assert!("al ice".parse::<Login>().is_err());
        for hidden in ["al\u{200B}ice", "alice\u{FEFF}", "al\u{AD}ice", "alice\u{E0041}", "dir\u{212A}"] {
            assert!(hidden.parse::<Login>().is_err(), "{hidden:?} would pass for another");
        }
        let only_ascii_becomes_ascii = |c: &char| !c.is_ascii() && c.to_lowercase().all(|lower| lower.is_ascii());
        assert_eq!(('\0'..=char::MAX).filter(only_ascii_becomes_ascii).collect::<Vec<_>>(), ['\u{212A}']);
    }

    #[test]
    fn a_reason_says_something_and_hides_nothing() {
        assert_eq!("a\r\nb".parse::<Reason>().unwrap().as_str(), "a\nb");
        assert!("é".repeat(1_000).parse::<Reason>().is_ok());
        for bad in
            ["", "  \n", &"x".repeat(1_001), "a\u{0}b", "a\tb", "a\u{202E}b", "a\u{2028}b", "a\rb", "a\u{1b}[31m"]
        {
            assert!(bad.parse::<Reason>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_hides_is_one_list() {
        let hidden = "\u{0}\n\u{7f}\u{9b}\u{ad}\u{61c}\u{200b}\u{200d}\u{200f}\u{2028}\u{202e}\u{2060}\u{2066}\u{206a}";
        for c in hidden.chars().chain("\u{fe0f}\u{feff}\u{fffa}\u{e0041}".chars()) {
            assert!(hides(c), "{c:?}");
        }
        assert!(!"a Grüße, 世界 \u{1f469}\u{301}\u{a0}".chars().any(hides));
    }

    #[test]
    fn a_request_id_has_one_spelling() {
        let id = RequestId::new(ulid::Ulid::from_parts(1, 0xABCD_EF01_2345));
        assert_eq!(id.to_string().parse::<RequestId>().unwrap(), id);
        for bad in [
            format!("req_{}", id.ulid().to_string().to_lowercase()),
            id.to_string()[4..].to_owned(),
            "req_".to_owned(),
            format!("{id}0"),
        ] {
            assert!(bad.parse::<RequestId>().is_err(), "{bad:?}");
        }
    }
}
