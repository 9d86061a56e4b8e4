//! Names of x86 designs by the numbers that processors give themselves.

use std::ops::RangeInclusive;

/// Intel's family 6: model numbers, steppings and the design; from Intel's and Linux's lists of
/// processor signatures.
const INTEL: &[(&[u32], RangeInclusive<u32>, &str)] = &[
    (&[15, 22], ANY, "Core"),
    (&[23, 29], ANY, "Penryn"),
    (&[26, 30, 31, 46], ANY, "Nehalem"),
    (&[37, 44, 47], ANY, "Westmere"),
    (&[42, 45], ANY, "Sandy Bridge"),
    (&[58, 62], ANY, "Ivy Bridge"),
    (&[60, 63, 69, 70], ANY, "Haswell"),
    (&[61, 71, 79, 86], ANY, "Broadwell"),
    (&[78, 94], ANY, "Skylake"),
    (&[85], 0..=4, "Skylake-SP"),
    (&[85], 5..=7, "Cascade Lake"),
    (&[85], 10..=11, "Cooper Lake"),
    (&[85], ANY, "Skylake-SP, Cascade Lake or Cooper Lake"),
    (&[142, 158], 9..=9, "Kaby Lake"),
    (&[142], 10..=10, "Coffee Lake"),
    (&[142], 11..=12, "Whiskey Lake"),
    (&[158], 10..=13, "Coffee Lake"),
    (&[142, 158], ANY, "Kaby Lake or Coffee Lake"),
    (&[102], ANY, "Cannon Lake"),
    (&[165, 166], ANY, "Comet Lake"),
    (&[106, 108, 125, 126], ANY, "Ice Lake"),
    (&[140, 141], ANY, "Tiger Lake"),
    (&[167], ANY, "Rocket Lake"),
    (&[138], ANY, "Lakefield"),
    (&[151, 154], ANY, "Alder Lake"),
    (&[190], ANY, "Gracemont"),
    (&[183, 186, 191], ANY, "Raptor Lake"),
    (&[143], ANY, "Sapphire Rapids"),
    (&[207], ANY, "Emerald Rapids"),
    (&[173, 174], ANY, "Granite Rapids"),
    (&[175], ANY, "Sierra Forest"),
    (&[182], ANY, "Grand Ridge"),
    (&[221], ANY, "Clearwater Forest"),
    (&[170, 172], ANY, "Meteor Lake"),
    (&[189], ANY, "Lunar Lake"),
    (&[181, 197, 198], ANY, "Arrow Lake"),
    (&[204], ANY, "Panther Lake"),
    (&[213], ANY, "Wildcat Lake"),
    (&[28, 38, 39, 53, 54], ANY, "Bonnell"),
    (&[55, 74, 77, 90, 93], ANY, "Silvermont"),
    (&[76], ANY, "Airmont"),
    (&[92, 95], ANY, "Goldmont"),
    (&[122], ANY, "Goldmont Plus"),
    (&[134, 150, 156], ANY, "Tremont"),
    (&[87], ANY, "Knights Landing"),
    (&[133], ANY, "Knights Mill"),
];
/// Intel's families after 6.
const INTEL_LATER: &[(u32, &[u32], &str)] =
    &[(18, &[1, 3], "Nova Lake"), (19, &[1], "Diamond Rapids")];
/// AMD's families and ranges of models, from Linux's list.
const AMD: &[(u32, RangeInclusive<u32>, &str)] = &[
    (0x10, ANY, "K10"),
    (0x14, ANY, "Bobcat"),
    (0x15, 0x00..=0x01, "Bulldozer"),
    (0x15, 0x02..=0x1f, "Piledriver"),
    (0x15, 0x30..=0x3f, "Steamroller"),
    (0x15, 0x60..=0x7f, "Excavator"),
    (0x16, 0x00..=0x0f, "Jaguar"),
    (0x16, 0x30..=0x3f, "Puma"),
    (0x17, 0x08..=0x08, "Zen+"),
    (0x17, 0x18..=0x18, "Zen+"),
    (0x17, 0x00..=0x2f, "Zen"),
    (0x17, 0x50..=0x5f, "Zen"),
    (0x17, ANY, "Zen 2"),
    (0x19, 0xa0..=0xaf, "Zen 4c"),
    (0x19, 0x10..=0x1f, "Zen 4"),
    (0x19, 0x60..=0x9f, "Zen 4"),
    (0x19, 0x40..=0x4f, "Zen 3+"),
    (0x19, ANY, "Zen 3"),
    (0x1a, 0x50..=0x5f, "Zen 6"),
    (0x1a, 0x80..=0xaf, "Zen 6"),
    (0x1a, 0xc0..=0xcf, "Zen 6"),
    (0x1a, ANY, "Zen 5"),
];
const ANY: RangeInclusive<u32> = 0..=u32::MAX;
/// Designs that multiply tiles.
const TILES: &[&str] = &["Sapphire Rapids", "Emerald Rapids", "Granite Rapids", "Diamond Rapids"];

/// The design's name. Virtual machines sometimes give the number of one processor and the
/// instructions of another; then there is none.
pub(super) fn design(
    vendor: Option<&str>,
    (family, model, stepping): (u32, u32, Option<u32>),
    isa: &[String],
) -> Result<&'static str, String> {
    let name = match vendor {
        Some("GenuineIntel") if family == 6 => INTEL
            .iter()
            .find(|(models, steppings, _)| {
                let any = *steppings == ANY;
                models.contains(&model) && (any || stepping.is_some_and(|s| steppings.contains(&s)))
            })
            .map(|(_, _, name)| *name),
        Some("GenuineIntel") => INTEL_LATER
            .iter()
            .find(|(known, models, _)| *known == family && models.contains(&model))
            .map(|(_, _, name)| *name),
        Some("AuthenticAMD") => AMD
            .iter()
            .find(|(known, models, _)| *known == family && models.contains(&model))
            .map(|(_, _, name)| *name),
        Some("HygonGenuine") if family == 0x18 => Some("Dhyana"),
        _ => None,
    };
    let name = name.ok_or(format!("family {family}, model {model} is not in the table"))?;
    if isa.iter().any(|word| word == "amx_tile") && !TILES.contains(&name) {
        return Err(format!("model {model} is {name}, but AMX is announced: the number is masked"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_steppings_have_names() {
        let (intel, amd) = (Some("GenuineIntel"), Some("AuthenticAMD"));
        for (vendor, numbers, name) in [
            (intel, (6, 85, Some(4)), "Skylake-SP"),
            (intel, (6, 85, Some(7)), "Cascade Lake"),
            (intel, (6, 85, None), "Skylake-SP, Cascade Lake or Cooper Lake"),
            (intel, (6, 158, Some(13)), "Coffee Lake"),
            (intel, (6, 204, Some(1)), "Panther Lake"),
            (intel, (19, 1, Some(0)), "Diamond Rapids"),
            (amd, (0x17, 0x18, Some(1)), "Zen+"),
            (amd, (0x17, 0x71, Some(0)), "Zen 2"),
            (amd, (0x19, 0x01, Some(1)), "Zen 3"),
            (amd, (0x19, 0x11, Some(1)), "Zen 4"),
            (amd, (0x19, 0xa0, Some(2)), "Zen 4c"),
            (amd, (0x1a, 0x02, Some(1)), "Zen 5"),
        ] {
            assert_eq!(design(vendor, numbers, &[]), Ok(name), "{numbers:?}");
        }
        assert!(design(intel, (6, 250, None), &[]).is_err());
        assert!(design(None, (6, 85, None), &[]).is_err());
        let tiles = ["amx_tile".to_owned()];
        assert!(design(intel, (6, 143, None), &tiles).is_ok());
        assert!(design(intel, (6, 167, None), &tiles).is_err());
    }
}
