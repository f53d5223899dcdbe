//! The commands and their options.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::fleet::{FLEET_CODES, FleetAct};
use crate::loadtest::{LOADTEST_CODES, LoadtestOptions};

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

const STATUS_CODES: &str = "\
Exit codes:
  0    healthy: the server answered just now, and the reserve is there
  1    degraded: a circuit breaker is open, a tier does not lend, the reserve is
       short, or somebody has waited for more than half of what a checkout may
       take
  2    the server does not answer, or the settings cannot be used
  130  ended by Ctrl-C";

const TOP_CODES: &str = "\
Exit codes:
  0    ended by q; without a terminal: the server answered
  2    the settings or the terminal cannot be used; without a terminal: the
       server does not answer
  130  ended by Ctrl-C";

const SERVE_CODES: &str = "\
Exit codes:
  2    the address or the token cannot be used
  130  ended by Ctrl-C";

const QUEUE_CODES: &str = "\
Exit codes:
  0    done; of stats: and no item is dead
  1    of stats: items are dead
  2    it was not done, or nobody knows: the reason is told
  130  ended by Ctrl-C; what was being pushed is not";

const VERIFY_CODES: &str = "\
Exit codes:
  0    every check passed; there may be warnings
  1    a check failed
  2    no check failed, and some could not be made; or the settings cannot be
       used
  130  ended by Ctrl-C";

const PAGE_CODES: &str = "Exit codes:\n  0  printed\n  2  standard output could not be written, or the name is not \
                          known";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prints the settings in force, where each came from, and warnings
    #[command(after_help = CONFIG_CODES)]
    Config(ConfigOptions),
    /// Prints who holds connections and who waits, in all processes
    ///
    /// Processes of this user on this machine tell it by their admin sockets (DB_POOL_ADMIN=1); of all others the
    /// server shows their sessions.
    #[command(after_help = STATUS_CODES)]
    Status(StatusOptions),
    /// Shows who holds connections and who waits, live
    ///
    /// Four views: holders, with what their sessions do on the server; waiters; the server's connections; the fleet.
    /// Keys: 1 to 4 or Tab for the views, arrows to select, s to sort, space to pause, c to cancel what the selected
    /// session runs, K to terminate it, q to quit. Without a terminal all views are printed once.
    #[command(after_help = TOP_CODES)]
    Top(TopOptions),
    /// Serves over HTTP what all processes of this user tell
    ///
    /// /metrics for Prometheus with the label process, /health/pool, /admin/metrics/database, and / with a line for
    /// each pool. They tell it by their admin sockets (DB_POOL_ADMIN=1). Beyond this machine it wants a token.
    #[command(after_help = SERVE_CODES)]
    Serve(ServeOptions),
    /// Loads the server through a pool, and judges both
    ///
    /// It loads the server of the settings for as long as it runs, also a
    /// production server. Requests come by a schedule (open model), whatever
    /// becomes of those before; latency counts from the moment at which a request
    /// was due. The pool is the one of the settings; where they say no size it has
    /// 50 connections.
    #[command(after_help = LOADTEST_CODES)]
    Loadtest(LoadtestOptions),
    /// Plans a budget that programs share, prints its limits as SQL, shows who is in it
    #[command(after_help = FLEET_CODES, subcommand_required = true)]
    Fleet {
        #[command(subcommand)]
        act: FleetAct,
    },
    /// Fills a queue of items, counts what is in it, has dead items tried again
    ///
    /// A queue is a table that batches on many hosts take their items from. This
    /// works on a connection of the ad-hoc tier.
    #[command(after_help = QUEUE_CODES, subcommand_required = true)]
    Queue {
        #[command(subcommand)]
        act: QueueAct,
    },
    /// Checks whether configuration and server carry the pool
    ///
    /// A line a check: what was found, what is allowed, and what to do. It opens a connection or two, only reads, and
    /// ends within a minute, whatever the server does.
    #[command(after_help = VERIFY_CODES)]
    Verify(VerifyOptions),
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

#[derive(Args, Debug)]
pub struct StatusOptions {
    /// Looks again every so many seconds, until Ctrl-C: on a terminal in its
    /// place, elsewhere as blocks of text or lines of JSON
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub watch: Option<u64>,
    /// The application: the first part of its application_name. Without it,
    /// that of the settings (PGAPPNAME, DB_POOL_NAME); else all that have tiers
    #[arg(long, value_name = "NAME")]
    pub app: Option<String>,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct TopOptions {
    /// Looks again every so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub every: u64,
    /// The application, as for status
    #[arg(long, value_name = "NAME")]
    pub app: Option<String>,
}

#[derive(Args, Debug)]
pub struct ServeOptions {
    /// The address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9187")]
    pub listen: String,
    /// The file with the bearer token that /admin/ wants; else the variables
    /// DB_POOL_HTTP_TOKEN and DB_POOL_HTTP_TOKEN_FILE
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum QueueAct {
    /// Adds items: all of them, or none
    #[command(after_help = QUEUE_CODES)]
    Push(PushOptions),
    /// Counts the items by state, and shows the latest that are dead
    #[command(after_help = QUEUE_CODES)]
    Stats(QueueOptions),
    /// Has all dead items tried again, with all their attempts
    #[command(after_help = QUEUE_CODES)]
    Retry(QueueOptions),
}

#[derive(Args, Debug)]
pub struct PushOptions {
    /// The queue's table, or schema.table
    pub queue: String,
    /// The items. Without any, each line of standard input is one, but for empty
    /// lines; a connection is held until it ends
    pub items: Vec<String>,
    /// Has nobody claim them before so many seconds are over
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub after: u32,
    /// Makes the queue where there is none, as the automation tier's role
    #[arg(long)]
    pub create: bool,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct QueueOptions {
    /// The queue's table, or schema.table
    pub queue: String,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct VerifyOptions {
    /// The profile to check, in place of DB_POOL_PROFILE
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// The role of the people, to check its limit against the reserve of the
    /// fleet that the settings name
    #[arg(long, value_name = "ROLE", value_parser = crate::fleet::name)]
    pub adhoc_role: Option<String>,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}
