//! `madang schema`.

use madang::server;

pub fn run() {
    print!("{}", server::sdl());
}
