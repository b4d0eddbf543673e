//! The TOML text of the rules: its tables, and how each becomes a rule.

mod tables;

use shadow_record::Timestamp;
use toml::Spanned;

use super::expected::{Expected, ExpectedPlace};
use super::{ArrayOrder, Errors, MAX_RULES, Measure, RoutePattern, Rule, RulesError, Treatment};
use crate::formats::Schema;
use crate::path::{InvalidPath, JsonPath, Step};
use crate::value::{Equivalence, Normalization, Pattern, Tolerance};
use tables::{Amount, Collection, ErrorStatus, ExpectedText, Normalize, Text};

/// What a text says.
pub(super) struct Parsed {
    pub(super) version: Option<String>,
    pub(super) headers: Option<Vec<String>>,
    pub(super) rules: Vec<Rule>,
}

/// Reads the text's tables; the rules are numbered as they stand in it.
pub(super) fn parse(text: &str) -> Result<Parsed, RulesError> {
    let at = |at: usize| Lines(text).of(at);
    let parsed: Text = toml::from_str(text).map_err(|error| RulesError {
        line: error.span().map_or(1, |span| at(span.start)),
        problem: error.message().to_owned(),
    })?;
    let mut reading = Reading { lines: Lines(text), rules: Vec::new() };
    reading.tables(parsed.ignore, "ignore", |lines, table| {
        places(lines, &table.route, &table.json, &table.header, Treatment::Ignore)
    })?;
    reading.tables(parsed.unordered, "unordered", |lines, table| {
        let order = match table.r#as {
            Collection::Multiset => ArrayOrder::Multiset,
            Collection::Set => ArrayOrder::Set,
        };
        places(lines, &table.route, &table.json, &[], Treatment::Order(order))
    })?;
    reading.tables(parsed.keyed, "keyed", |lines, table| {
        let key = table.key.get_ref();
        let path = if key.starts_with('$') { key.clone() } else { format!("$.{key}") };
        let key = lines.path(&table.key, JsonPath::exact(&path))?;
        places(lines, &table.route, &table.json, &[], Treatment::Order(ArrayOrder::Keyed(key)))
    })?;
    reading.tables(parsed.tolerance, "tolerance", |lines, table| {
        let amount = |amount: &Option<Spanned<Amount>>| {
            let text = amount.as_ref().map(|amount| (amount.span().start, amount.get_ref().text()));
            text.map(|(at, text)| Tolerance::amount(&text).map_err(|problem| lines.error(at, problem))).transpose()
        };
        let tolerance = Tolerance { absolute: amount(&table.absolute)?, relative: amount(&table.relative)? };
        if tolerance.absolute.is_none() && tolerance.relative.is_none() {
            return Err(lines.here("a tolerance needs absolute = 0.01, relative = 0.001, or both"));
        }
        let treatment = Treatment::Equivalence(Equivalence::Tolerance(tolerance));
        places(lines, &table.route, &table.json, &table.header, treatment)
    })?;
    reading.tables(parsed.pattern, "pattern", |lines, table| {
        let pattern = Pattern::parse(table.pattern.get_ref());
        let pattern = pattern.map_err(|problem| lines.error(table.pattern.span().start, problem))?;
        let treatment = Treatment::Equivalence(Equivalence::Pattern(pattern));
        places(lines, &table.route, &table.json, &table.header, treatment)
    })?;
    reading.tables(parsed.normalize, "normalize", |lines, table| {
        let &Normalize { case, whitespace, number, number_type, .. } = &table;
        if !(case || whitespace || number || number_type) {
            return Err(lines.here("say what is normalised: case, whitespace, number or number_type = true"));
        }
        let normalization = Normalization { case, whitespace, number: number || number_type, number_type };
        let treatment = Treatment::Equivalence(Equivalence::Normalization(normalization));
        places(lines, &table.route, &table.json, &table.header, treatment)
    })?;
    reading.tables(parsed.timestamp, "timestamp", |lines, table| {
        let within = table.within.get_ref().parse::<jiff::SignedDuration>().ok().filter(|d| !d.is_negative());
        let within = within.ok_or_else(|| {
            lines.error(table.within.span().start, "a time is written as \"250ms\", \"5s\" or \"1h30m\"")
        })?;
        let treatment = Treatment::Equivalence(Equivalence::Timestamp {
            within: within.as_nanos(),
            any_notation: table.any_notation,
        });
        places(lines, &table.route, &table.json, &table.header, treatment)
    })?;
    reading.tables(parsed.uuid, "uuid", |lines, table| {
        places(lines, &table.route, &table.json, &table.header, Treatment::Equivalence(Equivalence::Uuid))
    })?;
    reading.tables(parsed.null_is_missing, "null_is_missing", |lines, table| {
        places(lines, &table.route, &table.json, &[], Treatment::NullIsMissing)
    })?;
    reading.tables(parsed.shape, "shape", |lines, table| {
        places(lines, &table.route, &table.json, &[], Treatment::Shape)
    })?;
    reading.tables(parsed.errors, "errors", |lines, table| {
        let members = table.json.iter().map(|text| {
            let path = lines.path(text, JsonPath::exact(text.get_ref()))?;
            let whole = path.0.is_empty().then(|| {
                lines.error(
                    text.span().start,
                    "it names the whole body; name members that say which error it is, as $.type",
                )
            });
            whole.map_or(Ok(path), Err)
        });
        let errors =
            Errors { status_by_class: table.status == ErrorStatus::Class, members: members.collect::<Result<_, _>>()? };
        Ok(whole(&table.route, Treatment::Errors(errors)))
    })?;
    reading.tables(parsed.expected, "expected", expected)?;
    reading.tables(parsed.measure, "measure", |lines, table| {
        let exact = |path: &Option<Spanned<String>>| {
            path.as_ref().map(|path| lines.path(path, JsonPath::exact(path.get_ref()))).transpose()
        };
        let measure = Measure { class: exact(&table.class)?, score: exact(&table.score)? };
        if measure.class.is_none() && measure.score.is_none() {
            return Err(lines.here("say what is measured: class = \"$.label\", score = \"$.score\", or both"));
        }
        Ok(whole(&table.route, Treatment::Measure(measure)))
    })?;
    reading.tables(parsed.protobuf, "protobuf", |lines, table| {
        if let Some(file) = &table.descriptor_file {
            return Err(
                lines.error(file.span().start, "rules are text without files; shadowctl reads this one into them")
            );
        }
        let descriptor = table.descriptor.as_ref().map(|descriptor| descriptor.get_ref().as_str());
        let descriptor = descriptor.ok_or_else(|| lines.here("`descriptor_file` or `descriptor` is missing"))?;
        let schema = Schema::parse(descriptor, table.message.get_ref());
        let schema = schema.map_err(|problem| lines.error(table.message.span().start, &problem))?;
        Ok(whole(&table.route, Treatment::Protobuf(schema)))
    })?;
    let headers = parsed.headers.map(|names| names.iter().map(|name| name.to_ascii_lowercase()).collect());
    Ok(Parsed { version: parsed.version, headers, rules: reading.finish()? })
}

fn expected(lines: &At<'_>, table: ExpectedText) -> Result<Rule, RulesError> {
    let required = [(table.name.get_ref(), "name"), (&table.owner, "owner"), (&table.why, "why")];
    if let Some((_, name)) = required.iter().find(|(value, _)| value.trim().is_empty()) {
        return Err(lines.here(&format!("`{name}` says nothing; an expected change names its owner and its reason")));
    }
    let place = table.place.get_ref().trim();
    let header = place.strip_prefix("header:").map(|name| format!("header:{}", name.to_ascii_lowercase()));
    let place = match (place, header) {
        (_, Some(header)) => ExpectedPlace::Word(header),
        ("status" | "body" | "call", None) => ExpectedPlace::Word(place.to_owned()),
        _ => {
            let path = lines.path(&table.place, JsonPath::parse(place))?;
            if path.0.iter().any(|step| matches!(step, Step::Index(_))) {
                return Err(lines.error(
                    table.place.span().start,
                    "places of differences have no indexes; write [*] for every element",
                ));
            }
            let steps = &path.0;
            let many = steps.contains(&Step::DescendAny) || steps.last() == Some(&Step::AnyMember);
            if many && table.kind.is_none() {
                return Err(lines.error(
                    table.place.span().start,
                    "it names whatever is there; say which `kind` of difference is expected, such as \"added\"",
                ));
            }
            ExpectedPlace::Json(path.reported())
        }
    };
    if place == ExpectedPlace::Word("status".to_owned()) && table.transition.is_none() {
        return Err(lines.error(
            table.place.span().start,
            "not every status is expected; say which with `transition`, such as \"200->201\"",
        ));
    }
    if let Some(kind) = &table.kind
        && !KINDS.contains(&kind.get_ref().as_str())
    {
        return Err(lines.error(kind.span().start, &format!("`kind` is one of {}", KINDS.join(", "))));
    }
    let day = table.expires.get_ref().parse::<jiff::civil::Date>();
    let end = day.ok().and_then(|day| day.tomorrow().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok());
    let end = end.ok_or_else(|| {
        lines.error(table.expires.span().start, "`expires` is the last day on which it holds: \"2026-03-31\"")
    })?;
    let expected = Expected {
        name: table.name.get_ref().as_str().into(),
        place,
        kind: table.kind.map(Spanned::into_inner),
        transition: table.transition,
        expires: Timestamp(end.timestamp().as_microsecond()),
    };
    Ok(whole(&table.route, Treatment::Expected(expected)))
}

/// The words of [`DifferenceKind`](crate::DifferenceKind).
const KINDS: [&str; 7] = ["status", "header", "missing", "added", "type", "value", "order"];

/// A rule about places. Where it stands is filled in afterwards.
fn places(
    lines: &At<'_>,
    route: &Option<String>,
    paths: &[Spanned<String>],
    headers: &[Spanned<String>],
    treatment: Treatment,
) -> Result<Rule, RulesError> {
    if paths.is_empty() && headers.is_empty() {
        return Err(lines.here("the rule names no place; give it json = [\"$.a\"]"));
    }
    let paths = paths.iter().map(|path| lines.path(path, JsonPath::parse(path.get_ref()))).collect::<Result<_, _>>()?;
    let headers = headers.iter().map(|name| name.get_ref().to_ascii_lowercase()).collect();
    Ok(Rule { paths, headers, ..whole(route, treatment) })
}

/// A rule about whole answers.
fn whole(route: &Option<String>, treatment: Treatment) -> Rule {
    let route = RoutePattern::of(route.as_deref());
    Rule { index: 0, line: 0, table: "", route, paths: Vec::new(), headers: Vec::new(), treatment }
}

struct Reading<'t> {
    lines: Lines<'t>,
    rules: Vec<(usize, Rule)>,
}

impl<'t> Reading<'t> {
    fn tables<T>(
        &mut self,
        tables: Vec<Spanned<T>>,
        name: &'static str,
        read: impl Fn(&At<'t>, T) -> Result<Rule, RulesError>,
    ) -> Result<(), RulesError> {
        for table in tables {
            let start = table.span().start;
            let rule = read(&At { lines: self.lines, table: start }, table.into_inner())?;
            self.rules.push((start, Rule { line: self.lines.of(start), table: name, ..rule }));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Rule>, RulesError> {
        self.rules.sort_by_key(|(start, _)| *start);
        if let Some((start, _)) = self.rules.get(MAX_RULES) {
            let problem = format!("more than {MAX_RULES} rules; join those of one kind");
            return Err(RulesError { line: self.lines.of(*start), problem });
        }
        let numbered = self.rules.into_iter().enumerate();
        Ok(numbered.map(|(index, (_, rule))| Rule { index: index as u16, ..rule }).collect())
    }
}

/// Tells lines from offsets.
#[derive(Clone, Copy)]
struct Lines<'t>(&'t str);

impl Lines<'_> {
    fn of(self, at: usize) -> usize {
        self.0.get(..at).unwrap_or(self.0).matches('\n').count() + 1
    }
}

/// Where a table stands, for its errors.
struct At<'t> {
    lines: Lines<'t>,
    table: usize,
}

impl At<'_> {
    fn error(&self, at: usize, problem: &str) -> RulesError {
        RulesError { line: self.lines.of(at), problem: problem.to_owned() }
    }

    fn here(&self, problem: &str) -> RulesError {
        self.error(self.table, problem)
    }

    fn path(&self, text: &Spanned<String>, path: Result<JsonPath, InvalidPath>) -> Result<JsonPath, RulesError> {
        path.map_err(|error| self.error(text.span().start, &error.to_string()))
    }
}
