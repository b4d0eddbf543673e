//! Names that say their value is secret: such values are never kept by shape.
//!
//! A PIN looks like a page number and a session ID like any UUID; only the name tells. Headers, parameters, fields and members
//! are asked about here (through `scope` and `json`) after the rules, so that a rule can still keep what is public.
//! Errs towards secret: what is wrongly taken for one is a token, which a rule can undo.

/// Endings so telling that they count within a word, too: `accesstoken`, `PHPSESSID`.
const ENDINGS: &[&str] = &["password", "passwd", "secret", "sessid", "token"];
/// Short ones count as whole words only: a `shipping` is no `pin`.
const WORDS: &[&str] = &["cvc", "cvv", "otp", "pin", "pwd", "session", "sid", "ssn"];
/// Pairs, joined or separated: `apikey`, `apiKey`, `api_key`.
const PAIRS: &[(&str, &str)] = &[("access", "key"), ("api", "key"), ("private", "key"), ("session", "id")];

/// Whether the name ends in the name of a secret, whatever its case and separators. Numbers and brackets after it do not count:
/// `password2`, `user[pin]`.
pub(crate) fn is_secret(name: &[u8]) -> bool {
    let end = name.iter().rposition(u8::is_ascii_alphabetic).map_or(0, |last| last + 1);
    let name = &name[..end];
    ENDINGS.iter().any(|ending| before(name, ending).is_some())
        || WORDS.iter().any(|word| before(name, word).is_some_and(|head| starts_word(name, head.len())))
        || PAIRS.iter().any(|(first, second)| {
            before(name, second).is_some_and(|head| {
                let end = head.iter().rposition(u8::is_ascii_alphanumeric).map_or(0, |last| last + 1);
                before(&head[..end], first).is_some()
            })
        })
}

/// What stands before the ending.
fn before<'a>(name: &'a [u8], ending: &str) -> Option<&'a [u8]> {
    let (head, tail) = name.split_at_checked(name.len().checked_sub(ending.len())?)?;
    tail.eq_ignore_ascii_case(ending.as_bytes()).then_some(head)
}

/// Whether a word of the name starts there: after anything but a letter, or by a capital as in `userPin` and `HTTPSid`.
fn starts_word(name: &[u8], at: usize) -> bool {
    let Some(previous) = at.checked_sub(1).map(|at| name[at]) else { return true };
    let lower = |at: usize| name.get(at).is_some_and(u8::is_ascii_lowercase);
    !previous.is_ascii_alphabetic()
        || (name[at].is_ascii_uppercase() && (previous.is_ascii_lowercase() || lower(at + 1)))
}

#[cfg(test)]
mod tests {
    use super::is_secret;

    #[test]
    fn secrets_are_told_by_the_end_of_their_name_in_every_spelling() {
        for name in [
            "password",
            "passwd",
            "pwd",
            "secret",
            "token",
            "pin",
            "otp",
            "cvv",
            "cvc",
            "session",
            "session_id",
            "sessionid",
            "sid",
            "api_key",
            "apikey",
            "access_key",
            "private_key",
            "ssn",
            "PIN",
            "card_pin",
            "cardPin",
            "card-pin",
            "card.pin",
            "userPIN",
            "HTTPSid",
            "new_password",
            "newPassword",
            "password2",
            "password_1",
            "user[pin]",
            "tokens[token][]",
            "accesstoken",
            "csrfToken",
            "X-Session-Id",
            "SESSION_ID",
            "sessionId",
            "sessionID",
            "PHPSESSID",
            "JSESSIONID",
            "apiKey",
            "APIKey",
            "x-api-key",
            "api key",
            "awsAccessKey",
            "privatekey",
            "client_secret",
            "_pin",
            "\u{e9}pin",
        ] {
            assert!(is_secret(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn other_names_are_not() {
        for name in [
            "",
            "1",
            "[]",
            "page",
            "id",
            "user_id",
            "shipping",
            "spin",
            "Spin",
            "opinion",
            "obsession",
            "inside",
            "basid",
            "key",
            "sort_key",
            "public_key",
            "pinned",
            "pin_count",
            "token_type",
            "session_count",
            "sessions",
            "secretary",
            "laptop_otps",
            "idsession_name",
            "classname",
            "request_id",
        ] {
            assert!(!is_secret(name.as_bytes()), "{name}");
        }
    }
}
