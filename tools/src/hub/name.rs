//! How a model on the hub is named: `hf:ORG/REPO[@REVISION][:TYPE]`.

use anyhow::{Result, ensure};
use std::fmt;
use std::str::FromStr;

/// What names on the hub begin with where a file could stand in their place.
pub const PREFIX: &str = "hf:";

/// A repository on the hub, which state of it, and which of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubName {
    /// The user or organization.
    pub org: String,
    /// The repository's name.
    pub repo: String,
    /// A branch, tag or commit.
    pub revision: String,
    /// The quantization, as the user wrote it.
    pub file_type: Option<String>,
}

impl FromStr for HubName {
    type Err = anyhow::Error;

    /// Reads a name, with [`PREFIX`] or without.
    fn from_str(text: &str) -> Result<HubName> {
        let name = text.strip_prefix(PREFIX).unwrap_or(text);
        let (name, file_type) = match name.split_once(':') {
            Some((name, ty)) => (name, Some(ty)),
            None => (name, None),
        };
        let (id, revision) = name.split_once('@').unwrap_or((name, "main"));
        let (org, repo) = id.split_once('/').unwrap_or((id, ""));
        let revision_fits = revision.split('/').all(is_plain) && revision.len() <= 200;
        ensure!(
            is_plain(org) && is_plain(repo) && revision_fits && file_type.is_none_or(is_plain),
            "'{text}' names no model on the hub: expected ORG/REPO, ORG/REPO:TYPE or ORG/REPO@REVISION:TYPE, \
             as LiquidAI/LFM2-350M-GGUF:Q4_0"
        );
        Ok(HubName {
            org: org.into(),
            repo: repo.into(),
            revision: revision.into(),
            file_type: file_type.map(str::to_string),
        })
    }
}

impl HubName {
    /// `ORG/REPO`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.org, self.repo)
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.org, self.repo)?;
        if self.revision != "main" {
            write!(f, "@{}", self.revision)?;
        }
        match &self.file_type {
            Some(ty) => write!(f, ":{ty}"),
            None => Ok(()),
        }
    }
}

/// Whether a name stays in its folder on every system and means the same in a URL: letters, digits, `.`, `_`, `-`,
/// and no `.` in front.
pub(super) fn is_plain(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=200).contains(&name.len()) && !name.starts_with('.') && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let name: HubName = "hf:LiquidAI/LFM2-350M-GGUF@refs/pr/1:Q4_0".parse().unwrap();
        assert_eq!((&*name.org, &*name.repo), ("LiquidAI", "LFM2-350M-GGUF"));
        assert_eq!((&*name.revision, name.file_type.as_deref()), ("refs/pr/1", Some("Q4_0")));
        assert_eq!(name.to_string(), "LiquidAI/LFM2-350M-GGUF@refs/pr/1:Q4_0");
        let name: HubName = "a/b".parse().unwrap();
        assert_eq!((&*name.revision, name.file_type), ("main", None));
    }

    #[test]
    fn names_that_leave_their_folder_or_mean_something_in_a_url_are_refused() {
        let bad = [
            "", "a", "a/", "/b", "../b", "a/..", "a/b/c", "a/.b", "a/b@", "a/b@../x", "a/b@x//y", "a/b@/x",
            "a/b:", "a/b:..", "a/b:x/y", "a/b?c", "a/b c", "a/b%2e", "a\\b/c", "a/b:c:d", "hf:", "a/ü",
            "a/b\n",
        ];
        for name in bad {
            assert!(name.parse::<HubName>().is_err(), "{name:?}");
        }
    }
}
