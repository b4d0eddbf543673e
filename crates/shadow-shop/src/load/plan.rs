//! Which requests the clients send.

use http::Method;

use crate::stock::{self, CARTS, ORDERS, PAGE, PRODUCTS, USERS};

/// One request of the mix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// `GET`, or `POST` for a write.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path: String,
    /// JSON, for a write.
    pub body: Option<String>,
    /// Whose request it is: a cookie of that name and a token are sent along.
    pub session: String,
    /// The W3C trace context it is sent in, a trace of its own.
    pub traceparent: String,
}

/// Searched for; the last one is what the candidate breaks down on.
const SEARCHES: [&str; 10] =
    ["lamp", "chair", "oak", "oak+chair", "steel", "wool", "glass+table", "bamboo", "nothing+like+it", "100%25+wool"];
/// Sessions of the mix.
const SESSIONS: u64 = 200;

/// The request number `index` of the mix that `seed` stands for.
pub fn planned(seed: u64, index: u64) -> Planned {
    let mut state = stock::mix(seed) ^ index;
    let mut draw = |below: u32| {
        state = stock::mix(state);
        (state % u64::from(below)) as u32
    };
    let get = |path: String| (Method::GET, path, None);
    // Shares in percent.
    let (method, path, body) = match draw(100) {
        0..10 => get(format!("/products?page={}", 1 + draw(PRODUCTS / PAGE))),
        // One in ten asks for what is not there.
        10..30 if draw(10) == 0 => get(format!("/products/{}", PRODUCTS + 1 + draw(PRODUCTS))),
        10..30 => get(format!("/products/{}", 1 + draw(PRODUCTS))),
        30..42 => get(format!("/search?q={}", SEARCHES[draw(SEARCHES.len() as u32) as usize])),
        42..62 => get(format!("/carts/{}", 1 + draw(CARTS))),
        62..67 => {
            let cart = 1 + draw(CARTS);
            // One in eight is a gift, one in three is paid in dollars. Calls that the primary did not make are answered later, so most checkouts
            // must go without for the route not to look slow.
            let (gift, currency) = (draw(8) == 0, if draw(3) == 0 { "USD" } else { "EUR" });
            let checkout = serde_json::json!({
                "id": uuid(seed, index), "cart": cart, "currency": currency, "card": "tok_visa",
                "email": format!("customer{}@mail.example", 1 + draw(USERS)), "gift": gift,
            });
            (Method::POST, "/checkouts".to_owned(), Some(checkout.to_string()))
        }
        67..71 => {
            let item = format!("{{\"product\":{},\"quantity\":{}}}", 1 + draw(PRODUCTS), 1 + draw(3));
            (Method::POST, format!("/carts/{}/items", 1 + draw(CARTS)), Some(item))
        }
        71..82 => get(format!("/orders/{}", 1 + draw(ORDERS))),
        82..93 => get(format!("/users/{}", 1 + draw(USERS))),
        93..98 => get("/reports/sales".to_owned()),
        _ => get("/health".to_owned()),
    };
    let session = format!("{:016x}", stock::mix(stock::mix(seed ^ index) % SESSIONS));
    let traceparent =
        format!("00-{:016x}{:016x}-{:016x}-01", own(seed, index, 1), own(seed, index, 2), own(seed, index, 3));
    Planned { method, path, body, session, traceparent }
}

/// Bits that no other request and no other purpose has.
fn own(seed: u64, index: u64, purpose: u64) -> u64 {
    stock::mix(stock::mix(stock::mix(seed) ^ purpose) ^ index)
}

/// An ID as clients make them up: masking leaves it readable.
fn uuid(seed: u64, index: u64) -> String {
    let (high, low) = (own(seed, index, 4), own(seed, index, 5));
    let [a, b, c, d, e] =
        [high >> 32, high >> 16 & 0xffff, high & 0xfff | 0x4000, low >> 48 & 0x3fff | 0x8000, low & 0xffff_ffff_ffff];
    format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
}
