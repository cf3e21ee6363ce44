//! The fields of an object, taken one by one: what is left over in the end is a mistake of whoever wrote it.

use crate::json::{Json, Number};

/// The fields of an object that are not taken yet. A field that is null is as good as left out.
pub(crate) struct Fields {
    left: Vec<(String, Json)>,
}

/// What is wrong with a field, as a sentence.
pub(crate) use std::string::String as Wrong;

impl Fields {
    /// Those of an object; `what` is its name in the complaint about anything else.
    pub(crate) fn of(value: Json, what: &str) -> Result<Self, Wrong> {
        match value {
            Json::Object(left) => Ok(Self { left }),
            _ => Err(format!("{what} is no JSON object")),
        }
    }

    /// Takes a field.
    pub(crate) fn take(&mut self, name: &str) -> Option<Json> {
        let place = self.left.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.left.swap_remove(place);
        (value != Json::Null).then_some(value)
    }

    /// Nothing is left, but what nobody knows.
    pub(crate) fn end(self, what: &str) -> Result<(), Wrong> {
        let names: Vec<String> = self.left.into_iter().map(|(name, _)| format!("`{name}`")).collect();
        if names.is_empty() { Ok(()) } else { Err(format!("{what} has no field {}", names.join(", "))) }
    }

    fn taken<T>(
        &mut self,
        name: &str,
        kind: &str,
        read: impl FnOnce(Json) -> Option<T>,
    ) -> Result<Option<T>, Wrong> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| format!("`{name}` is not {kind}")),
        }
    }

    /// A number that is not negative.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<u64>, Wrong> {
        self.taken(name, "a whole number of at least 0", |value| value.as_number())
    }

    /// A number that must be there.
    pub(crate) fn needed(&mut self, name: &str) -> Result<u64, Wrong> {
        self.number(name)?.ok_or_else(|| format!("there is no `{name}`"))
    }

    /// A number that may be negative, and must be there.
    pub(crate) fn signed(&mut self, name: &str) -> Result<i64, Wrong> {
        let read = |value| match value {
            Json::Number(Number { is_negative, magnitude }) => {
                let magnitude = i64::try_from(magnitude).ok()?;
                Some(if is_negative { -magnitude } else { magnitude })
            }
            _ => None,
        };
        self.taken(name, "a whole number of 63 bits", read)?.ok_or_else(|| format!("there is no `{name}`"))
    }

    /// A share of a hundred.
    pub(crate) fn percent(&mut self, name: &str) -> Result<Option<u32>, Wrong> {
        let read = |value: Json| value.as_number().and_then(|number| u32::try_from(number).ok());
        self.taken(name, "a whole number of percent", read)
    }

    /// A truth.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Wrong> {
        let read = |value| if let Json::Flag(flag) = value { Some(flag) } else { None };
        self.taken(name, "`true` or `false`", read)
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Wrong> {
        self.taken(name, "a text", text_of)
    }

    /// A list of numbers.
    pub(crate) fn numbers(&mut self, name: &str) -> Result<Option<Vec<u64>>, Wrong> {
        self.taken(name, "a list of whole numbers", numbers_of)
    }

    /// Two numbers.
    pub(crate) fn pair(&mut self, name: &str) -> Result<Option<[u64; 2]>, Wrong> {
        let read = |value| <[u64; 2]>::try_from(numbers_of(value)?).ok();
        self.taken(name, "a list of two whole numbers", read)
    }

    /// A list of texts; empty if it is not there.
    pub(crate) fn texts(&mut self, name: &str) -> Result<Vec<String>, Wrong> {
        let read = |value| items_of(value)?.into_iter().map(text_of).collect();
        Ok(self.taken(name, "a list of texts", read)?.unwrap_or_default())
    }

    /// A list.
    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<Json>>, Wrong> {
        self.taken(name, "a list", items_of)
    }

    /// A number of 64 bits. JavaScript's numbers do not hold all of them, so that it may be a text.
    pub(crate) fn seed(&mut self, name: &str) -> Result<Option<u64>, Wrong> {
        let read = |value: Json| match &value {
            Json::Text(text) => text.parse().ok(),
            value => value.as_number(),
        };
        self.taken(name, "a number of 64 bits", read)
    }
}

fn text_of(value: Json) -> Option<String> {
    if let Json::Text(text) = value { Some(text) } else { None }
}

fn items_of(value: Json) -> Option<Vec<Json>> {
    if let Json::List(items) = value { Some(items) } else { None }
}

/// The numbers of a list of numbers.
pub(crate) fn numbers_of(value: Json) -> Option<Vec<u64>> {
    items_of(value)?.iter().map(Json::as_number).collect()
}
