//! One snapshot per masking case: read `snapshots/` to see what masking does.

use crate::support::{again, masker, request, response, show, show_response};
use insta::assert_snapshot;

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn credentials_and_hop_by_hop_headers_go() {
    let lines = [
        ("host", "shop.example"),
        ("authorization", "Bearer secret"),
        ("proxy-authorization", "Basic c2VjcmV0"),
        ("x-api-key", "secret"),
        ("x-csrf-token", "secret"),
        ("x-hub-signature", "secret"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "secret"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("content-length", "17"),
        ("upgrade", "h2c"),
        ("accept", "application/json"),
    ];
    assert_snapshot!(show(&masker("", &[]).request(request("/", &lines, b""))));
}

#[test]
fn allow_listed_headers_stay_if_plain_and_others_are_one_value() {
    let lines = [
        ("accept", "text/html,application/xml;q=0.9,*/*;q=0.8"),
        ("accept-language", "de-DE,de;q=0.9"),
        ("accept-language", "alice@example.com"),
        ("if-modified-since", "Wed, 21 Oct 2015 07:28:00 GMT"),
        ("range", "bytes=0-4915121234567"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-page", "2"),
        ("x-request-id", "0190a6f2-7c1e-7abc-8def-0123456789ab"),
        ("etag", "W/\"abc\""),
        ("if-none-match", "W/\"abc\""),
        ("x-many", "b"),
        ("x-many", "a"),
        ("x-many", "b"),
        ("x-latin", "J\u{fc}rgen"),
    ];
    assert_snapshot!(show(&masker("", &[]).request(request("/", &lines, b""))));
}

#[test]
fn cookies_keep_names_and_lose_values() {
    let masker = masker(
        "[[rule]]\nstrategy = \"keep\"\ncookie = [\"theme\"]\n[[rule]]\nstrategy = \"drop\"\ncookie = [\"_ga\"]",
        &[],
    );
    let sent = [
        (
            "cookie",
            "sid=0190a6f2-7c1e-7abc-8def-0123456789ab; theme=dark;_ga=GA1.2; n=1; empty=; alice@example.com; a@b=c",
        ),
        ("cookie", "sid=\"quoted\""),
        ("cookie", "_ga=GA1.2"),
    ];
    let given = [
        (
            "set-cookie",
            "sid=0190a6f2-7c1e-7abc-8def-0123456789ab; Path=/; Expires=Wed, 21 Oct 2015 07:28:00 GMT; HttpOnly; SameSite=Lax",
        ),
        ("set-cookie", "theme=dark; Max-Age=60; Path=/alice@example.com; X-Owner=alice"),
        ("set-cookie", "_ga=1; Path=/"),
    ];
    let request = show(&masker.request(request("/", &sent, b"")));
    assert_snapshot!(request + "\n" + &show_response(&masker.response("GET", "/", response(&given, b""))));
}

#[test]
fn cookie_paths_are_masked_as_paths_and_domains_as_hosts() {
    let given = [
        "sid=1; Path=/accounts/alicesmith; Domain=shop.example",
        "sid=1; path = /customers/alicesmith/; domain=.shop.example; Secure",
        "sid=1; Path=alicesmith; Domain=alice@shop.example",
        "sid=1; Path=/a%20b/\u{fc}/17; Domain=not a host",
        "sid=1; Path; Path=; Path=/; Domain=",
    ];
    let lines = given.map(|line| ("set-cookie", line));
    let routes = ["GET /accounts/{id}"];
    let open = masker("", &routes).response("GET", "/", response(&lines, b""));
    let tenants = "[[rule]]\nstrategy = \"token\"\nheader = [\"host\"]";
    let closed = masker(tenants, &routes).response("GET", "/", response(&lines[..2], b""));
    assert_snapshot!(show_response(&open) + "\n" + &show_response(&closed));
}

#[test]
fn values_whose_name_says_secret_are_not_kept_by_their_shape() {
    const UUID: &str = "0190a6f2-7c1e-7abc-8def-0123456789ab";
    let kept = "[[rule]]\nstrategy = \"keep\"\nheader = [\"x-session-id\"]\nquery = [\"pin\"]\nform = [\"pin\"]\n\
        path = [\"token\"]\njson = [\"$.pin\", \"$.session.page\"]";
    let target = format!("/reset/{UUID}?pin=1234&userPin=1234&session_id={UUID}&page=2&shipping=3&otp=");
    let headers = [("x-session-id", UUID), ("x-pin", "1234"), ("x-request-id", UUID)];
    let json = format!(
        r#"{{"pin":1234,"otp":"123456","page":2,"has_otp":true,"cvv":null,"api-key":"{UUID}","session":{{"id":"{UUID}","page":3,"on":true}},
        "card pin":-1.5,"p\u0069n":"1234","tokens":["{UUID}"],"token":["{UUID}",7],"pinned":5}}"#
    );
    let mut shown = String::new();
    for rules in ["", kept] {
        let masker = masker(rules, &["GET /reset/{token}"]);
        let bodies = [
            ("application/json", json.as_str()),
            ("application/x-www-form-urlencoded", "pin=1234&user[pin]=1234&qty=2"),
        ];
        for (content_type, body) in bodies {
            let lines: Vec<_> = headers.into_iter().chain([("content-type", content_type)]).collect();
            let masked = masker.request(request(&target, &lines, body.as_bytes()));
            assert_eq!(show(&masker.request(again(&masked))), show(&masked));
            shown += &format!("{}\n\n", show(&masked));
        }
    }
    assert_snapshot!(shown);
}

#[test]
fn addresses_in_headers_are_masked_part_by_part() {
    let masker = masker("", &["GET /orders/{id}"]);
    let lines = [
        ("location", "/orders/17?name=alice&page=2#alice"),
        ("location", "https://alice:secret@shop.example:8443/orders/alice"),
        ("content-location", "//evil.example/alice"),
        ("referer", "https://shop.example/search?q=shoes"),
        ("origin", "https://shop.example"),
        ("location", "mailto:alice@example.com"),
        ("location", "orders/17"),
    ];
    assert_snapshot!(show_response(&masker.response("POST", "/orders", response(&lines, b""))));
}

#[test]
fn paths_keep_the_literals_of_their_route() {
    let masker = masker(
        "[[rule]]\nstrategy = \"keep\"\nroute = \"GET /tables/{table}/{key}\"\npath = [\"table\"]",
        &["GET /orders/{id}", "GET /customers/{email}/orders", "* /files/{rest..}"],
    );
    let targets = [
        "/orders/17",
        "/orders/alice",
        "/orders/17/",
        "/customers/alice%40example.com/orders",
        "/files/a/alice/3",
        "/tables/movies.json/Heat",
        "/unknown/17",
        "/",
        "",
        "*",
        "/orders/1234567",
        "//orders/17",
        "/orders/%31",
    ];
    let shown: Vec<_> =
        targets.iter().map(|t| format!("{t}\n    {}\n", masker.request(request(t, &[], b"")).path)).collect();
    assert_snapshot!(shown.concat());
}

#[test]
fn queries_keep_identifiers_and_harmless_values() {
    let masker = masker(
        "[[rule]]\nstrategy = \"keep\"\nquery = [\"sort\"]\n[[rule]]\nstrategy = \"drop\"\nquery = [\"utm\"]\n\
         [[rule]]\nstrategy = \"token\"\nquery = [\"year\"]\n[[rule]]\nstrategy = \"redact\"\nquery = [\"q\"]",
        &[],
    );
    let targets = [
        "/?page=2&lang=en-US&active=true&since=2024-05-01&id=0190a6f2-7c1e-7abc-8def-0123456789ab",
        "/?name=alice+example&name=alice%20example&same=alice%2Bexample",
        "/?alice%40example.com=1&alice&7&=x&a=b=c",
        "/?utm=1&sort=name&year=1984&q=shoes&utm=2",
        "/?utm=1",
        "/?",
        "/?a&&b=%zz&c=%4",
    ];
    let shown: Vec<_> =
        targets.iter().map(|t| format!("{t}\n    {}\n", masker.request(request(t, &[], b"")).query.unwrap())).collect();
    assert_snapshot!(shown.concat());
}

#[test]
fn the_host_stays_without_its_user() {
    let masker = masker("", &[]);
    let shown: Vec<_> = ["shop.example:8080", "alice:secret@shop.example", "[::1]:80", "alice example", ""]
        .iter()
        .map(|authority| {
            let mut raw = request("/", &[], b"");
            raw.authority = (*authority).to_owned();
            format!("{authority}\n    {}\n", masker.request(raw).authority)
        })
        .collect();
    assert_snapshot!(shown.concat());
}

#[test]
fn json_keeps_structure_numbers_and_harmless_strings() {
    let body = br#"{"id": 17, "total": 12.50, "status": "shipped", "currency": "EUR", "at": "2024-05-01T08:30:00Z",
        "alice@example.com": {"name": "Alice", "vip": true, "note": null}, "tags": ["1", "alice", ""], "id": 18}"#;
    assert_snapshot!(show_response(&masker("", &[]).response("GET", "/", response(&[JSON], body))));
}

#[test]
fn json_rules_follow_their_precedence() {
    let masker = masker(
        r#"
        [[rule]]
        strategy = "token"
        json = ["$..secret"]
        [[rule]]
        strategy = "keep"
        json = ["$.public", "$.items[*].status", "$['a b'].c"]
        [[rule]]
        strategy = "drop"
        json = ["$.items[*].trace", "$.gone"]
        [[rule]]
        strategy = "redact"
        json = ["$.items"]
        [[rule]]
        strategy = "drop"
        side = "request"
        json = ["$.public"]
        "#,
        &[],
    );
    let body = br#"{"gone":{"x":1},"public":{"name":"Alice","secret":"12","my key":[1,"x"],"deep":{"secret":{"n":7,"b":true,"s":"s"}}},
        "items":[{"status":"open","trace":"t","n":7,"ok":true,"none":null,"name":"Bob"},"loose"],"a b":{"c":"kept","d":"masked"}}"#;
    assert_snapshot!(show_response(&masker.response("GET", "/", response(&[JSON], body))));
}

#[test]
fn rules_apply_to_their_route_and_side() {
    let masker = masker(
        "[[rule]]\nstrategy = \"keep\"\nroute = \"GET /search\"\nside = \"response\"\njson = [\"$.q\"]\n\
         [[rule]]\nstrategy = \"keep\"\nroute = \"* /search\"\nquery = [\"q\"]",
        &[],
    );
    let body = br#"{"q":"shoes"}"#;
    let mut shown = String::new();
    for target in ["/search?q=shoes", "/other?q=shoes"] {
        let path = target.split('?').next().unwrap();
        shown += &format!("{}\n\n", show(&masker.request(request(target, &[JSON], body))));
        shown += &format!("{}\n\n", show_response(&masker.response("GET", path, response(&[JSON], body))));
    }
    assert_snapshot!(shown);
}

#[test]
fn forms_are_masked_like_queries() {
    let masker = masker("[[rule]]\nstrategy = \"keep\"\nform = [\"colour\"]", &[]);
    let lines = [("content-type", "application/x-www-form-urlencoded; charset=UTF-8")];
    assert_snapshot!(show(&masker.request(request(
        "/",
        &lines,
        b"name=Alice+Example&qty=2&colour=dark%20red&card=4111111111111111&csrf"
    ))));
}

#[test]
fn json_lines_are_masked_record_by_record() {
    let lines = [("content-type", "application/x-ndjson")];
    let body = b"{\"name\":\"alice\"}\r\n\n[1,\"bob\"]\n";
    assert_snapshot!(show_response(&masker("", &[]).response("GET", "/", response(&lines, body))));
}

#[test]
fn what_cannot_be_masked_leaves_as_length_and_digest() {
    let strict = masker("", &[]);
    let text = masker("[[rule]]\nstrategy = \"keep\"\nroute = \"GET /about\"\ntext = true", &[]);
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [u8]);
    let cases: [Case<'_>; 12] = [
        ("not json", &[JSON], b"{\"name\": alice}"),
        ("not utf-8", &[JSON], b"\"\xff\""),
        ("text", &[("content-type", "text/plain; charset=utf-8")], b"alice"),
        ("xml", &[("content-type", "application/xml")], b"<a/>"),
        ("multipart", &[("content-type", "multipart/form-data; boundary=x")], b"--x--"),
        ("no type", &[], b"alice"),
        ("two types", &[JSON, ("content-type", "text/plain")], b"1"),
        ("gzip", &[JSON, ("content-encoding", "gzip")], b"\x1f\x8b"),
        ("identity", &[JSON, ("content-encoding", "identity")], b"[\"alice\"]"),
        ("vendor json", &[("content-type", "application/problem+json")], b"[\"alice\"]"),
        ("one bad line", &[("content-type", "application/x-ndjson")], b"1\n{\n"),
        ("nothing", &[JSON], b""),
    ];
    let mut shown: String = cases
        .iter()
        .map(|(name, lines, body)| {
            format!("## {name}\n{}\n", show_response(&strict.response("GET", "/", response(lines, body))))
        })
        .collect();
    let html = response(&[("content-type", "text/html")], b"<p>open data</p>");
    shown += &format!("## text kept by rule\n{}\n", show_response(&text.response("GET", "/about", html)));
    assert_snapshot!(shown);
}

#[test]
fn public_data_stays_readable_under_keep_everything() {
    let masker = masker(shadow_mask::Ruleset::KEEP_EVERYTHING, &[]);
    let lines = [JSON, ("user-agent", "curl/8"), ("cookie", "ds_actor=secret"), ("authorization", "Bearer secret")];
    assert_snapshot!(show(&masker.request(request(
        "/movies/Heat?_sort=Release Date&x",
        &lines,
        br#"{"IMDB Rating":8.2,"a":"b"}"#
    ))));
}
