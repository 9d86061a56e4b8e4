//! The class of a tensor by its name.

/// The group of a tensor: its name without the layer (`blk.7.`) and `.weight`.
///
/// Tensors of one group do the same work in every layer and share a coefficient. Names are those
/// of llama.cpp (`src/llama-arch.cpp`). The experts of a layer are a group of their own
/// (`ffn_up_exps`), also where an old file holds one tensor per expert (`blk.0.ffn_up.3.weight`).
#[must_use]
pub fn group_of(name: &str) -> String {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
    let name = name.strip_suffix(".weight").unwrap_or(name);
    let mut kept: Vec<&str> = Vec::new();
    for part in name.split('.') {
        match kept.last() {
            Some(&"blk") if is_number(part) => _ = kept.pop(),
            _ => kept.push(part),
        }
    }
    match kept.as_slice() {
        [rest @ .., last] if !rest.is_empty() && is_number(last) => {
            format!("{}_exps", rest.join("."))
        }
        all => all.join("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_the_name_without_its_layer() {
        for (name, group) in [
            ("blk.0.attn_q.weight", "attn_q"),
            ("blk.79.attn_output.weight", "attn_output"),
            ("blk.3.ffn_down.weight", "ffn_down"),
            ("blk.3.ffn_down_exps.weight", "ffn_down_exps"),
            ("blk.3.ffn_up_exps.weight", "ffn_up_exps"),
            ("blk.3.ffn_up_shexp.weight", "ffn_up_shexp"),
            ("blk.3.ffn_up.7.weight", "ffn_up_exps"),
            ("blk.3.attn_q.bias", "attn_q.bias"),
            ("enc.blk.1.attn_k.weight", "enc.attn_k"),
            ("token_embd.weight", "token_embd"),
            ("output.weight", "output"),
            ("output", "output"),
            ("blk.x.odd.weight", "blk.x.odd"),
            ("7", "7"),
            ("", ""),
        ] {
            assert_eq!(group_of(name), group, "{name}");
        }
    }
}
