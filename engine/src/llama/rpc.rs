//! Devices of other machines, and this machine's devices for others, by ggml's RPC module.
//!
//! ggml ends the process when a server cannot be reached, so each is greeted here first.

use std::ffi::{CString, c_char, c_void};
use std::io::{self, Read, Write};
use std::mem::transmute;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::ptr;
use std::time::Duration;

use llama_cpp_sys_2 as sys;
use thiserror::Error;

use super::backend::{self, Backend};
use super::modules::Modules;
use super::text;
use crate::api::{Failure, ProcessSetting};

/// How long a server may take to be reached, and as long again to greet.
const PATIENCE: Duration = Duration::from_secs(5);
/// ggml's number of the greeting, which never changes.
const HELLO: u8 = 14;
/// Bytes of capabilities in either greeting; all zero asks for plain TCP.
const CAPABILITIES: usize = 24;

type AddServer = unsafe extern "C" fn(*const c_char) -> sys::ggml_backend_reg_t;
type StartServer =
    unsafe extern "C" fn(*const c_char, *const c_char, usize, usize, *mut sys::ggml_backend_dev_t);

unsafe extern "C" {
    fn autotune_rpc_version(out: *mut u8);
}

/// A server that cannot be used.
#[derive(Debug, Error)]
pub enum RpcError {
    /// Not an address.
    #[error("`{typed}` is not HOST:PORT")]
    NoAddress {
        /// As typed.
        typed: String,
    },
    /// Nobody is there.
    #[error("the RPC server {address} cannot be reached")]
    Unreachable {
        /// As typed.
        address: String,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// Somebody is there and does not greet.
    #[error(
        "{address} does not greet as an RPC server does: it is none, or it serves somebody else"
    )]
    Silent {
        /// As typed.
        address: String,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// It speaks another version.
    #[error(
        "the RPC server {address} speaks protocol {}.{}, and this program {}.{}",
        .theirs[0], .theirs[1], .ours[0], .ours[1]
    )]
    Version {
        /// As typed.
        address: String,
        /// The server's major and minor version.
        theirs: [u8; 2],
        /// This program's.
        ours: [u8; 2],
    },
    /// There is no such module, or it lacks something.
    #[error("the engine's RPC module {missing}")]
    Module {
        /// What is wrong with it.
        missing: &'static str,
    },
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        Self::refused(format!("{error}{}", cause.unwrap_or_default()))
    }
}

/// Greets a server as ggml would, with limits of time that ggml does not have.
pub fn greet(address: &str) -> Result<(), RpcError> {
    let silent = |source| RpcError::Silent { address: address.to_owned(), source };
    let mut stream = reach(address)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(silent)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(silent)?;
    // The number of the command, the length of what follows, and that.
    let mut hello = vec![HELLO];
    hello.extend((CAPABILITIES as u64).to_ne_bytes());
    hello.extend([0; CAPABILITIES]);
    stream.write_all(&hello).map_err(silent)?;
    // A length, then major, minor and patch version, one byte of padding, capabilities.
    let mut answer = [0; 8 + 4 + CAPABILITIES];
    stream.read_exact(&mut answer).map_err(silent)?;
    let length = u64::from_ne_bytes(answer[..8].try_into().expect("eight bytes are eight bytes"));
    if length != 4 + CAPABILITIES as u64 {
        return Err(silent(io::Error::other("its greeting has another length")));
    }
    let (theirs, ours) = ([answer[8], answer[9]], version());
    // As ggml's client decides it.
    if theirs[0] == ours[0] && theirs[1] <= ours[1] {
        Ok(())
    } else {
        Err(RpcError::Version { address: address.to_owned(), theirs, ours })
    }
}

fn reach(address: &str) -> Result<TcpStream, RpcError> {
    let unreachable = |source| RpcError::Unreachable { address: address.to_owned(), source };
    let wrong = || RpcError::NoAddress { typed: address.to_owned() };
    let (host, port) = address.split_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    // ggml resolves names to the fourth version of IP only.
    let found = (host, port).to_socket_addrs().map_err(unreachable)?.find(SocketAddr::is_ipv4);
    let found = found.ok_or_else(|| unreachable(io::Error::other("it has no IPv4 address")))?;
    TcpStream::connect_timeout(&found, PATIENCE).map_err(unreachable)
}

fn version() -> [u8; 2] {
    let mut version = [0; 2];
    // SAFETY: two bytes are written, and there is room for two.
    unsafe { autotune_rpc_version(version.as_mut_ptr()) };
    version
}

/// Registers the devices of those servers, in this order: `RPC0`, `RPC1`, …
pub(super) fn register(modules: &Modules, servers: &[String]) -> Result<(), Failure> {
    if servers.is_empty() {
        return Ok(());
    }
    for server in servers {
        greet(server)?;
    }
    let registry = load(modules)?;
    let add = function(registry, c"ggml_backend_rpc_add_server")?;
    // SAFETY: this is the function's type in `ggml-rpc.h` of the same version.
    let add = unsafe { transmute::<*mut c_void, AddServer>(add) };
    for server in servers {
        let address = CString::new(server.as_str())
            .map_err(|_| RpcError::NoAddress { typed: server.clone() })?;
        // SAFETY: the address is a C string that outlives the call, which copies it; the server
        // has just greeted. What comes back is registered once, since servers are added once.
        unsafe {
            let devices = add(address.as_ptr());
            if devices.is_null() {
                return Err(Failure::refused(format!("the RPC server {server} has no devices")));
            }
            sys::ggml_backend_register(devices);
        }
    }
    Ok(())
}

/// What a server offers and where.
#[derive(Debug, Clone)]
pub struct Serving {
    /// CPU variant of this process.
    pub isa_variant: String,
    /// `HOST:PORT` to listen on.
    pub address: String,
    /// Devices by ggml's names; none for every GPU, or the CPU where there is no GPU.
    pub devices: Vec<String>,
    /// Threads of the CPU device.
    pub threads: usize,
}

/// Serves this machine's devices until the process ends. It comes back only with what was wrong.
/// ggml prints what happens to stdout.
pub fn serve(serving: &Serving) -> Result<std::convert::Infallible, Failure> {
    let setting = ProcessSetting {
        isa_variant: Some(serving.isa_variant.clone()),
        ..ProcessSetting::default()
    };
    Backend::start(&setting)?;
    let mut devices = chosen(&serving.devices)?;
    let registry = load(&Modules::find()?)?;
    let start = function(registry, c"ggml_backend_rpc_start_server")?;
    let address = CString::new(serving.address.as_str())
        .map_err(|_| RpcError::NoAddress { typed: serving.address.clone() })?;
    // SAFETY: this is the function's type in `ggml-rpc.h` of the same version; the address is a C
    // string, there is no cache folder, and the list of devices is as long as said.
    unsafe {
        let start = transmute::<*mut c_void, StartServer>(start);
        let (threads, count) = (serving.threads, devices.len());
        start(address.as_ptr(), ptr::null(), threads, count, devices.as_mut_ptr());
    }
    Err(Failure::refused(format!("the server at {} could not go on", serving.address)))
}

/// Devices of this process by their names, without those of other machines.
fn chosen(names: &[String]) -> Result<Vec<sys::ggml_backend_dev_t>, Failure> {
    // SAFETY: reads the registry; every index is below the count.
    let all: Vec<(String, sys::ggml_backend_dev_t)> = unsafe {
        (0..sys::ggml_backend_dev_count())
            .map(|index| sys::ggml_backend_dev_get(index))
            .map(|device| (text(sys::ggml_backend_dev_name(device)), device))
            .collect()
    };
    if names.is_empty() {
        let gpus: Vec<_> =
            all.iter().filter(|(_, device)| backend::is_gpu(*device)).map(|it| it.1).collect();
        return Ok(if gpus.is_empty() { vec![backend::cpu_device()] } else { gpus });
    }
    let find = |name: &String| {
        let known = || all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let found = all.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, device)| *device).ok_or_else(|| {
            Failure::refused(format!("there is no device `{name}`, only {}", known()))
        })
    };
    names.iter().map(find).collect()
}

fn load(modules: &Modules) -> Result<sys::ggml_backend_reg_t, RpcError> {
    let file = modules.rpc().ok_or(RpcError::Module { missing: "is not installed" })?;
    backend::load(&file).ok_or(RpcError::Module { missing: "cannot be loaded" })
}

fn function(
    registry: sys::ggml_backend_reg_t,
    name: &std::ffi::CStr,
) -> Result<*mut c_void, RpcError> {
    // SAFETY: the registry is alive as long as the process; the name is a C string.
    let function = unsafe { sys::ggml_backend_reg_get_proc_address(registry, name.as_ptr()) };
    if function.is_null() {
        return Err(RpcError::Module { missing: "lacks a function" });
    }
    Ok(function)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that answers the greeting with these bytes and goes away.
    fn server(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut hello = [0; 9 + CAPABILITIES];
            stream.read_exact(&mut hello).unwrap();
            stream.write_all(&answer).unwrap();
        });
        address
    }

    fn greeting(version: [u8; 2]) -> Vec<u8> {
        let mut answer = (4 + CAPABILITIES as u64).to_ne_bytes().to_vec();
        answer.extend([version[0], version[1], 0, 0]);
        answer.extend([0; CAPABILITIES]);
        answer
    }

    #[test]
    fn a_server_of_the_same_protocol_is_taken_and_another_is_named() {
        let ours = version();
        assert!(ours[0] > 0);
        greet(&server(greeting(ours))).unwrap();
        let error = greet(&server(greeting([ours[0] + 1, 0]))).unwrap_err();
        assert!(matches!(error, RpcError::Version { .. }), "{error}");
        assert!(error.to_string().contains(&format!("protocol {}.0", ours[0] + 1)), "{error}");
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for answer in [b"HTTP/1.1 400 Bad Request\r\n\r\n<html></html>".to_vec(), Vec::new()] {
            let error = greet(&server(answer)).unwrap_err();
            assert!(matches!(error, RpcError::Silent { .. }), "{error}");
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        assert!(matches!(greet(&free).unwrap_err(), RpcError::Unreachable { .. }));
        for typed in ["", "localhost", "localhost:x", "localhost:70000"] {
            assert!(matches!(greet(typed).unwrap_err(), RpcError::NoAddress { .. }), "{typed}");
        }
    }
}
