//! A team does every item once, whatever happens meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use brooklet_kernels::Team;

#[test]
fn every_item_is_done_once_in_whole_grains() {
    for threads in [1, 2, 3, 8] {
        let team = Team::new(threads).unwrap();
        assert_eq!(team.threads(), threads);
        for (items, grain) in [(0, 1), (1, 1), (7, 1), (1000, 1), (1000, 64), (64, 64), (65, 64), (9, 100)] {
            let done: Vec<_> = (0..items).map(|_| AtomicUsize::new(0)).collect();
            team.run(items, grain, &|range| {
                assert!(range.start % grain == 0 && (range.end % grain == 0 || range.end == items));
                assert!(!range.is_empty());
                done[range].iter().for_each(|n| _ = n.fetch_add(1, Relaxed));
            });
            assert!(done.iter().all(|n| n.load(Relaxed) == 1), "{threads} threads, {items} by {grain}");
        }
    }
}

#[test]
fn fill_lends_every_element_once() {
    let team = Team::new(3).unwrap();
    let mut out = vec![usize::MAX; 1001];
    team.fill(&mut out, 8, |range, part| {
        assert_eq!(range.len(), part.len());
        range.zip(part).for_each(|(i, out)| *out = i);
    });
    assert!(out.into_iter().eq(0..1001));
}

#[test]
fn columns_lends_every_column_of_every_token_once() {
    let team = Team::new(3).unwrap();
    for (n_rows, grain) in [(1, 16), (37, 16), (160, 16), (33, 1)] {
        let [mut a, mut b] = [3, 1].map(|n_tokens| vec![f32::NAN; n_tokens * n_rows]);
        team.columns([&mut a, &mut b], n_rows, grain, |tiles| {
            for mut tile in tiles {
                let rows = tile.rows();
                assert!(rows.start % grain == 0 && (rows.end % grain == 0 || rows.end == n_rows));
                for t in 0..tile.n_tokens() {
                    for (row, out) in rows.clone().zip(tile.token_mut(t)) {
                        assert!(out.is_nan(), "row {row} of token {t}, again");
                        *out = (t * n_rows + row) as f32;
                    }
                }
            }
        });
        for out in [a, b] {
            assert!(out.iter().enumerate().all(|(i, &v)| v == i as f32), "{n_rows} rows by {grain}");
        }
    }
}

#[test]
fn columns_must_be_whole() {
    let team = Team::new(2).unwrap();
    for n_rows in [0, 3] {
        let run = || team.columns([&mut [0.0; 4]], n_rows, 1, |_| ());
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err(), "{n_rows} rows");
    }
}

/// Results of one job are seen by the next, on whichever threads.
#[test]
fn jobs_follow_each_other() {
    let team = Team::new(3).unwrap();
    let mut a = vec![0u32; 64];
    for round in 0..10_000 {
        let before = a.clone();
        team.fill(&mut a, 4, |range, part| {
            part.iter_mut().zip(range).for_each(|(v, i)| *v = before[63 - i] + 1);
        });
        assert!(a.iter().all(|&v| v == round + 1), "round {round}");
    }
}

#[test]
fn threads_that_sleep_wake_up() {
    let team = Team::new(2).unwrap();
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(20));
        // Both threads must take part: each item waits for the other.
        let there = AtomicUsize::new(0);
        team.run(2, 1, &|range| {
            there.fetch_add(range.len(), Relaxed);
            let start = Instant::now();
            while there.load(Relaxed) < 2 {
                assert!(start.elapsed() < Duration::from_secs(20), "the other thread does not come");
                std::thread::yield_now();
            }
        });
    }
}

/// A thread has half of the items and does not get further than the first of them until the other one has done the rest.
#[test]
fn what_a_slow_thread_has_left_is_taken_from_it() {
    let team = Team::new(2).unwrap();
    for _ in 0..100 {
        let done = AtomicUsize::new(0);
        team.run(64, 1, &|range| {
            let start = Instant::now();
            while range.contains(&32) && done.load(Relaxed) < 64 - range.len() {
                assert!(
                    start.elapsed() < Duration::from_secs(20),
                    "only {} of 64 are done",
                    done.load(Relaxed)
                );
                std::thread::yield_now();
            }
            done.fetch_add(range.len(), Relaxed);
        });
        assert_eq!(done.into_inner(), 64);
    }
}

#[test]
fn panics_arrive_and_the_team_goes_on() {
    for threads in [1, 2, 4] {
        let team = Team::new(threads).unwrap();
        for bad in [0, 37, 99] {
            let run = || team.run(100, 1, &|range| assert!(!range.contains(&bad), "item {bad}"));
            let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
            assert_eq!(*panic.downcast::<String>().unwrap(), format!("item {bad}"));
        }
        // On all threads: none is left for the next job.
        let run = || team.run(100, 1, &|_| panic!("all"));
        catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        let sum = AtomicUsize::new(0);
        team.run(100, 1, &|range| _ = sum.fetch_add(range.sum(), Relaxed));
        assert_eq!(sum.into_inner(), 4950);
    }
}

#[test]
fn callers_in_several_threads_take_turns() {
    let team = Team::new(3).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let sum = AtomicUsize::new(0);
                    team.run(50, 1, &|range| _ = sum.fetch_add(range.sum(), Relaxed));
                    assert_eq!(sum.into_inner(), 1225);
                }
            });
        }
    });
}

/// Far more threads than cores: nobody waits for a thread that does not get one.
#[test]
fn oversubscribed_teams_come_to_an_end() {
    let team = Team::new(64).unwrap();
    for _ in 0..300 {
        let sum = AtomicUsize::new(0);
        team.run(50, 1, &|range| _ = sum.fetch_add(range.sum(), Relaxed));
        assert_eq!(sum.into_inner(), 1225);
    }
}
