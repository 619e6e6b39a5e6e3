//! Flags for the output of every command.

use clap::{ArgAction, Args};

use super::value_parser::output_format;
use crate::ui::Format;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Print a document to standard output: json or yaml; for members also wide or name
    #[arg(short = 'o', long, global = true, value_name = "FORMAT", value_parser = output_format)]
    pub output: Option<Format>,

    /// Print errors only
    #[arg(short, long, global = true, action = ArgAction::SetTrue)]
    pub quiet: bool,

    /// Log level on standard error: 0 none, 2 steps, 4 details, 6 requests
    #[arg(short = 'v', long = "v", global = true, value_name = "N", default_value_t = 0)]
    pub verbosity: u8,
}
