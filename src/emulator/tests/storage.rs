//! What a folder keeps, and what it refuses.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// Starts on the folder without listening for clients.
async fn open(folder: &Path, hubs: &[HubSpec]) -> Result<Emulator, EmulatorError> {
    open_with(DataFolder::open(folder)?, hubs).await
}

async fn open_with(folder: DataFolder, hubs: &[HubSpec]) -> Result<Emulator, EmulatorError> {
    let listen = "127.0.0.1:0".parse().unwrap();
    let (hubs, clock) = (hubs.to_vec(), EmulatorClock::fixed(5_000));
    Emulator::prepare(Setup { listen, hubs, clock, tls: None, folder: Some(folder) }).await
}

fn hub(partitions: u32) -> Vec<HubSpec> {
    vec![HubSpec::new("Logs", partitions)]
}

fn fill(emulator: &Emulator, count: usize) {
    for number in 0..count {
        let body = format!("{number:0>100}").into_bytes();
        emulator.control().append("logs", 0, body).unwrap();
    }
}

/// Sequence number, offset, enqueued time and body of every retained event of partition 0.
fn events(emulator: &Emulator) -> Vec<String> {
    let partition = emulator.broker.partition("logs", 0).unwrap();
    partition.read(0, usize::MAX).iter().map(|event| format!("{event:?}")).collect()
}

fn state(emulator: &Emulator) -> String {
    format!("{:?}", emulator.broker.partition("logs", 0).unwrap().state())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(folder.join("hubs/logs/0")).unwrap();
    let mut files: Vec<_> = found.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn cut(file: &Path, bytes: u64) {
    let length = fs::metadata(file).unwrap().len();
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length - bytes).unwrap();
}

#[tokio::test]
async fn a_restart_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = open(folder.path(), &hub(2)).await.unwrap();
    fill(&emulator, 3);
    emulator.control().skip_sequences("logs", 0, 4);
    fill(&emulator, 3);
    emulator.control().expire("logs", 0, 2);
    let (kept, stood) = (events(&emulator), state(&emulator));
    assert_eq!(kept.len(), 4);
    drop(emulator);
    let again = open(folder.path(), &hub(2)).await.unwrap();
    assert_eq!((events(&again), state(&again)), (kept, stood));
    assert_eq!(again.control().received("logs"), [10, 0]);
    again.control().skip_sequences("logs", 0, 5);
    again.control().expire("logs", 0, i64::MAX);
    let stood = state(&again);
    drop(again);
    let third = open(folder.path(), &hub(2)).await.unwrap();
    assert_eq!(state(&third), stood, "an empty log goes on where it was");
    assert_eq!(third.control().append("logs", 0, vec![]).unwrap(), 15);
}

#[tokio::test]
async fn a_hub_keeps_its_time_of_creation_and_may_grow() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = open(folder.path(), &hub(1)).await.unwrap();
    emulator.broker.clock.set(9_000);
    emulator.control().add_partitions("logs", 2);
    drop(emulator);
    let data = DataFolder::open(folder.path()).unwrap();
    assert_eq!(data.hubs().unwrap(), [HubSpec::new("logs", 2)]);
    let emulator = open_with(data, &[HubSpec::new("logs", 5)]).await.unwrap();
    assert_eq!(emulator.broker.hub("logs").unwrap().created_ms(), 5_000);
    assert_eq!(emulator.control().received("logs").len(), 5);
}

#[tokio::test]
async fn hubs_that_differ_from_what_is_kept_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path(), &[HubSpec::new("logs", 2), HubSpec::new("x.new", 1)]).await.unwrap());
    for (hubs, word) in [
        (vec![HubSpec::new("logs", 1), HubSpec::new("x.new", 1)], "ask for 2 or more"),
        (vec![HubSpec::new("logs", 2)], "--hub x.new=1"),
    ] {
        let error = open(folder.path(), &hubs).await.err().unwrap().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[tokio::test]
async fn files_follow_each_other_and_old_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let spec = [HubSpec { retention: 20, ..HubSpec::new("logs", 1) }];
    let mut data = DataFolder::open(folder.path()).unwrap();
    data.segment_bytes = 1_000;
    let emulator = open_with(data, &spec).await.unwrap();
    fill(&emulator, 100);
    let paths = files(folder.path());
    assert!((3..=6).contains(&paths.len()) && !paths[0].ends_with("00000000.log"), "{paths:?}");
    let (kept, stood) = (events(&emulator), state(&emulator));
    assert_eq!(kept.len(), 20);
    drop(emulator);
    let again = open(folder.path(), &spec).await.unwrap();
    assert_eq!((events(&again), state(&again)), (kept, stood));
    drop(again);
    cut(&paths[1], 1);
    let error = open(folder.path(), &spec).await.err().unwrap().to_string();
    assert!(error.contains("ends within an entry") && error.contains("truncate -s"), "{error}");
    fs::remove_file(&paths[1]).unwrap();
    let error = open(folder.path(), &spec).await.err().unwrap().to_string();
    assert!(error.contains(&format!("{} is missing", paths[1].display())), "{error}");
}

#[tokio::test]
async fn a_hub_made_again_stays_empty_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = open(folder.path(), &hub(1)).await.unwrap();
    fill(&emulator, 5);
    let old = files(folder.path()).remove(0);
    let bytes = fs::read(&old).unwrap();
    emulator.broker.clock.set(7_000);
    emulator.control().recreate("logs");
    assert!(!old.exists() && files(folder.path()).len() == 1);
    fill(&emulator, 2);
    let kept = events(&emulator);
    drop(emulator);
    // As after a kill before the old file was removed.
    fs::write(&old, bytes).unwrap();
    let again = open(folder.path(), &hub(1)).await.unwrap();
    assert_eq!(events(&again), kept);
    assert_eq!(again.control().received("logs"), [2]);
    assert!(!old.exists());
    assert_eq!(again.broker.hub("logs").unwrap().created_ms(), 7_000);
}

#[tokio::test]
async fn events_that_became_too_old_stay_gone_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = open(folder.path(), &hub(1)).await.unwrap();
    fill(&emulator, 3);
    emulator.broker.clock.advance(10_000);
    let age = Some(Duration::from_secs(5));
    emulator.control().apply(Action::Retain { at: Place::Everywhere, age }).unwrap();
    assert_eq!(emulator.control().retained("logs"), 0);
    drop(emulator);
    let again = open(folder.path(), &hub(1)).await.unwrap();
    assert_eq!(events(&again), Vec::<String>::new());
    assert_eq!(again.control().received("logs"), [3]);
}

#[tokio::test]
async fn a_torn_last_entry_is_cut_off_wherever_it_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = open(folder.path(), &hub(1)).await.unwrap();
    fill(&emulator, 2);
    let kept = events(&emulator);
    drop(emulator);
    let file = files(folder.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let emulator = open(folder.path(), &hub(1)).await.unwrap();
    fill(&emulator, 1);
    drop(emulator);
    let longer = fs::read(&file).unwrap();
    for length in whole.len() + 1..longer.len() {
        fs::write(&file, &longer[..length]).unwrap();
        let emulator = open(folder.path(), &hub(1)).await.unwrap();
        assert_eq!(events(&emulator), kept, "{length}");
        assert_eq!(fs::read(&file).unwrap(), whole);
        assert_eq!(emulator.control().append("logs", 0, vec![]).unwrap(), 2);
    }
}

#[tokio::test]
async fn a_changed_byte_stops_the_start_with_file_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = open(folder.path(), &hub(1)).await.unwrap();
    fill(&emulator, 3);
    drop(emulator);
    let file = files(folder.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        fs::write(&file, &changed).unwrap();
        let error = open(folder.path(), &hub(1)).await.err().unwrap().to_string();
        assert!(error.starts_with(&format!("{} is broken at byte", file.display())), "{error}");
        assert_eq!(fs::read(&file).unwrap(), changed, "nothing was mended by itself");
    }
}

#[tokio::test]
async fn files_of_another_partition_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path(), &hub(2)).await.unwrap());
    let place = |number: u32| folder.path().join(format!("hubs/logs/{number}/00000000.log"));
    fs::copy(place(1), place(0)).unwrap();
    let error = open(folder.path(), &hub(2)).await.err().unwrap().to_string();
    assert!(error.contains("another hub or partition"), "{error}");
    fs::remove_dir_all(folder.path().join("hubs/logs/0")).unwrap();
    let error = open(folder.path(), &hub(2)).await.err().unwrap().to_string();
    assert!(error.contains("hubs/logs/0 is missing"), "{error}");
}

#[test]
fn a_folder_is_ours_alone_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/data");
    let held = DataFolder::open(&path).unwrap();
    assert_eq!(held.path(), path);
    assert!(matches!(DataFolder::open(&path), Err(StorageError::InUse { .. })));
    drop(held);
    drop(DataFolder::open(&path).unwrap());
    let marker = path.join("tokenwatch-emulator");
    let text = fs::read_to_string(&marker).unwrap();
    fs::write(&marker, "data of").unwrap();
    drop(DataFolder::open(&path).unwrap());
    assert_eq!(fs::read_to_string(&marker).unwrap(), text, "a torn marker is written to its end");
    fs::write(&marker, text.replace("format 1", "format 2")).unwrap();
    let error = DataFolder::open(&path).unwrap_err().to_string();
    assert!(error.contains("format 2"), "{error}");
    let foreign = folder.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.doc"), "").unwrap();
    let error = DataFolder::open(&foreign).unwrap_err().to_string();
    assert!(error.contains("thesis.doc"), "{error}");
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1);
}

#[tokio::test]
async fn what_a_kill_left_of_a_creation_is_no_hub() {
    let folder = tempfile::tempdir().unwrap();
    drop(DataFolder::open(folder.path()).unwrap());
    fs::create_dir_all(folder.path().join("hubs/logs/0.new")).unwrap();
    fs::write(folder.path().join("hubs/logs/0.new/00000000.new"), "TW").unwrap();
    fs::create_dir_all(folder.path().join("hubs/other/0.new")).unwrap();
    let emulator = open(folder.path(), &hub(1)).await.unwrap();
    fill(&emulator, 1);
    assert_eq!(emulator.control().received("logs"), [1]);
}
