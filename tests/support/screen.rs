//! A terminal of a test's own for a program, with keys to press and a screen to read.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use super::child::Program;
use super::wait::{LONG_BOUND, comes_true};

/// A program on a terminal, killed when it is dropped.
pub struct OnScreen {
    child: Program,
    terminal: File,
    /// Kept, so that the terminal is there when the program has ended.
    _other_end: File,
    shown: Arc<Mutex<vt100::Parser>>,
    /// Its modes before the program began.
    modes: String,
}

impl OnScreen {
    /// Starts a program on a terminal of so many lines and columns. It is made the terminal's own by `setsid`, which
    /// Debian's own base has: else it is told neither of Ctrl-C nor of a change of size.
    pub fn start(
        program: &str,
        arguments: &[&str],
        size: (u16, u16),
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let terminal = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap());
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
        let other_end = OpenOptions::new().read(true).write(true).open(name).unwrap();
        let (lines, columns) = non_zero(size);
        let shown = Arc::new(Mutex::new(vt100::Parser::new(lines, columns, 0)));
        let mut command = Command::new("/usr/bin/setsid");
        command.args(["--ctty", program]).args(arguments).env_clear().env("TERM", "xterm-256color");
        command.stdin(other_end.try_clone().unwrap()).stdout(other_end.try_clone().unwrap());
        command.stderr(other_end.try_clone().unwrap());
        change(&mut command);
        set_size(&terminal, size);
        let modes = modes(&terminal);
        let child = Program(command.spawn().unwrap());
        let (mut output, into) = (terminal.try_clone().unwrap(), Arc::clone(&shown));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                into.lock().unwrap().process(&bytes[..read]);
            }
        });
        OnScreen { child, terminal, _other_end: other_end, shown, modes }
    }

    /// What stands on the screen.
    pub fn text(&self) -> String {
        self.shown.lock().unwrap().screen().contents()
    }

    /// Waits until the screen is as it should be.
    #[track_caller]
    pub fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let came = comes_true(LONG_BOUND, || is_so(&self.text()));
        assert!(came, "not on the screen: {what}\n{}", self.text());
        self.text()
    }

    /// Waits until a text stands on the screen.
    #[track_caller]
    pub fn shows(&self, text: &str) -> String {
        self.until(text, |shown| shown.contains(text))
    }

    /// Whether anything on the screen has a colour.
    pub fn has_colours(&self) -> bool {
        let shown = self.shown.lock().unwrap();
        let (lines, columns) = shown.screen().size();
        let is_coloured = |line, column| {
            let cell = shown.screen().cell(line, column).expect("it is on the screen");
            [cell.fgcolor(), cell.bgcolor()].iter().any(|colour| *colour != vt100::Color::Default)
        };
        (0..lines.get()).any(|line| (0..columns.get()).any(|column| is_coloured(line, column)))
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).unwrap();
    }

    /// Changes lines and columns.
    pub fn resize(&self, size: (u16, u16)) {
        let (lines, columns) = non_zero(size);
        self.shown.lock().unwrap().screen_mut().set_size(lines, columns);
        set_size(&self.terminal, size);
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child.0), signal).unwrap();
    }

    /// Whether the program has the terminal for itself: another screen, and keys as they are pressed.
    pub fn is_taken(&self) -> bool {
        self.shown.lock().unwrap().screen().alternate_screen() && modes(&self.terminal) != self.modes
    }

    /// Waits for the end of the program.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        let came = comes_true(LONG_BOUND, || {
            status = self.child.0.try_wait().unwrap();
            status.is_some()
        });
        assert!(came, "it goes on\n{}", self.text());
        status.unwrap()
    }

    /// Whether the terminal is as it was before the program: its modes, its screen, its cursor.
    #[track_caller]
    pub fn assert_restored(&self) {
        assert_eq!(modes(&self.terminal), self.modes);
        let is_shown = || {
            let shown = self.shown.lock().unwrap();
            !shown.screen().alternate_screen() && !shown.screen().hide_cursor()
        };
        assert!(comes_true(LONG_BOUND, is_shown), "{}", self.text());
    }
}

fn non_zero((lines, columns): (u16, u16)) -> (NonZeroU16, NonZeroU16) {
    (NonZeroU16::new(lines).unwrap(), NonZeroU16::new(columns).unwrap())
}

fn set_size(terminal: &File, (rows, columns): (u16, u16)) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}

fn modes(terminal: &File) -> String {
    format!("{:?}", tcgetattr(terminal).unwrap())
}
