//! The verb `rpc-server`: lends this machine's devices to another one.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use autotune_engine::api::{Failure, VariantReport};
use autotune_engine::llama::rpc::{self, Serving};
use clap::Args;

use super::engine::{self, Devices, EngineChoice};
use super::{Exit, Printer, Stop};
use crate::detect;

/// Weights that a client is likely to send; the CPU variant must multiply all of them rightly.
const WEIGHT_TYPES: [&str; 8] = ["F32", "F16", "BF16", "Q4_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K"];

/// Serve this machine's devices to another one
#[derive(Debug, Args)]
#[command(after_help = "\
The client is autotune on another machine: bench and sweep with
--rpc HOST:PORT. It must be of the same version. One client is served at a
time. There is neither authentication nor encryption: whoever reaches the port
can use the memory and the processors, and break this process. So it listens
to this machine alone unless told otherwise.

Examples:
  autotune rpc-server                              every GPU, or the CPU
  autotune rpc-server --host 192.168.1.5           to a network you trust
  autotune rpc-server --device CPU --threads 8     the CPU, GPU or not
  autotune bench -m m.gguf --rpc 192.168.1.5:50052 on the other machine

Exit codes: 2 wrong usage, 4 no CPU variant can be used, 5 other failure.")]
pub struct Arguments {
    /// IPv4 address to listen on
    #[arg(long, value_name = "ADDRESS", default_value_t = Ipv4Addr::LOCALHOST)]
    host: Ipv4Addr,
    /// Port to listen on
    #[arg(short, long, value_name = "PORT", default_value_t = 50052,
          value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Devices to serve, by ggml's names [default: every GPU, or the CPU]
    #[arg(short, long, value_name = "NAME", value_delimiter = ',')]
    device: Vec<String>,
    /// Threads of the CPU device [default: physical cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512))]
    threads: Option<u32>,
}

/// Runs the verb until the process is ended.
pub(super) fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let address = SocketAddr::from((arguments.host, arguments.port));
    // ggml says only that it failed; the system says why.
    drop(TcpListener::bind(address).map_err(|error| {
        Stop::from_error(Exit::Failure, &error).hint(format!("{address} cannot be listened on"))
    })?);
    let isa_variant = usable_variant()?;
    let threads = arguments
        .threads
        .unwrap_or_else(|| detect::machine(&detect::live()).fast_cores().unwrap_or(1));
    printer.say(format!("serving on {address} with CPU variant {isa_variant}"));
    printer.say("there is no authentication: whoever reaches this port can use this machine");
    if !arguments.host.is_loopback() {
        printer.say("and this port can be reached from other machines");
    }
    let serving = Serving {
        isa_variant,
        address: address.to_string(),
        devices: arguments.device.clone(),
        threads: threads as usize,
    };
    // What ggml prints of its clients is conversation.
    let _ = rustix::stdio::dup2_stdout(std::io::stderr());
    let ended: Result<Infallible, Failure> = rpc::serve(&serving);
    match ended {
        Ok(never) => match never {},
        Err(failure) => Err(Stop::from_error(Exit::Failure, &failure)),
    }
}

/// The best CPU variant that multiplies rightly here: one that dies would take the server along.
fn usable_variant() -> Result<String, Stop> {
    let mut opened = engine::open_with(&EngineChoice::LlamaCpp, &Devices::default())?;
    let types = WEIGHT_TYPES.map(str::to_owned);
    let variants = opened.engine.variants(&types);
    let variants = variants.map_err(|error| Stop::from_error(Exit::NothingMeasured, &error))?;
    let usable = variants.into_iter().find(VariantReport::usable);
    usable.map(|variant| variant.name).ok_or_else(|| Stop {
        exit: Exit::NothingMeasured,
        message: "no CPU variant can be used here".into(),
        hint: Some("`autotune detect --variants` says what is wrong with each".into()),
    })
}
