//! A copy of a directory of checkpoints, to come back from while the store that it belongs to goes on.

use oxifaster::directory::{Directory, MemoryDirectory};

pub(super) fn duplicate(directory: &MemoryDirectory) -> MemoryDirectory {
    let copy = MemoryDirectory::new();
    for name in directory.names().unwrap() {
        let (from, to) = (directory.open(&name).unwrap(), copy.create(&name).unwrap());
        let mut bytes = vec![0; from.len().unwrap() as usize];
        assert_eq!(from.read_at(0, &mut bytes).unwrap(), bytes.len());
        to.write_at(0, &bytes).unwrap();
        to.sync().unwrap();
    }
    copy.sync().unwrap();
    copy
}
