//! `floe recover`: the last resort, on the data directory of a member that does not run.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use floe::{RecoverError, Survivor};

#[derive(Args)]
#[command(after_help = "\
Shows what it would do, and does it only with --yes. Stop the member first.

When a majority of the members is lost for good, one voter that is left can go on alone. Take the one with the
latest last entry: what the lost members had acknowledged and it never received is lost. Its own entries stay, those
too that were never acknowledged. The lost members are refused for ever, should they come back; add new ones with
`floe member add`.

Example:
  floe recover --data-dir /var/lib/floe            look
  floe recover --data-dir /var/lib/floe --yes      make this member the only one of its cluster")]
pub(crate) struct Arguments {
    /// The data directory of the member
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Only drop the log's last write, if it is damaged and nothing tells whether it was acknowledged
    #[arg(long)]
    discard_undecided: bool,
    /// Do it
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Only show what would be done; so it is without --yes as well
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    match run(arguments) {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<String, RecoverError> {
    let Arguments { data_dir, discard_undecided, yes, .. } = arguments;
    if *discard_undecided {
        return discard(arguments);
    }
    let before = Survivor::read(data_dir)?;
    let mut report = describe(&before);
    if before.others().is_empty() {
        report.push_str("It is the only member already; there is nothing to do.\n");
    } else if *yes {
        let after = Survivor::recover(data_dir)?;
        report.push_str(&format!(
            "Done: since entry {} it is the only member. Start it, then add members with `floe member add`.\n",
            after.last
        ));
    } else {
        report.push_str(&plan(&before));
    }
    Ok(report)
}

fn discard(arguments: &Arguments) -> Result<String, RecoverError> {
    if arguments.yes {
        let after = Survivor::discard_undecided(&arguments.data_dir)?;
        return Ok(format!("{}The log is whole up to there.\n", describe(&after)));
    }
    match Survivor::read(&arguments.data_dir) {
        Ok(survivor) => {
            Ok(format!("{}Its log is whole; there is nothing to discard.\n", describe(&survivor)))
        }
        Err(RecoverError::Undecided(error)) => Ok(format!(
            "{error}\nWith --yes this last write is dropped, with every entry and vote in it. If the member had\n\
             acknowledged it, that is a loss; other members that hold it give it back.\nNothing was changed.\n"
        )),
        Err(error) => Err(error),
    }
}

fn describe(survivor: &Survivor) -> String {
    let members: Vec<String> = survivor.membership.members().iter().map(|id| format!("{:x}", id.0)).collect();
    format!(
        "member   {:x} of cluster {:x}\nterm     {}\nentries  {} to {}\nmembers  {}\n",
        survivor.owner.member.0,
        survivor.owner.cluster,
        survivor.term,
        survivor.base,
        survivor.last,
        members.join(", ")
    )
}

fn plan(survivor: &Survivor) -> String {
    let others: Vec<String> = survivor.others().iter().map(|id| format!("{:x}", id.0)).collect();
    format!(
        "\nWith --yes this member becomes the only one of its cluster, and refuses for ever: {}.\n\
         Kept: every entry of its log up to {}, whether it was acknowledged to a client or not.\n\
         Lost: what those members acknowledged together and this one never received.\n\
         Never do this while a majority of the members can still be brought back.\nNothing was changed.\n",
        others.join(", "),
        survivor.last
    )
}
