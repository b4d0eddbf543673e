use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, MessageOptions,
};

use super::*;

fn field(name: &str, number: i32, label: Label, kind: Type, of: &str) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(kind.into()),
        type_name: (!of.is_empty()).then(|| format!(".shop.{of}")),
        ..Default::default()
    }
}

/// message Order { string id = 1; double total = 2; repeated Item items = 3; map<string, int64> stock = 4; Status status = 5; bytes raw = 6; }
/// message Item { uint64 count = 1; }
fn descriptor() -> String {
    let entry = DescriptorProto {
        name: Some("StockEntry".into()),
        field: vec![
            field("key", 1, Label::Optional, Type::String, ""),
            field("value", 2, Label::Optional, Type::Int64, ""),
        ],
        options: Some(MessageOptions { map_entry: Some(true), ..Default::default() }),
        ..Default::default()
    };
    let order = DescriptorProto {
        name: Some("Order".into()),
        field: vec![
            field("id", 1, Label::Optional, Type::String, ""),
            field("total", 2, Label::Optional, Type::Double, ""),
            field("items", 3, Label::Repeated, Type::Message, "Item"),
            field("stock", 4, Label::Repeated, Type::Message, "Order.StockEntry"),
            field("status", 5, Label::Optional, Type::Enum, "Status"),
            field("raw", 6, Label::Optional, Type::Bytes, ""),
        ],
        nested_type: vec![entry],
        ..Default::default()
    };
    let item = DescriptorProto {
        name: Some("Item".into()),
        field: vec![field("count", 1, Label::Optional, Type::Uint64, "")],
        ..Default::default()
    };
    let name = |name: &str, number| EnumValueDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        ..Default::default()
    };
    let status = EnumDescriptorProto {
        name: Some("Status".into()),
        value: vec![name("OPEN", 0), name("PAID", 1)],
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("shop.proto".into()),
        package: Some("shop".into()),
        syntax: Some("proto3".into()),
        message_type: vec![order, item],
        enum_type: vec![status],
        ..Default::default()
    };
    STANDARD.encode(FileDescriptorSet { file: vec![file] }.encode_to_vec())
}

fn order() -> Schema {
    Schema::parse(&descriptor(), "shop.Order").unwrap()
}

/// id "a", two items with 3 and 0, stock x: 5, status 1.
const BODY: &[u8] = b"\x0a\x01a\x1a\x02\x08\x03\x1a\x00\x22\x05\x0a\x01x\x10\x05\x28\x01";

fn hash(body: &[u8]) -> u128 {
    read(body, &order()).unwrap().hash(0)
}

#[test]
fn a_message_reads_as_its_fields_do() {
    let json = r#"{"id":"a","total":0,"items":[{"count":3},{"count":0}],"stock":{"x":5},"status":"PAID","raw":""}"#;
    assert_eq!(hash(BODY), crate::formats::json::read(json.as_bytes()).unwrap().hash(0));
    let empty = r#"{"id":"","total":0,"items":[],"stock":{},"status":"OPEN","raw":""}"#;
    assert_eq!(hash(b""), crate::formats::json::read(empty.as_bytes()).unwrap().hash(0));
}

#[test]
fn the_order_of_fields_on_the_wire_does_not_count_and_values_do() {
    let reordered = b"\x28\x01\x1a\x02\x08\x03\x22\x05\x10\x05\x0a\x01x\x0a\x01a\x1a\x02\x08\x00";
    assert_eq!(hash(reordered), hash(BODY));
    for other in [
        &b"\x0a\x01b\x1a\x02\x08\x03\x1a\x00\x22\x05\x0a\x01x\x10\x05\x28\x01"[..],
        b"\x0a\x01a\x1a\x00\x1a\x02\x08\x03\x22\x05\x0a\x01x\x10\x05\x28\x01",
        b"\x0a\x01a\x1a\x02\x08\x03\x1a\x00\x22\x05\x0a\x01x\x10\x05\x28\x02",
        b"\x0a\x01a\x1a\x02\x08\x03\x1a\x00\x22\x05\x0a\x01x\x10\x05\x28\x01\x38\x01",
    ] {
        assert_ne!(hash(other), hash(BODY), "{other:?}");
    }
}

#[test]
fn what_is_no_message_and_what_is_too_much_is_told_apart() {
    for bad in [&b"\x0a\x05a"[..], b"\xff", b"{\"id\":1}", b"\x0a\x01\xff"] {
        assert_eq!(read(bad, &order()).err(), Some(Unread::Malformed), "{bad:?}");
    }
    assert_eq!(read(&b"\x1a\x00".repeat(MAX_BYTES), &order()).err(), Some(Unread::TooLarge));
}

#[test]
fn a_descriptor_that_cannot_be_used_says_how_to_make_one() {
    for (descriptor, message, says) in [
        ("no base64!".to_owned(), "shop.Order", "base64"),
        (STANDARD.encode("no set"), "shop.Order", "protoc --include_imports"),
        (descriptor(), "Order", "no message `Order`"),
    ] {
        let problem = Schema::parse(&descriptor, message).unwrap_err();
        assert!(problem.contains(says), "{problem}");
    }
}
