//! A study made by hand: eight quantizations with the quality that llama.cpp's public tables give
//! Llama-3-8B (tools/perplexity/README.md and tools/quantize/README.md), with doubt added.

use autotune_engine::api::Bytes;

use crate::model::{
    AgainstReference, CandidateQuality, Divergence, NoiseFloor, PromptAnswers, QualityClass,
    QualityReport, QualityStop, QualitySubject, QualityText, QuantizationStudy, SpokenAnswer,
    StudyCandidate, StudyChoice, TextSource,
};
use crate::stats::Estimate;

/// Name, bits, GiB, perplexity, KL divergence, same top, prefill and decode tokens per second.
type Row = (&'static str, f64, f64, f64, f64, f64, f64, f64);

const SOURCE: Row = ("F16", 16.0, 14.97, 6.2332, 0.0, 1.0, 923.0, 29.2);
const ROWS: [Row; 7] = [
    ("Q8_0", 8.5, 7.96, 6.2343, 0.001_36, 0.9767, 865.0, 50.9),
    ("Q6_K", 6.56, 6.14, 6.2534, 0.005_45, 0.9603, 812.0, 58.7),
    ("Q5_K_M", 5.7, 5.33, 6.2886, 0.010_76, 0.944, 759.0, 67.2),
    ("Q4_K_M", 4.89, 4.58, 6.4071, 0.031_27, 0.919, 822.0, 71.9),
    ("Q4_K_S", 4.67, 4.37, 6.5005, 0.043_14, 0.904, 819.0, 76.7),
    ("Q3_K_M", 4.0, 3.74, 6.8885, 0.101_91, 0.853, 783.0, 71.7),
    ("Q2_K", 3.16, 2.96, 9.7516, 0.445_13, 0.7114, 784.0, 79.9),
];

/// Memory that the choice has.
const LIMIT: Bytes = Bytes(8 << 30);

fn bytes(gib: f64) -> Bytes {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few GiB")]
    let bytes = (gib * f64::from(1 << 30)) as u64;
    Bytes(bytes)
}

fn estimate(value: f64) -> Estimate {
    let half = value * 0.006;
    Estimate { value, low: Some(value - half), high: Some(value + half), confidence: 0.95, n: 12 }
}

fn path(name: &str) -> String {
    format!("models/Llama-3-8B-{name}.gguf")
}

fn against((_, _, _, perplexity, divergence, top, ..): Row) -> AgainstReference {
    let ratio = (perplexity / SOURCE.3).ln();
    AgainstReference {
        ln_perplexity_ratio: ratio,
        ln_perplexity_ratio_se: Some(0.0004 + 0.08 * ratio),
        kl_divergence: Divergence {
            mean: divergence,
            se: Some(divergence * 0.04),
            median: divergence * 0.4,
            p90: divergence * 2.2,
            p99: divergence * 7.5,
            max: divergence * 60.0,
        },
        top1_agreement: top,
        top1_agreement_se: Some(0.004),
        rms_delta_p: divergence.sqrt() * 0.3,
        rms_delta_p_se: Some(0.0005),
        mean_delta_p: -divergence * 0.2,
        mean_delta_p_se: Some(0.0003),
        class: QualityClass::of(divergence),
        class_is_certain: QualityClass::of(divergence * 1.08)
            == QualityClass::of(divergence * 0.92),
    }
}

fn quality(row: Row) -> CandidateQuality {
    CandidateQuality {
        model: path(row.0),
        variation: String::new(),
        file_bytes: bytes(row.2),
        bits_per_weight: row.1,
        file_type: Some(row.0.to_lowercase()),
        perplexity: row.3,
        perplexity_se: Some(0.038),
        against: (row.4 > 0.0).then(|| against(row)),
    }
}

/// What a look at quality found.
pub(super) fn report() -> QualityReport {
    QualityReport {
        schema: QualityReport::SCHEMA.into(),
        tool_version: "0.1.0".into(),
        created_at: "2026-11-20T09:30:00Z".into(),
        command: "autotune quality models/Llama-3-8B-*.gguf --reference models/Llama-3-8B-F16.gguf"
            .into(),
        engine: "b9090".into(),
        isa_variant: Some("icelake".into()),
        reference: Some(QualitySubject {
            model: path("F16"),
            file_bytes: bytes(SOURCE.2),
            bits_per_weight: 16.0,
            file_type: Some("f16".into()),
        }),
        text: QualityText {
            source: TextSource::File { path: "texts/wiki.test.raw".into() },
            digest: "blake3:6a09e667f3bcc908".into(),
            tokens: 288_768,
            chunk_tokens: 512,
            chunks: 16,
            chunks_available: 564,
            scored_tokens: 4080,
        },
        candidates: ROWS.map(quality).to_vec(),
        noise_floor: Some(NoiseFloor { kl_divergence: 0.0, top1_agreement: 1.0, tokens: 510 }),
        stopped: QualityStop::Separated,
        floor: Some(QualityClass::Good),
        notes: vec!["the text and the models' training texts may overlap".into()],
        elapsed_ms: 754_000,
    }
}

/// The same where only perplexity was asked for.
pub(super) fn perplexity() -> QualityReport {
    let mut report = QualityReport { reference: None, noise_floor: None, floor: None, ..report() };
    report.candidates.iter_mut().for_each(|one| one.against = None);
    report.stopped = QualityStop::Asked;
    report
}

fn candidate(row: Row) -> StudyCandidate {
    let source = row.0 == SOURCE.0;
    StudyCandidate {
        name: row.0.into(),
        model: path(row.0),
        file_bytes: bytes(row.2),
        bits_per_weight: row.1,
        fallbacks: Vec::new(),
        same_as: None,
        run: Some(format!("runs/{}", row.0.to_lowercase())),
        flags: ["--threads", "8", "--ubatch-size", "512"].map(str::to_owned).to_vec(),
        decode_tok_per_s: Some(estimate(row.7)),
        prefill_tok_per_s: Some(estimate(row.6)),
        peak_memory_bytes: Some(bytes(row.2 + 1.1)),
        quality: (!source).then(|| quality(row)),
        left_out: left_out(row),
    }
}

fn left_out((_, _, gib, _, divergence, ..): Row) -> Option<String> {
    let needs = bytes(gib + 1.1);
    if needs > LIMIT {
        return Some(format!("it takes {needs} of memory and {LIMIT} are allowed"));
    }
    let class = QualityClass::of(divergence);
    (class < QualityClass::Good).then(|| format!("it is `{class}`, below `good`"))
}

/// A whole study.
pub(super) fn study() -> QuantizationStudy {
    let mut candidates: Vec<_> = [SOURCE].into_iter().chain(ROWS).map(candidate).collect();
    candidates[7].fallbacks = vec!["28 of 226 tensors are q4_0 in place of q2_k".into()];
    let twin = StudyCandidate {
        name: "Q4_K".into(),
        model: path("Q4_K"),
        same_as: Some("Q4_K_M".into()),
        run: None,
        flags: Vec::new(),
        quality: None,
        decode_tok_per_s: None,
        prefill_tok_per_s: None,
        peak_memory_bytes: None,
        left_out: None,
        ..candidates[4].clone()
    };
    candidates.insert(5, twin);
    QuantizationStudy {
        schema: QuantizationStudy::SCHEMA.into(),
        tool_version: "0.1.0".into(),
        created_at: "2026-11-20T09:45:00Z".into(),
        command: "autotune sweep --model models/Llama-3-8B-F16.gguf --quant auto".into(),
        source: path("F16"),
        speed_only: false,
        floor: QualityClass::Good,
        memory_limit_bytes: Some(LIMIT),
        candidates,
        front: ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "Q2_K"].map(Into::into).into(),
        choice: Some(StudyChoice {
            name: "Q4_K_S".into(),
            sentence: "Q4_K_S: the fastest of 4 that fit into 8.00 GiB and keep at least `good` \
                       (KL divergence 0.043 ± 0.002, 1 of 10 tokens differs), 2.6 times as fast as \
                       the source and 29 % of its size"
                .into(),
            tied: Vec::new(),
        }),
        quality: Some(report()),
        answers: answers(),
        notes: vec!["quantized without an importance matrix".into()],
    }
}

fn answers() -> Vec<PromptAnswers> {
    let spoken = |name: &str, text: &str, same_tokens| SpokenAnswer {
        name: name.into(),
        text: text.into(),
        same_tokens,
    };
    let prompt =
        |prompt: &str, answers: Vec<SpokenAnswer>| PromptAnswers { prompt: prompt.into(), answers };
    vec![
        prompt(
            "The capital of France is",
            vec![
                spoken("F16", " Paris. It lies on the Seine.", None),
                spoken("Q8_0", " Paris. It lies on the Seine.", None),
                spoken("Q4_K_M", " Paris. It lies on the river Seine.", Some(6)),
                spoken("Q2_K", " a city of the Seine, the Seine", Some(0)),
            ],
        ),
        prompt(
            "def fibonacci(n):",
            vec![
                spoken("F16", "\n    if n < 2:\n        return n", None),
                spoken("Q4_K_M", "\n    if n < 2:\n        return n", None),
                spoken("Q2_K", "\n    if n == 0:\n        return 0", Some(5)),
            ],
        ),
        prompt(
            "Once upon a time",
            vec![
                spoken("F16", ", there was a king who had three sons.", None),
                spoken("Q4_K_M", ", there was a queen who had three sons.", Some(4)),
                spoken("Q2_K", ", there was a king a king a king", Some(5)),
            ],
        ),
    ]
}

/// Names and words that would be markup or commands if they were taken for any.
pub(super) fn hostile_report() -> QualityReport {
    let mut report = report();
    report.candidates.truncate(3);
    let [first, second, third] = &mut report.candidates[..] else {
        unreachable!("there are three")
    };
    first.model = "a/<script>alert(1)</script>|`x`|\u{1b}[31mred\u{7}.gguf".into();
    second.model = format!("a/{}.gguf", "long-name-".repeat(40));
    second.variation = "-ctk q8_0\n-ctv | q8_0".into();
    third.model = "b/\u{202e}fugg.gguf".into();
    third.perplexity = 1e300;
    third.perplexity_se = Some(f64::INFINITY);
    if let Some(against) = &mut third.against {
        against.kl_divergence.mean = 3.3e-9;
        against.kl_divergence.se = Some(1e-12);
        against.kl_divergence.p99 = f64::NAN;
        against.top1_agreement = 0.999_999;
    }
    report.notes.push("::error::[x](javascript:1) \u{1b}]0;title\u{7}".into());
    report.command = "autotune quality `rm`\n| <b>".into();
    report
}

/// The same for a study.
pub(super) fn hostile_study() -> QuantizationStudy {
    let mut study = study();
    let name = "Q4|<script>alert(1)</script>\u{1b}[2J`".to_owned();
    study.candidates.truncate(5);
    for (at, one) in study.candidates.iter_mut().enumerate().skip(1) {
        one.name = format!("{name}{at}");
        one.run = Some(format!("javascript:\">{at}"));
        one.fallbacks = vec!["<img src=x onerror=alert(1)> | \u{1b}[0m".into()];
    }
    study.candidates[2].name = "very-long-name-".repeat(20);
    study.candidates[3].decode_tok_per_s = Some(estimate(1e300));
    study.candidates[4].bits_per_weight = f64::NAN;
    study.front = study.candidates.iter().map(|one| one.name.clone()).collect();
    if let Some(choice) = &mut study.choice {
        choice.name.clone_from(&study.candidates[1].name);
        choice.sentence = format!("{name}: the fastest");
    }
    study.answers[0].prompt = "</caption><script>alert(2)</script> | \u{1b}[1m".into();
    study.answers[0].answers[1].text = "``` | <b>bold</b>\u{1b}]0;x\u{7}\nline".into();
    study.answers[0].answers[1].same_tokens = Some(1);
    study.notes = vec!["<i>note</i> | [x](y)".into()];
    study.quality = Some(hostile_report());
    study
}

/// Speeds of weights that are noise.
pub(super) fn speed_only() -> QuantizationStudy {
    let mut study = study();
    study.speed_only = true;
    study.quality = None;
    study.answers.clear();
    for one in &mut study.candidates {
        one.quality = None;
        one.left_out = None;
    }
    study.choice = Some(StudyChoice {
        name: "Q2_K".into(),
        sentence: "Q2_K: the fastest of 8 that fit into 8.00 GiB; speed only, quality not measured"
            .into(),
        tied: vec!["Q4_K_S".into()],
    });
    study
}

/// A study that came to nothing.
pub(super) fn empty() -> QuantizationStudy {
    QuantizationStudy {
        candidates: Vec::new(),
        front: Vec::new(),
        choice: None,
        quality: None,
        answers: Vec::new(),
        notes: Vec::new(),
        memory_limit_bytes: None,
        ..study()
    }
}
