//! The options of the command.

use clap::{Args, Subcommand};

/// The longest name of a role or a fleet, in bytes, as in the server's own names.
const LONGEST_NAME: usize = 63;

pub const FLEET_CODES: &str = "\
Exit codes:
  0    done; of plan: and a fleet is what helps; of status: and it is as it
       should be
  1    of plan: a PgBouncer in front is what helps; of status: it is not
  2    it could not be told: the options or settings cannot be used, or the
       server does not answer or does not let this role see its locks
  130  ended by Ctrl-C";

#[derive(Debug, Subcommand)]
pub enum FleetAct {
    /// Divides the budget, and says whether a fleet is what helps
    ///
    /// Asks no server. Where a fleet does not do, it prints the pgbouncer.ini that does.
    #[command(after_help = FLEET_CODES)]
    Plan(PlanOptions),
    /// Prints the limits of both roles as SQL, by which the server itself holds the budget
    ///
    /// Asks no server. The SQL may be run as often as one likes.
    #[command(after_help = FLEET_CODES)]
    Sql(SqlOptions),
    /// Shows who is in a fleet and who has its slots, from the server's table of locks
    #[command(after_help = FLEET_CODES)]
    Status(StatusOptions),
}

#[derive(Args, Debug)]
pub struct BudgetOptions {
    /// All connections of the fleet, up to 65535. Without it, that of the settings
    #[arg(long, value_name = "CONNECTIONS", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub budget: Option<u32>,
    /// Those of them for people. Without it, that of the settings
    #[arg(long, value_name = "CONNECTIONS", value_parser = clap::value_parser!(u32).range(0..=65_535))]
    pub reserve: Option<u32>,
}

#[derive(Args, Debug)]
pub struct RoleOptions {
    /// The role of the automation. Without it, the user of the settings, else batch
    #[arg(long, value_name = "ROLE", value_parser = name)]
    pub automation_role: Option<String>,
    /// The role of the people
    #[arg(long, value_name = "ROLE", default_value = "person", value_parser = name)]
    pub adhoc_role: String,
}

#[derive(Args, Debug)]
pub struct PlanOptions {
    #[command(flatten)]
    pub budget: BudgetOptions,
    #[command(flatten)]
    pub roles: RoleOptions,
    /// How many programs there are at a time. Without it, as many as have weights
    #[arg(long, value_name = "PROGRAMS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub processes: Option<u32>,
    /// The weights of programs, such as 3,1,1, each from 1 to 100; those beyond have weight 1
    #[arg(long, value_name = "WEIGHTS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=100))]
    pub weights: Vec<u32>,
    /// On how many hosts they are
    #[arg(long, value_name = "HOSTS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub hosts: Option<u32>,
    /// How many databases of the server they work on
    #[arg(long, value_name = "DATABASES", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub databases: u32,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct SqlOptions {
    #[command(flatten)]
    pub budget: BudgetOptions,
    #[command(flatten)]
    pub roles: RoleOptions,
}

#[derive(Args, Debug)]
pub struct StatusOptions {
    /// The fleet. Without it, that of the settings (DB_POOL_FLEET)
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub fleet: Option<String>,
    /// The role of the people, to look at its limit
    #[arg(long, value_name = "ROLE", value_parser = name)]
    pub adhoc_role: Option<String>,
    /// Looks again every so many seconds, until Ctrl-C: on a terminal in its
    /// place, elsewhere as blocks of text or lines of JSON
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub watch: Option<u64>,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// A name of the server's, or of a fleet: it stands in comments and in files of lines, too.
pub fn name(text: &str) -> Result<String, String> {
    let is_name =
        !text.trim().is_empty() && text.len() <= LONGEST_NAME && !text.chars().any(char::is_control);
    if is_name {
        Ok(text.to_owned())
    } else {
        Err(format!("{} bytes; must be a name of 1 to {LONGEST_NAME} bytes in one line", text.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_up_to_63_bytes_and_one_line() {
        for good in ["batch", "o'neil \"the\" batch", &"x".repeat(63), "früh"] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        for bad in ["", " ", &"x".repeat(64), &"ü".repeat(32), "a\nb", "a\0b", "a\u{85}b", "\u{1b}[2J"] {
            assert!(name(bad).unwrap_err().contains("1 to 63 bytes in one line"), "{bad:?}");
        }
    }
}
