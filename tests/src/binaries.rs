//! The programs under test, built from the sources under test.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

/// A command that runs one of the workspace's programs: `mbsd`, `mbsd-export`, `mbsd-train`.
///
/// # Panics
/// If the workspace's programs cannot be built.
pub fn program(name: &str) -> Command {
    // A failure is kept too: a build that cannot succeed is not tried again by every test.
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--workspace", "--bins"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        let test = std::env::current_exe().expect("a test knows its own path");
        let folder = test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps");
        status.is_ok_and(|status| status.success()).then(|| folder.to_owned())
    });
    let folder = folder.as_ref().expect("`cargo build --workspace --bins` succeeds");
    Command::new(folder.join(name))
}

/// Runs a command and returns its exit code, standard output and standard error.
///
/// # Panics
/// If it cannot be started, or was ended by a signal.
pub fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (stdout, stderr) = (text(stdout), text(stderr));
    let code = status.code().unwrap_or_else(|| panic!("ended by a signal: {stderr}"));
    assert!(!stderr.contains("panicked at"), "a panic reached the user: {stderr}");
    (code, stdout, stderr)
}

/// Runs a command that must succeed and returns its standard output.
///
/// # Panics
/// If it fails; the message is its standard error.
pub fn succeed(command: &mut Command) -> String {
    let (code, stdout, stderr) = run(command);
    assert_eq!(code, 0, "{command:?} failed: {stderr}");
    stdout
}
