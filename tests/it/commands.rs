//! The program as a process: commands, exit codes, and one clear line for what does not work.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::support::{JWT_SECRET, address_of};

fn madang(volume: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_madang"));
    command
        .args(arguments)
        .current_dir(volume)
        .env_clear()
        .env("VOLUME_DIR", volume)
        .stdin(Stdio::null());
    command
}

fn run(volume: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = madang(volume, arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

const CREATE: [&str; 6] = [
    "create-admin",
    "--name",
    "root",
    "--email",
    "root@example.org",
    "--password-stdin",
];

#[test]
fn an_admin_is_made_once() {
    let volume = tempfile::tempdir().unwrap();

    let made = run(volume.path(), &CREATE, "correct horse battery\n");
    assert!(made.status.success(), "{made:?}");
    assert!(String::from_utf8_lossy(&made.stdout).contains("user_"));

    let again = run(volume.path(), &CREATE, "correct horse battery\n");
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&again.stderr),
        "madang: name and email is taken by another account\n"
    );
}

#[test]
fn an_unfit_admin_is_refused_in_one_line() {
    let volume = tempfile::tempdir().unwrap();
    for (arguments, password, line) in [
        (
            CREATE.to_vec(),
            "short\n",
            "madang: password: At least 8 characters.\n",
        ),
        (
            CREATE.to_vec(),
            "password1\n",
            "madang: password: Is one of the most common passwords.\n",
        ),
        (
            vec![
                "create-admin",
                "--name",
                "1",
                "--email",
                "a@b.co",
                "--password-stdin",
            ],
            "correct horse battery\n",
            "madang: name: Has the wrong format.\n",
        ),
        (
            vec!["create-admin", "--email", "a@b.co", "--password-stdin"],
            "x\n",
            "madang: --name is needed where nobody can be asked\n",
        ),
    ] {
        let refused = run(volume.path(), &arguments, password);
        assert_eq!(
            (
                refused.status.code(),
                &*String::from_utf8_lossy(&refused.stderr)
            ),
            (Some(2), line)
        );
    }
}

#[test]
fn bad_configuration_is_one_line_that_names_the_key() {
    let volume = tempfile::tempdir().unwrap();
    let occupied = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = occupied.local_addr().unwrap().to_string();
    for (key, value) in [
        ("BIND", "nowhere"),
        ("BIND", &taken),
        ("DATABASE_URL", "postgres://localhost/x"),
        ("DATABASE_URL", "sqlite:///proc/nothing/x.sqlite"),
        ("PUBLIC_URL", "ftp://x"),
        ("SQLITE_SYNCHRONOUS", "OFF"),
        ("JWT_SECRET", "too short"),
        ("ACCESS_TOKEN_TTL", "soon"),
        ("REFRESH_TOKEN_TTL", "0s"),
        ("COOKIE_SAMESITE", "none"),
        ("PUBLIC_READ", "perhaps"),
        ("CORS_ORIGINS", "nowhere"),
        ("TRUSTED_PROXIES", "10.0.0.0/99"),
        ("LIMIT_DEPTH", "-1"),
        ("LOG", "madang=loudly"),
        ("LOG_FORMAT", "xml"),
    ] {
        let output = madang(volume.path(), &["serve"])
            .env("BIND", "127.0.0.1:0")
            .env("LOG", "off")
            .env(key, value)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{key}={value}: {said}");
        assert!(
            said.starts_with(&format!("madang: {key}: ")),
            "{key}={value}: {said}"
        );
        assert_eq!(said.lines().count(), 1, "{key}={value}: {said}");
    }
}

#[test]
fn a_secret_is_needed_with_a_server_and_never_printed() {
    let volume = tempfile::tempdir().unwrap();
    let output = madang(volume.path(), &["serve"])
        .env("DATABASE_URL", "mysql://root:hunter2@127.0.0.1:1/x")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        (output.status.code(), said.lines().count()),
        (Some(2), 1),
        "{said}"
    );
    assert!(said.starts_with("madang: JWT_SECRET: "), "{said}");

    let output = madang(volume.path(), &["serve"])
        .env("DATABASE_URL", "mysql://root:hunter2@127.0.0.1:1/x")
        .env("JWT_SECRET", JWT_SECRET)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("madang: DATABASE_URL: "), "{said}");
    assert!(
        !said.contains("hunter2") && !said.contains("thirty-two"),
        "{said}"
    );
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let volume = tempfile::tempdir().unwrap();
    std::fs::write(
        volume.path().join(".env"),
        "LIMIT_DEPTH=file\nLIMIT_ALIASES=file\n",
    )
    .unwrap();

    let of_file = madang(volume.path(), &["serve"])
        .env("LIMIT_DEPTH", "7")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&of_file.stderr).starts_with("madang: LIMIT_ALIASES: "));
    let of_environment = madang(volume.path(), &["--limit-aliases", "7"])
        .env("LIMIT_TOKENS", "environment")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&of_environment.stderr).into_owned();
    assert!(
        said.starts_with("madang: LIMIT_DEPTH: ") || said.starts_with("madang: LIMIT_TOKENS: "),
        "{said}"
    );
}

#[test]
fn the_schema_is_printed() {
    let volume = tempfile::tempdir().unwrap();
    let output = run(volume.path(), &["schema"], "");
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        madang::server::sdl()
    );
}

#[cfg(unix)]
#[test]
fn a_server_starts_keeps_its_secret_and_stops_when_told() {
    let volume = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let mut server = madang(volume.path(), &["serve", "--bind", "127.0.0.1:0"])
            .env("LOG_FORMAT", "json")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let address = address_of(&mut server);
        assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200"));
        let pid = i32::try_from(server.id()).unwrap().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let began = Instant::now();
        let status = loop {
            if let Some(status) = server.try_wait().unwrap() {
                break status;
            }
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "it does not stop"
            );
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success(), "{status}");
    }
    let secret = volume.path().join("jwt-secret");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&secret).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read(secret).unwrap().len(), 32);
}

#[test]
fn the_health_of_a_server_is_an_exit_code() {
    let volume = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap().to_string();
    drop(free);
    let done = run(volume.path(), &["health", "--bind", &nobody], "");
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8(done.stderr).unwrap();
    let expected = format!("madang: the server at {nobody} does not answer: ");
    assert!(said.starts_with(&expected), "{said}");

    let serve = ["serve", "--bind", "0.0.0.0:0", "--log-format", "json"];
    let mut server = madang(volume.path(), &serve)
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let address = address_of(&mut server);
    let healthy = run(volume.path(), &["health", "--bind", &address], "");
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(healthy.status.code(), Some(0), "{healthy:?}");
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_key_in_the_file_that_is_no_setting_is_warned_of() {
    let volume = tempfile::tempdir().unwrap();
    let file = "LIMIT_BODY=2000\nLIMIT_BODIES=1000\n# LIMIT_COMMENT=1\n";
    std::fs::write(volume.path().join(".env"), file).unwrap();

    let done = run(volume.path(), &["schema"], "");

    assert!(done.status.success());
    let warned = String::from_utf8_lossy(&done.stderr);
    assert!(warned.contains("LIMIT_BODIES is not a setting"), "{warned}");
    assert!(
        !warned.contains("LIMIT_BODY ") && !warned.contains("COMMENT"),
        "{warned}"
    );
}

#[test]
fn a_limit_of_nothing_is_refused_where_nothing_would_work() {
    let volume = tempfile::tempdir().unwrap();
    for key in [
        "BODY",
        "ANSWER",
        "COMPLEXITY",
        "DEPTH",
        "TOKENS",
        "CONNECTIONS",
        "FRAME",
    ] {
        let refused = madang(volume.path(), &["doctor"])
            .env(format!("LIMIT_{key}"), "0")
            .output()
            .unwrap();

        assert_eq!(refused.status.code(), Some(2), "{key}");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(
            said.contains(&format!("LIMIT_{key}: \"0\": 0 is not in 1..")),
            "{said}"
        );
    }
    for key in ["SIGN_UP", "CHATS", "WRITES", "UPLOADS", "SUBSCRIPTIONS"] {
        let taken = madang(volume.path(), &["doctor"])
            .env(format!("LIMIT_{key}"), "0")
            .output()
            .unwrap();
        assert!(taken.status.success(), "{key}: {taken:?}");
    }
}
