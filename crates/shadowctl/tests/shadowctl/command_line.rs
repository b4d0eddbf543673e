//! Arguments, help and exit codes, without any server.

use super::support::{closed_port, run_bare};

#[tokio::test]
async fn a_wrong_command_line_is_64_and_says_what_would_be_right() {
    for (args, hint) in [
        (&["rate", "set", "shop", "0/s"][..], "shadowctl pause"),
        (&["rate", "set", "shop", "fast"], "500/s, 30/min"),
        (&["rate", "set", "a.b", "1/s"], "shadow.captured.checkout"),
        (&["launch", "create", "V2", "--service", "shop", "--candidate", "http://c"], "a-z, 0-9"),
        (&["launch", "create", "v2", "--service", "shop"], "--candidate"),
        (&["launch", "create", "v2", "--service", "s", "--candidate", "ftp://c"], "http://"),
        (&["launch", "create", "v2", "--service", "s", "--candidate", "http://c", "--sample", "2"], "such as 0.1"),
        (
            &["launch", "create", "v2", "--service", "s", "--candidate", "http://c", "--from", "noon"],
            "earliest, latest",
        ),
        (&["launch", "create", "v2", "--service", "s", "--candidate", "http://c", "--route", "/a"], "GET /orders/{id}"),
        (&["launch", "create", "v2", "--service", "s", "--candidate", "http://c", "--allow", "d"], "--allow c:80"),
        (
            &["launch", "create", "v2", "--service", "s", "--candidate", "http://c", "--ramp", "10%:1m,1%:1m"],
            "a ramp climbs",
        ),
        (&["launch", "delete", "v2", "--yes"], "--with-topics"),
        (&["audit", "--since", "yesterday"], "such as 2h"),
        (&["pause", "--timeout", "soon"], "such as \"250ms\""),
        (&["ledger", "--clickhouse-url", "http://user:secret@host"], "SHADOW_CLICKHOUSE_PASSWORD"),
        (&["demo", "--json", "/nonexistent/report.json"], "another file"),
        (&["status", "--kafka-properties", "/nonexistent/file"], "check the path"),
        (&["lunch"], "launch"),
        (&[], "Usage"),
    ] {
        let ran = run_bare(args).await;
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{args:?}: {ran:?}");
        assert!(ran.err.contains(hint), "{args:?}: {}", ran.err);
        assert!(!ran.err.contains("secret"), "{}", ran.err);
    }
}

#[tokio::test]
async fn help_teaches_with_examples() {
    for verb in ["set", "promote", "rollback", "reverse", "delete"] {
        let help = run_bare(&["launch", verb, "--help"]).await.ok();
        assert!(help.contains("Example") && help.contains(&format!("shadowctl launch {verb} ")), "{verb}: {help}");
    }
    for args in [
        &["audit", "--help"][..],
        &["ramp", "run", "--help"],
        &["ramp", "resume", "--help"],
        &["rate", "unset", "--help"],
    ] {
        let help = run_bare(args).await.ok();
        assert!(help.contains("Example") && help.contains(&format!("shadowctl {} ", args[0])), "{args:?}: {help}");
    }
    for args in [&["--help"][..], &["launch", "create", "--help"], &["rate", "set", "--help"], &["demo", "--help"]] {
        let help = run_bare(args).await.ok();
        assert!(help.contains("Example") && help.contains("shadowctl "), "{args:?}: {help}");
    }
}

#[tokio::test]
async fn servers_that_do_not_answer_are_69_with_a_remedy() {
    let nobody = closed_port();
    let url = format!("http://{nobody}");
    for (args, remedy) in [
        (&["ledger", "--clickhouse-url", &url][..], "SHADOW_CLICKHOUSE_URL"),
        (&["report", "v2", "--clickhouse-url", &url], "SHADOW_CLICKHOUSE_URL"),
        (&["schema", "apply", "--clickhouse-url", &url], "SHADOW_CLICKHOUSE_URL"),
        (&["launch", "list", "--kafka-brokers", &nobody], "SHADOW_KAFKA_BROKERS"),
        (&["pause", "--kafka-brokers", &nobody], "SHADOW_KAFKA_BROKERS"),
    ] {
        let ran = run_bare(args).await;
        assert_eq!((ran.code, ran.out.as_str()), (69, ""), "{args:?}: {ran:?}");
        assert!(ran.err.contains(&nobody) && ran.err.contains(remedy), "{args:?}: {}", ran.err);
    }
}

#[tokio::test]
async fn the_schema_can_be_printed_without_a_server() {
    let ddl = run_bare(&["schema", "print"]).await.ok();
    assert!(ddl.contains("CREATE TABLE IF NOT EXISTS exchanges") && ddl.contains("VIEW signatures"));
}
