//! How far a candidate's answers are from its reference's, gathered chunk after chunk.

use autotune_engine::api::ChunkScore;

use crate::model::{
    AgainstReference, CandidateQuality, Divergence, NoiseFloor, QualityClass, QualitySubject,
};
use crate::stats::{ClusteredMean, clustered_mean, median, quantile};

use super::ScoreError;

/// Perplexity of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Perplexity {
    /// The exponential of the mean negative log likelihood of a token, as llama-perplexity has it.
    pub value: f64,
    /// Its standard error, clustered by chunk; `None` with fewer than two chunks.
    pub se: Option<f64>,
}

/// Perplexity from the negative log likelihoods of the scored tokens, in nats, chunk by chunk;
/// `None` where `clustered_mean` has none.
///
/// The error is that of the mean times the perplexity (delta method). llama-perplexity's is the
/// same of single tokens, which is too small where the tokens of a chunk are alike.
#[must_use]
pub fn perplexity(chunks: &[Vec<f64>]) -> Option<Perplexity> {
    let ClusteredMean { mean, se, .. } = mean(chunks)?;
    let value = mean.exp();
    Some(Perplexity { value, se: se.map(|se| value * se) })
}

/// All scores of one candidate beside its reference so far, a list for each chunk.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Accumulated {
    /// Negative log likelihood, in nats.
    nll: Vec<Vec<f64>>,
    /// The same less the reference's.
    ln_ratio: Vec<Vec<f64>>,
    /// Kullback-Leibler divergence, in nats.
    divergence: Vec<Vec<f64>>,
    /// 1 where both have the same likeliest token, else 0.
    same_top: Vec<Vec<f64>>,
    /// Probability of the true token less that under the reference.
    delta_p: Vec<Vec<f64>>,
}

impl Accumulated {
    /// Adds one chunk: the reference's negative log likelihoods in nats, and the candidate's
    /// scores of the same tokens. On an error nothing is added.
    ///
    /// A divergence below zero by rounding is kept: without it the mean would be too large.
    pub fn add(&mut self, reference_nll: &[f64], score: &ChunkScore) -> Result<(), ScoreError> {
        let ChunkScore { nll, divergence, same_top } = score;
        let tokens = reference_nll.len();
        if [nll.len(), divergence.len(), same_top.len()] != [tokens; 3] {
            return Err(ScoreError::Lengths {
                reference: tokens,
                nll: nll.len(),
                divergence: divergence.len(),
                same_top: same_top.len(),
            });
        }
        if tokens == 0 {
            return Err(ScoreError::Empty);
        }
        let finite = |list: &[f64], token: usize| list[token].is_finite();
        let whole = |token: &usize| {
            finite(reference_nll, *token) && finite(nll, *token) && finite(divergence, *token)
        };
        if let Some(token) = (0..tokens).find(|token| !whole(token)) {
            return Err(ScoreError::NotFinite { token });
        }
        let pairs = || nll.iter().zip(reference_nll);
        self.ln_ratio.push(pairs().map(|(own, reference)| own - reference).collect());
        self.delta_p
            .push(pairs().map(|(own, reference)| (-own).exp() - (-reference).exp()).collect());
        self.same_top.push(same_top.iter().map(|same| f64::from(u8::from(*same))).collect());
        self.divergence.push(divergence.clone());
        self.nll.push(nll.clone());
        Ok(())
    }

    /// Chunks so far.
    #[must_use]
    pub fn chunks(&self) -> u32 {
        u32::try_from(self.nll.len()).unwrap_or(u32::MAX)
    }

    /// Scored tokens so far, in all chunks.
    #[must_use]
    pub fn scored_tokens(&self) -> u64 {
        self.nll.iter().map(|chunk| chunk.len() as u64).sum()
    }

    /// Perplexity of the candidate; `None` without chunks.
    #[must_use]
    pub fn perplexity(&self) -> Option<Perplexity> {
        perplexity(&self.nll)
    }

    /// Mean divergence from the reference in nats, clustered by chunk; `None` without chunks.
    #[must_use]
    pub fn mean_divergence(&self) -> Option<ClusteredMean> {
        mean(&self.divergence)
    }

    /// Mean of this candidate's divergence less the other's in nats, token by token and clustered
    /// by chunk: what a chunk does to both is not in its error. `None` where the two were not
    /// scored on equally long chunks.
    #[must_use]
    pub fn divergence_above(&self, other: &Self) -> Option<ClusteredMean> {
        let lengths = |it: &Self| it.divergence.iter().map(Vec::len).collect::<Vec<_>>();
        if lengths(self) != lengths(other) {
            return None;
        }
        let differences: Vec<Vec<f64>> = self
            .divergence
            .iter()
            .zip(&other.divergence)
            .map(|(own, its)| own.iter().zip(its).map(|(own, its)| own - its).collect())
            .collect();
        mean(&differences)
    }

    /// What stands between candidate and reference; `None` without chunks.
    ///
    /// The class is certain where the interval of the mean stays in it. A percentile that
    /// the tokens are too few for (`stats::samples_to_bound`) is the largest divergence seen.
    #[must_use]
    pub fn against_reference(&self) -> Option<AgainstReference> {
        let ln_ratio = mean(&self.ln_ratio)?;
        let divergence = self.mean_divergence()?;
        let agreement = mean(&self.same_top)?;
        let delta_p = mean(&self.delta_p)?;
        let (rms_delta_p, rms_delta_p_se) = root_mean_square(&self.delta_p)?;
        let class = QualityClass::of(divergence.mean);
        let certain = |(low, high)| QualityClass::of(low) == QualityClass::of(high);
        Some(AgainstReference {
            ln_perplexity_ratio: ln_ratio.mean,
            ln_perplexity_ratio_se: ln_ratio.se,
            kl_divergence: distribution(&self.divergence.concat(), &divergence)?,
            top1_agreement: agreement.mean,
            top1_agreement_se: agreement.se,
            rms_delta_p,
            rms_delta_p_se,
            mean_delta_p: delta_p.mean,
            mean_delta_p_se: delta_p.se,
            class,
            class_is_certain: divergence.interval().is_some_and(certain),
        })
    }

    /// The candidate as documents have it; `None` without chunks. `variation` is what is varied,
    /// as flags, and empty for a model of its own.
    #[must_use]
    pub fn candidate(&self, of: QualitySubject, variation: String) -> Option<CandidateQuality> {
        let Perplexity { value, se } = self.perplexity()?;
        Some(CandidateQuality {
            model: of.model,
            variation,
            file_bytes: of.file_bytes,
            bits_per_weight: of.bits_per_weight,
            file_type: of.file_type,
            perplexity: value,
            perplexity_se: se,
            against: self.against_reference(),
        })
    }

    /// The same numbers where the candidate is the reference itself; `None` without chunks.
    #[must_use]
    pub fn noise_floor(&self) -> Option<NoiseFloor> {
        Some(NoiseFloor {
            kl_divergence: self.mean_divergence()?.mean,
            top1_agreement: mean(&self.same_top)?.mean,
            tokens: self.scored_tokens(),
        })
    }
}

fn mean(chunks: &[Vec<f64>]) -> Option<ClusteredMean> {
    clustered_mean(&chunks.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Root of the mean square with its error by the delta method: that of the mean square over twice
/// the root. Numbers that are all zero have none.
fn root_mean_square(chunks: &[Vec<f64>]) -> Option<(f64, Option<f64>)> {
    let squares: Vec<Vec<f64>> =
        chunks.iter().map(|chunk| chunk.iter().map(|value| value * value).collect()).collect();
    let square = mean(&squares)?;
    let root = square.mean.sqrt();
    let se = square.se.map(|se| if root > 0.0 { se / (2.0 * root) } else { 0.0 });
    Some((root, se))
}

fn distribution(divergences: &[f64], mean: &ClusteredMean) -> Option<Divergence> {
    let max = divergences.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(Divergence {
        mean: mean.mean,
        se: mean.se,
        median: median(divergences)?,
        p90: quantile(divergences, 0.90).unwrap_or(max),
        p99: quantile(divergences, 0.99).unwrap_or(max),
        max,
    })
}
