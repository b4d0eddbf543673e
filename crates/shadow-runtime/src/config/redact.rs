//! A configuration as it may be shown: secrets blanked by type, and by name where a map holds what others defined.

use serde::Serialize;
use serde_json::Value;

use crate::secret::REDACTED;

/// Parts of a name that mark its value as private (`sasl.password`, `ssl.key.pem`, `api_key`).
const SENSITIVE: [&str; 9] =
    ["password", "passwd", "secret", "token", "credential", "credentials", "pem", "key", "jaas"];

/// Whether the value under `name` must not be shown.
pub(crate) fn is_sensitive(name: &str) -> bool {
    let public = |part: &str| matches!(part, "file" | "location" | "id" | "path" | "session" | "type");
    let lower = name.to_ascii_lowercase();
    let mut parts = lower.split(['.', '_', '-']);
    parts.clone().any(|part| SENSITIVE.contains(&part)) && !parts.any(public)
}

/// `config` as JSON for `/config`: [`Secret`](crate::Secret)s, values under names such as `sasl.password`, and passwords in URLs
/// show as `***`.
pub fn redacted<C: Serialize>(config: &C) -> Value {
    // A configuration has string keys only, so this cannot fail; were it to, nothing is shown.
    let mut value = serde_json::to_value(config).unwrap_or_default();
    redact(&mut value);
    value
}

fn redact(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            for (name, entry) in entries {
                match entry {
                    Value::String(text) if is_sensitive(name) => REDACTED.clone_into(text),
                    entry => redact(entry),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::String(text) => redact_userinfo(text),
        _ => {}
    }
}

/// `https://user:password@host` becomes `https://***@host`.
fn redact_userinfo(text: &mut String) {
    let Some(start) = text.find("://").map(|n| n + 3) else { return };
    let authority = text[start..].find(['/', '?', '#']).map_or(text.len(), |n| start + n);
    if let Some(at) = text[start..authority].rfind('@') {
        text.replace_range(start..start + at, REDACTED);
    }
}
