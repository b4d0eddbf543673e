//! The codec's promises, on the published examples of `schemas/examples/`.

use apache_avro::schema_compatibility::SchemaCompatibility;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{Outcome, SkipReason};

fn example(name: &str) -> String {
    let path = format!("{}/../../schemas/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Today's example of a record.
fn from_json(name: &str) -> AnyRecord {
    from_file(name, &format!("{name}.json"))
}

fn from_file(name: &str, file: &str) -> AnyRecord {
    fn parse<R: Record>(file: &str) -> R {
        serde_json::from_str(&example(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
    }
    match name {
        "CapturedExchange" => AnyRecord::CapturedExchange(Box::new(parse(file))),
        "ReplayedExchange" => AnyRecord::ReplayedExchange(Box::new(parse(file))),
        "SkippedRange" => AnyRecord::SkippedRange(Box::new(parse(file))),
        "SideEffect" => AnyRecord::SideEffect(Box::new(parse(file))),
        "Status" => AnyRecord::Status(Box::new(parse(file))),
        "DeadLetter" => AnyRecord::DeadLetter(Box::new(parse(file))),
        other => panic!("no example for {other}"),
    }
}

/// Bytes that a version wrote, beside the example they were written from.
const WRITTEN: &[(&str, &str, &str)] = &[
    ("CapturedExchange", "CapturedExchange.v1.hex", "CapturedExchange.v1.json"),
    ("CapturedExchange", "CapturedExchange.v2.hex", "CapturedExchange.json"),
    ("ReplayedExchange", "ReplayedExchange.v1.hex", "ReplayedExchange.v1.json"),
    ("ReplayedExchange", "ReplayedExchange.v2.hex", "ReplayedExchange.v2.json"),
    ("ReplayedExchange", "ReplayedExchange.v3.hex", "ReplayedExchange.v3.json"),
    ("ReplayedExchange", "ReplayedExchange.v4.hex", "ReplayedExchange.json"),
    ("SkippedRange", "SkippedRange.v1.hex", "SkippedRange.json"),
    ("SkippedRange", "SkippedRange.v2.hex", "SkippedRange.json"),
    ("SideEffect", "SideEffect.v1.hex", "SideEffect.v1.json"),
    ("SideEffect", "SideEffect.v2.hex", "SideEffect.json"),
    ("Status", "Status.v1.hex", "Status.json"),
    ("Status", "Status.v2.hex", "Status.json"),
    ("DeadLetter", "DeadLetter.v1.hex", "DeadLetter.json"),
];

fn encode_any(record: &AnyRecord) -> Bytes {
    match record {
        AnyRecord::CapturedExchange(r) => encode(&**r),
        AnyRecord::ReplayedExchange(r) => encode(&**r),
        AnyRecord::SkippedRange(r) => encode(&**r),
        AnyRecord::SideEffect(r) => encode(&**r),
        AnyRecord::Status(r) => encode(&**r),
        AnyRecord::DeadLetter(r) => encode(&**r),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let text: String = text.split_whitespace().collect();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn published_examples_round_trip_through_json_and_avro() {
    for (name, _) in CURRENT {
        let record = from_json(name);
        assert_eq!(decode_any(&encode_any(&record)).unwrap(), record, "{name}");
        let again: Value = match &record {
            AnyRecord::CapturedExchange(r) => serde_json::to_value(r),
            AnyRecord::ReplayedExchange(r) => serde_json::to_value(r),
            AnyRecord::SkippedRange(r) => serde_json::to_value(r),
            AnyRecord::SideEffect(r) => serde_json::to_value(r),
            AnyRecord::Status(r) => serde_json::to_value(r),
            AnyRecord::DeadLetter(r) => serde_json::to_value(r),
        }
        .unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(&example(&format!("{name}.json"))).unwrap(), "{name}");
    }
}

/// They must be readable for ever: if this fails after a schema was edited, put the schema's old text into `schemas/history/`
/// and into `HISTORY`.
#[test]
fn bytes_of_every_version_are_still_read() {
    for (name, hex_file, json_file) in WRITTEN {
        let (written, example) = (unhex(&example(hex_file)), from_file(name, json_file));
        let now = hex(&encode_any(&example));
        let record = decode_any(&written).unwrap_or_else(|e| panic!("{hex_file}: {e}\nnow: {now}"));
        assert_eq!(record, example, "{hex_file}");
    }
}

/// What a reader makes of newer records once it knows their schema: it sees everything but what it has no field for.
#[test]
fn todays_records_are_resolved_against_every_earlier_schema() {
    for (name, old) in HISTORY {
        let record = from_json(name);
        let bytes = encode_any(&record);
        let schema = CODEC.known[&bytes[MARKER.len()..HEADER]].schema;
        let reader = GenericDatumReader::builder(schema).reader_schema(parse(old)).build().unwrap();
        let read = reader.read_value(&mut &bytes[HEADER..]).unwrap();
        let AnyRecord::ReplayedExchange(today) = record else {
            match record {
                AnyRecord::CapturedExchange(today) => {
                    let known = CapturedExchange { effects_recorded: false, ..*today };
                    assert_eq!(from_value::<CapturedExchange>(&read).unwrap(), known);
                }
                AnyRecord::SideEffect(today) => {
                    assert_eq!(from_value::<SideEffect>(&read).unwrap(), SideEffect { send: None, ..*today });
                }
                AnyRecord::SkippedRange(today) => assert_eq!(from_value::<SkippedRange>(&read).unwrap(), *today),
                AnyRecord::Status(today) => assert_eq!(from_value::<Status>(&read).unwrap(), *today),
                _ => panic!("{name} has no expectation here"),
            }
            continue;
        };
        assert!(today.control.is_some() && today.held_by.is_some(), "the example shows what is new");
        let control = if old.contains("ControlAnswer") { today.control.clone() } else { None };
        let knows_session = old.contains("\"session\"");
        let (session, held_by, rewritten) = if knows_session {
            (today.session.clone(), today.held_by, today.rewritten.clone())
        } else {
            (None, None, Vec::new())
        };
        let known = ReplayedExchange { control, session, held_by, rewritten, send: None, alone: false, ..*today };
        assert_eq!(from_value::<ReplayedExchange>(&read).unwrap(), known, "{name}");
    }
}

#[test]
fn every_earlier_schema_is_compatible_both_ways() {
    for (name, old) in HISTORY {
        let today = CURRENT.iter().find(|(n, _)| n == name).expect("history of a record that exists").1;
        SchemaCompatibility::mutual_read(parse(old), parse(today)).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

/// What will happen at the next edit of a schema, rehearsed: records of a version without `correlation_id` and without the
/// newest skip reason are read by today's types.
#[test]
fn records_of_an_earlier_version_are_resolved_against_todays_schema() {
    let without = |name: &str, remove: &dyn Fn(&mut Value)| -> &'static str {
        let mut schema: Value = serde_json::from_str(CURRENT.iter().find(|(n, _)| *n == name).unwrap().1).unwrap();
        remove(&mut schema);
        Box::leak(schema.to_string().into_boxed_str())
    };
    let captured = without("CapturedExchange", &|schema| {
        schema["fields"].as_array_mut().unwrap().retain(|f| f["name"] != "correlation_id");
    });
    let skipped = without("SkippedRange", &|schema| {
        let fields = schema["fields"].as_array_mut().unwrap();
        let reason = fields.iter_mut().find(|f| f["name"] == "reason").unwrap();
        reason["type"]["symbols"].as_array_mut().unwrap().retain(|s| s != "no_record");
    });
    for (old, name) in [(captured, "CapturedExchange"), (skipped, "SkippedRange")] {
        let today = CURRENT.iter().find(|(n, _)| *n == name).unwrap().1;
        SchemaCompatibility::mutual_read(parse(old), parse(today)).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    let codec = Codec::build(&[("CapturedExchange", captured), ("SkippedRange", skipped)]);
    for (old, name) in [(captured, "CapturedExchange"), (skipped, "SkippedRange")] {
        let schema = parse(old);
        let writer = GenericDatumWriter::builder(schema).human_readable(false).build().unwrap();
        let mut bytes = MARKER.to_vec();
        bytes.extend(fingerprint(schema));
        match from_json(name) {
            AnyRecord::CapturedExchange(r) => {
                // Skips the field the old writer did not have.
                let mut old: serde_json::Map<String, Value> =
                    serde_json::from_value(serde_json::to_value(&r).unwrap()).unwrap();
                old.remove("correlation_id");
                let value = apache_avro::to_value(&*r).unwrap();
                let apache_avro::types::Value::Record(fields) = value else { panic!("a record") };
                let fields = fields.into_iter().filter(|(n, _)| n != "correlation_id").collect();
                let value = apache_avro::types::Value::Record(fields).resolve(schema).unwrap();
                bytes.extend(writer.write_value_to_vec(value).unwrap());
            }
            AnyRecord::SkippedRange(r) => bytes.extend(writer.write_ser_to_vec(&*r).unwrap()),
            other => panic!("{}", other.name()),
        }
        assert!(matches!(decode_any(&bytes), Err(DecodeError::UnknownSchema(_))), "{name}: not released yet");
        assert_eq!(decode_with(&codec, &bytes).unwrap(), from_json(name), "{name}");
    }
}

#[test]
fn bad_bytes_are_named_and_never_panic() {
    let good = encode_any(&from_json("SkippedRange"));
    assert!(matches!(decode_any(b""), Err(DecodeError::NotSingleObject(0))));
    assert!(matches!(decode_any(b"{\"json\":true}"), Err(DecodeError::NotSingleObject(_))));
    assert!(matches!(decode_any(&good[..good.len() - 1]), Err(DecodeError::Invalid { .. })));
    assert!(matches!(decode_any(&[&good[..], b"x"].concat()), Err(DecodeError::Invalid { .. })));
    let mut unknown = good.to_vec();
    unknown[4] ^= 1;
    let error = decode_any(&unknown).unwrap_err();
    assert_eq!(error.reason(), DeadLetterReason::UnknownSchema);
    assert!(error.to_string().contains("upgrade readers"), "{error}");
    assert_eq!(decode::<Status>(&good).unwrap_err().reason(), DeadLetterReason::UnexpectedKind);
}

#[test]
fn an_outcome_that_contradicts_itself_is_refused() {
    let mut json: Value = serde_json::from_str(&example("ReplayedExchange.json")).unwrap();
    json["control"]["failure"] = "timeout".into();
    assert!(serde_json::from_value::<ReplayedExchange>(json.clone()).is_err());
    json["control"] = Value::Null;
    assert!(serde_json::from_value::<ReplayedExchange>(json.clone()).is_ok());
    json["outcome"] = "failed".into();
    assert!(serde_json::from_value::<ReplayedExchange>(json).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), which in 0usize..6, known: bool) {
        if known && bytes.len() >= HEADER {
            let header = CODEC.writers[CURRENT[which].0].header;
            bytes[..HEADER].copy_from_slice(&header);
        }
        let _ = decode_any(&bytes);
    }

    #[test]
    fn any_outcome_and_body_survive_the_wire(content in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200)), offset: i64, kind in 0..4) {
        let AnyRecord::ReplayedExchange(mut record) = from_json("ReplayedExchange") else { panic!("a replayed exchange") };
        record.offset = offset;
        if let Some(control) = &mut record.control {
            control.total_us = Some(offset);
            if kind == 1 {
                control.answer = Err(crate::FailureClass::Timeout);
            }
        }
        if kind == 2 {
            record.control = None;
        }
        if let Outcome::Completed(response) = &mut record.outcome {
            response.body.content = content.map(Bytes::from);
        }
        match kind {
            0 => record.outcome = Outcome::Skipped(SkipReason::UnsafeMethod),
            1 => record.outcome = Outcome::Failed(crate::FailureClass::Killed),
            2 => record.outcome = Outcome::DeadLettered,
            _ => {}
        }
        prop_assert_eq!(&decode::<ReplayedExchange>(&encode(&*record)).unwrap(), &*record);
        let json = serde_json::to_string(&record).unwrap();
        prop_assert_eq!(&serde_json::from_str::<ReplayedExchange>(&json).unwrap(), &*record);
    }
}
