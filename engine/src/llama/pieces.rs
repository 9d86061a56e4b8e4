//! A computation graph taken to pieces: how long each part of a model takes.
//!
//! llama.cpp asks before each node whether somebody wants to see it, and computes up to it where
//! the answer is yes. Each yes costs a start and a stop of all threads, so a piece ends only where
//! the next node belongs to another part, and passes that nobody stops are run in between: their
//! difference is what the looking costs.

use std::ffi::c_void;
use std::sync::Mutex;
use std::time::Instant;

use llama_cpp_sys_2 as sys;

use super::parts::{self, Node};
use super::text;
use crate::api::Piece;

/// Nodes of a graph that are remembered at most: many times those of the largest models.
const MOST_NODES: usize = 1 << 18;

/// Answers llama.cpp's question, pass by pass.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    pass: Pass,
    /// The node that comes next in this graph.
    next: usize,
    graph: Graph,
    begun: Option<Instant>,
    /// Whether a pass had other nodes than the one that was learnt.
    pub(super) strayed: bool,
}

/// What a pass is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Pass {
    /// Nothing is noted and nothing is stopped.
    #[default]
    Quiet,
    /// The nodes are learnt.
    Learn,
    /// What learning becomes when the graph comes again: bytes and products of another physical
    /// batch are added.
    Add,
    /// Pieces are timed.
    Timed,
}

/// The nodes of a graph, and how long they took.
#[derive(Debug, Default)]
struct Graph {
    nodes: Vec<Learnt>,
    /// Whether a piece ends with that node.
    ends: Vec<bool>,
    elapsed_ns: Vec<u64>,
}

#[derive(Debug, Default)]
struct Learnt {
    node: Node,
    device: Option<String>,
    weight_bytes: u64,
    copied_bytes: u64,
    cache_bytes: u64,
    arithmetic: u64,
}

impl Learnt {
    fn is_same(&self, other: &Self) -> bool {
        (&self.node.name, &self.node.operation) == (&other.node.name, &other.node.operation)
    }

    /// The same node for other tokens.
    fn add(&mut self, more: &Self) {
        self.weight_bytes = self.weight_bytes.saturating_add(more.weight_bytes);
        self.copied_bytes = self.copied_bytes.saturating_add(more.copied_bytes);
        self.cache_bytes = self.cache_bytes.saturating_add(more.cache_bytes);
        self.arithmetic = self.arithmetic.saturating_add(more.arithmetic);
    }
}

impl Watcher {
    /// Begins a pass of such a kind, over one graph or several of the same nodes.
    pub(super) fn begin(&mut self, pass: Pass) {
        self.pass = pass;
        self.next = 0;
        self.begun = None;
        if pass == Pass::Learn {
            self.graph = Graph::default();
            self.strayed = false;
        }
    }

    /// Ends the pieces of the graph that was learnt where the part changes, or with `detail` at
    /// every node that computes something.
    pub(super) fn divide(&mut self, detail: bool) {
        let nodes = self.nodes();
        let parts = parts::parts(&nodes);
        let last = nodes.iter().rposition(|node| node.computes);
        let mut ends = vec![false; nodes.len()];
        // The last node that computes before a change of part; views cost nothing.
        let mut before: Option<usize> = None;
        for at in (0..nodes.len()).filter(|at| nodes[*at].computes) {
            if let Some(before) = before
                && (detail || parts[before] != parts[at])
            {
                ends[before] = true;
            }
            before = Some(at);
        }
        if let Some(last) = last {
            ends[last] = true;
        }
        self.graph.ends = ends;
        self.graph.elapsed_ns = vec![0; nodes.len()];
    }

    fn nodes(&self) -> Vec<Node> {
        self.graph.nodes.iter().map(|learnt| learnt.node.clone()).collect()
    }

    /// The pieces with what was timed so far.
    pub(super) fn pieces(&self) -> Vec<Piece> {
        let nodes = self.nodes();
        let parts = parts::parts(&nodes);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut open: Option<Piece> = None;
        for (at, learnt) in self.graph.nodes.iter().enumerate() {
            if learnt.node.computes {
                let (part, layer) = parts[at];
                let piece = open.get_or_insert_with(|| Piece {
                    part,
                    layer,
                    operations: Vec::new(),
                    nodes: 0,
                    device: learnt.device.clone(),
                    weight_bytes: 0,
                    copied_bytes: 0,
                    cache_bytes: 0,
                    arithmetic: 0,
                    elapsed_ns: 0,
                });
                piece.nodes += 1;
                if !piece.operations.contains(&learnt.node.operation) {
                    piece.operations.push(learnt.node.operation.clone());
                }
                piece.weight_bytes = piece.weight_bytes.saturating_add(learnt.weight_bytes);
                piece.copied_bytes = piece.copied_bytes.saturating_add(learnt.copied_bytes);
                piece.cache_bytes = piece.cache_bytes.saturating_add(learnt.cache_bytes);
                piece.arithmetic = piece.arithmetic.saturating_add(learnt.arithmetic);
            }
            if self.graph.ends.get(at) == Some(&true)
                && let Some(mut piece) = open.take()
            {
                piece.elapsed_ns = self.graph.elapsed_ns[at];
                pieces.push(piece);
            }
        }
        pieces
    }

    /// Whether the pass met as many nodes as were learnt.
    pub(super) fn end(&mut self) {
        let as_learnt = self.next == self.graph.nodes.len();
        self.strayed |= matches!(self.pass, Pass::Timed | Pass::Add) && !as_learnt;
    }

    /// The question before a node: whether to stop after it. A pass may compute several physical
    /// batches, a graph of the same nodes for each.
    fn asked(&mut self, learn: impl FnOnce() -> Learnt) -> bool {
        if self.next == self.graph.nodes.len() && self.pass != Pass::Learn {
            self.next = 0;
        }
        let at = self.next;
        self.next += 1;
        match self.pass {
            Pass::Quiet => false,
            Pass::Learn => {
                let node = learn();
                let again = self.graph.nodes.first().is_some_and(|first| first.is_same(&node));
                if again {
                    self.pass = Pass::Add;
                    self.next = 1;
                    self.graph.nodes[0].add(&node);
                } else if at < MOST_NODES {
                    self.graph.nodes.push(node);
                }
                false
            }
            Pass::Add => {
                if let Some(known) = self.graph.nodes.get_mut(at) {
                    known.add(&learn());
                }
                false
            }
            Pass::Timed => {
                let stop = self.graph.ends.get(at) == Some(&true);
                if stop {
                    self.begun = Some(Instant::now());
                }
                stop
            }
        }
    }

    /// The node that was asked for last is computed.
    fn computed(&mut self) {
        let elapsed = self.begun.take().map(|begun| begun.elapsed().as_nanos());
        let at = self.next.saturating_sub(1);
        if let (Some(elapsed), Some(sum)) = (elapsed, self.graph.elapsed_ns.get_mut(at)) {
            *sum = sum.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX));
        }
    }
}

/// What llama.cpp calls.
///
/// # Safety
/// `watcher` is a `Mutex<Watcher>` that lives, and `tensor` a node of a graph that is computed.
pub(super) unsafe extern "C" fn watch(
    tensor: *mut sys::ggml_tensor,
    ask: bool,
    watcher: *mut c_void,
) -> bool {
    // SAFETY: the caller's promise; the context that calls this keeps the watcher.
    let watcher = unsafe { &*watcher.cast::<Mutex<Watcher>>() };
    let Ok(mut watcher) = watcher.lock() else { return !ask };
    if ask {
        // SAFETY: the caller's promise.
        watcher.asked(|| unsafe { learn(tensor) })
    } else {
        watcher.computed();
        true
    }
}

/// Looks at a node.
///
/// # Safety
/// `tensor` is a node of a graph; its sources live as long.
unsafe fn learn(tensor: *const sys::ggml_tensor) -> Learnt {
    // SAFETY: the caller's promise; every source is null or lives.
    unsafe {
        let node = &*tensor;
        let sources = || node.src.iter().filter(|source| !source.is_null()).map(|it| &**it);
        let operation = text(sys::ggml_op_desc(tensor));
        let name = text(node.name.as_ptr());
        let mut learnt = Learnt {
            node: Node {
                computes: !matches!(
                    node.op,
                    sys::GGML_OP_NONE
                        | sys::GGML_OP_VIEW
                        | sys::GGML_OP_RESHAPE
                        | sys::GGML_OP_PERMUTE
                        | sys::GGML_OP_TRANSPOSE
                ),
                cache: of_cache(node) && node.op != sys::GGML_OP_VIEW,
                state: of_state(node) || sources().any(of_state),
                weights: sources()
                    .filter(|it| is_weight(it))
                    .map(|it| text(it.name.as_ptr()))
                    .collect(),
                operation,
                name,
            },
            device: device(node),
            ..Learnt::default()
        };
        if !learnt.node.computes {
            return learnt;
        }
        learnt.node.cache |= sources().any(of_cache);
        for source in sources() {
            if is_weight(source) {
                let read = read_of(node, source);
                learnt.weight_bytes = learnt.weight_bytes.saturating_add(read);
                // `CUDA0#blk.3.ffn_up.weight#0` is a copy that the scheduler made for this node.
                if text(source.name.as_ptr()).contains('#') {
                    learnt.copied_bytes = learnt.copied_bytes.saturating_add(read);
                }
            } else if of_cache(source) {
                learnt.cache_bytes = learnt.cache_bytes.saturating_add(dense_bytes(source));
            }
        }
        if node.op == sys::GGML_OP_SET_ROWS || node.op == sys::GGML_OP_CPY {
            // What is written: as many elements as come in, in the type of the cache.
            let rows = node.src[0];
            if of_cache(node) && !rows.is_null() {
                learnt.cache_bytes = typed_bytes(node.type_, elements(&*rows));
            }
        }
        learnt.arithmetic = products(node);
        learnt
    }
}

fn elements(tensor: &sys::ggml_tensor) -> u64 {
    tensor.ne.iter().map(|extent| u64::try_from(*extent).unwrap_or(0)).product()
}

/// Bytes of so many elements of a type.
fn typed_bytes(kind: sys::ggml_type, elements: u64) -> u64 {
    // SAFETY: the type is a tensor's own; both look a table up.
    let (size, block) = unsafe { (sys::ggml_type_size(kind), sys::ggml_blck_size(kind)) };
    let block = u64::try_from(block).unwrap_or(1).max(1);
    elements.saturating_mul(size as u64) / block
}

fn dense_bytes(tensor: &sys::ggml_tensor) -> u64 {
    typed_bytes(tensor.type_, elements(tensor))
}

/// The tensor whose memory this one looks into.
fn root(tensor: &sys::ggml_tensor) -> &sys::ggml_tensor {
    if tensor.view_src.is_null() {
        return tensor;
    }
    // SAFETY: ggml keeps what a view looks into, and lets no view look into a view.
    unsafe { &*tensor.view_src }
}

fn of_cache(tensor: &sys::ggml_tensor) -> bool {
    let name = text(root(tensor).name.as_ptr());
    name.starts_with("cache_")
}

/// Whether it looks into what a recurrent layer remembers.
fn of_state(tensor: &sys::ggml_tensor) -> bool {
    let name = text(root(tensor).name.as_ptr());
    name.starts_with("cache_r_") || name.starts_with("cache_s_")
}

fn is_weight(tensor: &sys::ggml_tensor) -> bool {
    let root = root(tensor);
    if root.op != sys::GGML_OP_NONE || root.buffer.is_null() {
        return false;
    }
    // SAFETY: the buffer of a tensor of a graph lives.
    let usage = unsafe { sys::ggml_backend_buffer_get_usage(root.buffer) };
    // A copy on a device lies among the scratch space, with the weight's name in its own.
    usage == sys::GGML_BACKEND_BUFFER_USAGE_WEIGHTS || text(root.name.as_ptr()).contains(".weight")
}

/// The device that a node is computed on; `None` for the processor.
fn device(node: &sys::ggml_tensor) -> Option<String> {
    let buffer = root(node).buffer;
    if buffer.is_null() {
        return None;
    }
    // SAFETY: the buffer lives; a type without a device answers null.
    unsafe {
        let kind = sys::ggml_backend_buffer_get_type(buffer);
        let device = sys::ggml_backend_buft_get_device(kind);
        if device.is_null()
            || sys::ggml_backend_dev_type(device) == sys::GGML_BACKEND_DEVICE_TYPE_CPU
        {
            return None;
        }
        Some(text(sys::ggml_backend_dev_name(device)))
    }
}

/// Bytes of a weight that a node has to read.
fn read_of(node: &sys::ggml_tensor, weight: &sys::ggml_tensor) -> u64 {
    let extent = |at: usize| u64::try_from(weight.ne[at]).unwrap_or(0);
    match node.op {
        // As many rows as come out.
        sys::GGML_OP_GET_ROWS => typed_bytes(weight.type_, elements(node)),
        sys::GGML_OP_MUL_MAT_ID => {
            let experts = extent(2);
            let whole = dense_bytes(weight);
            let chosen = node.src[2];
            if chosen.is_null() || experts == 0 {
                return whole;
            }
            // SAFETY: not null, and a source of a node of a graph.
            let (used, tokens) = unsafe { ((*chosen).ne[0], (*chosen).ne[1]) };
            different_experts(whole, experts, used, tokens)
        }
        _ => dense_bytes(weight),
    }
}

/// Bytes of the experts that so many tokens choose, if each chooses `used` of them with equal
/// chances: an expert that several choose is read once.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of `whole`")]
fn different_experts(whole: u64, experts: u64, used: i64, tokens: i64) -> u64 {
    let share = (used as f64 / experts as f64).clamp(0.0, 1.0);
    let left_out = (1.0 - share).powf(tokens as f64);
    (whole as f64 * (1.0 - left_out)) as u64
}

/// Multiplications and additions of the products of matrices in a node.
fn products(node: &sys::ggml_tensor) -> u64 {
    let source = |at: usize| {
        let source = node.src[at];
        // SAFETY: a source that is not null lives as long as its node.
        (!source.is_null()).then(|| unsafe { &*source })
    };
    let extent = |tensor: &sys::ggml_tensor, at: usize| u64::try_from(tensor.ne[at]).unwrap_or(0);
    match node.op {
        sys::GGML_OP_MUL_MAT | sys::GGML_OP_MUL_MAT_ID => {
            let inner = source(0).map_or(0, |weights| extent(weights, 0));
            inner.saturating_mul(elements(node)).saturating_mul(2)
        }
        sys::GGML_OP_FLASH_ATTN_EXT => {
            let (Some(query), Some(key), Some(value)) = (source(0), source(1), source(2)) else {
                return 0;
            };
            // Every query of every head with every key, and every value with every score.
            let pairs = extent(query, 1)
                .saturating_mul(extent(query, 2))
                .saturating_mul(extent(query, 3).max(1))
                .saturating_mul(extent(key, 1));
            let depth = extent(query, 0).saturating_add(extent(value, 0));
            pairs.saturating_mul(depth).saturating_mul(2)
        }
        _ => 0,
    }
}

/// A watcher as llama.cpp takes it.
pub(super) fn user_data(watcher: &Mutex<Watcher>) -> *mut c_void {
    std::ptr::from_ref(watcher).cast_mut().cast()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(name: &str, operation: &str, weight: &str, computes: bool) -> Learnt {
        let weights = if weight.is_empty() { Vec::new() } else { vec![weight.to_owned()] };
        Learnt {
            node: Node {
                name: name.to_owned(),
                operation: operation.to_owned(),
                weights,
                cache: false,
                state: false,
                computes,
            },
            weight_bytes: 10,
            ..Learnt::default()
        }
    }

    fn graph() -> [Learnt; 5] {
        [
            learnt("Qcur-0", "MUL_MAT", "blk.0.attn_q.weight", true),
            learnt("Qcur-0", "ROPE", "", true),
            learnt("Qcur-0 (view)", "VIEW", "", false),
            learnt("node_3", "FLASH_ATTN_EXT", "", true),
            learnt("result_output", "MUL_MAT", "output.weight", true),
        ]
    }

    /// Asks for every node; those that are stopped at.
    fn pass(watcher: &mut Watcher, pass: Pass) -> Vec<usize> {
        watcher.begin(pass);
        let mut stops = Vec::new();
        for (at, learnt) in graph().into_iter().enumerate() {
            if watcher.asked(|| learnt) {
                stops.push(at);
                watcher.computed();
            }
        }
        watcher.end();
        stops
    }

    #[test]
    fn a_pass_stops_where_the_part_changes_and_nowhere_else() {
        let mut watcher = Watcher::default();
        assert!(pass(&mut watcher, Pass::Learn).is_empty());
        watcher.divide(false);
        assert!(pass(&mut watcher, Pass::Quiet).is_empty());
        // After the rotation, not after the view of it, which computes nothing.
        assert_eq!(pass(&mut watcher, Pass::Timed), [1, 3, 4]);
        assert!(!watcher.strayed);
        let pieces = watcher.pieces();
        let operations: Vec<String> = pieces.iter().map(|it| it.operations.join("+")).collect();
        assert_eq!(operations, ["MUL_MAT+ROPE", "FLASH_ATTN_EXT", "MUL_MAT"]);
        assert_eq!(pieces.iter().map(|it| it.weight_bytes).collect::<Vec<_>>(), [20, 10, 10]);
        watcher.divide(true);
        assert_eq!(pass(&mut watcher, Pass::Timed), [0, 1, 3, 4]);
        assert_eq!(watcher.pieces().len(), 4);
    }

    #[test]
    fn chunks_are_added_and_another_graph_is_noticed() {
        let mut watcher = Watcher::default();
        pass(&mut watcher, Pass::Learn);
        pass(&mut watcher, Pass::Add);
        watcher.divide(false);
        assert_eq!(watcher.pieces()[0].weight_bytes, 40);
        watcher.begin(Pass::Timed);
        watcher.asked(Learnt::default);
        watcher.end();
        assert!(watcher.strayed);
        // Two physical batches in one call.
        let mut twice = Watcher::default();
        twice.begin(Pass::Learn);
        for learnt in graph().into_iter().chain(graph()) {
            assert!(!twice.asked(|| learnt));
        }
        twice.end();
        twice.divide(false);
        assert_eq!(twice.pieces()[0].weight_bytes, 40);
        twice.begin(Pass::Timed);
        let stops = graph().into_iter().chain(graph()).filter(|_| {
            let stop = twice.asked(Learnt::default);
            twice.computed();
            stop
        });
        assert_eq!(stops.count(), 6);
        twice.end();
        assert!(!twice.strayed);
    }

    #[test]
    fn experts_that_several_tokens_choose_are_read_once() {
        assert_eq!(different_experts(3200, 32, 4, 1), 400);
        assert_eq!(different_experts(3200, 32, 32, 1), 3200);
        let many = different_experts(3200, 32, 4, 512);
        assert!((3199..=3200).contains(&many), "{many}");
    }
}
