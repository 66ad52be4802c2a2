//! Threads that share the work of a pass over one token or a few.
//!
//! A pass is some eighty short pieces of work with a dependency between each and the next, of 20 to 200 µs: too
//! short for threads to go to sleep in between, too long to leave a core idle. A team's threads spin for the next piece
//! for some microseconds, then give way to others, then sleep.

use std::any::Any;
use std::cell::UnsafeCell;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Looks at a condition before a waiting thread gives way to others: some 5 µs.
const SPINS: u32 = 200;
/// Times that it gives way before it goes to sleep: some 50 µs, if nobody else wants the core.
const YIELDS: u32 = 100;

/// A fixed number of threads, one of them the caller's.
///
/// Each has a share of the items, one behind the other, so that it goes through memory from there on as far as it can. It takes
/// them in pieces, large ones first, and when they are done takes from the end of another's share, so that a slow core does not
/// hold up a fast one; a thread that does not wake up in time is not waited for.
pub struct Team {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    /// Held while a job is open: one at a time.
    leader: Mutex<()>,
}

struct Worker {
    handle: JoinHandle<()>,
    asleep: Arc<AtomicBool>,
}

struct Shared {
    /// The number of openings and closings of jobs times [`TURN`], odd while one is open, plus the number of workers
    /// that are at it.
    gate: Line<AtomicU64>,
    /// What is left of each thread's share.
    shares: Box<[Line<Share>]>,
    /// The job. Written by the leader while the gate is closed and no worker inside; read inside.
    job: UnsafeCell<Option<Job>>,
    stop: AtomicBool,
    /// What a worker panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// On a cache line of its own.
#[repr(align(128))]
struct Line<T>(T);

const TURN: u64 = 1 << 32;

#[derive(Clone, Copy)]
struct Job {
    /// Lives until the leader has seen every worker leave.
    task: *const (dyn Fn(Range<usize>) + Sync),
    grain: usize,
}

/// A range of items, its start in the lower 32 bits.
#[derive(Default)]
struct Share(AtomicU64);

impl Share {
    /// # Panics
    /// If an end does not fit 32 bits.
    fn set(&self, items: Range<usize>) {
        self.0.store(Self::pack(items), Relaxed);
    }

    fn get(&self) -> Range<usize> {
        Self::unpack(self.0.load(Relaxed))
    }

    /// Takes half of what is left, whole grains and at least one, from the start or from the end.
    fn take(&self, grain: usize, from_end: bool) -> Option<Range<usize>> {
        let mut left = self.0.load(Relaxed);
        loop {
            let Range { start, end } = Self::unpack(left);
            if start >= end {
                return None;
            }
            let middle = start + ((end - start) / 2).div_ceil(grain) * grain;
            let (taken, rest) = if from_end {
                let from = if middle < end { middle } else { start };
                (from..end, start..from)
            } else {
                let to = middle.max(start + grain).min(end);
                (start..to, to..end)
            };
            match self.0.compare_exchange_weak(left, Self::pack(rest), Relaxed, Relaxed) {
                Ok(_) => return Some(taken),
                Err(now) => left = now,
            }
        }
    }

    fn pack(items: Range<usize>) -> u64 {
        let [start, end] =
            [items.start, items.end].map(|i| u64::from(u32::try_from(i).expect("fewer than 2³² items")));
        end << 32 | start
    }

    fn unpack(share: u64) -> Range<usize> {
        share as u32 as usize..(share >> 32) as usize
    }
}

// SAFETY: `job` is the only field that is not Sync. It is written only while no other thread reads it (see there), with
// the gate's orderings in between, and what its pointer stands for is a shared borrow of something Sync.
unsafe impl Sync for Shared {}
// SAFETY: the same: the task may be called from any thread.
unsafe impl Send for Shared {}

impl Team {
    /// A team of `threads`, the caller's included.
    ///
    /// # Errors
    /// The system's, on starting a thread.
    pub fn new(threads: usize) -> io::Result<Team> {
        let shared = Arc::new(Shared {
            gate: Line(AtomicU64::new(0)),
            shares: (0..threads.max(1)).map(|_| Line(Share::default())).collect(),
            job: UnsafeCell::new(None),
            stop: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        // Dropped on an error, the team stops those that were started.
        let mut team = Team { shared, workers: Vec::new(), leader: Mutex::new(()) };
        for i in 1..threads {
            let (shared, asleep) = (team.shared.clone(), Arc::new(AtomicBool::new(false)));
            let flag = asleep.clone();
            let handle =
                thread::Builder::new().name(format!("team-{i}")).spawn(move || shared.serve(i, &flag))?;
            team.workers.push(Worker { handle, asleep });
        }
        Ok(team)
    }

    /// Threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task` with ranges that cover `0..items` once, on all threads, and returns when all calls have. Ranges
    /// begin at multiples of `grain` and are multiples of it long, except at the end.
    ///
    /// `task` must not use the same team. Callers in several threads wait for each other.
    ///
    /// # Panics
    /// If a call does, after all others have returned; the rest of the items may be left out. If `grain` is 0, or there are
    /// 2³² items or more to share.
    pub fn run(&self, items: usize, grain: usize, task: &(dyn Fn(Range<usize>) + Sync)) {
        assert!(grain > 0);
        if self.workers.is_empty() || items <= grain {
            if items > 0 {
                task(0..items);
            }
            return;
        }
        let _leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        // SAFETY: the types differ in the lifetime alone, and no thread uses the task after this call: below, the
        // leader closes the gate, also after a panic of its own, and waits until no worker is inside.
        let task: *const (dyn Fn(Range<usize>) + Sync) = unsafe { std::mem::transmute(task) };
        let job = Job { task, grain };
        // SAFETY: the gate is closed and nobody inside, as the leader that closed it waited for that, and there is one
        // leader at a time.
        unsafe { *shared.job.get() = Some(job) };
        let at = |i: usize| (i * items.div_ceil(grain) / self.threads() * grain).min(items);
        for (i, share) in shared.shares.iter().enumerate() {
            share.0.set(at(i)..at(i + 1));
        }
        // With what it publishes; sequentially consistent for the sake of `sleep`.
        shared.gate.0.fetch_add(TURN, SeqCst);
        for worker in &self.workers {
            if worker.asleep.load(SeqCst) {
                worker.handle.thread().unpark();
            }
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| shared.work(job, 0)));
        shared.gate.0.fetch_add(TURN, Relaxed);
        let mut patience = Patience::default();
        while !shared.gate.0.load(Acquire).is_multiple_of(TURN) {
            if !patience.wait() {
                thread::sleep(Duration::from_micros(50));
            }
        }
        // Taken in any case, or the next job would panic with it.
        let of_worker = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = outcome.err().or(of_worker) {
            resume_unwind(panic);
        }
    }

    /// As [`Team::run`] over the elements of `out`, with the part of `out` that a range stands for.
    pub fn fill<T: Send>(&self, out: &mut [T], grain: usize, task: impl Fn(Range<usize>, &mut [T]) + Sync) {
        let first = Shareable(out.as_mut_ptr());
        self.run(out.len(), grain, &|range| {
            // SAFETY: `run` hands out ranges within `out` that do not overlap, and returns before the borrow of `out`
            // ends; elements that are Send may be written from other threads.
            let part = unsafe { std::slice::from_raw_parts_mut(first.get().add(range.start), range.len()) };
            task(range, part);
        });
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        for worker in self.workers.drain(..) {
            worker.handle.thread().unpark();
            // A worker catches the panics of its tasks.
            let _ = worker.handle.join();
        }
    }
}

struct Shareable<T>(*mut T);

impl<T> Shareable<T> {
    /// By a method, so that closures capture the whole.
    fn get(&self) -> *mut T {
        self.0
    }
}

// SAFETY: the pointer alone does nothing; see its use.
unsafe impl<T: Send> Sync for Shareable<T> {}

impl Shared {
    /// The life of worker `me`.
    fn serve(&self, me: usize, asleep: &AtomicBool) {
        let mut last = 0;
        while let Some(gate) = self.open_gate(last, asleep) {
            if self.gate.0.compare_exchange(gate, gate + 1, Acquire, Relaxed).is_err() {
                // Another worker went in, or the job is done.
                continue;
            }
            last = gate / TURN;
            // SAFETY: between going in and leaving, the leader does not write; it wrote before it opened the gate.
            let job = unsafe { *self.job.get() };
            let work = || self.work(job.expect("an open gate has a job"), me);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                self.shares.iter().for_each(|share| share.0.set(0..0));
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            self.gate.0.fetch_sub(1, Release);
        }
    }

    /// Waits for a job other than the last, and returns the gate as it was then; nothing if the team is to stop.
    fn open_gate(&self, last: u64, asleep: &AtomicBool) -> Option<u64> {
        let look = |order| {
            let gate = self.gate.0.load(order);
            (gate / TURN % 2 == 1 && gate / TURN != last).then_some(gate)
        };
        let mut patience = Patience::default();
        loop {
            if let Some(gate) = look(Relaxed) {
                return Some(gate);
            }
            if self.stop.load(Relaxed) {
                return None;
            }
            if !patience.wait() {
                // Either the leader sees the flag and wakes this thread, or this thread sees the gate open: both
                // first write and then read, in one order for all.
                asleep.store(true, SeqCst);
                if look(SeqCst).is_none() && !self.stop.load(SeqCst) {
                    thread::park();
                }
                asleep.store(false, Relaxed);
                patience = Patience::default();
            }
        }
    }

    /// Takes items until there are none, as thread `me`.
    fn work(&self, job: Job, me: usize) {
        // SAFETY: the leader keeps the task alive until it has seen every worker leave, and itself at work here.
        let task = unsafe { &*job.task };
        while let Some(range) = self.shares[me].0.take(job.grain, false) {
            task(range);
        }
        // Until all are empty, also those of threads that do not come. Nothing is put back: a share that was empty stays so.
        let left = || self.shares.iter().map(|share| (share.0.get().len(), &share.0));
        while let Some((1.., share)) = left().max_by_key(|(len, _)| *len) {
            if let Some(range) = share.take(job.grain, true) {
                task(range);
            }
        }
    }
}

/// How long a thread has waited for something.
#[derive(Default)]
struct Patience {
    waits: u32,
}

impl Patience {
    /// Waits a little; false once it is time to sleep.
    fn wait(&mut self) -> bool {
        self.waits += 1;
        match self.waits {
            0..=SPINS => std::hint::spin_loop(),
            n if n <= SPINS + YIELDS => thread::yield_now(),
            _ => return false,
        }
        true
    }
}
