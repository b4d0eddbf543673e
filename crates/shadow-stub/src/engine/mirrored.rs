//! What a call leaves behind that was answered as the primary's was, so that later ones which a rule answers find it.

use std::sync::PoisonError;

use minijinja::Value;
use serde_json::Value as Json;

use super::{Answer, Cause, Circumstances, Engine, Matching, put_all, with};
use crate::request::from_json;
use crate::rules::{Action, StateRule};
use crate::state::{World, fits};

impl Engine {
    /// Leaves behind what the rule would have left: its object, and its answer for a call that comes again under `key`. The object is the
    /// answer's body; one that is no JSON object leaves none.
    pub(crate) fn keep(&self, matching: &Matching<'_>, answer: &Answer, key: Option<String>, at: Circumstances<'_>) {
        let Some((rule, context)) = &matching.0 else { return };
        let state = rule.state.as_ref().filter(|_| answer.status.is_success() && answer.fault.is_none());
        if key.is_none() && state.is_none() {
            return;
        }
        let mut worlds = self.worlds.lock().unwrap_or_else(PoisonError::into_inner);
        let world = worlds.of(at.world);
        if let Some(key) = key.filter(|_| answer.is_final()) {
            let bytes = answer.bytes() + key.len();
            world.answers().put_sized(key, answer.clone().detached(), bytes);
        }
        let Some(state) = state else { return };
        let object = serde_json::from_slice(&answer.body).ok().filter(|body: &Json| body.is_object() && fits(body));
        let kept = match (state.action, object) {
            (Action::Delete, _) => self.delete(state, context, world),
            (Action::List, _) | (_, None) => Ok(()),
            (_, Some(object)) => self.put(state, context, object, world),
        };
        if let Err(cause) = kept {
            tracing::debug!(rule = %rule.name, cause, "the primary's answer leaves no object");
        }
    }

    fn delete(&self, state: &StateRule, context: &Value, world: &mut World<Answer>) -> Result<(), Cause> {
        let key = self.render(state.key.as_ref().ok_or("state.key is not set")?, context)?;
        world.collection(&state.collection).remove(&key);
        Ok(())
    }

    fn put(&self, state: &StateRule, context: &Value, object: Json, world: &mut World<Answer>) -> Result<(), Cause> {
        let context = with(&self.seen(state, context, world)?, "object", from_json(&object));
        let key = match &state.key {
            Some(key) => self.render(key, &context)?,
            None => object.get("id").and_then(Json::as_str).unwrap_or_default().to_owned(),
        };
        let known = world.collection(&state.collection).get(&key).is_some();
        // What is read may be older than what this world changed since.
        if key.is_empty() || (state.action == Action::Read && known) {
            return Ok(());
        }
        let also = self.also(state, &context, world);
        let bytes = object.to_string().len();
        world.collection(&state.collection).put_sized(key, object, bytes);
        put_all(also?, world);
        Ok(())
    }
}
