//! Figures and the Markdown table that they make. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Values of one thing, measured again and again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sample(Vec<f64>);

impl Sample {
    pub(super) fn one(value: f64) -> Self {
        Self(vec![value])
    }

    pub(super) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Adds a time in milliseconds.
    pub(super) fn took(&mut self, time: Duration) {
        self.push(time.as_secs_f64() * 1000.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that 99 of 100 do not exceed, as a sample of its own.
    pub(super) fn p99(&self) -> Self {
        let sorted = self.sorted();
        let rank = (sorted.len() * 99).div_ceil(100).saturating_sub(1);
        Self(sorted.get(rank).copied().into_iter().collect())
    }

    /// 0 where nothing was measured.
    fn median(&self) -> f64 {
        let sorted = self.sorted();
        match (sorted.get(sorted.len().saturating_sub(1) / 2), sorted.get(sorted.len() / 2)) {
            (Some(low), Some(high)) => f64::midpoint(*low, *high),
            _ => 0.0,
        }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    fn spread(&self, unit: Unit) -> String {
        match self.sorted()[..] {
            [] | [_] => String::new(),
            [least, .., most] => format!("{} – {}", unit.show(least), unit.show(most)),
        }
    }
}

/// What a value is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Unit {
    Milliseconds,
    PerSecond,
    /// 1,000,000 bytes.
    Megabytes,
    Times,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Milliseconds if value >= 100.0 => format!("{value:.0}"),
            Self::Milliseconds | Self::PerSecond | Self::Megabytes | Self::Times => format!("{value:.1}"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::PerSecond => "1/s",
            Self::Megabytes => "MB",
            Self::Times => "",
        }
    }
}

/// One row: what was measured, and what stands beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Figure {
    name: String,
    unit: Unit,
    ours: Sample,
    beside: Option<(String, Sample)>,
}

impl Figure {
    pub(super) fn new(name: impl Into<String>, unit: Unit, ours: Sample) -> Self {
        Self { name: name.into(), unit, ours, beside: None }
    }

    pub(super) fn beside(self, what: &str, sample: Sample) -> Self {
        Self { beside: Some((what.to_owned(), sample)), ..self }
    }
}

/// Figures that were measured together, and the machine's load average (one minute) before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) load: [f64; 2],
    pub(super) figures: Vec<Figure>,
}

const HEAD: &str = "\
| figure | unit | n | p50 | min – max | beside it | p50 | min – max | ratio | load |
|---|---|---:|---:|---:|---|---:|---:|---:|---:|
";

/// The table of all figures.
pub(super) fn markdown(measured: &[Measured]) -> String {
    let rows = measured.iter().flat_map(|part| part.figures.iter().map(|figure| row(figure, part.load)));
    rows.fold(HEAD.to_owned(), |table, row| table + &row)
}

fn row(figure: &Figure, [before, after]: [f64; 2]) -> String {
    let Figure { name, unit, ours, beside } = figure;
    let mut row = format!("| {name} | {} | {} | {}", unit.name(), ours.0.len(), cells(ours, *unit));
    let (what, other) = match beside {
        Some((what, other)) => (what.as_str(), cells(other, *unit)),
        None => ("", " | ".to_owned()),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(row, " | {what} | {other} | {} | {before:.1} → {after:.1} |", ratio(figure));
    row
}

fn cells(sample: &Sample, unit: Unit) -> String {
    format!("{} | {}", unit.show(sample.median()), sample.spread(unit))
}

fn ratio(figure: &Figure) -> String {
    match &figure.beside {
        Some((_, other)) if other.median() > 0.0 => format!("{:.2}", figure.ours.median() / other.median()),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: &[f64]) -> Sample {
        Sample(values.to_vec())
    }

    #[test]
    fn a_median_is_the_middle_or_between_the_two_middles() {
        assert!((sample(&[9.0, 1.0, 2.0]).median() - 2.0).abs() < f64::EPSILON);
        assert!((sample(&[4.0, 1.0, 2.0, 9.0]).median() - 3.0).abs() < f64::EPSILON);
        assert!(sample(&[]).median().abs() < f64::EPSILON);
    }

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let hundred = Sample((1..=200).rev().map(f64::from).collect());
        assert_eq!(hundred.p99(), sample(&[198.0]));
        assert_eq!(sample(&[3.0, 9.0]).p99(), sample(&[9.0]));
        assert_eq!(sample(&[]).p99(), sample(&[]));
    }

    #[test]
    fn a_row_has_its_spread_what_stands_beside_it_and_the_ratio() {
        let figures = vec![
            Figure::new("apply", Unit::Milliseconds, sample(&[30.0, 20.0, 150.0])).beside("script", sample(&[20.0])),
            Figure::new("size", Unit::Megabytes, Sample::one(15.36)),
        ];
        let table = markdown(&[Measured { load: [0.5, 1.25], figures }]);
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| apply | ms | 3 | 30.0 | 20.0 – 150 | script | 20.0 |  | 1.50 | 0.5 → 1.2 |",
                "| size | MB | 1 | 15.4 |  |  |  |  |  | 0.5 → 1.2 |",
            ]
        );
    }
}
