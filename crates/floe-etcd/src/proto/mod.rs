//! etcd's protobuf messages, clients and servers, and the standard health service. Generated and committed; only this
//! list is written by hand. The fields are etcd's own and documented by etcd.
#![allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::use_self,
    unreachable_pub,
    unused_qualifications
)]

#[rustfmt::skip]
pub mod authpb;
#[rustfmt::skip]
pub mod etcdserverpb;
#[rustfmt::skip]
pub mod health;
#[rustfmt::skip]
pub mod mvccpb;
#[rustfmt::skip]
pub mod v3electionpb;
#[rustfmt::skip]
pub mod v3lockpb;
