//! Load, runs and final pass against one store.

use super::audit::Check;
use super::checkpoints::{CheckpointsReport, Signal, Taken, Taker, vanished};
use super::faults::Faults;
use super::growth::Growth;
use super::issue::Api;
use super::memory::PeakMeter;
use super::options::{Plan, Verify};
use super::oracle::Oracle;
use super::pipeline::Pipeline;
use super::progress::Progress;
use super::report::{DeviceWork, LoadReport, RunReport, VerificationReport, per_second};
use super::signal::Interrupt;
use super::stage::{self, Control, Done, Length, Watch};
use super::tally::Tally;
use super::value::Content;
use super::worker::{PUBLISH_EVERY, Worker};
use super::workload::{Operation, Preference, Workload};
use crate::failure::Failure;
use oxifaster::Result;
use oxifaster::device::StorageDevice;
use oxifaster::stats::StatsSnapshot;
use oxifaster::store::FasterKv;
use std::path::PathBuf;
use std::sync::Arc;

/// Reads in flight in the final pass, even if the runs have fewer.
pub(crate) const FINAL_DEPTH: usize = 64;

/// A store with values of one type on any device.
pub(crate) type Store<V> = FasterKv<u64, V, Arc<dyn StorageDevice>>;

/// All that is known of what the store should hold, and where it does not.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) oracle: Oracle,
    pub(crate) growth: Growth,
    pub(crate) faults: Faults,
}

impl Ledger {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            oracle: Oracle::new(plan.records, plan.verify == Verify::Every),
            growth: Growth::new(plan.records, plan.threads),
            faults: Faults::default(),
        }
    }
}

/// A store under load.
pub(crate) struct Campaign<'a, V: Content> {
    store: &'a Store<V>,
    shape: V::Shape,
    plan: &'a Plan,
    interrupt: &'a Interrupt,
    progress: &'a Progress,
    peak: PeakMeter,
    ledger: &'a Ledger,
    checked: u64,
    exact: u64,
    /// Where checkpoints go, if any are to be taken.
    checkpoints: Option<PathBuf>,
}

impl<'a, V: Content> Campaign<'a, V> {
    pub(crate) fn new(
        store: &'a Store<V>,
        shape: V::Shape,
        plan: &'a Plan,
        ledger: &'a Ledger,
        interrupt: &'a Interrupt,
        progress: &'a Progress,
    ) -> Self {
        Self {
            store,
            shape,
            plan,
            interrupt,
            progress,
            peak: PeakMeter::default(),
            ledger,
            checked: 0,
            exact: 0,
            checkpoints: None,
        }
    }

    /// The most that the process has held so far.
    pub(crate) fn peak(&self) -> Option<u64> {
        self.peak.peak()
    }

    /// Writes every record once, in the order of the keys. Says as well whether all were written.
    pub(crate) fn load(&mut self) -> Result<(LoadReport, bool), Failure> {
        let records = self.plan.records;
        let done = self.stage(
            "load",
            Length::Items(records),
            (self.plan.api, self.plan.depth, None),
            |thread, control, mut pipeline| {
                while let Some(keys) = control.next_keys(records) {
                    for key in keys {
                        pipeline.load(key)?;
                    }
                    control.publish(thread, pipeline.issued());
                }
                pipeline.drain()
            },
        )?;
        let (loaded, seconds) = (done.tally.operations(), done.elapsed.as_secs_f64());
        let data_bytes = loaded * size_of::<u64>() as u64 + done.tally.loaded_bytes;
        let records_per_second = per_second(loaded, seconds);
        Ok((LoadReport { records: loaded, data_bytes, seconds, records_per_second }, loaded == records))
    }

    /// Has checkpoints go to `directory`.
    pub(crate) fn with_checkpoints_in(mut self, directory: Option<PathBuf>) -> Self {
        self.checkpoints = directory;
        self
    }

    /// Runs one workload for the planned time.
    pub(crate) fn run(&mut self, workload: Workload, preference: Preference) -> Result<RunReport, Failure> {
        let (plan, growth) = (self.plan, &self.ledger.growth);
        let label = format!("{} {preference}", workload.letter());
        let before = self.store.stats();
        let wish = plan.checkpoints.clone().zip(self.checkpoints.clone());
        let signal = Arc::new(Signal::default());
        let taker = wish.map(|(wish, directory)| Taker::new(wish, directory, Arc::clone(&signal)));
        let calls = (plan.api, plan.depth, taker.as_ref().map(|_| &*signal));
        let store = self.store;
        let (done, taken) = std::thread::scope(|scope| {
            let takes = taker.as_ref().map(|taker| scope.spawn(|| taker.take_all(store)));
            let done = self.stage(&label, Length::Time(plan.duration), calls, |thread, control, pipeline| {
                Worker::new(plan, workload, preference, growth, thread).work(control, pipeline)
            });
            taker.iter().for_each(Taker::stop);
            let taken = takes.map(|takes| takes.join().unwrap_or_else(|_| Err(vanished()))).transpose();
            (done, taken)
        });
        let (done, taken): (Done, Option<Taken>) = (done?, taken?);
        let after = self.store.stats();
        let waited = after.read_misses - before.read_misses;
        let names = (workload.letter(), workload.summary(), preference.name());
        let mut report = RunReport::new(names, &done.tally, done.elapsed, waited, work_between(&before, &after));
        report.checkpoints = plan
            .checkpoints
            .as_ref()
            .zip(taken)
            .map(|(wish, taken)| CheckpointsReport::new(wish.kind, &taken, &done.tally.sides, plan.threads));
        Ok(report)
    }

    /// Reads every key once more: as the runs did, but not one key at a time, which would take too long.
    pub(crate) fn verify(&mut self) -> Result<VerificationReport, Failure> {
        let records = self.plan.records;
        let api = if self.plan.api == Api::Sync { Api::Pending } else { self.plan.api };
        let calls = (api, self.plan.depth.max(FINAL_DEPTH), None);
        let growth = &self.ledger.growth;
        let keys = growth.total();
        let done = self.stage("verify", Length::Items(keys), calls, |thread, control, mut pipeline| {
            while let Some(keys) = control.next_keys(records) {
                for key in keys {
                    pipeline.read(key)?;
                }
                control.publish(thread, pipeline.issued());
            }
            for index in 0..growth.inserted_by(thread) {
                if !control.goes_on() {
                    break;
                }
                pipeline.read(growth.inserted_key(thread, index))?;
                if index.is_multiple_of(PUBLISH_EVERY) {
                    control.publish(thread, pipeline.issued());
                }
            }
            pipeline.drain()
        })?;
        let keys_read = done.tally.count(Operation::Read);
        let seconds = done.elapsed.as_secs_f64();
        Ok(VerificationReport { keys_read, seconds, complete: keys_read == keys, ..self.verification() })
    }

    /// What was checked so far.
    pub(crate) fn verification(&self) -> VerificationReport {
        VerificationReport {
            values_checked: self.checked,
            exact_versions_checked: self.exact,
            followed_keys: self.ledger.oracle.sampled_keys(),
            faults: self.ledger.faults.count(),
            first_faults: self.ledger.faults.first(),
            ..VerificationReport::default()
        }
    }

    /// `calls` is how the store is called, with how many operations in flight, and what says when checkpoints are under way.
    fn stage<B>(
        &mut self,
        label: &str,
        length: Length,
        calls: (Api, usize, Option<&Signal>),
        body: B,
    ) -> Result<Done, Failure>
    where
        B: Fn(usize, &Control, Pipeline<'_, V>) -> Result<Tally> + Sync,
    {
        let Ledger { oracle, growth, faults } = self.ledger;
        let (api, depth, signal) = calls;
        let check = Check { oracle, growth, faults, during: label, signal };
        let mut watch = Watch { interrupt: self.interrupt, peak: &mut self.peak, progress: self.progress };
        let (store, batch, shape) = (self.store, self.plan.batch, self.shape);
        let done = stage::run(label, self.plan.threads, length, &mut watch, |thread, control| {
            body(thread, control, Pipeline::new(api.issuer(store, depth, batch), check, thread, shape))
        })?;
        self.checked += done.tally.checked;
        self.exact += done.tally.exact;
        Ok(done)
    }
}

/// What the device did between two snapshots.
fn work_between(before: &StatsSnapshot, after: &StatsSnapshot) -> DeviceWork {
    DeviceWork {
        reads: after.device.reads - before.device.reads,
        read_bytes: after.device.read_bytes - before.device.read_bytes,
        written_bytes: after.device.written_bytes - before.device.written_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::super::device::Device;
    use super::super::lengths::{Lengths, Values};
    use super::*;
    use clap::ValueEnum;
    use oxifaster::device::MemoryDisk;
    use oxifaster::store::{FasterKvConfig, Session};
    use std::time::Duration;

    fn plan(api: Api) -> Plan {
        Plan {
            records: 8_000,
            values: Values::Fixed(100),
            memory: 64 << 20,
            runs: Vec::new(),
            theta: 0.99,
            duration: Duration::from_millis(60),
            threads: 2,
            api,
            depth: if api == Api::Sync { 1 } else { 64 },
            batch: 32,
            directory: None,
            device: Device::Memory,
            verify: Verify::Every,
            seed: 7,
            checkpoints: None,
            recovery: false,
            revivification: false,
        }
    }

    /// A store so small that most of the records are on its device.
    fn store() -> Store<[u8; 100]> {
        let config = FasterKvConfig::default().with_memory_budget(512 << 10);
        FasterKv::open(config, Arc::new(MemoryDisk::new()) as Arc<dyn StorageDevice>).unwrap()
    }

    /// Loads, runs every workload, lets `tamper` at the store, and reads all keys.
    fn verified_after(api: Api, tamper: impl FnOnce(&mut Session<u64, [u8; 100]>, &Ledger)) -> VerificationReport {
        let (plan, store) = (plan(api), store());
        let (ledger, interrupt, progress) = (Ledger::new(&plan), Interrupt::default(), Progress::new(false));
        let mut campaign = Campaign::new(&store, (), &plan, &ledger, &interrupt, &progress);
        assert!(campaign.load().unwrap().1);
        for workload in Workload::ALL {
            // On a busy machine the time of a run can be over before a thread of it came to its first operation.
            let did_something = || campaign.run(workload, Preference::Zipfian).unwrap().operations > 0;
            assert!(std::iter::repeat_with(did_something).take(100).any(|did| did), "{workload:?}");
        }
        assert_eq!(campaign.verification().faults, 0, "{:?}", campaign.verification().first_faults);
        tamper(&mut store.start_session(), &ledger);
        campaign.verify().unwrap()
    }

    #[test]
    fn a_sound_store_passes_with_every_version_exact_however_it_is_called() {
        for api in Api::value_variants() {
            let report = verified_after(*api, |_, _| {});
            assert!(report.complete && report.faults == 0, "{api:?}: {report:?}");
            assert!(report.keys_read > 8_000, "workload D inserts: {api:?}, {report:?}");
            assert_eq!(report.values_checked, report.exact_versions_checked);
        }
    }

    fn only_fault(report: &VerificationReport) -> (u64, &str) {
        assert_eq!(report.faults, 1, "{report:?}");
        (report.first_faults[0].key, &report.first_faults[0].found)
    }

    #[test]
    fn a_stale_value_is_found_and_named() {
        let mut stale = None;
        let report = verified_after(Api::Pending, |session, ledger| {
            // On a busy machine not many are.
            let key = (0..8_000).find(|key| ledger.oracle.ceiling(*key) > 0).unwrap();
            stale = Some(key);
            session.upsert(key, Content::encode(key, ledger.oracle.ceiling(key) - 1, ())).unwrap();
        });
        let (key, found) = only_fault(&report);
        assert!(Some(key) == stale && found.starts_with("version "), "{report:?}");
    }

    #[test]
    fn a_missing_inserted_key_is_found_and_named() {
        let report = verified_after(Api::Pending, |session, _| session.delete(&8_000).unwrap());
        assert_eq!(only_fault(&report), (8_000, "no value"));
    }

    #[test]
    fn a_damaged_value_and_one_of_another_key_are_found_and_named() {
        let report = verified_after(Api::Sync, |session, ledger| {
            let mut value = <[u8; 100]>::encode(9, ledger.oracle.ceiling(9), ());
            value[99] ^= 1;
            session.upsert(9, value).unwrap();
        });
        assert_eq!(only_fault(&report), (9, "a value whose checksum is wrong"));
        let report = verified_after(Api::Sync, |session, ledger| {
            session.upsert(9, Content::encode(10, ledger.oracle.ceiling(9), ())).unwrap();
        });
        assert_eq!(only_fault(&report), (9, "the value of key 10"));
    }

    #[test]
    fn runs_find_what_is_wrong_while_they_read_and_modify_however_the_store_is_called() {
        Api::value_variants().iter().for_each(|api| replaced_keys_are_found_by_runs(*api));
    }

    fn replaced_keys_are_found_by_runs(api: Api) {
        let (plan, store) = (plan(api), store());
        let (ledger, interrupt, progress) = (Ledger::new(&plan), Interrupt::default(), Progress::new(false));
        let mut campaign = Campaign::new(&store, (), &plan, &ledger, &interrupt, &progress);
        campaign.load().unwrap();
        // Nothing but modifications can find this before it is overwritten: the key itself is replaced.
        let mut session = store.start_session();
        for key in 0..plan.records {
            session.upsert(key, Content::encode(key + 1, 0, ())).unwrap();
        }
        campaign.run(Workload::F, Preference::Uniform).unwrap();
        let report = campaign.verification();
        assert_eq!(report.first_faults.len(), 10, "{api:?}");
        assert_eq!(report.faults, report.values_checked, "no modification may repair a wrong value: {api:?}");
        assert_eq!(report.first_faults[0].during, "F uniform");
    }

    #[test]
    fn values_of_any_length_pass_with_every_version_exact_however_the_store_is_called() {
        let lengths: Lengths = "zipf:16..1500".parse().unwrap();
        for api in Api::value_variants() {
            let plan = Plan { records: 3_000, values: Values::AnyLength(lengths), ..plan(*api) };
            let device = Arc::new(MemoryDisk::new()) as Arc<dyn StorageDevice>;
            let config = FasterKvConfig::default().with_memory_budget(512 << 10);
            let store: Store<Vec<u8>> = FasterKv::open(config, device).unwrap();
            let (ledger, interrupt, progress) = (Ledger::new(&plan), Interrupt::default(), Progress::new(false));
            let mut campaign = Campaign::new(&store, lengths, &plan, &ledger, &interrupt, &progress);
            let (load, is_loaded) = campaign.load().unwrap();
            let bytes: u64 = (0..3_000).map(|key| 8 + lengths.length(key, 0) as u64).sum();
            assert!(is_loaded && load.data_bytes == bytes, "{load:?}, not {bytes}");
            for workload in [Workload::A, Workload::F] {
                campaign.run(workload, Preference::Zipfian).unwrap();
            }
            let sound = campaign.verify().unwrap();
            assert!(sound.complete && sound.faults == 0, "{api:?}: {sound:?}");
            let mut session = store.start_session();
            let current = ledger.oracle.ceiling(70);
            let mut value = Vec::encode(70, current, lengths);
            value.push(0);
            session.upsert(70, value).unwrap();
            let report = campaign.verify().unwrap();
            assert_eq!((report.faults, only_key(&report)), (1, 70), "{api:?}: {report:?}");
        }
    }

    fn only_key(report: &VerificationReport) -> u64 {
        report.first_faults[0].key
    }

    #[test]
    fn an_interrupt_leaves_the_load_incomplete() {
        let (plan, store) = (Plan { records: 1_000_000, ..plan(Api::Pending) }, store());
        let (ledger, interrupt, progress) = (Ledger::new(&plan), Interrupt::default(), Progress::new(false));
        interrupt.raise();
        let mut campaign = Campaign::new(&store, (), &plan, &ledger, &interrupt, &progress);
        let (load, complete) = campaign.load().unwrap();
        assert!(!complete && load.records < 1_000_000);
    }
}
