//! The nginx of packaging/nginx.conf before real servers.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::json;
use tokio::net::TcpSocket;

use super::{Yard, code, next, post, text};
use crate::support::{Backends, PASSWORD, Said, Servers, Socket, ask, exchange_over, mutate};

struct Nginx {
    child: Child,
    address: String,
}

impl Nginx {
    /// With the configuration that we ship, but for names and folders.
    async fn before(yard: &Yard, folder: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let mut config = include_str!("../../../packaging/nginx.conf").to_owned();
        let mut change = |from: &str, to: &str| {
            assert!(config.contains(from), "{from}");
            config = config.replace(from, to);
        };
        change("server1:8000", &yard.here().address());
        change("server2:8000", &yard.there().address());
        change("listen 80;", &format!("listen {address};"));
        change("/dev/stdout", "access.log");
        change("/dev/stderr", "error.log");
        std::fs::write(folder.join("nginx.conf"), config).unwrap();
        let pid = format!("daemon off; pid {}/pid;", folder.display());
        // Where Debian puts it, which is not on everybody's PATH.
        let child = Command::new("/usr/sbin/nginx")
            .arg("-p")
            .arg(folder)
            .args(["-e", "error.log", "-c", "nginx.conf", "-g", &pid])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("./test.sh installs nginx");
        let nginx = Self { child, address };
        super::until(async || tokio::net::TcpStream::connect(&nginx.address).await.is_ok()).await;
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, since its workers would outlive a SIGKILL.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").arg(pid).status();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn through_nginx_servers_are_one_and_clients_keep_their_addresses() {
    if Backends::of_this_run() == Backends::Embedded {
        return;
    }
    let flags = ["--workers", "0", "--trusted-proxies", "127.0.0.1/32"];
    let mut yard = Yard::of(Servers::new(&flags).await).await;
    let folder = tempfile::tempdir().unwrap();
    let nginx = Nginx::before(&yard, folder.path()).await;
    let board = yard.board("Yard", json!({})).await;

    // From another address than nginx's, and with a claim that must not count.
    let away = TcpSocket::new_v4().unwrap();
    away.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let stream = away.connect(nginx.address.parse().unwrap()).await.unwrap();
    let input = json!({ "nameOrEmail": "ann", "password": PASSWORD, "delivery": "BODY" });
    let query = "mutation ($i: LoginInput!) { login(input: $i) { accessToken } }";
    let body = json!({ "query": query, "variables": { "i": input } }).to_string();
    let answer = exchange_over(
        stream,
        "POST /graphql",
        "X-Forwarded-For: 6.6.6.6\r\n",
        &body,
    )
    .await
    .unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer.1).unwrap();
    let token = text(&answer["data"]["login"]["accessToken"]);
    let sessions = "{ viewer { signInSessions { ip } } }";
    let answer = ask(&nginx.address, &token, sessions, json!({}))
        .await
        .unwrap();
    assert_eq!(
        answer["data"]["viewer"]["signInSessions"],
        json!([{ "ip": "127.0.0.2" }]),
        "{answer}"
    );

    // A WebSocket passes, and what comes over it comes at once.
    let added = "subscription ($i: ID!) { postAdded(boardId: $i) { title } }";
    let mut socket = Socket::open(&nginx.address, &token).await.unwrap();
    socket
        .subscribe(added, json!({ "i": board }))
        .await
        .unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    post(yard.here(), &yard.admin, &board, "hello").await;
    let Said::Message(said) = next(&mut socket).await else {
        panic!("it is closed");
    };
    assert_eq!(said["payload"]["data"]["postAdded"]["title"], "hello");

    // One of the servers dies: nothing is refused.
    yard.running.remove(0).kill();
    for turn in 0..20 {
        let input = json!({ "boardId": board, "title": format!("t{turn}"), "content": "c" });
        let done = mutate(&nginx.address, &token, "createPost", input, "post { id }").await;
        let done = done.unwrap();
        assert!(done["errors"].is_null(), "{done}");
    }
    let out = ask(
        &nginx.address,
        &token,
        "mutation { logout { success } }",
        json!({}),
    );
    assert!(out.await.unwrap()["errors"].is_null());
    let who = ask(&nginx.address, &token, "{ viewer { id } }", json!({})).await;
    assert_eq!(code(&who.unwrap()), "TOKEN_INVALID");
    let again = Socket::open(&nginx.address, &yard.admin).await;
    assert!(again.is_ok());
}
