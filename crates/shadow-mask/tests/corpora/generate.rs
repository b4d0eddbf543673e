//! Private values and look-alikes. Written from the standards, not from the detectors.

use crate::random::Random;

/// One class: values that must be found, and others that look like them.
pub(crate) struct Corpus {
    pub(crate) class: &'static str,
    pub(crate) private: fn(&mut Random) -> String,
    pub(crate) look_alike: fn(&mut Random) -> String,
    /// Under which name the values stand, with the least recall and precision.
    pub(crate) least: &'static [(&'static str, (f64, f64))],
}

/// For a checksum or a fixed shape.
const FIXED: &[(&str, (f64, f64))] = &[("note", (0.999, 0.99))];

pub(crate) fn corpora() -> Vec<Corpus> {
    let of = |class, private, look_alike, least| Corpus { class, private, look_alike, least };
    vec![
        of("card", card, no_card, FIXED),
        of("iban", iban, no_iban, FIXED),
        of("mail", mail, no_mail, FIXED),
        of("phone", phone, no_phone, FIXED),
        of("national_phone", national, no_phone, &[("note", (0.75, 0.95)), ("phone", (0.98, 0.5))]),
        of("ssn", ssn, no_ssn, FIXED),
        of("jwt", jwt, no_key, FIXED),
        of("ipv4", ipv4, no_address, FIXED),
        of("ipv6", ipv6, no_address, FIXED),
        of("api_key", api_key, no_key, FIXED),
        of("entropy", bearer, no_key, &[("note", (0.90, 0.95)), ("authorization", (0.99, 0.5))]),
        of("pem", pem, no_key, FIXED),
        of("url_credentials", url, no_url, FIXED),
        of("named_secret", named, no_named, FIXED),
    ]
}

const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const HEX: &str = "0123456789abcdef";
const BASE62: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE64URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The check digit by the rule of doubling every second digit from the right.
fn with_check_digit(body: &str) -> String {
    let mut total = 0;
    for (place, digit) in body.chars().rev().enumerate() {
        let mut value = digit.to_digit(10).unwrap();
        if place % 2 == 0 {
            value *= 2;
            value = value / 10 + value % 10;
        }
        total += value;
    }
    format!("{body}{}", (10 - total % 10) % 10)
}

fn grouped(digits: &str, sizes: &[usize], separator: &str) -> String {
    let mut rest = digits;
    let mut groups = Vec::new();
    for size in sizes {
        let (group, after) = rest.split_at((*size).min(rest.len()));
        groups.push(group);
        rest = after;
    }
    if !rest.is_empty() {
        groups.push(rest);
    }
    groups.retain(|group| !group.is_empty());
    groups.join(separator)
}

fn card(random: &mut Random) -> String {
    let (prefix, length) = match random.below(9) {
        0..=2 => ("4".to_owned(), *random.pick(&[&16, &16, &13, &19])),
        3 => (random.between(51, 55).to_string(), 16),
        4 => (random.between(2221, 2720).to_string(), 16),
        5 => (random.pick(&["34", "37"]).to_owned(), 15),
        6 => (random.pick(&["6011", "644", "65", "62"]).to_owned(), random.between(16, 19)),
        7 => (random.between(3528, 3589).to_string(), 16),
        _ => (random.pick(&["300", "305", "36", "38", "39"]).to_owned(), 14),
    };
    let body = format!("{prefix}{}", random.digits(length - 1 - prefix.len() as u64));
    let number = with_check_digit(&body);
    let separator = random.pick(&["", "", " ", "-"]);
    match number.len() {
        _ if separator.is_empty() => number,
        15 => grouped(&number, &[4, 6, 5], separator),
        14 => grouped(&number, &[4, 6, 4], separator),
        _ => grouped(&number, &[4, 4, 4, 4], separator),
    }
}

fn no_card(random: &mut Random) -> String {
    match random.below(7) {
        // Order numbers that hold by the check digit, as shops make them: the day first.
        0 => with_check_digit(&format!("20{}{}", random.between(10, 30), random.digits(11))),
        1 => with_check_digit(&format!("{}{}", random.pick(&["0", "7", "9"]), random.digits(14))),
        // A card number with a wrong digit.
        2 => {
            let right = with_check_digit(&format!("4{}", random.digits(14)));
            let last = right.chars().last().unwrap().to_digit(10).unwrap();
            format!("{}{}", &right[..15], (last + 1 + random.below(9) as u32) % 10)
        }
        3 => random.between(1_500_000_000_000, 1_900_000_000_000).to_string(),
        4 => random.text(HEX, 32),
        5 => format!("{}-{}-{}", random.digits(4), random.digits(4), random.digits(3)),
        _ => format!("id{}", with_check_digit(&format!("4{}", random.digits(14)))),
    }
}

/// Countries with how their accounts are written: `n` digits, `a` capitals, `c` either.
const ACCOUNTS: &[(&str, &str)] = &[
    ("DE", "nnnnnnnnnnnnnnnnnn"),
    ("GB", "aaaannnnnnnnnnnnnn"),
    ("FR", "nnnnnnnnnncccccccccccnn"),
    ("NL", "aaaannnnnnnnnn"),
    ("ES", "nnnnnnnnnnnnnnnnnnnn"),
    ("IT", "annnnnnnnnncccccccccccc"),
    ("NO", "nnnnnnnnnnn"),
    ("MT", "aaaannnnncccccccccccccccccc"),
    ("CH", "nnnnncccccccccccc"),
    ("PL", "nnnnnnnnnnnnnnnnnnnnnnnn"),
    ("SA", "nncccccccccccccccccc"),
    ("BR", "nnnnnnnnnnnnnnnnnnnnnnnac"),
];

fn account(random: &mut Random) -> (String, String) {
    let (country, pattern) = ACCOUNTS[random.below(ACCOUNTS.len() as u64) as usize];
    let account: String = pattern
        .chars()
        .map(|kind| match kind {
            'n' => random.digits(1),
            'a' => random.text(UPPER, 1),
            _ => random.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 1),
        })
        .collect();
    // The number, country and 00 at its end, letters as two digits, must leave 1 when divided by 97.
    let number: String = format!("{account}{country}00").chars().map(|c| c.to_digit(36).unwrap().to_string()).collect();
    let rest = number.bytes().fold(0_u32, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97);
    (country.to_owned(), format!("{:02}{account}", 98 - rest))
}

fn iban(random: &mut Random) -> String {
    let (country, account) = account(random);
    let compact = format!("{country}{account}");
    match random.below(3) {
        0 => grouped(&compact, &[4; 9], " "),
        1 => compact.to_lowercase(),
        _ => compact,
    }
}

fn no_iban(random: &mut Random) -> String {
    match random.below(3) {
        0 => {
            let (country, account) = account(random);
            let check: u32 = account[..2].parse().unwrap();
            format!("{country}{:02}{}", (check + 1 + random.below(90) as u32) % 97, &account[2..])
        }
        1 => format!("{}{}", random.text(UPPER, 2), random.digits(20)),
        _ => random.text(BASE62, 22),
    }
}

fn word(random: &mut Random) -> String {
    let length = random.between(3, 9);
    random.text(LOWER, length)
}

fn mail(random: &mut Random) -> String {
    let local = match random.below(7) {
        0 => word(random),
        1 => format!("{}.{}", word(random), word(random)),
        2 => format!("{}+{}", word(random), word(random)),
        3 => format!("{}_{}{}", word(random), word(random), random.digits(2)),
        4 => format!("\"{} {}\"", word(random), word(random)),
        5 => format!("{}用户", word(random)),
        _ => format!("{}-{}", random.text(UPPER, 1), word(random)),
    };
    let domain = match random.below(6) {
        0 => format!("{}.com", word(random)),
        1 => format!("{}.{}.co.uk", word(random), word(random)),
        2 => format!("{}münchen.de", word(random)),
        3 => format!("xn--{}.org", word(random)),
        4 => format!("[{}]", ipv4(random)),
        _ => format!("{}.例え.jp", word(random)),
    };
    format!("{local}@{domain}")
}

fn no_mail(random: &mut Random) -> String {
    match random.below(5) {
        0 => format!("@{}", word(random)),
        1 => format!("{}@{}", word(random), word(random)),
        2 => format!("{} @ {}.com", word(random), word(random)),
        3 => format!("{}@{}.{}", word(random), random.digits(1), random.digits(1)),
        _ => format!("{}@", word(random)),
    }
}

fn phone(random: &mut Random) -> String {
    let (code, national) = match random.below(5) {
        0 => ("1".to_owned(), format!("{}{}", random.between(2, 9), random.digits(9))),
        1 => ("49".to_owned(), format!("{}{}", random.between(15, 89), random.digits(8))),
        2 => ("44".to_owned(), format!("7{}", random.digits(9))),
        3 => (random.pick(&["33", "39", "61", "81", "91", "55", "7"]).to_owned(), random.digits(10)),
        _ => (random.pick(&["351", "420", "972", "380", "234", "852"]).to_owned(), random.digits(9)),
    };
    match random.below(4) {
        0 => format!("+{code}{national}"),
        1 => format!("+{code} {}", grouped(&national, &[3, 3, 4], " ")),
        2 => format!("+{code}-{}", grouped(&national, &[3, 3, 4], "-")),
        _ => format!("+{code} ({}) {}", &national[..3], grouped(&national[3..], &[3, 4], "-")),
    }
}

fn national(random: &mut Random) -> String {
    match random.below(5) {
        0 => {
            let (area, local) = (format!("{}{}", random.between(2, 9), random.digits(2)), random.between(2, 9));
            format!("({area}) {local}{}-{}", random.digits(2), random.digits(4))
        }
        1 => {
            let (area, local) = (format!("{}{}", random.between(2, 9), random.digits(2)), random.between(2, 9));
            let separator = random.pick(&["-", "."]);
            format!("{area}{separator}{local}{}{separator}{}", random.digits(2), random.digits(4))
        }
        2 => format!("0{} {}", random.between(30, 99), random.digits(7)),
        3 => format!(
            "0{} {} {} {} {}",
            random.between(1, 9),
            random.digits(2),
            random.digits(2),
            random.digits(2),
            random.digits(2)
        ),
        _ => format!("07{} {}", random.digits(3), random.digits(6)),
    }
}

fn no_phone(random: &mut Random) -> String {
    match random.below(6) {
        0 => format!("20{}-{:02}-{:02}", random.between(10, 29), random.between(1, 12), random.between(1, 28)),
        1 => random.between(1_500_000_000, 1_900_000_000).to_string(),
        2 => format!("{}.{}.{}", random.between(1, 20), random.between(0, 99), random.between(0, 999)),
        3 => format!("+{}", random.digits(3)),
        4 => format!("{}+{}", random.digits(4), random.digits(4)),
        _ => format!("ISBN 978-3-16-{}-{}", random.digits(6), random.digits(1)),
    }
}

fn ssn(random: &mut Random) -> String {
    let area = loop {
        let area = random.between(1, 899);
        if area != 666 {
            break area;
        }
    };
    let separator = random.pick(&["-", "-", " "]);
    format!("{area:03}{separator}{:02}{separator}{:04}", random.between(1, 99), random.between(1, 9999))
}

fn no_ssn(random: &mut Random) -> String {
    match random.below(6) {
        0 => format!("000-{:02}-{:04}", random.between(1, 99), random.between(1, 9999)),
        1 => format!("666-{:02}-{:04}", random.between(1, 99), random.between(1, 9999)),
        2 => format!("{:03}-00-{:04}", random.between(1, 665), random.between(1, 9999)),
        3 => format!("{:03}-{:02}-0000", random.between(1, 665), random.between(1, 99)),
        4 => random.digits(9),
        _ => format!("{}-{}-{}", random.digits(3), random.digits(3), random.digits(4)),
    }
}

/// Base64url of bytes, three at a time.
fn base64url(bytes: &[u8]) -> String {
    let letters = BASE64URL.as_bytes();
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(letters[(word >> (18 - 6 * place)) as usize & 63] as char);
        }
    }
    text
}

fn jwt(random: &mut Random) -> String {
    let algorithm = random.pick(&["HS256", "RS256", "ES384", "none"]);
    let head = base64url(format!("{{\"alg\":\"{algorithm}\",\"typ\":\"JWT\"}}").as_bytes());
    let claims = base64url(format!("{{\"sub\":\"{}\"}}", random.digits(10)).as_bytes());
    match random.below(5) {
        0 => {
            let head = base64url(b"{\"alg\":\"RSA-OAEP\",\"enc\":\"A256GCM\"}");
            let part = |random: &mut Random, length| random.text(BASE64URL, length);
            format!("{head}.{}.{}.{}.{}", part(random, 342), part(random, 16), part(random, 80), part(random, 22))
        }
        _ if algorithm == "none" => format!("{head}.{claims}."),
        _ => format!("{head}.{claims}.{}", random.text(BASE64URL, 43)),
    }
}

/// Any address that a host can have: 240.0.0.0/4 was never assigned.
fn ipv4(random: &mut Random) -> String {
    let mut part = || random.below(256);
    format!("{}.{}.{}.{}", 1 + part() % 239, part(), part(), part())
}

fn ipv6(random: &mut Random) -> String {
    let group = |random: &mut Random| format!("{:x}", random.below(65_536));
    let full: Vec<String> = (0..8).map(|_| group(random)).collect();
    match random.below(5) {
        0 => full.join(":").to_uppercase(),
        1 => format!("{}::{}", full[..3].join(":"), full[6..].join(":")),
        2 => format!("::ffff:{}", ipv4(random)),
        3 => format!("fe80::{}", full[..4].join(":")),
        _ => full.join(":"),
    }
}

fn no_address(random: &mut Random) -> String {
    match random.below(7) {
        0 => format!("v{}.{}.{}.{}", random.below(9), random.below(20), random.below(20), random.below(20)),
        1 => format!("{}.{}.{}", random.below(20), random.below(50), random.below(999)),
        2 => format!("{:02}:{:02}:{:02}", random.below(24), random.below(60), random.below(60)),
        3 => (0..6).map(|_| random.text(HEX, 2)).collect::<Vec<_>>().join(":"),
        4 => format!("1.{}.{}.{}", random.between(256, 999), random.below(256), random.below(256)),
        5 => format!("version {}.{}.{}.{}", random.below(20), random.below(9), random.below(99), random.below(9)),
        _ => format!("Chrome/{}.0.{}.{}", random.between(80, 140), random.between(1000, 6000), random.below(200)),
    }
}

fn api_key(random: &mut Random) -> String {
    match random.below(12) {
        0 => format!("AKIA{}", random.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
        1 => format!("ghp_{}", random.text(BASE62, 36)),
        2 => format!("github_pat_{}_{}", random.text(BASE62, 22), random.text(BASE62, 59)),
        3 => format!("glpat-{}", random.text(BASE64URL, 20)),
        4 => format!("xoxb-{}-{}-{}", random.digits(12), random.digits(12), random.text(BASE62, 24)),
        5 => format!("sk_live_{}", random.text(BASE62, 24)),
        6 => format!("AIza{}", random.text(BASE64URL, 35)),
        7 => format!("SG.{}.{}", random.text(BASE64URL, 22), random.text(BASE64URL, 43)),
        8 => format!("npm_{}", random.text(BASE62, 36)),
        9 => format!("shpat_{}", random.text(HEX, 32)),
        10 => format!("dop_v1_{}", random.text(HEX, 64)),
        _ => format!("hf_{}", random.text(BASE62, 34)),
    }
}

/// What random strings are mistaken for: hashes, IDs, versions, paths, words.
fn no_key(random: &mut Random) -> String {
    match random.below(9) {
        0 => random.text(HEX, 32),
        1 => random.text(HEX, 40),
        2 => random.text(HEX, 64),
        3 => format!(
            "{}-{}-4{}-a{}-{}",
            random.text(HEX, 8),
            random.text(HEX, 4),
            random.text(HEX, 3),
            random.text(HEX, 3),
            random.text(HEX, 12)
        ),
        4 => format!("/{}/{}/{}/{}", word(random), word(random), word(random), word(random)),
        5 => format!("{}-{}-{}-{}", word(random), word(random), word(random), word(random)),
        6 => format!("{}_{}_{}_{}", word(random), word(random), word(random), word(random)).to_uppercase(),
        7 => format!("{}.{}.{}-beta.{}", random.below(9), random.below(99), random.below(99), random.below(9)),
        _ => format!("eyes.{}.{}", word(random), word(random)),
    }
}

fn bearer(random: &mut Random) -> String {
    let length = random.between(24, 64);
    match random.below(3) {
        0 => random.text(BASE62, length),
        1 => random.text(BASE64URL, length).replace(['-', '_'], "x"),
        _ => random.text("abcdefghijklmnopqrstuvwxyz0123456789", length),
    }
}

fn pem(random: &mut Random) -> String {
    let label =
        random.pick(&["RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "CERTIFICATE", "OPENSSH PRIVATE KEY"]);
    let lines: Vec<String> = (0..random.between(2, 6)).map(|_| random.text(BASE62, 64)).collect();
    let end = random.pick(&["\n", "\r\n"]);
    format!("-----BEGIN {label}-----{end}{}{end}-----END {label}-----", lines.join(end))
}

fn url(random: &mut Random) -> String {
    let scheme = random.pick(&["https", "postgres", "amqp", "redis", "ftp"]);
    format!("{scheme}://{}:{}@{}.example/{}", word(random), random.text(BASE62, 12), word(random), word(random))
}

fn no_url(random: &mut Random) -> String {
    match random.below(3) {
        0 => format!("https://{}.example:8080/{}", word(random), word(random)),
        1 => format!("https://{}.example/@{}", word(random), word(random)),
        _ => format!("https://{}.example/{}?q=a:b@c", word(random), word(random)),
    }
}

fn named(random: &mut Random) -> String {
    let name = random.pick(&["password", "api_key", "client_secret", "accessToken", "PGPASSWORD", "session_id"]);
    let value = random.text(BASE62, 14);
    match random.below(4) {
        0 => format!("{name}={value}"),
        1 => format!("{name}: {value}"),
        2 => format!("{{\"{name}\": \"{value}\"}}"),
        _ => format!("{name} = '{value}'"),
    }
}

fn no_named(random: &mut Random) -> String {
    let name = random.pick(&["page", "status", "shipping", "token_type", "sort", "version"]);
    format!("{name}={}", word(random))
}
