//! Multiply-adds in registers: chains of them, as many as keep every unit of a core busy.

use super::portable;

/// What is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floats, fused where the set has that.
    Float32,
    /// 8-bit integers into 32-bit sums.
    Int8,
}

/// One loop of multiply-adds, in one instruction set.
///
/// Floats: every lane of every chain starts at a whole number and becomes half of itself plus one
/// in each step. Bytes: every lane adds products of the same small bytes. Both can be checked.
#[derive(Debug, Clone, Copy)]
pub struct Arithmetic {
    pub(super) isa: &'static str,
    /// Operations of one step, a multiply-add being two.
    pub(super) operations: u64,
    /// Sum over all lanes of all chains after so many steps.
    pub(super) run: unsafe fn(u64) -> f64,
}

/// Bytes that are multiplied with each other: products of four fit 16 bits with a sign.
pub(super) fn operands<const N: usize>() -> ([u8; N], [i8; N]) {
    let unsigned = std::array::from_fn(|at| u8::try_from(at % 7 + 1).expect("below 8"));
    let signed = std::array::from_fn(|at| i8::try_from(at % 5).expect("below 5") - 2);
    std::hint::black_box((unsigned, signed))
}

impl Arithmetic {
    /// Those that this processor announces, fastest first. Announced is not usable: ask in a
    /// process that may die.
    pub fn all(element: Element) -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let sets = super::x86::arithmetic(element);
        #[cfg(target_arch = "aarch64")]
        let sets = super::arm::arithmetic(element);
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let sets: [Self; 0] = [];
        let (operations, run): (u64, unsafe fn(u64) -> f64) = match element {
            Element::Float32 => (portable::FLOAT_OPERATIONS, portable::multiply_add),
            Element::Int8 => (portable::BYTE_OPERATIONS, portable::dot),
        };
        sets.into_iter().chain([Self { isa: portable::NAME, operations, run }])
    }

    /// The instruction set, in Linux's spelling.
    #[must_use]
    pub fn isa(&self) -> &'static str {
        self.isa
    }

    /// Operations of one step, a multiply-add being two.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Does so many steps; the sum of all lanes, so that nothing is left out.
    #[must_use]
    pub fn run(&self, steps: u64) -> f64 {
        // SAFETY: the processor announces the set, which `all` looked at.
        unsafe { (self.run)(steps) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_halved_and_raised_in_every_set() {
        for set in Arithmetic::all(Element::Float32) {
            // Lanes times chains; every lane of a chain starts at the chain's number or its own.
            let lanes = set.operations / 2;
            assert!(set.run(0) >= 0.0, "{}", set.isa);
            // After many steps all are at the fixed point, 2.
            let settled = set.run(200);
            assert!((settled - 2.0 * lanes as f64).abs() < 1e-9, "{}: {settled}", set.isa);
            // One step: x / 2 + 1 for each, exact in binary.
            let (before, after) = (set.run(0), set.run(1));
            let wanted = before / 2.0 + lanes as f64;
            assert!((after - wanted).abs() < 1e-9, "{}: {after}, not {wanted}", set.isa);
        }
    }

    #[test]
    fn bytes_are_multiplied_and_added_in_every_set() {
        // Products of matrices have another formula, which `instructions` checks.
        for set in
            Arithmetic::all(Element::Int8).filter(|set| !["amx_int8", "i8mm"].contains(&set.isa))
        {
            assert!(set.run(0).abs() < 1e-9, "{}", set.isa);
            let products = usize::try_from(set.operations / 2).unwrap();
            let (unsigned, signed) = operands::<64>();
            let vector: i32 =
                unsigned.iter().zip(&signed).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
            // Sets with shorter registers multiply the beginning of the operands.
            let width = [64, 32, 16].into_iter().find(|width| {
                let part: i32 =
                    (0..*width).map(|at| i32::from(unsigned[at]) * i32::from(signed[at])).sum();
                products % width == 0
                    && (set.run(3) - 3.0 * f64::from(part) * (products / width) as f64).abs() < 1e-9
            });
            assert!(width.is_some(), "{}: {} of {vector}", set.isa, set.run(3));
        }
    }
}
