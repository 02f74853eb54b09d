//! The process of one engine.

use super::check;
use super::engine::{DiskEngine, Op, OpKind, Tally};
use super::protocol::{Answer, Order};
use super::race;
use super::roster;
use crate::failure::{Failure, Result};
use crate::options::ServeOptions;
use std::io::{BufRead, Write};
use std::time::Instant;

/// Does what it is told, line by line, until its standard input ends.
pub(crate) fn run(options: &ServeOptions) -> Result<()> {
    let mut engine: Option<Box<dyn DiskEngine>> = None;
    for line in std::io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?).map_err(Failure::of("reading an order"))?;
        let answer = obey(&mut engine, &order, options).unwrap_or_else(|failure| Answer::Failed(failure.to_string()));
        let text = serde_json::to_string(&answer).map_err(Failure::of("writing an answer"))?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()?;
    }
    Ok(())
}

fn obey(engine: &mut Option<Box<dyn DiskEngine>>, order: &Order, options: &ServeOptions) -> Result<Answer> {
    if let Order::Load = order {
        let begun = Instant::now();
        let opened = roster::open(&options.engine, &options.dir, options.keys, options.memory)?;
        if opened.has_keys() {
            load(&*opened, options.keys)?;
            opened.settle()?;
        }
        let setup = opened.describe();
        let modes = opened.modes().iter().map(|mode| mode.name.to_string()).collect();
        *engine = Some(opened);
        return Ok(Answer::Loaded { seconds: begun.elapsed().as_secs_f64(), setup, modes });
    }
    let Some(engine) = engine else { return Err(Failure::new("nothing is loaded")) };
    Ok(match order {
        Order::Load => return Err(Failure::new("it is loaded already")),
        Order::Check { threads } if engine.has_keys() => {
            Answer::Checked(check::losses(&**engine, options.keys, *threads)?)
        }
        Order::Check { .. } => Answer::Checked(Default::default()),
        Order::Run(run) => Answer::Ran(race::run(&**engine, options.keys, options.batch, run)?),
    })
}

/// Puts all keys in, in their order and from one thread: that is the best that a tree can be given, and hashed stores do
/// not care.
pub(super) fn load(engine: &dyn DiskEngine, keys: u64) -> Result<()> {
    let mut worker = engine.worker(engine.modes().len() - 1)?;
    let mut tally = Tally::default();
    let mut ops = Vec::with_capacity(1_024);
    for key in 0..keys {
        ops.push(Op { key, kind: OpKind::Update(0) });
        if ops.len() == 1_024 || key + 1 == keys {
            worker.run(&ops, &mut tally)?;
            ops.clear();
        }
    }
    worker.finish(&mut tally)
}
