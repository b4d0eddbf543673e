//! What earlier calls created, so that later ones find it: a payment that is made, confirmed, refunded and listed. Pure.
//!
//! Each world (a launch's candidate, its control, whoever cannot be told) has objects of its own. Guarantee: bounded; the oldest go first.

use std::borrow::Borrow;
use std::collections::{BTreeMap, VecDeque};

use serde_json::Value as Json;

/// Most worlds.
const WORLDS: usize = 16;
/// Most objects of one collection.
const OBJECTS: usize = 10_000;
/// Most answers kept for calls that come again.
const ANSWERS: usize = 10_000;
/// Most bytes of the objects of one collection, and of the answers of one world.
const BYTES: usize = 16 << 20;
/// Longest object that is kept, in bytes of JSON.
const LONGEST: usize = 256 << 10;

/// Every world's objects.
#[derive(Debug)]
pub(crate) struct Worlds<A> {
    worlds: BTreeMap<String, World<A>>,
    order: VecDeque<String>,
}

/// The objects and the kept answers of one world.
#[derive(Debug)]
pub(crate) struct World<A> {
    collections: BTreeMap<String, Collection>,
    answers: Aged<String, A>,
}

impl<A> Default for World<A> {
    fn default() -> Self {
        Self { collections: BTreeMap::new(), answers: Aged::of_bytes(ANSWERS, BYTES) }
    }
}

/// Objects by key.
pub(crate) type Collection = Aged<String, Json>;

/// Values by key that forget the oldest.
#[derive(Debug)]
pub(crate) struct Aged<K, V> {
    values: BTreeMap<K, (V, usize)>,
    order: VecDeque<K>,
    most: usize,
    bytes: usize,
    most_bytes: usize,
}

impl<K: Ord + Clone, V> Aged<K, V> {
    /// Room for so many.
    pub(crate) const fn new(most: usize) -> Self {
        Self::of_bytes(most, usize::MAX)
    }

    /// Room for so many, and for so many bytes of them.
    pub(crate) const fn of_bytes(most: usize, most_bytes: usize) -> Self {
        Self { values: BTreeMap::new(), order: VecDeque::new(), most, bytes: 0, most_bytes }
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.values.get(key).map(|(value, _)| value)
    }

    /// Puts a value whose size does not count; one that was there keeps its age.
    pub(crate) fn put(&mut self, key: K, value: V) {
        self.put_sized(key, value, 0);
    }

    /// Puts a value of so many bytes; one that was there keeps its age. The last one stays, whatever its size.
    pub(crate) fn put_sized(&mut self, key: K, value: V, bytes: usize) {
        self.bytes += bytes;
        match self.values.insert(key.clone(), (value, bytes)) {
            Some((_, before)) => self.bytes -= before,
            None => self.order.push_back(key),
        }
        while self.order.len() > self.most || (self.bytes > self.most_bytes && self.order.len() > 1) {
            if let Some((_, bytes)) = self.order.pop_front().and_then(|oldest| self.values.remove(&oldest)) {
                self.bytes -= bytes;
            }
        }
    }

    /// The value, which is made when it is not there.
    pub(crate) fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if !self.values.contains_key(&key) {
            self.put(key.clone(), make());
        }
        &mut self.values.get_mut(&key).expect("there is room for one").0
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (value, bytes) = self.values.remove(key)?;
        self.bytes -= bytes;
        self.order.retain(|held| held.borrow() != key);
        Some(value)
    }

    /// Newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &V> {
        self.order.iter().rev().filter_map(|key| self.get(key))
    }
}

impl<A> Worlds<A> {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self { worlds: BTreeMap::new(), order: VecDeque::new() }
    }

    /// The world of that name; the first to be made is the first to go.
    pub(crate) fn of(&mut self, name: &str) -> &mut World<A> {
        if !self.worlds.contains_key(name) {
            self.order.push_back(name.to_owned());
            if self.order.len() > WORLDS
                && let Some(oldest) = self.order.pop_front()
            {
                self.worlds.remove(&oldest);
            }
        }
        self.worlds.entry(name.to_owned()).or_default()
    }
}

impl<A> World<A> {
    /// A collection; empty when nothing was put there yet.
    pub(crate) fn collection(&mut self, name: &str) -> &mut Collection {
        if !self.collections.contains_key(name) {
            self.collections.insert(name.to_owned(), Aged::of_bytes(OBJECTS, BYTES));
        }
        self.collections.get_mut(name).expect("it was just put there")
    }

    /// Answers to calls that may come again.
    pub(crate) fn answers(&mut self) -> &mut Aged<String, A> {
        &mut self.answers
    }
}

/// Whether an object is small enough to be kept.
pub(crate) fn fits(object: &Json) -> bool {
    object.to_string().len() <= LONGEST
}

/// Merges `patch` into `object`, member by member. As RFC 7396, but null is a value here: APIs show what is not set as null.
pub(crate) fn merge(object: &mut Json, patch: Json) {
    match (object, patch) {
        (Json::Object(members), Json::Object(changes)) => {
            for (name, change) in changes {
                merge(members.entry(name).or_insert(Json::Null), change);
            }
        }
        (object, patch) => *object = patch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_worlds_do_not_share() {
        let mut worlds: Worlds<()> = Worlds::new();
        for n in 0..OBJECTS + 2 {
            worlds.of("a").collection("c").put(n.to_string(), Json::from(n));
        }
        let kept = worlds.of("a").collection("c");
        assert!(kept.get("1").is_none() && kept.get("2").is_some());
        assert_eq!(kept.newest().next(), Some(&Json::from(OBJECTS + 1)));
        assert!(worlds.of("b").collection("c").get("2").is_none());
        for n in 0..WORLDS {
            worlds.of(&n.to_string());
        }
        assert!(worlds.of("a").collection("c").get("2").is_none(), "its world was the oldest");
    }

    #[test]
    fn bytes_are_bounded_and_the_last_one_stays() {
        let mut aged = Aged::of_bytes(10, 100);
        for (key, bytes) in [("a", 40), ("b", 40), ("a", 50), ("c", 20)] {
            aged.put_sized(key, bytes, bytes);
        }
        assert_eq!((aged.get("a"), aged.newest().count()), (None, 2));
        assert_eq!((aged.remove("b"), aged.bytes), (Some(40), 20));
        aged.put_sized("d", 1_000, 1_000);
        assert_eq!(aged.newest().collect::<Vec<_>>(), [&1_000]);
    }

    #[test]
    fn a_patch_changes_what_it_names_and_leaves_the_rest() {
        let mut object = serde_json::json!({"a": {"b": 1, "c": 2}, "d": [1], "e": 5});
        merge(&mut object, serde_json::json!({"a": {"b": null}, "d": [2, 3]}));
        assert_eq!(object, serde_json::json!({"a": {"b": null, "c": 2}, "d": [2, 3], "e": 5}));
    }
}
