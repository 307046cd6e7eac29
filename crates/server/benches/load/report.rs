//! Tables in Markdown.

use std::time::Duration;

use crate::figures::{Line, Measured};
use crate::options::Options;
use crate::run::{BARE, FIXED, SINGLE};

/// Of how many secrets the targets of size are.
const MILLION: usize = 1_000_000;

/// What was measured of one store at one size.
pub fn print_lines(measured: &Measured, options: &Options) {
    let secrets = grouped(measured.secrets);
    println!("\n### {}, {secrets} secrets\n", measured.store);
    println!(
        "Loaded in {} ({}/s), ready {} after the start, {:.0} MiB at most. {} connections, {} s a line.\n",
        seconds(measured.loaded),
        per_second(measured),
        millis(measured.start),
        measured.peak,
        options.connections,
        options.seconds,
    );
    println!("| | requests/s | p50 | p99 | CPU | memory | rate : floor | CPU : floor |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let fixed = measured.line(FIXED);
    for line in &measured.lines {
        let memory = line.memory.map(|memory| format!("{memory:.0} MiB")).unwrap_or_default();
        let is_put = line.name == "put" || line.memory.is_none();
        let floor = if is_put { measured.line(BARE) } else { fixed };
        let rate = floor.map(|floor| format!("{:.0} %", 100.0 * line.rate / floor.rate));
        let cpu = fixed.map(|fixed| format!("{:.1}", line.cpu / fixed.cpu));
        println!(
            "| {} | {} | {} | {} | {:.1} µs | {memory} | {} | {} |",
            line.name,
            grouped_rate(line.rate),
            millis(line.p50),
            millis(line.p99),
            line.cpu,
            rate.unwrap_or_default(),
            cpu.unwrap_or_default(),
        );
    }
}

/// Whether the targets are reached.
pub fn print_targets(all: &[Measured]) {
    println!("\n### Targets\n");
    println!("| store | secrets | figure | wanted | measured | |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for measured in all {
        for target in targets(measured, all) {
            println!(
                "| {} | {} | {} | {} | {} | {} |",
                measured.store,
                grouped(measured.secrets),
                target.figure,
                target.wanted,
                target.measured,
                if target.reached { "yes" } else { "**no**" },
            );
        }
    }
}

struct Target {
    figure: String,
    wanted: String,
    measured: String,
    reached: bool,
}

impl Target {
    fn at_least(figure: &str, wanted: f64, of: &Line, floor: &Line) -> Self {
        let share = of.rate / floor.rate;
        Self {
            figure: figure.to_owned(),
            wanted: format!("≥ {:.0} %", wanted * 100.0),
            measured: format!("{:.0} %", share * 100.0),
            reached: share >= wanted,
        }
    }

    fn at_most(figure: String, wanted: f64, measured: f64, unit: &str) -> Self {
        let (reached, wanted) = (measured <= wanted, format!("≤ {wanted} {unit}"));
        Self { figure, wanted, measured: format!("{measured:.1} {unit}"), reached }
    }
}

fn targets(measured: &Measured, all: &[Measured]) -> Vec<Target> {
    let line = |name| measured.line(name);
    let is_embedded = measured.store == "SQLite";
    let mut out = Vec::new();
    if let (Some(reveal), Some(fixed)) = (line("reveal"), line(FIXED)) {
        let (cpu, rate) = if is_embedded { (4.0, 0.4) } else { (6.0, 0.2) };
        let figure = "reveal, CPU : fixed body".to_owned();
        out.push(Target::at_most(figure, cpu, reveal.cpu / fixed.cpu, "×"));
        out.push(Target::at_least("reveal, rate : fixed body", rate, reveal, fixed));
    }
    if let (Some(put), Some(fixed)) = (line("put"), line(FIXED)) {
        if let Some(bare) = line(BARE) {
            out.push(Target::at_least("put, rate : bare loop", 0.6, put, bare));
        }
        if let Some(single) = line(SINGLE) {
            out.push(Target::at_least("put, rate : one transaction each", 2.5, put, single));
        }
        let figure = "put, CPU : fixed body".to_owned();
        out.push(Target::at_most(figure, 30.0, put.cpu / fixed.cpu, "×"));
    }
    if measured.secrets >= MILLION {
        let few = all
            .iter()
            .find(|other| other.store == measured.store && other.secrets < measured.secrets);
        for name in ["reveal", "browse"] {
            if let (Some(many), Some(few)) = (line(name), few.and_then(|few| few.line(name))) {
                out.push(Target::at_least(&format!("{name}, rate : few secrets"), 0.8, many, few));
            }
        }
        let figure = "resident memory at most".to_owned();
        out.push(Target::at_most(figure, 256.0, measured.peak, "MiB"));
        let start = measured.start.as_secs_f64();
        out.push(Target::at_most("start until ready".to_owned(), 1.0, start, "s"));
    }
    out
}

fn per_second(measured: &Measured) -> String {
    grouped_rate(measured.secrets as f64 / measured.loaded.as_secs_f64())
}

fn grouped_rate(rate: f64) -> String {
    grouped(rate.round() as usize)
}

/// With a comma before each three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
