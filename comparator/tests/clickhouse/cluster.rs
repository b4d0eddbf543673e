//! The tables as a cluster has them: two shards, and views over both that say what they say of one server.

use std::net::TcpListener;

use clickhouse::Client;
use comparator::config::ClickHouseConfig;
use comparator::metrics::Metrics;
use comparator::schema::{MIGRATIONS, statements_for};
use comparator::store::Store;
use shadow_devstack::{Devstack, KafkaChoice};

use crate::stack::{Place, VIEWS};
use crate::views::world;

const CLUSTER: &str = "two";
const DATABASE: &str = "spread";

/// Makes a node's part. `clickhouse local` takes the engine of replicated tables but replicates nothing, so the shards are plain ones here.
async fn make(client: &Client) {
    let run = async |statement: &str| client.query(&statement.replace('?', "??")).execute().await;
    run(&format!("CREATE DATABASE {DATABASE}")).await.unwrap();
    let client = client.clone().with_database(DATABASE);
    for (migration, text) in MIGRATIONS {
        for statement in &statements_for(text, Some(CLUSTER), DATABASE) {
            let statement = match statement.split_once("ReplicatedReplacingMergeTree(") {
                None => statement.clone(),
                Some((before, after)) => {
                    let version = after.split_once("'{replica}'").unwrap().1.trim_start_matches(", ");
                    format!("{before}ReplacingMergeTree({version}")
                }
            };
            let ran = client.query(&statement.replace('?', "??")).execute().await;
            ran.unwrap_or_else(|error| panic!("{migration}: {error}\n{statement}"));
        }
    }
}

pub(crate) async fn every_view_says_of_two_shards_what_it_says_of_one_server(place: Place) {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let shards = [free(), free()];
    let start = async |port| {
        let builder = Devstack::builder().kafka(KafkaChoice::Mock).clickhouse_native_port(port);
        builder.clickhouse_cluster(CLUSTER, &shards).start().await.unwrap()
    };
    let (node, other) = (start(shards[0]).await, start(shards[1]).await);
    let at = |stack: &Devstack| ClickHouseConfig {
        url: stack.clickhouse_url().parse().unwrap(),
        database: "default".to_owned(),
        ..ClickHouseConfig::default()
    };
    make(&at(&node).client()).await;
    make(&at(&other).client()).await;

    let config = ClickHouseConfig { database: DATABASE.to_owned(), ..at(&node) };
    let store = Store::new(&config, Metrics::default());
    store.check().await.unwrap();
    // Twice, as after a crash.
    store.insert(&world()).await.unwrap();
    store.insert(&world()).await.unwrap();
    place.store.insert(&world()).await.unwrap();

    let client = config.client().with_setting("distributed_product_mode", "global");
    let ask = async |sql: &str| {
        let mut cursor = client.query(&sql.replace('?', "??")).fetch_bytes("TSV").unwrap();
        let bytes = cursor.collect().await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    for shard in [&node, &other] {
        let client = ClickHouseConfig { database: DATABASE.to_owned(), ..at(shard) }.client();
        let rows: u64 = client.query("SELECT count() FROM exchanges_local").fetch_one().await.unwrap();
        assert!(rows > 100, "{rows} rows on one of the shards");
    }
    let mut silent: Vec<&str> = Vec::new();
    for view in VIEWS {
        let query = format!("SELECT * FROM {view} ORDER BY ALL");
        let (spread, whole) = (ask(&query).await, place.query(&query).await);
        assert_eq!(spread, whole, "{view}");
        silent.extend(whole.is_empty().then_some(view));
    }
    assert!(silent.len() <= 3, "views that say nothing of either prove nothing: {silent:?}");
    node.stop().await;
    other.stop().await;
}
