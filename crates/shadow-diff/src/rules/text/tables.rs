//! What the text of the rules may hold: one struct for each kind of table.

use serde::Deserialize;
use toml::Spanned;

pub(super) type Texts = Vec<Spanned<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    pub(super) version: Option<String>,
    pub(super) headers: Option<Vec<String>>,
    #[serde(default)]
    pub(super) ignore: Vec<Spanned<Ignore>>,
    #[serde(default)]
    pub(super) unordered: Vec<Spanned<Unordered>>,
    #[serde(default)]
    pub(super) keyed: Vec<Spanned<Keyed>>,
    #[serde(default)]
    pub(super) tolerance: Vec<Spanned<ToleranceText>>,
    #[serde(default)]
    pub(super) pattern: Vec<Spanned<PatternText>>,
    #[serde(default)]
    pub(super) normalize: Vec<Spanned<Normalize>>,
    #[serde(default)]
    pub(super) timestamp: Vec<Spanned<TimestampText>>,
    #[serde(default)]
    pub(super) uuid: Vec<Spanned<Uuid>>,
    #[serde(default)]
    pub(super) null_is_missing: Vec<Spanned<NullIsMissing>>,
    #[serde(default)]
    pub(super) shape: Vec<Spanned<Shape>>,
    #[serde(default)]
    pub(super) errors: Vec<Spanned<ErrorsText>>,
    #[serde(default)]
    pub(super) expected: Vec<Spanned<ExpectedText>>,
    #[serde(default)]
    pub(super) measure: Vec<Spanned<MeasureText>>,
    #[serde(default)]
    pub(super) protobuf: Vec<Spanned<ProtobufText>>,
}

/// Tables of the text. All have a route, and `why` for those who read them.
macro_rules! tables {
    ($($name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {
        $(#[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            pub(super) route: Option<String>,
            #[serde(rename = "why")]
            _why: Option<String>,
            $($(#[$attribute])* pub(super) $field: $type,)*
        })*
    };
}

tables! {
    Ignore { #[serde(default)] json: Texts, #[serde(default)] header: Texts, }
    Unordered { json: Texts, #[serde(default)] r#as: Collection, }
    Keyed { json: Texts, key: Spanned<String>, }
    ToleranceText {
        #[serde(default)] json: Texts,
        #[serde(default)] header: Texts,
        absolute: Option<Spanned<Amount>>,
        relative: Option<Spanned<Amount>>,
    }
    PatternText { #[serde(default)] json: Texts, #[serde(default)] header: Texts, pattern: Spanned<String>, }
    Normalize {
        #[serde(default)] json: Texts,
        #[serde(default)] header: Texts,
        #[serde(default)] case: bool,
        #[serde(default)] whitespace: bool,
        #[serde(default)] number: bool,
        #[serde(default)] number_type: bool,
    }
    TimestampText {
        #[serde(default)] json: Texts,
        #[serde(default)] header: Texts,
        within: Spanned<String>,
        #[serde(default)] any_notation: bool,
    }
    Uuid { #[serde(default)] json: Texts, #[serde(default)] header: Texts, }
    NullIsMissing { json: Texts, }
    Shape { json: Texts, }
    ErrorsText { #[serde(default)] status: ErrorStatus, #[serde(default)] json: Texts, }
    ProtobufText {
        message: Spanned<String>,
        descriptor: Option<Spanned<String>>,
        descriptor_file: Option<Spanned<String>>,
    }
    MeasureText { class: Option<Spanned<String>>, score: Option<Spanned<String>>, }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedText {
    pub(super) route: Option<String>,
    pub(super) name: Spanned<String>,
    pub(super) place: Spanned<String>,
    pub(super) kind: Option<Spanned<String>>,
    pub(super) transition: Option<String>,
    pub(super) owner: String,
    pub(super) expires: Spanned<String>,
    pub(super) why: String,
    #[serde(rename = "release")]
    pub(super) _release: Option<String>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum Collection {
    #[default]
    Multiset,
    Set,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum ErrorStatus {
    #[default]
    Exact,
    Class,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Amount {
    Integer(u64),
    Float(f64),
    Text(String),
}

impl Amount {
    /// As a decimal: a float in its shortest notation, which is how it was written.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Integer(amount) => amount.to_string(),
            Self::Float(amount) => amount.to_string(),
            Self::Text(amount) => amount.clone(),
        }
    }
}
