//! What is printed about the program itself: completions and manual pages.

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::arguments::Arguments;
use crate::outcome::{Code, Failure};
use crate::output;

/// Prints completions for a shell.
pub fn completions(shell: Shell) -> Result<Code, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "tierpool", &mut text);
    printed(&text)
}

/// Prints the manual page of the program, or of a command.
pub fn man(command: Option<&str>) -> Result<Code, Failure> {
    let mut program = Arguments::command();
    program.build();
    let page = match command {
        None => program,
        Some(name) => {
            let commands = || program.get_subcommands();
            let known = || commands().map(|known| known.get_name()).collect::<Vec<_>>().join(", ");
            let found = commands().find(|known| known.get_name() == name);
            let found =
                found.ok_or_else(|| Failure::new(format_args!("no such command; there are {}", known())))?;
            // Its name is that of the program and its own.
            found.clone().display_name(format!("tierpool-{name}"))
        }
    };
    let mut text = Vec::new();
    Man::new(page).render(&mut text).map_err(Failure::new)?;
    printed(&text)
}

fn printed(text: &[u8]) -> Result<Code, Failure> {
    output::print(String::from_utf8_lossy(text).trim_end()).map(|_| Code::Good)
}
