//! The address at which the lab's page shows a seed: the settings of the world, as JSON, in base64 for addresses.

use std::fmt::Write as _;

use crate::clock::Moment;
use crate::mutant::Mutant;
use crate::plan::{Feature, Plan, Restrictions};

/// What comes after the page's address, to see the world of this seed at that moment. `None` of a world that the page
/// does not show: of a graph, or of the store.
pub(crate) fn link(
    seed: u64,
    restrictions: &Restrictions,
    mutant: Option<Mutant>,
    at: Moment,
) -> Option<String> {
    let Restrictions { voters, graph, clients, groups: _, with, without, skip, seconds, store } =
        restrictions;
    if graph.is_some() || *store {
        return None;
    }
    let mut forced = restrictions.clone();
    if let Some(mutant) = mutant {
        mutant.needs(&mut forced);
        forced.groups = Some(1);
    }
    // JavaScript's numbers do not hold all seeds; a text does.
    let mut world = format!("{{\"version\":1,\"world\":{{\"seed\":\"{seed}\"");
    let groups = Plan::draw(seed, &forced).groups;
    let numbers =
        [("voters", *voters), ("clients", *clients), ("seconds", *seconds), ("groups", Some(groups))];
    for (name, number) in numbers {
        if let Some(number) = number {
            // Writing to a `String` cannot fail.
            let _ = write!(world, ",\"{name}\":{number}");
        }
    }
    for (name, features) in [("with", with), ("without", without)] {
        if !features.is_empty() {
            let names: Vec<String> =
                features.iter().copied().map(Feature::name).map(|name| format!("\"{name}\"")).collect();
            let _ = write!(world, ",\"{name}\":[{}]", names.join(","));
        }
    }
    if !skip.is_empty() {
        let numbers: Vec<String> = skip.iter().map(u32::to_string).collect();
        let _ = write!(world, ",\"skip\":[{}]", numbers.join(","));
    }
    if let Some(mutant) = mutant {
        let _ = write!(world, ",\"mutant\":\"{}\"", mutant.name());
    }
    world.push_str("}}");
    Some(format!("#s={}&t={}", base64url(world.as_bytes()), at.0))
}

/// Base64 with the alphabet for addresses, without padding (RFC 4648, section 5).
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let three =
            chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(three >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_standard() {
        for (plain, coded) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE")]
        {
            assert_eq!(base64url(plain.as_bytes()), coded);
        }
        assert_eq!(base64url(&[0xFB, 0xFF]), "-_8");
    }

    #[test]
    fn a_link_names_all_that_the_command_names() {
        let restrictions = Restrictions {
            voters: Some(3),
            groups: Some(1),
            with: [Feature::Members].into(),
            skip: [4, 7].into(),
            ..Restrictions::default()
        };
        let mutant = Mutant::of_name("host-lose-tail");
        let world = concat!(
            r#"{"version":1,"world":{"seed":"7","voters":3,"groups":1,"with":["members"],"skip":[4,7],"#,
            r#""mutant":"host-lose-tail"}}"#
        );
        let link = link(7, &restrictions, mutant, Moment(5));
        assert_eq!(link, Some(format!("#s={}&t=5", base64url(world.as_bytes()))));
    }
}
