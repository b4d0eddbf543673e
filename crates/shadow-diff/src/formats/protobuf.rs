//! Reads Protocol Buffers by the descriptor set that the rules hold: a message is an object of its fields, a map an object by its
//! keys, bytes are base64, an enumerator is its name.
//!
//! A field that cannot be told from one with its default value is always there, so `0` against `5` is another value and not an
//! added one. Fields that the descriptor does not know stand under their number (`#7`), as they are on the wire.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};

use crate::document::{Builder, Document};
use crate::formats::Unread;

/// Longest message: each of its bytes can become one value.
const MAX_BYTES: usize = crate::MAX_NODES;

/// What a message is read by.
#[derive(Clone)]
pub(crate) struct Schema(MessageDescriptor);

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.0.full_name()).finish()
    }
}

impl Schema {
    /// The message `name` of a descriptor set in base64.
    ///
    /// # Errors
    /// What is wrong with them, and the remedy.
    pub(crate) fn parse(descriptor: &str, name: &str) -> Result<Self, String> {
        const MAKE: &str = "make it with protoc --include_imports --descriptor_set_out";
        let set = STANDARD.decode(descriptor).map_err(|_| format!("`descriptor` is not base64; {MAKE}"))?;
        let pool = DescriptorPool::decode(&set[..])
            .map_err(|error| format!("`descriptor` is not a descriptor set ({error}); {MAKE}"))?;
        let message = pool.get_message_by_name(name);
        message.map(Self).ok_or_else(|| format!("the descriptor set has no message `{name}`; name it with its package"))
    }
}

/// Whether a body of this media type may be a message. Careless services say nothing, or that it is bytes; then an empty one is no
/// message, although it could be: the one in which every field has its default value.
pub(super) fn may_be(media: &str, bytes: &[u8]) -> bool {
    let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "" | "application/octet-stream" => !bytes.is_empty(),
        other => other.ends_with("protobuf") || other.ends_with("+proto"),
    }
}

/// Reads a whole message.
pub(super) fn read(bytes: &[u8], Schema(descriptor): &Schema) -> Result<Document, Unread> {
    if bytes.len() > MAX_BYTES {
        return Err(Unread::TooLarge);
    }
    let message = DynamicMessage::decode(descriptor.clone(), bytes).map_err(|_| Unread::Malformed)?;
    let mut builder = Builder::for_bytes(bytes.len());
    write(&message, &mut builder)?;
    Ok(builder.finish())
}

/// Recursion goes as deep as decoding went, which is at most a hundred levels.
fn write(message: &DynamicMessage, builder: &mut Builder) -> Result<(), Unread> {
    builder.begin_object()?;
    for field in message.descriptor().fields() {
        if message.has_field(&field) || !field.supports_presence() {
            builder.name(field.name())?;
            value(&field, &message.get_field(&field), builder)?;
        }
    }
    for (extension, set) in message.extensions() {
        builder.name(extension.json_name())?;
        scalar(&extension.kind(), set, builder)?;
    }
    let mut unknown: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for field in message.unknown_fields() {
        let mut wire = Vec::new();
        field.encode(&mut wire);
        unknown.entry(field.number()).or_default().push(STANDARD.encode(wire));
    }
    for (number, fields) in unknown {
        builder.name(&format!("#{number}"))?;
        builder.begin_array()?;
        fields.iter().try_for_each(|field| builder.string(field))?;
        builder.end();
    }
    builder.end();
    Ok(())
}

fn value(field: &FieldDescriptor, value: &Value, builder: &mut Builder) -> Result<(), Unread> {
    match value {
        Value::Map(entries) => {
            let Kind::Message(entry) = field.kind() else { return Err(Unread::Malformed) };
            let kind = entry.map_entry_value_field().kind();
            // A hash map has another order in every process, and what is found must not.
            let entries: BTreeMap<String, &Value> = entries.iter().map(|(key, value)| (text(key), value)).collect();
            builder.begin_object()?;
            for (key, value) in entries {
                builder.name(&key)?;
                scalar(&kind, value, builder)?;
            }
            builder.end();
            Ok(())
        }
        other => scalar(&field.kind(), other, builder),
    }
}

fn text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

/// A value of this kind, or a list of them.
fn scalar(kind: &Kind, value: &Value, builder: &mut Builder) -> Result<(), Unread> {
    match value {
        Value::Bool(truth) => builder.boolean(*truth)?,
        Value::I32(number) => builder.number(&number.to_string())?,
        Value::I64(number) => builder.number(&number.to_string())?,
        Value::U32(number) => builder.number(&number.to_string())?,
        Value::U64(number) => builder.number(&number.to_string())?,
        Value::F32(number) if number.is_finite() => builder.number(&format!("{number:e}"))?,
        Value::F64(number) if number.is_finite() => builder.number(&format!("{number:e}"))?,
        Value::F32(number) => builder.string(&number.to_string())?,
        Value::F64(number) => builder.string(&number.to_string())?,
        Value::String(text) => builder.string(text)?,
        Value::Bytes(bytes) => builder.string(&STANDARD.encode(bytes))?,
        Value::EnumNumber(number) => {
            let named = if let Kind::Enum(names) = kind { names.get_value(*number) } else { None };
            match named {
                Some(named) => builder.string(named.name())?,
                None => builder.number(&number.to_string())?,
            }
        }
        Value::Message(message) => write(message, builder)?,
        Value::List(items) => {
            builder.begin_array()?;
            items.iter().try_for_each(|item| scalar(kind, item, builder))?;
            builder.end();
        }
        // Only fields hold maps.
        Value::Map(_) => return Err(Unread::Malformed),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
