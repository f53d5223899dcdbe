//! The commands and their options.

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// What operators ask of pools, of their settings and of their server.
///
/// Settings are those of the library: environment variables, a file `.env` in this folder or above it, and the URL of
/// the server. Variables win over the file. Secrets are never shown.
#[derive(Debug, Parser)]
#[command(name = "tierpool", version, term_width = 80, after_help = CODES, disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

const CODES: &str = "Exit codes, of every command: 0 good, 1 bad, 2 it could not be told.\nEach command's --help says \
                     what that means for it.";

const CONFIG_CODES: &str = "Exit codes:\n  0  the settings can be used\n  1  they can, and there are warnings\n  \
                            2  they cannot: each fault is told; or .env cannot be read";

const PAGE_CODES: &str = "Exit codes:\n  0  printed\n  2  standard output could not be written, or the name is not \
                          known";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prints the settings in force, where each came from, and warnings
    #[command(after_help = CONFIG_CODES)]
    Config(ConfigOptions),
    /// Prints completions of the commands for a shell
    #[command(after_help = PAGE_CODES)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Prints the manual page, or that of a command
    #[command(after_help = PAGE_CODES)]
    Man {
        /// The command whose page is wanted
        command: Option<String>,
    },
}

#[derive(Args, Debug)]
pub struct ConfigOptions {
    /// Lists the variables that are set, too: where, and whether they count
    #[arg(long)]
    pub env: bool,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}
