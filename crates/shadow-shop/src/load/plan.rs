//! Which requests the clients send.

use http::Method;

use crate::stock::{self, CARTS, ORDERS, PAGE, PRODUCTS, USERS};

/// One request of the mix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// `GET`, or `POST` for the one write.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path: String,
    /// JSON, for a write.
    pub body: Option<String>,
    /// Whose request it is: a cookie of that name and a token are sent along.
    pub session: String,
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
        42..67 => get(format!("/carts/{}", 1 + draw(CARTS))),
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
    Planned { method, path, body, session }
}
