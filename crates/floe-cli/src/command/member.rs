//! `floe member`: who is in the cluster, and changes of that.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use floe_etcd::proto::etcdserverpb::cluster_client::ClusterClient;
use floe_etcd::proto::etcdserverpb::{
    Member, MemberAddRequest, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberRemoveRequest, MemberUpdateRequest,
};

use crate::client::{Connection, Failure};
use crate::print::Printer;

#[derive(Args)]
#[command(after_help = "\
Examples:
  floe member list
  floe member add n4 --peer-urls http://10.0.0.4:2380
  floe member remove n2
  floe member update n3 --peer-urls http://10.0.0.33:2380

To replace a member, add the new one, wait until `floe member list` shows it started, and
remove the old one. A member is named by its name or by its id as the list shows it.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    change: Change,
}

#[derive(Subcommand)]
enum Change {
    /// List the members
    List(List),
    /// Add a member, and show how to start it
    Add(Add),
    /// Make a learner a voter
    Promote(One),
    /// Remove a member, for good; it stops by itself
    Remove(One),
    /// Tell the cluster that a member is reached at other addresses
    Update(Update),
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  floe member list -w json
  floe members")]
pub(crate) struct List {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args)]
#[command(after_help = "\
The new member receives the data first and becomes a voter by itself when it has caught up, so
the cluster is never less safe in between. With --learner it stays without a vote until
`floe member promote`; it then answers only reads of its own data (--serializable).

With --witness it votes from the beginning and holds no data, so that two members and a witness
bear the loss of any one of the three, with two copies of the data. It is a witness for ever.

Examples:
  floe member add n4 --peer-urls http://10.0.0.4:2380
  floe member add n4 --peer-urls http://10.0.0.4:2380 --learner
  floe member add w1 --peer-urls http://10.0.0.9:2380 --witness")]
struct Add {
    /// What the new member will be called
    #[arg(value_name = "NAME")]
    name: String,
    /// Where the other members will reach it
    #[arg(long, value_name = "URLS", value_delimiter = ',', required = true)]
    peer_urls: Vec<String>,
    /// Add it as a learner, which has no vote until it is promoted
    #[arg(long)]
    learner: bool,
    /// With --learner: promote it by itself once it has caught up, as without --learner
    #[arg(long, requires = "learner")]
    auto_promote: bool,
    /// Add it as a witness, which votes and holds no data
    #[arg(long, conflicts_with = "learner")]
    witness: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  floe member promote n4
  floe member remove 8e9e05c52164694d")]
struct One {
    /// Its name, or its id in hexadecimal
    #[arg(value_name = "MEMBER")]
    member: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args)]
#[command(after_help = "\
Example:
  floe member update n3 --peer-urls http://10.0.0.33:2380")]
struct Update {
    /// Its name, or its id in hexadecimal
    #[arg(value_name = "MEMBER")]
    member: String,
    /// Where the other members reach it from now on
    #[arg(long, value_name = "URLS", value_delimiter = ',', required = true)]
    peer_urls: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.change {
        Change::List(list) => self::list(list).await,
        Change::Add(add) => self::add(add).await,
        Change::Promote(one) => promote(one).await,
        Change::Remove(one) => remove(one).await,
        Change::Update(update) => self::update(update).await,
    }
}

pub(crate) async fn list(List { connection }: List) -> Result<(), Failure> {
    let reply = listed(&connection).await?;
    Printer::new(connection.write_out).members(&reply)?;
    Ok(())
}

async fn listed(connection: &Connection) -> Result<MemberListResponse, Failure> {
    let request = MemberListRequest { linearizable: true };
    let reply =
        connection.read(async |channel| ClusterClient::new(channel).member_list(request).await).await?;
    Ok(reply.into_inner())
}

async fn add(
    Add { name, peer_urls, learner, auto_promote, witness, connection }: Add,
) -> Result<(), Failure> {
    let is_learner = learner && !auto_promote;
    let request = MemberAddRequest { peer_ur_ls: peer_urls.clone(), is_learner, is_witness: witness };
    let call = async |channel| ClusterClient::new(channel).member_add(request.clone()).await;
    let reply = connection.write(call).await?.into_inner();
    let id = reply.member.as_ref().map_or(0, |member| member.id);
    let text = match to_start(&name, id, &peer_urls, &reply.members) {
        Ok(flags) => {
            let kind = if witness { " \\\n    --witness" } else { "" };
            format!("Member {id:x} is added. Start it with:\n\n  {flags}{kind}\n")
        }
        Err(unnamed) => format!(
            "Member {id:x} is added. Start members {unnamed} first: the list of all members, which it needs, has to name \
             them.\n"
        ),
    };
    Printer::new(connection.write_out).member_added(&reply, &text)?;
    Ok(())
}

/// The command line that starts the new member; or those members that have no name yet, which it must list.
fn to_start(name: &str, id: u64, peer_urls: &[String], members: &[Member]) -> Result<String, String> {
    let mut cluster = BTreeMap::new();
    let mut unnamed = Vec::new();
    for member in members {
        let called = if member.id == id { name } else { &member.name };
        if called.is_empty() {
            unnamed.push(format!("{:x}", member.id));
        }
        let pairs: Vec<_> = member.peer_ur_ls.iter().map(|url| format!("{called}={url}")).collect();
        cluster.insert(called.to_owned(), pairs.join(","));
    }
    if !unnamed.is_empty() {
        return Err(unnamed.join(", "));
    }
    let cluster: Vec<_> = cluster.into_values().collect();
    let peer_urls = peer_urls.join(",");
    Ok(format!(
        "floe serve --name {name} --listen-peer-urls {peer_urls} \\\n    --listen-client-urls http://HOST:2379 \\\n    \
         --initial-cluster-state existing \\\n    --initial-cluster {}",
        cluster.join(",")
    ))
}

async fn promote(One { member, connection }: One) -> Result<(), Failure> {
    let id = resolve(&connection, &member).await?;
    let call = async |channel| ClusterClient::new(channel).member_promote(MemberPromoteRequest { id }).await;
    let reply = connection.write(call).await?.into_inner();
    let list = MemberListResponse { header: reply.header, members: reply.members };
    Printer::new(connection.write_out).member_changed(&list, &format!("Member {id:x} is a voter.\n"))?;
    Ok(())
}

async fn remove(One { member, connection }: One) -> Result<(), Failure> {
    let id = resolve(&connection, &member).await?;
    let call = async |channel| ClusterClient::new(channel).member_remove(MemberRemoveRequest { id }).await;
    let reply = connection.write(call).await?.into_inner();
    let list = MemberListResponse { header: reply.header, members: reply.members };
    let text = format!("Member {id:x} is removed. Its data directory is of no use any more.\n");
    Printer::new(connection.write_out).member_changed(&list, &text)?;
    Ok(())
}

async fn update(Update { member, peer_urls, connection }: Update) -> Result<(), Failure> {
    let id = resolve(&connection, &member).await?;
    let request = MemberUpdateRequest { id, peer_ur_ls: peer_urls };
    let call = async |channel| ClusterClient::new(channel).member_update(request.clone()).await;
    let reply = connection.write(call).await?.into_inner();
    let list = MemberListResponse { header: reply.header, members: reply.members };
    Printer::new(connection.write_out).member_changed(&list, &format!("Member {id:x} is updated.\n"))?;
    Ok(())
}

/// The id of a member that is called by its name or its id. A name counts first; several members may bear it.
async fn resolve(connection: &Connection, member: &str) -> Result<u64, Failure> {
    let members = listed(connection).await?.members;
    let named: Vec<_> =
        members.iter().filter(|listed| listed.name == member).map(|listed| listed.id).collect();
    match (named.as_slice(), u64::from_str_radix(member, 16)) {
        ([id], _) => Ok(*id),
        ([], Ok(id)) if members.iter().any(|listed| listed.id == id) => Ok(id),
        ([], _) => Err(Failure::NoSuchMember(member.to_owned())),
        (_, _) => Err(Failure::SeveralMembers(member.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, name: &str, urls: &[&str]) -> Member {
        let peer_ur_ls = urls.iter().map(ToString::to_string).collect();
        Member { id, name: name.into(), peer_ur_ls, ..Member::default() }
    }

    #[test]
    fn the_command_to_start_a_member_names_all() {
        let members = [
            member(7, "", &["http://c:1"]),
            member(1, "n1", &["http://a:1", "http://a:2"]),
            member(2, "n2", &["http://b:1"]),
        ];
        let urls = ["http://c:1".to_owned()];
        let text = to_start("n3", 7, &urls, &members).unwrap();
        let list = "n1=http://a:1,n1=http://a:2,n2=http://b:1,n3=http://c:1";
        assert!(text.ends_with(&format!("--initial-cluster {list}")), "{text}");
        assert!(text.contains("--name n3 --listen-peer-urls http://c:1"), "{text}");
        assert_eq!(to_start("n3", 1, &urls, &members), Err("7".to_owned()));
    }
}
