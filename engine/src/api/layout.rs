//! Parts of a [`Setting`](super::Setting) that say where something is: memory nodes, devices,
//! shares, tensors by name. Each is one word in JSON, as it is on the command line.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::ParseSettingError;

/// Devices and shares that llama.cpp can hold.
pub const MOST_DEVICES: usize = 16;
/// Tensors placed by name at most; llama.cpp's own limit is far above it.
pub const MOST_OVERRIDES: usize = 256;
/// Memory nodes that the kernel can be told of.
pub const MOST_NODES: u32 = 1024;

/// Serialises a type as the text that it prints and reads.
macro_rules! as_text {
    ($name:ident, $meaning:literal) => {
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "description": $meaning, "type": "string" })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Which memory nodes new pages come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MemoryPolicy {
    /// As the process was started: usually the node that touches a page first.
    #[default]
    Default,
    /// The node that touches a page first, whatever the process was started with.
    Local,
    /// All nodes in turn, page by page.
    Interleave,
    /// This node and no other.
    Bind(u32),
}

impl fmt::Display for MemoryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.pad("default"),
            Self::Local => f.pad("local"),
            Self::Interleave => f.pad("interleave"),
            Self::Bind(node) => f.pad(&format!("bind:{node}")),
        }
    }
}

impl FromStr for MemoryPolicy {
    type Err = ParseSettingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let node = || text.strip_prefix("bind:")?.parse().ok().filter(|node| *node < MOST_NODES);
        match text {
            "default" => Ok(Self::Default),
            "local" => Ok(Self::Local),
            "interleave" => Ok(Self::Interleave),
            _ => node().map(Self::Bind).ok_or_else(|| {
                refused(text, "a memory policy (default, local, interleave, bind:NODE)")
            }),
        }
    }
}

as_text!(
    MemoryPolicy,
    "Which memory nodes new pages come from: `default`, `local`, `interleave` or `bind:NODE`."
);

/// Devices that layers may be offloaded to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Devices {
    /// All that llama.cpp takes by itself.
    #[default]
    Auto,
    /// None: the CPU alone.
    None,
    /// These, by ggml's names (`CUDA0`), in this order.
    Named(Vec<String>),
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::None => f.pad("none"),
            Self::Named(names) => f.pad(&names.join("/")),
        }
    }
}

impl FromStr for Devices {
    type Err = ParseSettingError;

    /// Names between slashes, as llama-bench has them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names: Vec<String> = text.split('/').map(str::to_owned).collect();
        let wrong = |name: &String| {
            name.is_empty() || name.len() > 64 || name.chars().any(|c| !c.is_ascii_graphic())
        };
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            _ if names.len() > MOST_DEVICES || names.iter().any(wrong) => {
                Err(refused(text, "`auto`, `none` or device names between slashes"))
            }
            _ => Ok(Self::Named(names)),
        }
    }
}

as_text!(
    Devices,
    "Devices that may be used, by the engine's names with `/` between them; `auto` for all, `none` for none."
);

/// Shares of devices in thousandths; empty leaves them to llama.cpp, which divides by free memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorSplit(Vec<u32>);

impl TensorSplit {
    /// Each device's share; only their proportions count.
    pub fn shares(&self) -> impl Iterator<Item = f32> + '_ {
        self.0.iter().map(|share| *share as f32 / 1000.0)
    }

    /// Whether llama.cpp divides by free memory.
    #[must_use]
    pub fn is_auto(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for TensorSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.pad("auto");
        }
        let share = |share: &u32| match share % 1000 {
            0 => format!("{}", share / 1000),
            part => format!("{}.{part:03}", share / 1000).trim_end_matches('0').to_owned(),
        };
        f.pad(&self.0.iter().map(share).collect::<Vec<_>>().join("/"))
    }
}

impl FromStr for TensorSplit {
    type Err = ParseSettingError;

    /// Numbers between slashes, of at most three decimals; `auto` or zeros alone for none.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = "`auto` or up to 16 shares between slashes, such as 3/1";
        if text == "auto" {
            return Ok(Self::default());
        }
        let share = |word: &str| -> Option<u32> {
            let (whole, part) = word.split_once('.').unwrap_or((word, ""));
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            if whole.is_empty() || part.len() > 3 || !digits(whole) || !digits(part) {
                return None;
            }
            let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 1_000_000)?;
            Some(whole * 1000 + format!("{part:0<3}").parse::<u32>().ok()?)
        };
        let shares: Option<Vec<u32>> = text.split('/').map(share).collect();
        match shares {
            Some(shares) if shares.iter().all(|share| *share == 0) => Ok(Self::default()),
            Some(shares) if shares.len() <= MOST_DEVICES => Ok(Self(shares)),
            _ => Err(refused(text, wanted)),
        }
    }
}

as_text!(TensorSplit, "Shares of the devices with `/` between them; `auto`: by their free memory.");

/// Tensors whose names fit a pattern, and the kind of buffer they are put into.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorOverride {
    pattern: String,
    buffer: String,
}

impl TensorOverride {
    /// A regular expression that is searched for in the names of tensors.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// ggml's name of a buffer type: `CPU`, `CUDA0`.
    #[must_use]
    pub fn buffer(&self) -> &str {
        &self.buffer
    }
}

impl fmt::Display for TensorOverride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}={}", self.pattern, self.buffer))
    }
}

impl FromStr for TensorOverride {
    type Err = ParseSettingError;

    /// `PATTERN=BUFFER`; the last equals sign divides them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |word: &str| {
            !word.is_empty() && word.len() <= 512 && !word.chars().any(char::is_control)
        };
        match text.rsplit_once('=') {
            Some((pattern, buffer)) if plain(pattern) && plain(buffer) => {
                Ok(Self { pattern: pattern.to_owned(), buffer: buffer.to_owned() })
            }
            _ => Err(refused(text, "a placement of tensors such as exps=CPU")),
        }
    }
}

as_text!(
    TensorOverride,
    "A pattern of tensor names and the buffer type that they go to: `PATTERN=BUFFER`."
);

fn refused(value: &str, wanted: &'static str) -> ParseSettingError {
    ParseSettingError { value: value.to_owned(), wanted }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn back<T: FromStr<Err = ParseSettingError> + fmt::Display>(text: &str) -> Option<String> {
        text.parse::<T>().ok().map(|value| value.to_string())
    }

    #[test]
    fn words_are_read_as_they_are_printed() {
        for text in ["default", "local", "interleave", "bind:3"] {
            assert_eq!(back::<MemoryPolicy>(text).as_deref(), Some(text));
        }
        for text in ["auto", "none", "CUDA0", "CUDA0/Vulkan1"] {
            assert_eq!(back::<Devices>(text).as_deref(), Some(text));
        }
        for (text, printed) in
            [("auto", "auto"), ("0.00", "auto"), ("3/1", "3/1"), ("0.750/.2", "")]
        {
            assert_eq!(back::<TensorSplit>(text).unwrap_or_default(), printed);
        }
        assert_eq!(back::<TensorSplit>("0.75/0.250").as_deref(), Some("0.75/0.25"));
        let placed: TensorOverride = r"blk\.(?=1)=CPU".parse().unwrap();
        assert_eq!((placed.pattern(), placed.buffer()), (r"blk\.(?=1)", "CPU"));
    }

    #[test]
    fn slips_are_refused() {
        assert!(
            back::<MemoryPolicy>("bind:").is_none() && back::<MemoryPolicy>("bind:9999").is_none()
        );
        assert!(back::<Devices>("CUDA0//x").is_none() && back::<Devices>("").is_none());
        assert!(back::<TensorSplit>("1/-1").is_none() && back::<TensorSplit>("1/x").is_none());
        assert!(back::<TensorSplit>(&["1"; 17].join("/")).is_none());
        assert!(
            back::<TensorOverride>("exps").is_none() && back::<TensorOverride>("=CPU").is_none()
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in ".{0,80}") {
            let _ = (back::<MemoryPolicy>(&text), back::<Devices>(&text));
            let _ = (back::<TensorSplit>(&text), back::<TensorOverride>(&text));
        }

        #[test]
        fn shares_survive_printing(shares in proptest::collection::vec(1_u32..2_000_000, 1..16)) {
            let split = TensorSplit(shares);
            prop_assert_eq!(split.to_string().parse::<TensorSplit>().unwrap(), split);
        }
    }
}
