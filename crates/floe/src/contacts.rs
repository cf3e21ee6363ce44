//! Whom this member keeps connections to, and where: what the driver wishes, and those who talk to this member by
//! themselves.

use std::collections::BTreeMap;

use floe_raft::NodeId;

/// What the driver wishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contacts {
    /// Where this member itself is reached; empty if nobody knows. It is told to whom it dials.
    pub(crate) own: String,
    /// The other members of the membership in force, and those that are on their way out or in; each with one address
    /// or several, separated by commas.
    pub(crate) others: BTreeMap<NodeId, String>,
}

/// Members that dialled this one and say where they are reached. One that this member's log does not know yet, or not
/// any more, could not be answered otherwise: each side sends on the connection that it dialled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guests {
    present: BTreeMap<NodeId, Guest>,
}

#[derive(Clone, Debug)]
struct Guest {
    address: String,
    connections: usize,
}

impl Guests {
    /// A member has dialled. Whether anything is new by that.
    pub(crate) fn came(&mut self, id: NodeId, address: &str) -> bool {
        let guest =
            self.present.entry(id).or_insert_with(|| Guest { address: String::new(), connections: 0 });
        guest.connections += 1;
        let is_new = guest.address != address;
        address.clone_into(&mut guest.address);
        is_new
    }

    /// A connection that it dialled is closed. Whether it has left by that.
    pub(crate) fn left(&mut self, id: NodeId) -> bool {
        let Some(guest) = self.present.get_mut(&id) else { return false };
        guest.connections = guest.connections.saturating_sub(1);
        guest.connections == 0 && self.present.remove(&id).is_some()
    }
}

/// Everybody to dial, with all addresses under which each may be reached, the likeliest first.
pub(crate) fn to_dial(contacts: &Contacts, guests: &Guests, own: NodeId) -> BTreeMap<NodeId, Vec<String>> {
    let mut all = BTreeMap::<NodeId, Vec<String>>::new();
    let known = contacts.others.iter().map(|(id, address)| (*id, address.as_str()));
    let present = guests.present.iter().map(|(id, guest)| (*id, guest.address.as_str()));
    for (id, list) in known.chain(present).filter(|(id, _)| *id != own) {
        let addresses = all.entry(id).or_default();
        for address in list.split(',').filter(|address| !address.is_empty()) {
            if !addresses.iter().any(|known| known == address) {
                addresses.push(address.to_owned());
            }
        }
    }
    all.retain(|_, addresses| !addresses.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_dialled_as_long_as_one_of_its_connections_stands() {
        let mut contacts = Contacts::default();
        contacts.others.insert(NodeId(2), "b:1,b:2".into());
        let mut guests = Guests::default();
        let dial = |guests: &Guests| to_dial(&contacts, guests, NodeId(1));
        assert!(guests.came(NodeId(3), "c:1"));
        assert!(!guests.came(NodeId(3), "c:1"));
        assert_eq!(dial(&guests)[&NodeId(3)], ["c:1"]);
        assert!(!guests.left(NodeId(3)));
        assert_eq!(dial(&guests).len(), 2);
        assert!(guests.left(NodeId(3)));
        assert_eq!(dial(&guests).len(), 1);
        // What it says of itself comes after what the log says, and nothing is dialled twice.
        assert!(guests.came(NodeId(2), "b:2,b:3"));
        assert_eq!(dial(&guests)[&NodeId(2)], ["b:1", "b:2", "b:3"]);
        // One that does not say where it is cannot be dialled; nor does a member dial itself.
        guests.came(NodeId(4), "");
        guests.came(NodeId(1), "a:1");
        assert_eq!(dial(&guests).keys().copied().collect::<Vec<_>>(), [NodeId(2)]);
    }
}
