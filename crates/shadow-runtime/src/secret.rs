//! A string that must not be seen: from a file or the environment, never from the configuration itself.
//!
//! Guarantee: neither `Debug`, `Display`-like formatting nor serialisation shows it, so neither logs nor `/config` can.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is shown in a secret's place.
pub(crate) const REDACTED: &str = "***";

/// The key under which the loader hands over text from the environment. It cannot be typed by accident.
pub(crate) const FROM_ENVIRONMENT: &str = "\0text";

/// A secret is one line; anything longer than this is the wrong file.
const MAX_BYTES: u64 = 64 * 1024;

/// A secret. In TOML `key = { file = "/run/secrets/key" }`; in the environment `SHADOW_SECTION_KEY=...` or
/// `SHADOW_SECTION_KEY_FILE=/run/secrets/key`. White space around the text is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret from text that is already in memory.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text. Call it where the secret is used, and keep nothing of it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn from_text<E: serde::de::Error>(text: &str, origin: &str) -> Result<Self, E> {
        match text.trim() {
            "" => Err(E::custom(format!("the secret from {origin} is empty; put the secret there"))),
            text => Ok(Self(text.to_owned())),
        }
    }

    fn from_file<E: serde::de::Error>(path: &Path) -> Result<Self, E> {
        let origin = format!("`{}`", path.display());
        let unreadable = |why: &dyn fmt::Display| {
            E::custom(format!("the secret file {origin} cannot be read: {why}; check the path and its permissions"))
        };
        let length = std::fs::metadata(path).map_err(|e| unreadable(&e))?.len();
        if length > MAX_BYTES {
            return Err(unreadable(&format_args!("{length} bytes are too many for a secret")));
        }
        Self::from_text(&std::fs::read_to_string(path).map_err(|e| unreadable(&e))?, &origin)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret as `{ file = \"path\" }`")
    }

    // The text is in none of these errors: it may be a secret.
    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Secret, E> {
        Err(E::custom(
            "a secret must not stand in the configuration; write `{ file = \"path\" }`, or set it in the environment",
        ))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let secret = match map.next_key::<String>()?.as_deref() {
            Some("file") => Secret::from_file(&map.next_value::<PathBuf>()?)?,
            Some(FROM_ENVIRONMENT) => Secret::from_text(&map.next_value::<String>()?, "the environment")?,
            _ => return Err(A::Error::custom("a secret is written `{ file = \"path\" }`")),
        };
        match map.next_key::<String>()? {
            None => Ok(secret),
            Some(_) => Err(A::Error::custom("a secret has one source; write only `{ file = \"path\" }`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Holder {
        key: Secret,
    }

    #[test]
    fn a_secret_shows_in_neither_debug_nor_serialised_form() {
        let holder = Holder { key: Secret::new("hunter2-hunter2") };
        assert_eq!(holder.key.expose(), "hunter2-hunter2");
        for shown in [
            format!("{holder:?}"),
            format!("{holder:#?}"),
            serde_json::to_string(&holder).unwrap(),
            toml::to_string(&holder).unwrap(),
        ] {
            assert!(shown.contains(REDACTED) && !shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn a_secret_comes_from_a_file_without_its_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "  hunter2\n").unwrap();
        let toml = format!("key = {{ file = {:?} }}", file.path());
        assert_eq!(toml::from_str::<Holder>(&toml).unwrap().key.expose(), "hunter2");
        std::fs::write(file.path(), "\n").unwrap();
        assert!(toml::from_str::<Holder>(&toml).unwrap_err().message().contains("is empty"));
    }

    #[test]
    fn a_secret_written_into_the_configuration_is_refused_and_not_repeated() {
        for toml in ["key = 'hunter2'", "key = { text = 'hunter2' }", "key = { file = '/dev/null', x = 'hunter2' }"] {
            let error = toml::from_str::<Holder>(toml).unwrap_err();
            assert!(!error.message().contains("hunter2"), "{}", error.message());
        }
        let error = toml::from_str::<Holder>("key = { file = '/nonexistent/key' }").unwrap_err();
        assert!(error.message().contains("/nonexistent/key") && error.message().contains("check the path"));
    }
}
