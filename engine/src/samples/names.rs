//! Instructions as functions of files.

use std::collections::{BTreeSet, HashMap};
use std::fs;

use blazesym::symbolize::source::{Kernel, Process, Source};
use blazesym::symbolize::{Input, Symbolizer};
use blazesym::{MaybeDefault, Pid};

use crate::api::{FunctionUse, Stretch};

/// From here on addresses are the kernel's, on every 64-bit machine.
const KERNEL: u64 = 1 << 63;
const KERNEL_MODULE: &str = "[kernel]";
/// Functions that are told apart at most; the rest is summed.
const MOST_FUNCTIONS: usize = 2000;
/// Letters of a function's name at most.
const LONGEST_NAME: usize = 400;

/// The functions of this process that those instructions are in, the most frequent first.
pub(super) fn functions(counted: &HashMap<(Stretch, u64), u64>) -> Vec<FunctionUse> {
    let instructions: BTreeSet<u64> = counted.keys().map(|(_, at)| *at).collect();
    let (kernel, user): (Vec<u64>, Vec<u64>) =
        instructions.into_iter().partition(|at| *at >= KERNEL);
    let mut names = named(&user, &kernel);
    let mut sums: HashMap<(Stretch, (String, String)), u64> = HashMap::new();
    for ((stretch, at), samples) in counted {
        let name = names.entry(*at).or_insert_with(|| unknown(*at)).clone();
        *sums.entry((*stretch, name)).or_insert(0) += samples;
    }
    let mut functions: Vec<FunctionUse> = sums
        .into_iter()
        .map(|((stretch, (function, module)), samples)| FunctionUse {
            stretch,
            function,
            module,
            samples,
        })
        .collect();
    functions.sort_by(|one, other| {
        let key = |it: &FunctionUse| (it.stretch, it.function.clone(), it.module.clone());
        other.samples.cmp(&one.samples).then_with(|| key(one).cmp(&key(other)))
    });
    functions.truncate(MOST_FUNCTIONS);
    functions
}

fn unknown(at: u64) -> (String, String) {
    let module = if at >= KERNEL { KERNEL_MODULE } else { "[unknown]" };
    ("[no name]".to_owned(), module.to_owned())
}

/// Function and file by instruction, of those that have a name.
fn named(user: &[u64], kernel: &[u64]) -> HashMap<u64, (String, String)> {
    let symbolizer =
        Symbolizer::builder().enable_code_info(false).enable_inlined_fns(false).build();
    let mut own = Process::new(Pid::Slf);
    (own.debug_syms, own.perf_map, own.map_files) = (false, false, false);
    let mut system = Kernel::default();
    (system.debug_syms, system.vmlinux) = (false, MaybeDefault::None);
    let mut names = HashMap::new();
    let modules = Modules::read();
    for (source, instructions) in [(Source::from(own), user), (Source::from(system), kernel)] {
        if instructions.is_empty() {
            continue;
        }
        let found = symbolizer.symbolize(&source, Input::AbsAddr(instructions));
        let found = found.map(|all| {
            all.iter().map(|one| one.as_sym().map(|it| shortened(&it.name))).collect::<Vec<_>>()
        });
        // The kernel may hide its addresses, and a file may be gone.
        let found = found.unwrap_or_else(|_| vec![None; instructions.len()]);
        for (at, name) in instructions.iter().zip(found) {
            let module = if *at >= KERNEL { KERNEL_MODULE.to_owned() } else { modules.of(*at) };
            names.insert(*at, (name.unwrap_or_else(|| unknown(*at).0), module));
        }
    }
    names
}

fn shortened(name: &str) -> String {
    name.chars().take(LONGEST_NAME).collect()
}

/// The files that this process has mapped.
struct Modules(Vec<(u64, u64, String)>);

impl Modules {
    fn read() -> Self {
        Self(fs::read_to_string("/proc/self/maps").map(|text| mapped(&text)).unwrap_or_default())
    }

    /// The file that an instruction is in, without its folder.
    fn of(&self, at: u64) -> String {
        let found = self.0.iter().find(|(from, until, _)| (*from..*until).contains(&at));
        found.map_or_else(|| unknown(at).1, |(.., name)| name.clone())
    }
}

/// Lines such as `7f00-7f10 r-xp 00000000 08:01 77  /usr/lib/libc.so.6`.
fn mapped(text: &str) -> Vec<(u64, u64, String)> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (from, until) = words.next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        words.next()?.contains('x').then_some(())?;
        let path: Vec<&str> = words.skip(3).collect();
        let path = path.join(" ");
        let name = path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("[unknown]");
        Some((number(from)?, number(until)?, name.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_files_are_known_by_their_last_name() {
        let text = "55a0-55b0 r-xp 00000000 08:01 77   /opt/my models/libggml-cpu.so\n\
                    55b0-55c0 rw-p 00000000 08:01 77   /opt/libggml-cpu.so\n\
                    7f00-7f10 r-xp 00000000 00:00 0\nnonsense\n";
        let modules = Modules(mapped(text));
        assert_eq!(modules.of(0x55a8), "libggml-cpu.so");
        assert_eq!(modules.of(0x55b8), "[unknown]", "not code");
        assert_eq!(modules.of(0x7f01), "[unknown]");
    }

    #[test]
    fn what_has_no_name_is_kept_as_such() {
        let counted = HashMap::from([((Stretch::Decode, 16), 3), ((Stretch::Decode, 17), 2)]);
        let functions = functions(&counted);
        let [one] = functions.as_slice() else { panic!("{functions:?}") };
        assert_eq!((one.function.as_str(), one.samples), ("[no name]", 5));
    }
}
