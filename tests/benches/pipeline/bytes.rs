//! What a request takes of Kafka's and ClickHouse's disks: the segments of each topic and the parts of each table over what they hold.

use std::fs;
use std::path::Path;

use shadow_record::{CapturedExchange, decode};

use super::deployment::Deployment;
use super::support::sql;
use super::topic::{Topic, each_record};

/// Prints bytes for each record, row and captured request. Everything must have been stored.
pub(super) async fn say_bytes(what: &str, deployment: &Deployment) {
    let requests = deployment.flow().await.captured.max(1) as f64;
    say_masked(what, deployment).await;
    say_topics(what, deployment, requests).await;
    say_tables(what, deployment, requests).await;
}

/// What there was to hold, so that others can scale it to their requests.
async fn say_masked(what: &str, deployment: &Deployment) {
    let [(_, captured), ..] = deployment.topics();
    let (mut records, mut request, mut response, mut heads) = (0_u64, 0_usize, 0_usize, 0_usize);
    each_record(&deployment.rig, &captured, |record| {
        let exchange: CapturedExchange = decode(&record.payload).unwrap();
        let length = |body: &shadow_record::Body| body.content.as_ref().map_or(0, bytes::Bytes::len);
        let bodies = (length(&exchange.request.body), exchange.response.as_ref().map_or(0, |r| length(&r.body)));
        records += 1;
        request += bodies.0;
        response += bodies.1;
        heads += record.payload.len() - bodies.0 - bodies.1;
    })
    .await;
    let mean = |sum: usize| sum as f64 / records.max(1) as f64;
    println!(
        "{what}: a captured record is {:.0} bytes before compression: masked bodies of {:.0} (request) and {:.0} (response), and {:.0} of lines, \
         headers and bookkeeping",
        mean(request + response + heads),
        mean(request),
        mean(response),
        mean(heads)
    );
}

async fn say_topics(what: &str, deployment: &Deployment, requests: f64) {
    let Some(logs) = deployment.logs() else {
        println!("{what}: the segments of a Kafka that runs elsewhere cannot be seen");
        return;
    };
    println!("| topic | records | before compression, bytes each | in the segments, bytes each | for each request |");
    println!("|---|---|---|---|---|");
    let mut all = 0.0;
    for (name, topic) in deployment.topics() {
        let (mut records, mut plain) = (0_u64, 0_usize);
        each_record(&deployment.rig, &topic, |record| {
            records += 1;
            plain += record.payload.len();
        })
        .await;
        let written = Topic::new(&deployment.rig, topic.clone()).records().await.max(1) as f64;
        let kept = segments(&logs, &topic) as f64;
        all += kept / requests;
        let plain = plain as f64 / records.max(1) as f64;
        println!("| {name} | {records} | {plain:.0} | {:.0} | {:.0} |", kept / written, kept / requests);
    }
    println!("| all | | | | {all:.0} |");
}

/// Bytes of the segments of all partitions of a topic.
fn segments(logs: &Path, topic: &str) -> u64 {
    let files = fs::read_dir(logs).into_iter().flatten().flatten().filter(|partition| {
        let name = partition.file_name().to_string_lossy().into_owned();
        name.rsplit_once('-').is_some_and(|(of, number)| of == topic && number.parse::<u32>().is_ok())
    });
    let files = files.flat_map(|partition| fs::read_dir(partition.path()).into_iter().flatten().flatten());
    let logs = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
    logs.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

async fn say_tables(what: &str, deployment: &Deployment, requests: f64) {
    let stack = &deployment.rig.stack;
    let tables = "SELECT name FROM system.tables WHERE database = 'shadow' AND engine LIKE '%MergeTree'";
    for table in sql(stack, tables).await.lines() {
        sql(stack, &format!("OPTIMIZE TABLE shadow.{table} FINAL")).await;
    }
    // What does not grow with the requests is left out: heartbeats, how far launches are.
    let parts = format!(
        "SELECT table, sum(rows), sum(data_compressed_bytes), sum(data_uncompressed_bytes), sum(bytes_on_disk) FROM system.parts \
         WHERE active AND database = 'shadow' GROUP BY table HAVING sum(rows) > {requests} / 50 ORDER BY table"
    );
    println!("{what}: ClickHouse's tables, merged; those with a row for every fifty requests and more");
    println!("| table | rows | uncompressed, bytes each | compressed | on disk | on disk for each request |");
    println!("|---|---|---|---|---|---|");
    let mut all = 0.0;
    for line in sql(stack, &parts).await.lines() {
        let (table, numbers) = line.split_once('\t').unwrap();
        let numbers: Vec<f64> = numbers.split('\t').map(|number| number.parse().unwrap()).collect();
        let [rows, compressed, plain, disk] = numbers[..] else { panic!("four numbers: {line}") };
        all += disk / requests;
        println!(
            "| {table} | {rows} | {:.0} | {:.0} | {:.0} | {:.0} |",
            plain / rows,
            compressed / rows,
            disk / rows,
            disk / requests
        );
    }
    println!("| all | | | | | {all:.0} |");
}
