//! Variances of many cells, each lent some of what all have in common.

use statrs::function::gamma::digamma;

use super::median;

/// A variance and how well it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Variance {
    /// The variance.
    pub value: f64,
    /// Its degrees of freedom.
    pub degrees: f64,
}

/// Share of the median variance that the smallest is raised to: the logarithm of a variance of
/// zero has no moments. As in the authors' own program `limma`.
const SMALLEST: f64 = 1e-5;

/// The variances drawn together (Smyth, 2004, "Linear models and empirical Bayes methods",
/// Statistical Applications in Genetics and Molecular Biology 3): the cells' true variances are
/// taken to scatter as a scaled inverse chi-square, whose degrees and scale are estimated from the
/// moments of the logarithms. Each cell gains those degrees.
///
/// Where the variances differ no more than chance makes them, all get the common one, with the
/// degrees of all together, which no cell's ever exceed. A single cell is left as it is. `None`
/// without cells, where half of the variances are zero, and for one that is no variance.
#[must_use]
pub fn moderated(cells: &[Variance]) -> Option<Vec<Variance>> {
    let possible = |it: &Variance| {
        it.value >= 0.0 && it.value.is_finite() && it.degrees > 0.0 && it.degrees.is_finite()
    };
    let values: Vec<f64> = cells.iter().map(|cell| cell.value).collect();
    let middle = median(&values).filter(|middle| *middle > 0.0)?;
    if !cells.iter().all(possible) {
        return None;
    }
    if cells.len() == 1 {
        return Some(cells.to_vec());
    }
    let prior = prior(cells, SMALLEST * middle);
    let all: f64 = cells.iter().map(|cell| cell.degrees).sum();
    let moderate = |cell: &Variance| {
        let value = if prior.degrees.is_finite() {
            let weighed = prior.degrees * prior.value + cell.degrees * cell.value;
            weighed / (prior.degrees + cell.degrees)
        } else {
            prior.value
        };
        Variance { value, degrees: (prior.degrees + cell.degrees).min(all) }
    };
    Some(cells.iter().map(moderate).collect())
}

/// What all variances scatter around, and how closely: its degrees are infinite where they scatter
/// no more than they would around a common one.
fn prior(cells: &[Variance], smallest: f64) -> Variance {
    let n = cells.len() as f64;
    let logs: Vec<f64> = cells
        .iter()
        .map(|cell| {
            let half = cell.degrees / 2.0;
            cell.value.max(smallest).ln() - digamma(half) + half.ln()
        })
        .collect();
    let mean = logs.iter().sum::<f64>() / n;
    let scatter = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let by_chance = cells.iter().map(|cell| trigamma(cell.degrees / 2.0)).sum::<f64>() / n;
    let excess = scatter - by_chance;
    if excess <= 0.0 {
        // The pooled variance is the most likely common one, as `limma` has it.
        let degrees: f64 = cells.iter().map(|cell| cell.degrees).sum();
        let pooled = cells.iter().map(|cell| cell.degrees * cell.value).sum::<f64>() / degrees;
        return Variance { value: pooled, degrees: f64::INFINITY };
    }
    let half = inverse_trigamma(excess);
    Variance { value: (mean + digamma(half) - half.ln()).exp(), degrees: 2.0 * half }
}

/// Where the asymptotic series of the polygamma functions are exact to the last digits.
const SERIES_FROM: f64 = 12.0;

/// The second derivative of `ln Gamma(x)`, for `x > 0`: recurrence up to where the series of
/// Abramowitz & Stegun 6.4.12 holds.
fn trigamma(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < SERIES_FROM {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    let tail = 1.0 / 6.0 - y * (1.0 / 30.0 - y * (1.0 / 42.0 - y * (1.0 / 30.0 - y * 5.0 / 66.0)));
    sum + 1.0 / x + y / 2.0 + y / x * tail
}

/// The third derivative of `ln Gamma(x)`, for `x > 0`: Abramowitz & Stegun 6.4.13.
fn tetragamma(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < SERIES_FROM {
        sum -= 2.0 / (x * x * x);
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    let tail = 0.5 - y * (1.0 / 6.0 - y * (1.0 / 6.0 - y * (0.3 - y * 5.0 / 6.0)));
    sum - y - y / x - y * y * tail
}

/// Where `trigamma` has this value, by Newton's method on its inverse, which converges from below
/// without fail (Smyth, 2004, appendix).
fn inverse_trigamma(value: f64) -> f64 {
    // Beyond these, the first terms of the two series are exact to a ten-millionth.
    if value > 1e7 {
        return 1.0 / value.sqrt();
    }
    if value < 1e-6 {
        return 1.0 / value;
    }
    let mut x = 0.5 + 1.0 / value;
    for _ in 0..50 {
        let current = trigamma(x);
        let step = current * (1.0 - current / value) / tetragamma(x);
        x += step;
        if -step / x < 1e-10 {
            break;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case = (&'static [f64], &'static [f64], &'static [f64], &'static [f64]);

    // The moments of numpy.log, scipy.special.digamma and polygamma(1, .), and the degrees of the
    // prior by scipy.optimize.brentq: variances, degrees, and both moderated
    const CELLS: &[Case] = &[
        (
            &[0.5, 1.0, 2.0, 8.0, 0.1, 30.0, 0.02, 1.0],
            &[4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0],
            &[
                0.469_297_439_097_188_5,
                0.866_950_757_573_780_9,
                1.662_257_394_526_965_9,
                6.434_097_216_246_076,
                0.151_174_784_315_914_47,
                23.930_843_229_216_144,
                0.087_550_253_359_659_66,
                0.866_950_757_573_780_9,
            ],
            &[
                5.029_506_625_675_823,
                5.029_506_625_675_823,
                5.029_506_625_675_823,
                5.029_506_625_675_823,
                5.029_506_625_675_823,
                5.029_506_625_675_823,
                5.029_506_625_675_823,
                5.029_506_625_675_823,
            ],
        ),
        (
            &[1.0, 1.1, 0.9, 1.05],
            &[4.0, 4.0, 9.0, 4.0],
            &[
                0.985_714_285_714_285_7,
                0.985_714_285_714_285_7,
                0.985_714_285_714_285_7,
                0.985_714_285_714_285_7,
            ],
            &[21.0, 21.0, 21.0, 21.0],
        ),
        (
            &[0.5, 1.0, 2.0, 0.0, 0.1, 3.0],
            &[4.0, 4.0, 9.0, 4.0, 4.0, 2.0],
            &[
                0.452_283_228_807_630_5,
                0.904_078_211_101_888_5,
                1.909_681_635_460_419_6,
                0.000_488_246_513_372_386_3,
                0.090_847_242_972_224,
                2.473_295_846_635_125,
            ],
            &[
                4.426_786_658_505_61,
                4.426_786_658_505_61,
                9.426_786_658_505_61,
                4.426_786_658_505_61,
                4.426_786_658_505_61,
                2.426_786_658_505_61,
            ],
        ),
        (
            &[0.5, 0.6, 1.0, 0.9, 1.4, 2.6, 0.3, 0.8],
            &[7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0],
            &[
                0.816_981_852_040_082_8,
                0.842_117_679_770_235_3,
                0.942_660_990_690_846_1,
                0.917_525_162_960_693_4,
                1.043_204_301_611_456_7,
                1.344_834_234_373_288_9,
                0.766_710_196_579_777_5,
                0.892_389_335_230_540_8,
            ],
            &[
                27.848_694_998_823_827,
                27.848_694_998_823_827,
                27.848_694_998_823_827,
                27.848_694_998_823_827,
                27.848_694_998_823_827,
                27.848_694_998_823_827,
                27.848_694_998_823_827,
                27.848_694_998_823_827,
            ],
        ),
    ];

    // scipy.special.polygamma(1, x) and polygamma(2, x)
    const POLYGAMMA: [(f64, f64, f64); 6] = [
        (0.05, 401.532_357_342_115_06, -16_002.108_158_021_943),
        (0.5, 4.934_802_200_544_68, -16.828_796_644_234_316),
        (1.0, 1.644_934_066_848_226_6, -2.404_113_806_319_188),
        (2.5, 0.490_357_756_100_234_9, -0.236_204_051_641_727_36),
        (10.0, 0.105_166_335_681_685_76, -0.011_049_834_970_802_069),
        (100.0, 0.010_050_166_663_333_573, -0.000_101_004_999_833_350_01),
    ];

    fn cells(values: &[f64], degrees: &[f64]) -> Vec<Variance> {
        let cell = |(value, degrees): (&f64, &f64)| Variance { value: *value, degrees: *degrees };
        values.iter().zip(degrees).map(cell).collect()
    }

    #[test]
    fn cells_are_moderated_as_by_scipy() {
        for (values, degrees, moderate_values, moderate_degrees) in CELLS {
            let got = moderated(&cells(values, degrees)).unwrap();
            for (got, expected) in got.iter().zip(cells(moderate_values, moderate_degrees)) {
                let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-7;
                let right =
                    close(got.value, expected.value) && close(got.degrees, expected.degrees);
                assert!(right, "{got:?}, not {expected:?}");
            }
        }
    }

    #[test]
    fn derivatives_are_those_of_scipy_and_the_inverse_returns() {
        for (x, second, third) in POLYGAMMA {
            assert!((trigamma(x) / second - 1.0).abs() < 1e-12, "{x}");
            assert!((tetragamma(x) / third - 1.0).abs() < 1e-11, "{x}");
            assert!((inverse_trigamma(second) / x - 1.0).abs() < 1e-9, "{x}");
        }
        for x in [1e-5, 1e7] {
            assert!((inverse_trigamma(trigamma(x)) / x - 1.0).abs() < 1e-6, "{x}");
        }
    }

    #[test]
    fn what_cannot_be_moderated_is_not() {
        assert_eq!(moderated(&[]), None);
        assert_eq!(moderated(&cells(&[0.0, 0.0, 1.0], &[4.0; 3])), None);
        assert_eq!(moderated(&cells(&[1.0, f64::NAN], &[4.0; 2])), None);
        assert_eq!(moderated(&cells(&[1.0, 1.0], &[4.0, 0.0])), None);
        let single = cells(&[2.0], &[4.0]);
        assert_eq!(moderated(&single), Some(single));
    }
}
