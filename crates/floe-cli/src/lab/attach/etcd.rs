//! What etcd's own API says of a member, in the words of `/floe/state` as far as they go.

use floe_etcd::proto::etcdserverpb::cluster_client::ClusterClient;
use floe_etcd::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use floe_etcd::proto::etcdserverpb::{Member, MemberListRequest, StatusRequest, StatusResponse};
use serde_json::{Value, json};
use tonic::transport::Endpoint;

/// Status and member list of the member at this address.
pub(super) async fn look(address: &str) -> Result<Value, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
    let channel = endpoint.connect().await.map_err(|error| error.to_string())?;
    let said = |status: tonic::Status| status.message().to_owned();
    let status = MaintenanceClient::new(channel.clone()).status(StatusRequest {}).await.map_err(said)?;
    // The list as this member knows it: a member without a leader still shows one.
    let request = MemberListRequest { linearizable: false };
    let members = ClusterClient::new(channel).member_list(request).await.map_err(said)?;
    Ok(describe(&status.into_inner(), &members.into_inner().members))
}

fn describe(status: &StatusResponse, members: &[Member]) -> Value {
    let hex = |id: u64| format!("{id:016x}");
    let header = status.header.unwrap_or_default();
    let ids = |learners: bool| -> Vec<String> {
        members.iter().filter(|member| member.is_learner == learners).map(|member| hex(member.id)).collect()
    };
    let described: Vec<Value> = members
        .iter()
        .map(
            |member| json!({ "id": hex(member.id), "name": member.name, "client_urls": member.client_ur_ls }),
        )
        .collect();
    let name = members.iter().find(|member| member.id == header.member_id).map(|member| member.name.clone());
    let role = match status.leader {
        0 => None,
        leader if leader == header.member_id => Some("leader"),
        _ => Some("follower"),
    };
    json!({
        "member": hex(header.member_id),
        "name": name,
        "cluster": hex(header.cluster_id),
        "role": role,
        "term": status.raft_term,
        "leader": (status.leader != 0).then(|| hex(status.leader)),
        "commit": status.raft_index,
        "applied": status.raft_applied_index,
        "voters": ids(false),
        "learners": ids(true),
        "members": described,
    })
}

#[cfg(test)]
mod tests {
    use floe_etcd::proto::etcdserverpb::ResponseHeader;

    use super::*;

    #[test]
    fn a_member_that_knows_itself_to_lead_is_the_leader() {
        let header = ResponseHeader { member_id: 7, cluster_id: 9, ..Default::default() };
        let status = StatusResponse {
            header: Some(header),
            leader: 7,
            raft_term: 3,
            raft_index: 20,
            raft_applied_index: 19,
            ..Default::default()
        };
        let members = [
            Member { id: 7, name: "a".into(), client_ur_ls: vec!["http://h:1".into()], ..Default::default() },
            Member { id: 8, is_learner: true, ..Default::default() },
        ];
        let state = describe(&status, &members);
        assert_eq!((&state["role"], &state["name"]), (&json!("leader"), &json!("a")));
        assert_eq!((&state["commit"], &state["applied"]), (&json!(20), &json!(19)));
        assert_eq!(state["voters"], json!(["0000000000000007"]));
        assert_eq!(state["learners"], json!(["0000000000000008"]));
    }
}
