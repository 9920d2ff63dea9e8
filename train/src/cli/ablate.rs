//! `mbsd train ablate`: an ablation study, as far as it is not done yet.

use std::path::PathBuf;

use clap::Args;

use crate::TrainError;
use crate::ablate::{Ablation, Plan};
use crate::device::DeviceChoice;

/// Arguments of `ablate`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The ablation file.
    #[arg(long, value_name = "ABLATE.TOML")]
    config: PathBuf,
    /// Change a key of the ablation file, such as seeds=[1,2]; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where to compute: cpu, cuda, cuda:0,1 with the numbers of GPUs that share each batch, or webgpu.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: DeviceChoice,
    /// Only check the file, and list the runs of each row.
    #[arg(long)]
    plan: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), TrainError> {
    let plan = Plan::new(Ablation::from_file(&arguments.config, &arguments.set)?)?;
    if arguments.plan {
        return list(&plan);
    }
    let devices = arguments.device.open()?;
    let results = plan.run(&devices)?;
    let (finished, all) = results.progress();
    eprintln!(
        "{finished} of {all} cells: {0}/table.md, {0}/ablation.html, {0}/results.json",
        plan.ablation.output.display()
    );
    if finished < all {
        let reason = "some cells could not be finished, see table.md";
        return Err(TrainError::run(plan.ablation.output.display().to_string(), reason));
    }
    Ok(())
}

fn list(plan: &Plan) -> Result<(), TrainError> {
    let mut finished = Vec::new();
    for planned in &plan.runs {
        finished.push(planned.finished()?.is_some());
    }
    for cell in &plan.cells {
        let runs = cell.runs.iter().map(|&run| {
            let done = if finished[run] { " (finished)" } else { "" };
            format!("{}{done}", plan.runs[run].name)
        });
        println!("{}: {}", plan.title(cell), runs.collect::<Vec<_>>().join(" -> "));
    }
    let done = finished.iter().filter(|&&done| done).count();
    println!("{} runs, {done} of them finished", plan.runs.len());
    Ok(())
}
