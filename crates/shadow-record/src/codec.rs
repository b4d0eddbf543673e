//! Avro single-object encoding: two marker bytes, the schema's 64-bit fingerprint, the datum.
//!
//! Guarantee: what any released version wrote, this one reads. Records in today's schema are decoded straight into their
//! type; records in an earlier one (kept in `schemas/history/`) are first resolved against today's. Deploy readers before
//! writers: an older reader meets a newer fingerprint as [`DecodeError::UnknownSchema`] and the record is dead-lettered, not
//! misread. A lying length cannot make it allocate more than [`MAX_ALLOCATION`].

use std::collections::HashMap;
use std::sync::LazyLock;

use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::SchemaFingerprint;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Schema, from_value};
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{CapturedExchange, DeadLetter, DeadLetterReason, ReplayedExchange, SideEffect, SkippedRange, Status};

/// Most bytes one field of a record may claim, 32 MiB: above every body limit, far below the library's 512 MiB.
pub const MAX_ALLOCATION: usize = 32 << 20;

const MARKER: [u8; 2] = [0xC3, 0x01];
const HEADER: usize = MARKER.len() + 8;

/// Why bytes are not a record.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes do not begin as single-object encoding does.
    #[error("not Avro single-object encoding ({0} bytes)")]
    NotSingleObject(usize),
    /// The schema's fingerprint is not in this build.
    #[error("schema fingerprint {0} is unknown to this version: upgrade readers before writers")]
    UnknownSchema(String),
    /// Another record than the one asked for.
    #[error("expected {expected}, found {found}")]
    UnexpectedKind {
        /// The record asked for.
        expected: &'static str,
        /// The record found.
        found: &'static str,
    },
    /// The datum does not follow its schema.
    #[error("{kind}: {cause}")]
    Invalid {
        /// The record it claims to be.
        kind: &'static str,
        /// The library's message.
        cause: String,
    },
}

impl DecodeError {
    /// The reason under which the dead-letter topic files it.
    pub fn reason(&self) -> DeadLetterReason {
        match self {
            Self::NotSingleObject(_) | Self::Invalid { .. } => DeadLetterReason::Undecodable,
            Self::UnknownSchema(_) => DeadLetterReason::UnknownSchema,
            Self::UnexpectedKind { .. } => DeadLetterReason::UnexpectedKind,
        }
    }
}

/// A type with a schema in `schemas/`.
pub trait Record: Serialize + DeserializeOwned {
    /// The schema's name.
    const NAME: &'static str;

    /// The one variant of [`AnyRecord`] that holds it, or the record back.
    fn from_any(any: AnyRecord) -> Result<Self, AnyRecord>;
}

macro_rules! records {
    ($($name:ident),*) => {
        /// Any record that may stand in a topic of the flow.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)]
        pub enum AnyRecord { $($name(Box<$name>)),* }

        impl AnyRecord {
            /// The schema's name.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => $name::NAME),* }
            }
        }

        $(impl Record for $name {
            const NAME: &'static str = stringify!($name);
            fn from_any(any: AnyRecord) -> Result<Self, AnyRecord> {
                match any { AnyRecord::$name(record) => Ok(*record), other => Err(other) }
            }
        })*

        /// Today's schemas, by name.
        const CURRENT: &[(&str, &str)] = &[
            $((stringify!($name), include_str!(concat!("../../../schemas/", stringify!($name), ".avsc")))),*
        ];

        fn read_any(name: &'static str, known: &Known, datum: &[u8]) -> Result<AnyRecord, DecodeError> {
            match name {
                $(stringify!($name) => read::<$name>(known, datum).map(|r| AnyRecord::$name(Box::new(r))),)*
                _ => unreachable!("every known schema is one of the records"),
            }
        }
    };
}

records!(CapturedExchange, ReplayedExchange, SkippedRange, SideEffect, Status, DeadLetter);

/// Earlier schemas that may still stand in topics, by record name. Add the old text to `schemas/history/` and a line here
/// in the same change that edits a schema.
const HISTORY: &[(&str, &str)] = &[
    ("CapturedExchange", include_str!("../../../schemas/history/CapturedExchange.v1.avsc")),
    ("ReplayedExchange", include_str!("../../../schemas/history/ReplayedExchange.v1.avsc")),
    ("ReplayedExchange", include_str!("../../../schemas/history/ReplayedExchange.v2.avsc")),
    ("ReplayedExchange", include_str!("../../../schemas/history/ReplayedExchange.v3.avsc")),
    ("SideEffect", include_str!("../../../schemas/history/SideEffect.v1.avsc")),
    ("SkippedRange", include_str!("../../../schemas/history/SkippedRange.v1.avsc")),
    ("Status", include_str!("../../../schemas/history/Status.v1.avsc")),
];

struct Known {
    name: &'static str,
    schema: &'static Schema,
    reader: GenericDatumReader<'static>,
    current: bool,
}

struct Writer {
    header: [u8; HEADER],
    writer: GenericDatumWriter<'static>,
}

struct Codec {
    known: HashMap<[u8; 8], Known>,
    writers: HashMap<&'static str, Writer>,
}

static CODEC: LazyLock<Codec> = LazyLock::new(|| Codec::build(HISTORY));

impl Codec {
    fn build(history: &[(&'static str, &'static str)]) -> Self {
        apache_avro::util::max_allocation_bytes(MAX_ALLOCATION);
        let mut codec = Self { known: HashMap::new(), writers: HashMap::new() };
        let today: HashMap<_, _> = CURRENT.iter().map(|&(name, text)| (name, parse(text))).collect();
        for (&name, &schema) in &today {
            let writer =
                GenericDatumWriter::builder(schema).human_readable(false).build().expect("shipped schemas resolve");
            let mut header = [0; HEADER];
            header[..2].copy_from_slice(&MARKER);
            header[2..].copy_from_slice(&fingerprint(schema));
            codec.writers.insert(name, Writer { header, writer });
            codec.learn(name, schema, schema);
        }
        for &(name, text) in history {
            codec.learn(name, parse(text), today[name]);
        }
        codec
    }

    fn learn(&mut self, name: &'static str, written: &'static Schema, today: &'static Schema) {
        let current = std::ptr::eq(written, today);
        let builder = GenericDatumReader::builder(written).human_readable(false);
        let reader = if current { builder.build() } else { builder.reader_schema(today).build() };
        let reader = reader.expect("shipped schemas resolve");
        self.known.insert(fingerprint(written), Known { name, schema: today, reader, current });
    }
}

/// Schemas live as long as the process; leaking them once lets readers and writers borrow them.
fn parse(text: &str) -> &'static Schema {
    Box::leak(Box::new(Schema::parse_str(text).expect("shipped schemas parse")))
}

fn fingerprint(schema: &Schema) -> [u8; 8] {
    let SchemaFingerprint { bytes } = schema.fingerprint::<Rabin>();
    bytes.try_into().expect("a Rabin fingerprint has 8 bytes")
}

fn read<R: Record>(known: &Known, mut datum: &[u8]) -> Result<R, DecodeError> {
    let result = if known.current {
        known.reader.read_deser(&mut datum)
    } else {
        known.reader.read_value(&mut datum).and_then(|value| from_value(&value))
    };
    debug_assert_eq!(known.schema.name().map(|n| n.name()), Some(R::NAME));
    match result {
        Ok(record) if datum.is_empty() => Ok(record),
        Ok(_) => Err(DecodeError::Invalid { kind: R::NAME, cause: format!("{} bytes left over", datum.len()) }),
        Err(error) => Err(DecodeError::Invalid { kind: R::NAME, cause: tail_of(&error.to_string()) }),
    }
}

/// The library's messages begin with the whole schema; what went wrong is at their end.
fn tail_of(message: &str) -> String {
    const LONGEST: usize = 200;
    message.chars().skip(message.chars().count().saturating_sub(LONGEST)).collect()
}

/// The wire form of a record.
pub fn encode<R: Record>(record: &R) -> Bytes {
    let Writer { header, writer } = &CODEC.writers[R::NAME];
    let mut out = BytesMut::with_capacity(1024).writer();
    out.get_mut().put_slice(header);
    writer.write_ser(&mut out, record).expect("every value of a record type fits its schema");
    out.into_inner().freeze()
}

/// Reads whatever record the bytes hold.
///
/// # Errors
/// [`DecodeError`], with the dead-letter reason it maps to.
pub fn decode_any(bytes: &[u8]) -> Result<AnyRecord, DecodeError> {
    decode_with(&CODEC, bytes)
}

fn decode_with(codec: &Codec, bytes: &[u8]) -> Result<AnyRecord, DecodeError> {
    let (marker, rest) = bytes.split_at_checked(2).ok_or(DecodeError::NotSingleObject(bytes.len()))?;
    let (print, datum) = rest.split_at_checked(8).ok_or(DecodeError::NotSingleObject(bytes.len()))?;
    if marker != MARKER {
        return Err(DecodeError::NotSingleObject(bytes.len()));
    }
    let known = codec
        .known
        .get(print)
        .ok_or_else(|| DecodeError::UnknownSchema(print.iter().rev().map(|b| format!("{b:02x}")).collect()))?;
    read_any(known.name, known, datum)
}

/// Reads a record of one kind.
///
/// # Errors
/// As [`decode_any`], and [`DecodeError::UnexpectedKind`] for another record.
pub fn decode<R: Record>(bytes: &[u8]) -> Result<R, DecodeError> {
    R::from_any(decode_any(bytes)?)
        .map_err(|other| DecodeError::UnexpectedKind { expected: R::NAME, found: other.name() })
}

#[cfg(test)]
mod tests;
