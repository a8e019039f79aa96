//! The bare server of files: axum with tower-http's ServeFile, and nothing else.

use std::{path::Path, process::Command};

use axum::{Router, serve::ListenerExt};
use tower_http::services::ServeFile;

use crate::{
    http::Request,
    process::{Server, free_port},
};

pub fn serve(port: u16, folder: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let router =
            Router::new().route_service("/file.bin", ServeFile::new(folder.join("file.bin")));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        // Otherwise the end of each small file waits 40 ms for an acknowledgement.
        let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
        Ok(axum::serve(listener, router).await?)
    })
}

pub fn start(files: &Path, folder: &Path) -> anyhow::Result<Server> {
    let port = free_port()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("bare").arg(port.to_string()).arg(files);
    let mut server = Server::start(command, port, &folder.join("bare.log"))?;
    server.first_answer(&Request::get("/file.bin"))?;
    Ok(server)
}
