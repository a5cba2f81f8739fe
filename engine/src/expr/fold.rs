//! Comprehensions: `all`, `exists`, `exists_one`, `map` and `filter`, in one pass and without copying what they collect.

use std::sync::Arc;

use kube_cel::cel::Value;

use super::evaluate::{Evaluation, Failure, Outcome};
use super::json::weight;
use super::limits::VALUE_WEIGHT;
use super::operators::items;
use super::tree::{Fold, FoldKind};

impl Evaluation<'_> {
    pub(super) fn fold(&mut self, fold: &Fold) -> Outcome<Value> {
        let range = items(&self.value(&fold.range)?)?;
        let depth = self.locals.len();
        let mut state = FoldState::default();
        for item in range.iter() {
            self.charge(1)?;
            self.locals.push(item.clone());
            let decided = self.fold_item(fold, &mut state);
            self.locals.truncate(depth);
            if let Some(decided) = decided? {
                return Ok(Value::Bool(decided));
            }
        }
        match (fold.kind, state.error) {
            (FoldKind::All | FoldKind::Exists, Some(error)) => Err(Failure::Error(error)),
            (FoldKind::All, None) => Ok(Value::Bool(true)),
            (FoldKind::Exists, None) => Ok(Value::Bool(false)),
            (FoldKind::ExistsOne, _) => Ok(Value::Bool(state.count == 1)),
            (FoldKind::Collect, _) => Ok(Value::List(Arc::new(state.collected))),
        }
    }

    /// Goes on by one item; a boolean ends the comprehension.
    fn fold_item(&mut self, fold: &Fold, state: &mut FoldState) -> Outcome<Option<bool>> {
        let test = fold.test.as_ref().map_or(Ok(true), |test| self.truth(test));
        match (fold.kind, test) {
            (_, Err(Failure::Spent(message))) => return Err(Failure::Spent(message)),
            (FoldKind::All, Ok(false)) => return Ok(Some(false)),
            (FoldKind::Exists, Ok(true)) => return Ok(Some(true)),
            (FoldKind::All | FoldKind::Exists, test) => {
                state.error = state.error.take().or(test.err().map(Failure::into_message))
            }
            (_, Err(failure)) => return Err(failure),
            (_, Ok(false)) => {}
            (FoldKind::ExistsOne, Ok(true)) => state.count += 1,
            (FoldKind::Collect, Ok(true)) => {
                let item = fold.item.as_ref().map_or(Ok(Value::Null), |item| self.value(item))?;
                state.weight += weight(&item);
                self.charge(weight(&item) as u64 / 16)?;
                if state.weight > VALUE_WEIGHT {
                    self.charge_weight(state.weight)?;
                }
                state.collected.push(item);
            }
        }
        Ok(None)
    }
}

/// What a comprehension has so far.
#[derive(Default)]
struct FoldState {
    collected: Vec<Value>,
    weight: usize,
    count: usize,
    error: Option<String>,
}
