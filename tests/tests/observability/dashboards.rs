//! The shipped dashboards, read: their panels' queries, by data source.

use serde_json::Value;

/// Their files, below `docs/observability/grafana/dashboards/`.
const FILES: [&str; 2] = ["pipeline.json", "versions.json"];

/// What Grafana puts for the dashboards' variables and macros.
const FROM: &str = "toDateTime(now() - 10800)";
const TO: &str = "toDateTime(now() + 60)";

/// A query of a panel, of a variable or of an alert.
#[derive(Debug)]
pub(crate) struct Query {
    /// Where it stands.
    pub(crate) place: String,
    /// The query, as it is shipped.
    pub(crate) text: String,
    /// Whether it is drawn over time.
    pub(crate) series: bool,
}

/// Every panel of every dashboard, without rows.
fn panels() -> impl Iterator<Item = (&'static str, Value)> {
    FILES.into_iter().flat_map(|file| {
        let board: Value = serde_json::from_str(&super::shipped(&format!("grafana/dashboards/{file}"))).unwrap();
        let panels = board["panels"].as_array().unwrap().clone();
        panels.into_iter().filter(|panel| panel["type"] != "row").map(move |panel| (file, panel))
    })
}

fn queries(source: &str, key: &str) -> Vec<Query> {
    let mut queries = Vec::new();
    for (file, panel) in panels() {
        for target in panel["targets"].as_array().unwrap() {
            if target["datasource"]["type"] == source {
                let place = format!("{file}: {}", panel["title"].as_str().unwrap());
                let series = panel["type"] == "timeseries";
                assert_eq!(series, target["format"] == 0 || source == "prometheus" && series, "{place}");
                queries.push(Query { place, text: target[key].as_str().unwrap().to_owned(), series });
            }
        }
    }
    queries
}

/// Every PromQL expression of a panel.
pub(crate) fn promql() -> Vec<Query> {
    queries("prometheus", "expr")
}

/// Every SQL query of a panel or variable.
pub(crate) fn sql() -> Vec<Query> {
    let mut queries = queries("grafana-clickhouse-datasource", "rawSql");
    for file in FILES {
        let board: Value = serde_json::from_str(&super::shipped(&format!("grafana/dashboards/{file}"))).unwrap();
        for variable in board["templating"]["list"].as_array().unwrap() {
            if variable["datasource"]["type"] == "grafana-clickhouse-datasource" {
                let place = format!("{file}: variable {}", variable["name"]);
                queries.push(Query { place, text: variable["query"].as_str().unwrap().to_owned(), series: false });
            }
        }
    }
    queries
}

/// The query as ClickHouse gets it: macros as the data source's plugin writes them.
pub(crate) fn expanded(query: &str, launch: &str) -> String {
    let mut text = query.replace("${launch:sqlstring}", &format!("'{launch}'"));
    for (name, write) in [
        ("$__timeFilter(", (|c| format!("{c} >= {FROM} AND {c} <= {TO}")) as fn(&str) -> String),
        ("$__timeInterval(", |c| format!("toStartOfInterval(toDateTime({c}), INTERVAL 15 second)")),
    ] {
        while let Some((before, rest)) = text.split_once(name) {
            let (column, behind) = rest.split_once(')').expect("the macro ends");
            text = format!("{before}{}{behind}", write(column));
        }
    }
    assert!(!text.contains('$'), "an unknown macro or variable: {text}");
    text
}

#[test]
fn every_panel_says_where_its_data_is_from_and_none_lies_over_another() {
    for file in FILES {
        let board: Value = serde_json::from_str(&super::shipped(&format!("grafana/dashboards/{file}"))).unwrap();
        let mut taken = std::collections::BTreeSet::new();
        let mut ids = std::collections::BTreeSet::new();
        for panel in board["panels"].as_array().unwrap() {
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{file}: {panel}");
            for cell in (0..at("h")).flat_map(|y| (0..at("w")).map(move |x| (x, y))) {
                let cell = (at("x") + cell.0, at("y") + cell.1);
                assert!(cell.0 < 24 && taken.insert(cell), "{file}: {} lies over another", panel["title"]);
            }
            let uid = panel["datasource"]["uid"].as_str().unwrap_or("${prometheus}");
            assert!(["${prometheus}", "${clickhouse}"].contains(&uid), "{file}: {uid}");
        }
    }
}
