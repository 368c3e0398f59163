//! What a browser would do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Asks the service four times, of which it answers three.
pub(crate) async fn ask(service: SocketAddr) {
    let asked = tokio::task::spawn_blocking(move || (0..4).try_for_each(|_| once(service)));
    match asked.await {
        Ok(Ok(())) => {}
        error => println!("{error:?}"),
    }
}

fn once(service: SocketAddr) -> std::io::Result<()> {
    let (mut stream, mut answer) = (TcpStream::connect(service)?, String::new());
    stream.write_all(b"GET /home HTTP/1.0\r\n\r\n")?;
    stream.read_to_string(&mut answer)?;
    let (head, page) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let retry = head.lines().find(|line| line.starts_with("retry-after")).unwrap_or_default();
    println!("{}: {page:?} {retry}", head.lines().next().unwrap_or_default());
    Ok(())
}
