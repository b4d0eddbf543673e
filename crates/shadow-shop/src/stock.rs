//! What the shop knows. Nothing is stored: every record is computed from its ID, so both builds know the same for ever.
//!
//! Amounts are cents. Users have what must not leave production: names, mail addresses, telephone numbers, streets.

use serde::Serialize;

/// Products have the IDs 1 to this.
pub(crate) const PRODUCTS: u32 = 200;
/// Users have the IDs 1 to this.
pub(crate) const USERS: u32 = 1_000;
/// Carts have the IDs 1 to this.
pub(crate) const CARTS: u32 = 2_000;
/// Orders have the IDs 1 to this.
pub(crate) const ORDERS: u32 = 5_000;
/// Products on one page of the catalogue.
pub(crate) const PAGE: u32 = 20;

const CATEGORIES: [&str; 5] = ["lighting", "seating", "storage", "tables", "textiles"];
const MATERIALS: [&str; 6] = ["oak", "steel", "linen", "glass", "wool", "bamboo"];
const THINGS: [&str; 5] = ["lamp", "chair", "shelf", "table", "rug"];
const FIRST_NAMES: [&str; 8] = ["Ada", "Bruno", "Chiara", "Dmitri", "Esra", "Fatou", "Goran", "Hana"];
const LAST_NAMES: [&str; 7] = ["Almeida", "Bergström", "Contreras", "Dlamini", "Eriksen", "Fujita", "Grabowski"];
const STREETS: [&str; 5] = ["Harbour Street", "Mill Lane", "Station Road", "Orchard Way", "Old Market"];
const STATES: [&str; 4] = ["paid", "packed", "shipped", "delivered"];

/// Well mixed bits of a number (SplitMix64).
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number below `below` that depends on a record and on what it is wanted for.
pub(crate) fn draw(id: u32, purpose: &str, below: u32) -> u32 {
    let seed = purpose.bytes().fold(u64::from(id), |seed, byte| mix(seed ^ u64::from(byte)));
    (seed % u64::from(below)) as u32
}

fn pick(id: u32, purpose: &str, from: &'static [&'static str]) -> &'static str {
    from[draw(id, purpose, from.len() as u32) as usize]
}

/// One product of the catalogue.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Product {
    id: u32,
    name: String,
    category: &'static str,
    price: u32,
    in_stock: u32,
}

pub(crate) fn product(id: u32) -> Option<Product> {
    (1..=PRODUCTS).contains(&id).then(|| {
        let thing = id as usize % THINGS.len();
        Product {
            id,
            name: format!("{} {}", pick(id, "material", &MATERIALS), THINGS[thing]),
            category: CATEGORIES[thing],
            price: 500 + draw(id, "price", 20_000),
            in_stock: draw(id, "stock", 90),
        }
    })
}

/// One page of the catalogue; pages count from 1, and those beyond the last are empty.
pub(crate) fn page(page: u32) -> Vec<Product> {
    let first = page.max(1).saturating_sub(1).saturating_mul(PAGE).saturating_add(1);
    (first..first.saturating_add(PAGE)).filter_map(product).collect()
}

/// Products whose name holds `words`; what nothing is called finds nothing.
pub(crate) fn search(words: &str) -> Vec<Product> {
    let words = words.trim().to_lowercase();
    let found = (1..=PRODUCTS).filter_map(product).filter(|product| product.name.contains(&words));
    if words.is_empty() { Vec::new() } else { found.take(10).collect() }
}

/// One line of a cart or an order.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    product: u32,
    quantity: u32,
    amount: u32,
}

pub(crate) fn line(product_id: u32, quantity: u32) -> Option<Line> {
    let price = product(product_id)?.price;
    Some(Line { product: product_id, quantity, amount: price.checked_mul(quantity)? })
}

fn lines(id: u32, purpose: &str) -> Vec<Line> {
    let count = 1 + draw(id, purpose, 4);
    (0..count)
        .filter_map(|n| {
            let salt = id.wrapping_mul(8).wrapping_add(n);
            line(1 + draw(salt, purpose, PRODUCTS), 1 + draw(salt, "quantity", 3))
        })
        .collect()
}

pub(crate) fn total(lines: &[Line]) -> u32 {
    lines.iter().map(|line| line.amount).sum()
}

pub(crate) fn cart(id: u32) -> Option<Vec<Line>> {
    (1..=CARTS).contains(&id).then(|| lines(id, "cart"))
}

/// An order without its total, which the builds call differently.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Order {
    pub(crate) id: u32,
    pub(crate) user: u32,
    pub(crate) state: &'static str,
    pub(crate) lines: Vec<Line>,
}

pub(crate) fn order(id: u32) -> Option<Order> {
    (1..=ORDERS).contains(&id).then(|| Order {
        id,
        user: 1 + draw(id, "buyer", USERS),
        state: pick(id, "state", &STATES),
        lines: lines(id, "order"),
    })
}

/// A customer: all of it but the ID is private.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct User {
    id: u32,
    name: String,
    email: String,
    phone: String,
    address: Address,
}

/// Where a customer lives.
#[derive(Clone, Debug, Serialize)]
struct Address {
    street: String,
    postcode: String,
    city: &'static str,
}

pub(crate) fn user(id: u32) -> Option<User> {
    (1..=USERS).contains(&id).then(|| {
        let (first, last) = (pick(id, "first", &FIRST_NAMES), pick(id, "last", &LAST_NAMES));
        User {
            id,
            name: format!("{first} {last}"),
            email: format!("{}{id}@mail.example", first.to_lowercase()),
            phone: format!("+49 30 {:07}", draw(id, "phone", 10_000_000)),
            address: Address {
                street: format!("{} {}", pick(id, "street", &STREETS), 1 + draw(id, "house", 180)),
                postcode: format!("D-{:05}", draw(id, "postcode", 100_000)),
                city: "Elbstadt",
            },
        }
    })
}

/// Sales of one month.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Month {
    month: u32,
    orders: u32,
    revenue: u32,
}

pub(crate) fn sales() -> Vec<Month> {
    let month = |month| Month { month, orders: draw(month, "orders", 900), revenue: draw(month, "revenue", 900_000) };
    (1..=12).map(month).collect()
}
