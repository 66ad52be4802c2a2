//! Who computes a forward pass.

use brooklet_kernels::Team;
use rayon::prelude::*;
use std::ops::Range;

/// The fewest tokens whose work outside of the matrices is worth a task of the pool.
pub const POOL_TOKENS: usize = 8;
/// The fewest elements whose work outside of the matrices is worth a meeting of the team.
const TEAM_ELEMENTS: usize = 8 << 10;

/// The most weight rows of a tile: a chunk of them and their results for a few hundred tokens fill half of an L2 cache.
const TILE_ROWS: usize = 128;
/// Row counts of tiles are multiples of this, the most rows that a micro-kernel computes together.
const ROW_GROUP: usize = 32;

/// The threads of a pass.
#[derive(Clone, Copy)]
pub enum Workers<'a> {
    /// For one token or a few. Its threads meet within a microsecond where rayon's take ten, and there are a hundred and
    /// more meetings a pass.
    Team(&'a Team),
    /// For many: rayon's current pool.
    Pool,
}

impl<'a> Workers<'a> {
    /// Those for a pass over `n` tokens, of which up to `few` are a few.
    pub fn for_tokens(n: usize, few: usize, team: &'a Team) -> Workers<'a> {
        if n <= few { Workers::Team(team) } else { Workers::Pool }
    }

    /// Runs `task` for every item, with what `init` made for a few of them.
    pub fn each<T: Send, S>(
        self,
        items: &mut [T],
        init: impl Fn() -> S + Sync + Send,
        task: impl Fn(&mut S, &mut T) + Sync + Send,
    ) {
        match self {
            Workers::Team(team) => team.fill(items, 1, |_, items| {
                let mut made = init();
                items.iter_mut().for_each(|item| task(&mut made, item));
            }),
            Workers::Pool => items.par_iter_mut().with_max_len(1).for_each_init(init, task),
        }
    }

    /// Runs `task(elements, part)` for parts of `out` that are whole rows of `width` elements.
    pub fn rows(self, out: &mut [f32], width: usize, task: impl Fn(Range<usize>, &mut [f32]) + Sync) {
        match self {
            Workers::Team(_) if out.len() < TEAM_ELEMENTS => task(0..out.len(), out),
            Workers::Team(team) => team.fill(out, width, task),
            Workers::Pool => {
                let part = POOL_TOKENS * width;
                out.par_chunks_mut(part).enumerate().for_each(|(i, out)| {
                    task(i * part..i * part + out.len(), out);
                });
            }
        }
    }
}

/// Weight rows of a tile for the pool's threads, of `rows` in all.
pub fn tile_rows(rows: usize) -> usize {
    rows.div_ceil(4 * rayon::current_num_threads()).next_multiple_of(ROW_GROUP).min(TILE_ROWS)
}
