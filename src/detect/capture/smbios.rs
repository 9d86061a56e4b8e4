//! The firmware's tables without the numbers of single pieces.

/// Offsets of the numbers of strings with serial numbers, asset tags and places, by the type of
/// the structure: DMTF DSP0134, System Management BIOS Reference Specification.
const STRINGS: &[(u8, &[usize])] = &[
    (1, &[0x07, 0x19]),
    (2, &[0x07, 0x08]),
    (3, &[0x07, 0x08]),
    (4, &[0x20, 0x21]),
    (17, &[0x18, 0x19]),
];
/// Where the system's UUID is, and its length.
const UUID: (usize, usize) = (0x08, 16);
/// Types whose strings are all the maker's own: original equipment, configuration, system slots of
/// makers, batteries, power supplies.
const FREE: &[u8] = &[11, 12, 22, 39];
/// Types from here on belong to makers.
const MAKERS: u8 = 128;
/// The type that ends the table.
const END: u8 = 127;

/// The same table, as long, with `0` for every character of a private string.
pub(super) fn blanked(table: &[u8]) -> Vec<u8> {
    let mut bytes = table.to_vec();
    let mut start = 0;
    while let Some(&[kind, length]) = table.get(start..start + 2) {
        let formatted = start + usize::from(length);
        if length < 4 || kind == END || formatted > table.len() {
            break;
        }
        let Some(after) = pair_of_zeros(table, formatted) else { break };
        let private: Vec<u8> = STRINGS
            .iter()
            .filter(|(known, _)| *known == kind)
            .flat_map(|(_, offsets)| offsets.iter())
            .filter(|offset| **offset < usize::from(length))
            .map(|offset| table[start + offset])
            .collect();
        if kind == 1 && usize::from(length) >= UUID.0 + UUID.1 {
            bytes[start + UUID.0..start + UUID.0 + UUID.1].fill(0);
        }
        if kind >= MAKERS {
            bytes[start + 4..formatted].fill(0);
        }
        let every = kind >= MAKERS || FREE.contains(&kind);
        let mut number = 1_u8;
        for byte in &mut bytes[formatted..after - 2] {
            if *byte == 0 {
                number = number.saturating_add(1);
            } else if every || private.contains(&number) {
                *byte = b'0';
            }
        }
        start = after;
    }
    // What could not be followed is not known to be harmless.
    let end = if table.get(start) == Some(&END) { start + 6 } else { start };
    bytes.truncate(end);
    bytes
}

/// Where a structure ends: behind the two zeros after its strings.
fn pair_of_zeros(table: &[u8], from: usize) -> Option<usize> {
    table.get(from..)?.windows(2).position(|pair| pair == [0, 0]).map(|at| from + at + 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn serial_numbers_and_the_uuid_are_blanked_and_the_rest_stays() {
        let mut system = vec![1, 27, 0, 0, 1, 2, 0, 3];
        system.extend([0xab; 16]);
        system.extend([6, 0, 0]);
        system.extend(b"Maker\0Product\0SN-77\0\0");
        system.extend([127, 4, 1, 0, 0, 0]);
        system.extend(b"trailing");
        let cleaned = blanked(&system);
        let text = String::from_utf8_lossy(&cleaned);
        assert!(text.contains("Maker\0Product\x0000000\0\0"), "{text:?}");
        assert!(!cleaned.contains(&0xab) && !text.contains("trailing"));
        assert_eq!(cleaned.len() + "trailing".len(), system.len());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(table in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(blanked(&table).len() <= table.len());
        }
    }
}
