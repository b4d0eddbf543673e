//! Tells whether an object of a JSON text has two members of one name, which a parsed value no longer shows.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Whether an object of the text, which is JSON, has two members of one name.
pub(crate) fn repeats_a_member(json: &[u8]) -> bool {
    serde_json::from_slice::<Distinct>(json).is_err()
}

/// Any value whose objects have distinct names.
struct Distinct;

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Distinct;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("objects with distinct names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Distinct, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            members.next_value::<Distinct>()?;
            if !names.insert(name) {
                return Err(A::Error::custom("two members of one name"));
            }
        }
        Ok(Distinct)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Distinct, A::Error> {
        while items.next_element::<Distinct>()?.is_some() {}
        Ok(Distinct)
    }

    fn visit_unit<E>(self) -> Result<Distinct, E> {
        Ok(Distinct)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Distinct, E> {
        Ok(Distinct)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Distinct, E> {
        Ok(Distinct)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Distinct, E> {
        Ok(Distinct)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Distinct, E> {
        Ok(Distinct)
    }

    fn visit_str<E>(self, _: &str) -> Result<Distinct, E> {
        Ok(Distinct)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_name_is_found_at_any_depth_and_however_it_is_spelt() {
        for json in [r#"{"a":1,"a":1}"#, r#"[{"b":[{"a":1,"\u0061":2}]}]"#, r#"{"a":{},"b":1,"a":null}"#] {
            assert!(repeats_a_member(json.as_bytes()), "{json}");
        }
        let others =
            [r#"{"a":{"a":[{"a":"a"}]}}"#, "1e400", "123456789012345678901234567890", "null", r#"[-1.5,true,""]"#];
        for json in others {
            assert!(!repeats_a_member(json.as_bytes()), "{json}");
        }
    }
}
