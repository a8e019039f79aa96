//! The log: its contents and its format.
//!
//! No level logs what clients send. Libraries are logged only from `info` up, whatever LOG says, since their details
//! are whole messages and values, including passwords and tokens.

use std::io::IsTerminal;

use tracing::{Subscriber, level_filters::LevelFilter, subscriber::set_global_default};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, Targets},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
};

use crate::config::{Config, LogFormat};

/// Logs to standard error from now on.
pub fn start(config: &Config) {
    let is_terminal = std::io::stderr().is_terminal();
    let as_text = match config.log_format {
        LogFormat::Auto => is_terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    // Fails if logging has been set up already, which then stays.
    let _ = if as_text {
        let layer = fmt::layer().with_writer(std::io::stderr);
        let layer = layer.with_ansi(is_terminal);
        set_global_default(Registry::default().with(filtered(layer, &config.log)))
    } else {
        let layer = fmt::layer().json().flatten_event(true);
        let layer = layer.with_writer(std::io::stderr);
        set_global_default(Registry::default().with(filtered(layer, &config.log)))
    };
}

/// A log of text to `writer`, as LOG=`filter` has it.
#[must_use]
pub fn to_writer<W>(writer: W, filter: &str) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_ansi(false).with_writer(writer);
    Registry::default().with(filtered(layer, filter))
}

fn filtered<L: Layer<Registry> + Send + Sync>(
    layer: L,
    filter: &str,
) -> impl Layer<Registry> + use<L> {
    let ours = Targets::new()
        .with_target("madang", LevelFilter::TRACE)
        .with_default(LevelFilter::INFO);
    layer.with_filter(EnvFilter::new(filter).and(ours))
}
