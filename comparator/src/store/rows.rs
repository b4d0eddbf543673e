//! Rows as the tables of `schemas/clickhouse/` have them; the columns are explained there.
#![allow(missing_docs)]

use clickhouse::Row;
use serde::Serialize;
use uuid::Uuid;

/// A row of `exchanges`. Times are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Row, Serialize)]
pub struct ExchangeRow {
    pub launch: String,
    pub service: String,
    pub partition: i32,
    pub captured_offset: i64,
    pub replayed_offset: i64,
    pub version: u64,
    #[serde(with = "clickhouse::serde::uuid::option")]
    pub request_id: Option<Uuid>,
    pub route: String,
    pub method: String,
    pub path: String,
    pub source: String,
    pub agent: String,
    pub epoch: i64,
    pub sequence: i64,
    pub captured_at: i64,
    pub appended_at: i64,
    pub intended_at: Option<i64>,
    pub sent_at: Option<i64>,
    pub staleness_us: Option<i64>,
    pub primary_status: Option<u16>,
    pub candidate_status: Option<u16>,
    pub primary_error: String,
    pub primary_first_byte_us: Option<i64>,
    pub primary_us: Option<i64>,
    pub candidate_first_byte_us: Option<i64>,
    pub candidate_us: Option<i64>,
    pub primary_body_bytes: Option<i64>,
    pub candidate_body_bytes: Option<i64>,
    pub outcome: &'static str,
    pub reason: &'static str,
    pub result: &'static str,
    pub result_without_differences: &'static str,
    pub effects_result: &'static str,
    pub effects_reason: &'static str,
    pub primary_effects: u16,
    pub candidate_effects: u16,
    pub control_effects: u16,
    pub rules_version: String,
    pub rules_used: Vec<u16>,
    pub ruleset: String,
    pub key_id: String,
    pub candidate_ruleset: String,
    pub candidate_key_id: String,
    pub replayer: String,
    pub attempt: i32,
    pub send: Option<i64>,
    pub alone: u8,
    pub session: String,
    pub held_by: &'static str,
    pub rewritten: Vec<String>,
    #[serde(rename = "differences.signature")]
    pub differences_signature: Vec<String>,
    #[serde(rename = "differences.place")]
    pub differences_place: Vec<String>,
    #[serde(rename = "differences.kind")]
    pub differences_kind: Vec<&'static str>,
    #[serde(rename = "differences.transition")]
    pub differences_transition: Vec<String>,
    #[serde(rename = "differences.example")]
    pub differences_example: Vec<String>,
    #[serde(rename = "differences.primary")]
    pub differences_primary: Vec<String>,
    #[serde(rename = "differences.candidate")]
    pub differences_candidate: Vec<String>,
    #[serde(rename = "differences.count")]
    pub differences_count: Vec<u32>,
    #[serde(rename = "differences.expected")]
    pub differences_expected: Vec<String>,
    pub differences_omitted: u32,
    pub primary_class: String,
    pub candidate_class: String,
    pub score_difference: Option<f64>,
    pub control_sent_at: Option<i64>,
    pub control_status: Option<u16>,
    pub control_error: &'static str,
    pub control_first_byte_us: Option<i64>,
    pub control_us: Option<i64>,
    pub control_result: &'static str,
    #[serde(rename = "control.signature")]
    pub control_signature: Vec<String>,
    #[serde(rename = "control.place")]
    pub control_place: Vec<String>,
    #[serde(rename = "control.kind")]
    pub control_kind: Vec<&'static str>,
    #[serde(rename = "control.transition")]
    pub control_transition: Vec<String>,
    pub control_differences_omitted: u32,
    pub attributes: Vec<(String, String)>,
    pub primary_body: String,
    pub candidate_body: String,
}

impl ExchangeRow {
    /// A row that says nothing yet.
    pub const EMPTY: Self = Self {
        launch: String::new(),
        service: String::new(),
        partition: 0,
        captured_offset: 0,
        replayed_offset: 0,
        version: 0,
        request_id: None,
        route: String::new(),
        method: String::new(),
        path: String::new(),
        source: String::new(),
        agent: String::new(),
        epoch: 0,
        sequence: 0,
        captured_at: 0,
        appended_at: 0,
        intended_at: None,
        sent_at: None,
        staleness_us: None,
        primary_status: None,
        candidate_status: None,
        primary_error: String::new(),
        primary_first_byte_us: None,
        primary_us: None,
        candidate_first_byte_us: None,
        candidate_us: None,
        primary_body_bytes: None,
        candidate_body_bytes: None,
        outcome: "",
        reason: "",
        result: "",
        result_without_differences: "",
        effects_result: "",
        effects_reason: "",
        primary_effects: 0,
        candidate_effects: 0,
        control_effects: 0,
        rules_version: String::new(),
        rules_used: Vec::new(),
        ruleset: String::new(),
        key_id: String::new(),
        candidate_ruleset: String::new(),
        candidate_key_id: String::new(),
        replayer: String::new(),
        attempt: 0,
        send: None,
        alone: 0,
        session: String::new(),
        held_by: "",
        rewritten: Vec::new(),
        differences_signature: Vec::new(),
        differences_place: Vec::new(),
        differences_kind: Vec::new(),
        differences_transition: Vec::new(),
        differences_example: Vec::new(),
        differences_primary: Vec::new(),
        differences_candidate: Vec::new(),
        differences_count: Vec::new(),
        differences_expected: Vec::new(),
        differences_omitted: 0,
        primary_class: String::new(),
        candidate_class: String::new(),
        score_difference: None,
        control_sent_at: None,
        control_status: None,
        control_error: "",
        control_first_byte_us: None,
        control_us: None,
        control_result: "",
        control_signature: Vec::new(),
        control_place: Vec::new(),
        control_kind: Vec::new(),
        control_transition: Vec::new(),
        control_differences_omitted: 0,
        attributes: Vec::new(),
        primary_body: String::new(),
        candidate_body: String::new(),
    };

    /// About how many bytes the row holds in memory.
    pub fn weight(&self) -> usize {
        let excerpts =
            self.differences_primary.iter().chain(&self.differences_candidate).map(String::len).sum::<usize>();
        let texts = self.primary_body.len() + self.candidate_body.len() + self.path.len();
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + value.len() + 48).sum::<usize>();
        let places = self.differences_place.len() + self.control_place.len();
        size_of::<Self>() + 512 + texts + excerpts + attributes + 256 * places
    }
}

/// A row of `skipped_ranges`.
#[derive(Clone, Debug, PartialEq, Row, Serialize)]
pub struct RangeRow {
    pub launch: String,
    pub service: String,
    pub partition: i32,
    pub first_offset: i64,
    pub last_offset: i64,
    pub replayed_offset: i64,
    pub version: u64,
    pub reason: &'static str,
    pub replayer: String,
    pub at: i64,
}

/// A row of `watermarks`.
#[derive(Clone, Debug, PartialEq, Row, Serialize)]
pub struct WatermarkRow {
    pub launch: String,
    pub service: String,
    pub partition: i32,
    pub start_offset: i64,
    pub low_offset: i64,
    pub high_offset: i64,
    pub at: i64,
}

/// A row of `instance_status`.
#[derive(Clone, Debug, PartialEq, Row, Serialize)]
pub struct StatusRow {
    pub instance: String,
    pub role: &'static str,
    pub service: String,
    pub launch: String,
    pub epoch: i64,
    pub sequence: i64,
    pub at: i64,
    pub state: &'static str,
    pub control_version: i64,
    pub heard_at: Option<i64>,
    pub last_send_at: Option<i64>,
    pub counters: Vec<(String, i64)>,
}

/// A row of `dead_letters`.
#[derive(Clone, Debug, PartialEq, Row, Serialize)]
pub struct DeadLetterRow {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub reason: &'static str,
    pub detail: String,
    pub bytes: Vec<u8>,
    pub instance: String,
    pub at: i64,
}

/// A row of `launches`.
#[derive(Clone, Debug, PartialEq, Row, Serialize)]
pub struct LaunchRow {
    pub launch: String,
    pub service: String,
    pub candidate: String,
    pub status: &'static str,
    pub sample: f64,
    pub changed_by: String,
    pub changed_why: String,
    pub changed_at: i64,
    pub control_version: i64,
    pub control: String,
    pub control_sample: f64,
    pub gates: String,
    pub rules: String,
}

/// A row of `control_changes`. Times are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Row, Serialize)]
pub struct ChangeRow {
    pub version: i64,
    pub at: i64,
    pub key: String,
    pub kind: String,
    pub subject: String,
    pub launch: String,
    pub by: String,
    pub why: String,
    pub deleted: u8,
    pub value: String,
}

/// A row of `effects`. Times are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Row, Serialize)]
pub struct EffectRow {
    pub service: String,
    pub side: &'static str,
    pub launch: String,
    #[serde(with = "clickhouse::serde::uuid::option")]
    pub request_id: Option<Uuid>,
    pub instance: String,
    pub epoch: i64,
    pub sequence: i64,
    pub at: i64,
    pub appended_at: i64,
    pub total_us: i64,
    pub attempt: i32,
    pub send: Option<i64>,
    pub correlated_by: &'static str,
    pub trace_id: String,
    pub destination: String,
    pub method: String,
    pub route: String,
    pub path: String,
    pub query: String,
    pub content_type: String,
    pub body: String,
    pub body_bytes: i64,
    pub idempotency_key: String,
    pub rule: String,
    pub decision: &'static str,
    pub fault: String,
    pub status: Option<u16>,
    pub answer: String,
    pub ruleset: String,
    pub key_id: String,
    pub version: u64,
}

impl EffectRow {
    /// About how many bytes the row holds in memory.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + 256 + self.body.len() + self.answer.len() + self.path.len() + self.query.len()
    }
}
