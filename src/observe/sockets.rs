//! What descriptors lead to: connections by the kernel's tables, pipes by who else holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::door::Door;

/// Tables and lists of descriptors are read again after so many seconds.
const FRESH_S: f64 = 0.5;
/// Most descriptors of a process that are followed.
const MOST_DESCRIPTORS: usize = 512;
/// The state of a socket that listens (`include/net/tcp_states.h`).
const LISTENING: &str = "0A";

/// The other end of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Peer {
    /// A connection that this side opened, to there.
    Outbound(String),
    /// A connection that the other side opened.
    Inbound,
    /// None yet: it listens.
    Listening,
    /// Packets without a connection, or to one address.
    Packets(String),
    /// A program of this machine, by a path where it has one.
    Local(String),
}

/// What a process holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    read_at: f64,
    sockets: Vec<u64>,
    /// Numbers of pipes that it can write to.
    pipes_in: BTreeSet<u64>,
    /// Whether a card is among it.
    pub(super) card: bool,
}

/// Tables of connections and lists of descriptors, read when asked for and not too often.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    peers: BTreeMap<u64, Peer>,
    peers_read_at: Option<f64>,
    /// Sockets that no table had when it was read last.
    nowhere: BTreeSet<u64>,
    held: BTreeMap<u32, Held>,
}

impl Descriptors {
    /// The other end of a socket; `None` where no table has it.
    pub(super) fn peer(&mut self, door: &dyn Door, pid: u32, inode: u64) -> Option<Peer> {
        let now = door.now();
        let stale = self.peers_read_at.is_none_or(|read| now - read > FRESH_S);
        let known = self.peers.contains_key(&inode) || self.nowhere.contains(&inode);
        if stale || !known {
            self.peers = table(door, pid);
            self.peers_read_at = Some(now);
            self.nowhere.clear();
        }
        let found = self.peers.get(&inode).cloned();
        if found.is_none() {
            // Other kinds of sockets are in no table, however often one looks.
            self.nowhere.insert(inode);
        }
        found
    }

    /// What a process holds.
    pub(super) fn held(&mut self, door: &dyn Door, pid: u32) -> &Held {
        let now = door.now();
        let entry = self.held.entry(pid).or_insert(Held { read_at: -1.0, ..Held::default() });
        if entry.read_at < 0.0 || now - entry.read_at > FRESH_S {
            *entry = held(door, pid, now);
        }
        entry
    }

    /// The ends of all its sockets.
    pub(super) fn peers_of(&mut self, door: &dyn Door, pid: u32) -> Vec<Peer> {
        let sockets = self.held(door, pid).sockets.clone();
        sockets.into_iter().filter_map(|inode| self.peer(door, pid, inode)).collect()
    }

    /// Whether the process can write into a pipe.
    pub(super) fn feeds(&mut self, door: &dyn Door, pid: u32, pipe: u64) -> bool {
        self.held(door, pid).pipes_in.contains(&pipe)
    }

    /// Forgets a process that is gone.
    pub(super) fn forget(&mut self, pid: u32) {
        self.held.remove(&pid);
    }
}

fn held(door: &dyn Door, pid: u32, now: f64) -> Held {
    let mut held = Held { read_at: now, ..Held::default() };
    let folder = format!("/proc/{pid}/fd");
    for name in door.list(&folder).into_iter().take(MOST_DESCRIPTORS) {
        let Some(link) = door.link(&format!("{folder}/{name}")) else { continue };
        if let Some(inode) = numbered(&link.target, "socket") {
            held.sockets.push(inode);
        } else if let Some(inode) = numbered(&link.target, "pipe") {
            if link.writable {
                held.pipes_in.insert(inode);
            }
        } else {
            held.card |= is_card(&link.target);
        }
    }
    held
}

/// The number in `socket:[77]`.
pub(super) fn numbered(target: &str, kind: &str) -> Option<u64> {
    target.strip_prefix(kind)?.strip_prefix(":[")?.strip_suffix(']')?.parse().ok()
}

/// Whether a file is the door to a graphics processor.
pub(super) fn is_card(target: &str) -> bool {
    let starts = ["/dev/nvidia", "/dev/kfd", "/dev/dri/renderD", "/dev/dxg"];
    starts.iter().any(|start| target.starts_with(start))
}

/// Every socket of a network namespace.
fn table(door: &dyn Door, pid: u32) -> BTreeMap<u64, Peer> {
    let mut rows = Vec::new();
    for name in ["tcp", "tcp6"] {
        let text = door.read(&format!("/proc/{pid}/net/{name}")).unwrap_or_default();
        rows.extend(text.lines().filter_map(row));
    }
    let listening: BTreeSet<u16> =
        rows.iter().filter(|row| row.state == LISTENING).map(|row| row.local.port()).collect();
    let mut peers: BTreeMap<u64, Peer> = rows
        .iter()
        .map(|row| {
            let peer = match row.state.as_str() {
                LISTENING => Peer::Listening,
                _ if listening.contains(&row.local.port()) => Peer::Inbound,
                _ => Peer::Outbound(format!("tcp {}", row.remote)),
            };
            (row.inode, peer)
        })
        .collect();
    for name in ["udp", "udp6"] {
        let text = door.read(&format!("/proc/{pid}/net/{name}")).unwrap_or_default();
        peers.extend(text.lines().filter_map(row).map(|row| {
            let to = if row.remote.port() == 0 {
                format!("udp port {}", row.local.port())
            } else {
                format!("udp {}", row.remote)
            };
            (row.inode, Peer::Packets(to))
        }));
    }
    let text = door.read(&format!("/proc/{pid}/net/unix")).unwrap_or_default();
    peers.extend(text.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace().skip(6);
        let inode = words.next()?.parse().ok()?;
        let path = words.next().map_or_else(String::new, |path| format!(" {path}"));
        Some((inode, Peer::Local(format!("local socket{path}"))))
    }));
    peers
}

struct Row {
    local: SocketAddr,
    remote: SocketAddr,
    state: String,
    inode: u64,
}

/// A line of `/proc/PID/net/tcp` or `udp`.
fn row(line: &str) -> Option<Row> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Some(Row {
        local: address(words.get(1)?)?,
        remote: address(words.get(2)?)?,
        state: (*words.get(3)?).to_owned(),
        inode: words.get(9)?.parse().ok()?,
    })
}

/// `0100007F:1F90`: the address in words of 32 bits as this system stores them, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let word = address.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(word, 16).ok()?.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            let long = Ipv6Addr::from(bytes);
            long.to_ipv4_mapped().map_or(IpAddr::V6(long), IpAddr::V4)
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_are_read_as_the_kernel_writes_them() {
        for (text, shown) in [
            ("0100007F:1F90", "127.0.0.1:8080"),
            ("0000000000000000FFFF00000100007F:0050", "127.0.0.1:80"),
            ("00000000000000000000000001000000:01BB", "[::1]:443"),
        ] {
            assert_eq!(address(text).map(|found| found.to_string()).as_deref(), Some(shown));
        }
        for text in ["", "0100007F", "zz:1", "€€€€€€:0050", "0100007F:12345"] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[test]
    fn links_name_their_number() {
        assert_eq!(numbered("socket:[77]", "socket"), Some(77));
        assert_eq!(numbered("pipe:[77]", "socket"), None);
        assert_eq!(numbered("socket:[x]", "socket"), None);
        assert!(is_card("/dev/nvidia0") && is_card("/dev/dri/renderD128"));
        assert!(!is_card("/dev/null"));
    }
}
