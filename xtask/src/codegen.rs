//! Turns the `.proto` files of floe-etcd into the Rust code that is committed beside them. Made with protox, so that
//! neither a build of floe nor this task needs a `protoc` on the machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the interface definitions lie, below the workspace root.
const PROTO_DIR: &str = "crates/floe-etcd/proto";
/// Where the generated code lies, below the workspace root.
const CODE_DIR: &str = "crates/floe-etcd/src/proto";
/// The definitions that nothing else imports; the imported ones come with them.
const ROOTS: [&str; 3] = ["election.proto", "lock.proto", "health.proto"];
/// Each generated file: the name that prost gives it after its package, the name it is committed under, its source.
const FILES: [(&str, &str, &str); 6] = [
    ("authpb.rs", "authpb.rs", "auth.proto"),
    ("etcdserverpb.rs", "etcdserverpb.rs", "rpc.proto"),
    ("grpc.health.v1.rs", "health.rs", "health.proto"),
    ("mvccpb.rs", "mvccpb.rs", "kv.proto"),
    ("v3electionpb.rs", "v3electionpb.rs", "election.proto"),
    ("v3lockpb.rs", "v3lockpb.rs", "lock.proto"),
];

/// Why the code is not generated, or not up to date.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodegenError {
    /// A definition does not parse.
    #[error("the definitions in {PROTO_DIR} do not compile: {0}")]
    Proto(#[source] Box<protox::Error>),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `check` was asked for, and a committed file is not what the definitions give.
    #[error("{0} is not what its definition gives; run `cargo xtask codegen`")]
    Stale(PathBuf),
}

/// Generates the code and writes what changed; with `check`, writes nothing and fails if something would change.
pub(crate) fn run(check: bool) -> Result<(), CodegenError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let scratch = tempfile::tempdir().map_err(file_error(Path::new("a temporary directory")))?;
    let set = protox::compile(ROOTS, [root.join(PROTO_DIR)]).map_err(|e| CodegenError::Proto(Box::new(e)))?;
    // Every `bytes` field becomes a `Bytes`: a decoded key or value is a slice of the frame it arrived in.
    tonic_prost_build::configure()
        .bytes(".")
        .emit_rerun_if_changed(false)
        .out_dir(scratch.path())
        .compile_fds(set)
        .map_err(file_error(scratch.path()))?;
    for (generated, committed, source) in FILES {
        let code = scratch.path().join(generated);
        let code = fs::read_to_string(&code).map_err(file_error(&code))?;
        let code =
            format!("//! Generated from `proto/{source}` by `cargo xtask codegen`; do not edit.\n\n{code}");
        let path = root.join(CODE_DIR).join(committed);
        let present = fs::read_to_string(&path).ok();
        if present.as_deref() == Some(code.as_str()) {
            continue;
        }
        if check {
            return Err(CodegenError::Stale(Path::new(CODE_DIR).join(committed)));
        }
        fs::write(&path, code).map_err(file_error(&path))?;
        println!("codegen: wrote {CODE_DIR}/{committed}");
    }
    Ok(())
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> CodegenError {
    let path = path.to_path_buf();
    move |source| CodegenError::File { path, source }
}
