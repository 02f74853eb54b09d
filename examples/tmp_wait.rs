//! t
use oxifaster::device::FileSystemDisk;
use oxifaster::log::{FasterLog, FasterLogConfig};
use std::time::Instant;
fn main() {
    let dir = std::path::Path::new("/tmp/tmp_wait_log");
    let rounds: usize = std::env::args().nth(1).map_or(3, |a| a.parse().unwrap());
    for _ in 0..rounds {
        let _ = std::fs::remove_dir_all(dir);
        let log = FasterLog::open(FasterLogConfig::default(), FileSystemDisk::open(dir).unwrap()).unwrap();
        let mut v = vec![];
        for _ in 0..1000 {
            let t = Instant::now();
            log.append_and_wait(&[7; 64]).unwrap();
            v.push(t.elapsed().as_nanos() as u64 / 100);
        }
        v.sort();
        println!(
            "p50 {:.1} p90 {:.1} p99 {:.1} max {:.1} us",
            v[500] as f64 / 10.0,
            v[900] as f64 / 10.0,
            v[990] as f64 / 10.0,
            v[999] as f64 / 10.0
        );
    }
}
