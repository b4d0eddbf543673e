//! Every record of the control topic as a row of `control_changes`: who changed what, when and why.
//!
//! The topic itself keeps the newest record of each key only. Rows replace each other by where their record stands, so reading it
//! again, or by several comparators, changes nothing. No secret can be there: none is ever put on the control topic.

use serde_json::Value;
use shadow_kafka::Consumed;

use crate::store::ChangeRow;

/// How replayers' own agreement about rates begins: written every few seconds by no person, so no part of the history.
const SHARES: &str = "shares/";

/// The row of one control record; `None` for what is no part of the history.
pub(super) fn change_row(record: &Consumed) -> Option<ChangeRow> {
    let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
    if key.starts_with(SHARES) {
        return None;
    }
    let (kind, subject) = key.split_once('/').unwrap_or(("", key.as_str()));
    let launch = match kind {
        "launch" => subject,
        "rate" => subject.split_once('/').map_or("", |(_, launch)| launch),
        "pause" => subject.strip_prefix("launch/").unwrap_or_default(),
        _ => "",
    };
    // Read as JSON, whatever its format: also of a newer version it tells who changed what.
    let value = serde_json::from_slice::<Value>(&record.payload).ok().and_then(inner);
    let word = |name| value.as_ref().and_then(|value| value["change"][name].as_str()).unwrap_or_default().to_owned();
    Some(ChangeRow {
        version: record.offset,
        at: record.appended_at.micros(),
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        launch: launch.to_owned(),
        by: word("by"),
        why: word("why"),
        deleted: u8::from(record.payload.is_empty()),
        value: value.map(|value| value.to_string()).unwrap_or_default(),
        key,
    })
}

/// What stands inside of `{"format":..,"record":{"<kind>":{..}}}`.
fn inner(mut envelope: Value) -> Option<Value> {
    let record = envelope.get_mut("record")?.as_object_mut()?;
    record.values_mut().next().map(Value::take)
}

#[cfg(test)]
mod tests {
    use shadow_control::{Change, ControlRecord, Pause, Rate};
    use shadow_record::{Timestamp, topics};

    use super::*;

    fn consumed(key: &str, payload: &[u8]) -> Consumed {
        Consumed {
            topic: topics::CONTROL.into(),
            partition: 0,
            offset: 7,
            appended_at: Timestamp(5_000),
            key: Some(key.as_bytes().to_vec().into()),
            payload: payload.to_vec().into(),
        }
    }

    fn row(record: &ControlRecord) -> ChangeRow {
        change_row(&consumed(&record.key(), &record.encode())).unwrap()
    }

    #[test]
    fn a_row_says_who_changed_what_when_and_why() {
        let change = Change { by: "ann".to_owned(), why: "warm up".to_owned(), at: Timestamp(9) };
        let (topic, launch) = ("shadow.captured.shop".to_owned(), Some("v2".parse().unwrap()));
        let rate = row(&ControlRecord::Rate(Rate { topic, launch, per_second: Some(2.5), change: change.clone() }));
        assert_eq!((rate.version, rate.at, rate.kind.as_str(), rate.launch.as_str()), (7, 5_000, "rate", "v2"));
        assert_eq!((rate.by.as_str(), rate.why.as_str(), rate.deleted), ("ann", "warm up", 0));
        let value: Value = serde_json::from_str(&rate.value).unwrap();
        assert_eq!(value["per_second"], 2.5);
        let everything = row(&ControlRecord::Pause(Pause { instance: None, launch: None, paused: true, change }));
        assert_eq!(
            (everything.key.as_str(), everything.subject.as_str(), everything.launch.as_str()),
            ("pause/all", "all", "")
        );
    }

    #[test]
    fn a_launchs_pause_is_part_of_the_launchs_history() {
        let of_launch = Pause::of_launch("v2".parse().unwrap(), true, Change::by("ann", "too slow"));
        let row = row(&ControlRecord::Pause(of_launch));
        assert_eq!((row.kind.as_str(), row.launch.as_str(), row.why.as_str()), ("pause", "v2", "too slow"));
    }

    #[test]
    fn deletions_newer_formats_and_garbage_have_rows_and_shares_have_none() {
        let gone = change_row(&consumed("launch/v2", b"")).unwrap();
        assert_eq!((gone.launch.as_str(), gone.deleted, gone.value.as_str()), ("v2", 1, ""));
        let newer = br#"{"format":99,"record":{"launch":{"change":{"by":"bob","why":"new","at":1}}}}"#;
        assert_eq!(change_row(&consumed("launch/v2", newer)).unwrap().by, "bob");
        let garbage = change_row(&consumed("garbage", b"\xde\xad")).unwrap();
        assert_eq!((garbage.kind.as_str(), garbage.subject.as_str(), garbage.value.as_str()), ("", "garbage", ""));
        assert!(change_row(&consumed("shares/v2", newer)).is_none());
    }
}
