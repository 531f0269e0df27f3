use super::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

fn ledger(dir: &Path, setting: LocalMemory) -> MemoryLedger {
    MemoryLedger::of_machine(Some(dir), setting)
}

async fn room(ledger: &MemoryLedger) -> Room {
    let locked = ledger.lock().await.expect("memory counts");
    locked.room(&MemoryWait::begin()).expect("the kernel says")
}

async fn reserve(ledger: &MemoryLedger, bytes: u64) -> MemoryReservation {
    ledger.lock().await.expect("memory counts").reserve(bytes)
}

#[tokio::test]
async fn what_one_process_was_promised_is_not_free_for_another() {
    let dir = tempfile::tempdir().expect("a directory");
    let [one, other] = [LocalMemory::Free; 2].map(|setting| ledger(dir.path(), setting));
    let before = room(&other).await;
    assert!(before.empty && before.bytes > 0);
    let held = reserve(&one, TIB).await;
    assert_eq!(
        room(&other).await,
        Room {
            bytes: 0,
            empty: false
        }
    );
    drop(held);
    assert!(room(&other).await.empty);
    let _held = reserve(&one, 0).await;
    assert!(!room(&other).await.empty, "small ones count, too");
}

#[tokio::test]
async fn what_a_compiler_has_already_is_not_counted_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = ledger(dir.path(), LocalMemory::AtMost(4 * GIB));
    let held = reserve(&ledger, GIB).await;
    assert_eq!(running(&ledger.dir().expect("it counts"))[0].growth, GIB);
    held.started(std::process::id());
    let running = running(&ledger.dir().expect("it counts"));
    assert!(running[0].growth < GIB && running[0].bytes == GIB);
}

#[tokio::test]
async fn a_compiler_that_has_ended_or_is_stopped_does_not_hold_others_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = ledger(dir.path(), LocalMemory::Free);
    let held = reserve(&ledger, TIB).await;
    let mut sleeper = std::process::Command::new("sleep");
    let mut sleeper = sleeper.arg("1000").spawn().expect("started");
    held.started(sleeper.id());
    assert!(!room(&ledger).await.empty);
    let pid = rustix::process::Pid::from_child(&sleeper);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("stopped");
    while !room(&ledger).await.empty {
        tokio::task::yield_now().await;
    }
    sleeper.kill().expect("killed");
    sleeper.wait().expect("reaped");
    let room = room(&ledger).await;
    assert!(room.empty && room.bytes > 0);
}

#[tokio::test]
async fn a_limit_of_the_user_counts_what_was_promised() {
    let dir = tempfile::tempdir().expect("a directory");
    // Small enough for any machine to have it free.
    let ledger = ledger(dir.path(), LocalMemory::AtMost(3 * MIB));
    let _held = reserve(&ledger, 2 * MIB).await;
    assert_eq!(room(&ledger).await.bytes, MIB);
    let all = reserve(&ledger, MIB).await;
    all.take_all();
    assert_eq!(room(&ledger).await.bytes, 0);
}

#[tokio::test]
async fn one_that_waits_for_long_is_left_what_it_needs() {
    let dir = tempfile::tempdir().expect("a directory");
    let [one, other] = [LocalMemory::Free; 2].map(|setting| ledger(dir.path(), setting));
    let _running = reserve(&one, 1).await;
    let mut wait = MemoryWait::begin();
    let locked = one.lock().await.expect("memory counts");
    locked.wait_for(TIB, &mut wait);
    drop(locked);
    assert!(room(&other).await.bytes > 0, "it has only begun");
    wait.since = Instant::now()
        .checked_sub(RESERVES_AFTER * 2)
        .expect("long ago");
    let locked = one.lock().await.expect("memory counts");
    locked.wait_for(TIB, &mut wait);
    assert!(
        locked.room(&wait).is_some_and(|room| room.bytes > 0),
        "its own"
    );
    drop(locked);
    assert_eq!(room(&other).await.bytes, 0);
    drop(wait);
    assert!(room(&other).await.bytes > 0);
}

#[tokio::test]
async fn where_it_is_not_wanted_or_no_file_can_be_made_memory_is_not_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    for ledger in [
        ledger(dir.path(), LocalMemory::Unlimited),
        ledger(Path::new("/proc/nowhere"), LocalMemory::Free),
        MemoryLedger::of_machine(None, LocalMemory::Free),
    ] {
        assert!(ledger.lock().await.is_none());
    }
}

#[test]
fn a_cgroup_counts_its_own_compilers_and_the_machine_all() {
    let limit = |cgroup: Option<&str>, left| MemoryLimit {
        cgroup: cgroup.map(PathBuf::from),
        total: 0,
        left,
    };
    let limits = [
        limit(None, 100),
        limit(Some("/c/a"), 50),
        limit(Some("/c"), 90),
    ];
    let claimed = |cgroup: &str, growth| ClaimedMemory {
        growth,
        bytes: growth,
        cgroup: Some(cgroup.into()),
    };
    assert_eq!(left(&limits, &[]), Some(50));
    assert_eq!(left(&limits, &[&claimed("/c/b", 30)]), Some(50));
    assert_eq!(left(&limits, &[&claimed("/c/b", 45)]), Some(45));
    assert_eq!(left(&limits, &[&claimed("/d", 70)]), Some(30));
    assert_eq!(left(&limits, &[&claimed("/c/a/x", 20)]), Some(30));
    let unknown = ClaimedMemory {
        growth: 20,
        bytes: 20,
        cgroup: None,
    };
    assert_eq!(left(&limits, &[&unknown]), Some(30));
    assert_eq!(left(&[], &[]), None);
}
