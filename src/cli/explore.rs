//! `termwise explore`: a page on this machine that shows what attention attends to.

use std::path::PathBuf;

use termwise_datasets::write_atomically;

use super::fault::Fault;
use super::output::say;
use super::training::interrupted;
use crate::explore::{Assets, Engine, Server, export};

/// Arguments of `termwise explore`.
#[derive(clap::Args)]
pub struct Args {
    /// A checkpoint of `termwise train`, or the folder of a training, to look into
    #[arg(value_name = "RUN|CHECKPOINT")]
    given: Option<PathBuf>,
    /// The port to listen on, at 127.0.0.1 alone; 0 takes any that is free
    #[arg(long, value_name = "N", default_value_t = 8731)]
    port: u16,
    /// Write the page into this file, with what it first shows in it, and serve nothing
    #[arg(long, value_name = "FILE.html", conflicts_with = "port")]
    export: Option<PathBuf>,
    /// Read the page's files from this folder at every request: for whoever changes the page
    #[arg(long, value_name = "DIR", hide = true)]
    assets: Option<PathBuf>,
}

/// Runs the command, until Ctrl-C.
pub fn run(args: &Args) -> Result<(), Fault> {
    let assets = args.assets.clone().map_or(Assets::BuiltIn, Assets::Folder);
    let engine = Engine::new(args.given.as_deref()).map_err(|failure| Fault::Input(failure.sentence))?;
    if let Some(path) = &args.export {
        let page = export(&engine, &assets).map_err(|failure| Fault::Input(failure.sentence))?;
        write_atomically(path, page.as_bytes())?;
        return say(&path.display().to_string());
    }
    let server = Server::bind(args.port, assets, engine).map_err(|error| {
        Fault::Input(format!("--port: expected one that is free, found {}: {error}", args.port))
    })?;
    interrupted(); // from now on Ctrl-C is noticed
    say(&format!("listening on http://127.0.0.1:{}/ (Ctrl-C stops)", server.port()))?;
    server.run(interrupted);
    Ok(())
}
