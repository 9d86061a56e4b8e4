//! From what each thread had done at which time to one rate.

/// How much a thread had done, and when, in seconds since a common moment; rising in both.
pub(super) type Marks = Vec<(f64, f64)>;

/// Units per second of all threads together, within the time in which all of them worked. `None`
/// where there was none.
///
/// Outside of that window some thread has the memory to itself, and a sum of each thread's own
/// rate would count what nobody reaches together.
pub(super) fn common_rate(threads: &[Marks]) -> Option<f64> {
    let starts = threads.iter().map(|marks| marks.first().map(|mark| mark.0));
    let ends = threads.iter().map(|marks| marks.last().map(|mark| mark.0));
    let start = starts.collect::<Option<Vec<_>>>()?.into_iter().fold(f64::MIN, f64::max);
    let end = ends.collect::<Option<Vec<_>>>()?.into_iter().fold(f64::MAX, f64::min);
    if threads.is_empty() || end <= start {
        return None;
    }
    let done: f64 = threads.iter().map(|marks| amount(marks, end) - amount(marks, start)).sum();
    Some(done / (end - start)).filter(|rate| rate.is_finite() && *rate > 0.0)
}

/// What was done at a time, evenly between two marks.
fn amount(marks: &Marks, time: f64) -> f64 {
    let next = marks.partition_point(|mark| mark.0 < time).min(marks.len() - 1);
    let ((t0, a0), (t1, a1)) = (marks[next.saturating_sub(1)], marks[next]);
    if t1 > t0 { a0 + (a1 - a0) * ((time - t0) / (t1 - t0)).clamp(0.0, 1.0) } else { a1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_common_window_counts() {
        // 10 a second from 0 to 4, and 5 a second from 1 to 3.
        let first: Marks = (0..=4).map(|t| (f64::from(t), 10.0 * f64::from(t))).collect();
        let second: Marks = vec![(1.0, 0.0), (3.0, 10.0)];
        let rate = common_rate(&[first.clone(), second]).unwrap();
        assert!((rate - 15.0).abs() < 1e-9, "{rate}");
        assert_eq!(common_rate(&[first.clone(), vec![(4.0, 0.0), (5.0, 9.0)]]), None);
        assert_eq!(common_rate(&[first, Vec::new()]), None);
        assert_eq!(common_rate(&[]), None);
    }

    proptest! {
        #[test]
        fn steady_threads_add_up_whenever_they_start(
            rates in proptest::collection::vec((1.0_f64..100.0, 0.0_f64..0.5), 1..6),
        ) {
            let threads: Vec<Marks> = rates
                .iter()
                .map(|(rate, late)| (0..20).map(|i| (late + f64::from(i) * 0.1, rate * f64::from(i) * 0.1)).collect())
                .collect();
            let sum: f64 = rates.iter().map(|(rate, _)| rate).sum();
            prop_assert!((common_rate(&threads).unwrap() / sum - 1.0).abs() < 1e-9);
        }
    }
}
