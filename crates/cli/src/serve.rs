//! `plimsoll serve`: the streaming service, until it is told to stop.

use clap::{ArgMatches, Command};
use plimsoll_gateway::StartError;
use plimsoll_gateway::service::Service;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Exit, Failure};
use crate::{Verb, descriptors, flags, logs, out, profiler};

/// The verb.
pub(crate) const VERB: Verb = Verb { name: "serve", command, run };

fn command(command: Command) -> Command {
    let command = command.about("Stream to any number of readers under a memory ceiling").long_about(
        "Stream to any number of readers under a memory ceiling.\n\n\
         The address is printed on standard output when the service listens. Ctrl-C and SIGTERM end it: open \
         requests have --http-drain-timeout to finish, and the code is 0.",
    );
    flags::with_settings(command)
}

fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let loaded = flags::load(matches)?;
    logs::start(&loaded.settings);
    let settings = &loaded.settings;
    // First what is wrong on every machine, then what this one lacks.
    let profiler = profiler::start(settings, flags::known(matches)?);
    let service = Service::new(settings, profiler.own_heap())?;
    descriptors::make_room(settings.max_connections + settings.http.api_connections)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::could_not(format!("cannot start the runtime's threads: {error}")))?;
    runtime.block_on(async {
        let listener = service.listen()?;
        let addr = listener
            .local_addr()
            .map_err(|error| Failure::could_not(format!("the listening socket has no address: {error}")))?;
        let mut interrupt = on(SignalKind::interrupt())?;
        let mut terminate = on(SignalKind::terminate())?;
        out::print(&format!("listening on http://{addr}\n"))?;
        tracing::info!(%addr, memory_limit = %settings.memory_limit, "serving");
        profiler.tell();
        let running = service.run(listener);
        let mut running = std::pin::pin!(running);
        tokio::select! {
            _report = running.as_mut() => return Ok(Exit::Fine),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        // Further signals change nothing: a terminal and a supervisor often send one each, and the drain
        // ends by itself.
        tracing::info!(drain_timeout = ?settings.http.drain_timeout, "stopping: open requests may finish");
        service.stop();
        let report = running.await;
        tracing::info!(cut = report.cut, "stopped");
        Ok(Exit::Fine)
    })
}

fn on(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind).map_err(|error| Failure::could_not(format!("cannot listen for signals: {error}")))
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        match error {
            // The settings contradict one another: the same code as any wrong setting.
            StartError::Plan(error) => error.into(),
            error => Failure::could_not(error.to_string()),
        }
    }
}
