//! Names on the command line: those of features, of graphs and of mutants, in both directions.

use std::str::FromStr;

use crate::graph::Graph;
use crate::mutant::Mutant;
use crate::plan::Feature;

/// A name that nothing has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {kind} `{name}`; there are {known}")]
pub struct UnknownName {
    kind: &'static str,
    name: String,
    known: String,
}

impl UnknownName {
    fn new<'a>(kind: &'static str, name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        Self { kind, name: name.to_string(), known: known.collect::<Vec<_>>().join(", ") }
    }
}

impl FromStr for Feature {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let known = Self::ALL.iter().map(|(_, name)| *name);
        Self::of_name(name).ok_or_else(|| UnknownName::new("feature", name, known))
    }
}

impl FromStr for Graph {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let known = Self::ALL.iter().map(|(_, name)| *name);
        Self::of_name(name).ok_or_else(|| UnknownName::new("graph", name, known))
    }
}

impl FromStr for Mutant {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let known = Self::all().into_iter().map(Self::name);
        Self::of_name(name).ok_or_else(|| UnknownName::new("mutant", name, known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutant::HostMutant;

    #[test]
    fn an_unknown_name_is_refused_with_those_that_are_known() {
        assert_eq!("loss".parse(), Ok(Feature::Loss));
        assert_eq!("host-forget-vote".parse(), Ok(Mutant::Host(HostMutant::ForgetVote)));
        let refused = "weather".parse::<Feature>().unwrap_err().to_string();
        assert!(
            refused.starts_with("there is no feature `weather`; there are loss, duplicate,"),
            "{refused}"
        );
    }
}
