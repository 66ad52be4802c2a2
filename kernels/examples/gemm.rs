//! Times the product with many tokens: `gemm [TYPE] [tokens] [rows] [k]`.
use brooklet_kernels::format::encode;
use brooklet_kernels::{Activations, Panel, Q8Buffer, Spread, TensorType, all, tiles};
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let pick = |i: usize, default: usize| args.get(i).map_or(default, |s| s.parse().unwrap());
    let (n, rows, k) = (pick(2, 128), pick(3, 1024), pick(4, 1024));
    let tile_rows = pick(5, 256);
    for ty in TensorType::ALL {
        if args.get(1).is_some_and(|name| name != "all" && *name != ty.to_string()) {
            continue;
        }
        let kernels = all()[0];
        let values: Vec<f32> =
            (0..rows * k).map(|i| ((i * 2654435761) % 1000) as f32 / 500.0 - 1.0).collect();
        let mut w = vec![0; ty.bytes_for(rows * k).unwrap()];
        encode(ty, &values, &mut w);
        let x = &values.iter().cycle().take(n * k).copied().collect::<Vec<_>>();
        let mut q8 = Q8Buffer::with_capacity(n * k);
        q8.quantize(kernels, x, k);
        let a = if ty.is_quantized() { Activations::Q8(&q8) } else { Activations::Float { x } };
        let mut out = vec![0.0; n * rows];
        let mut scratch = Panel::default();
        let mut spread_ = Spread::default();
        let row_bytes = w.len() / rows;
        let mut best = f64::MAX;
        let mut times = vec![];
        for _ in 0..300 {
            let t = Instant::now();
            let mut spread = std::mem::take(&mut spread_);
            spread.clear();
            for mut part in spread.parts(kernels, ty, k, n) {
                kernels.spread(ty, a, &mut part);
            }
            for mut tile in tiles(&mut out, rows, tile_rows) {
                let r = tile.rows();
                kernels.matmul(
                    ty,
                    &w[r.start * row_bytes..r.end * row_bytes],
                    k,
                    (a, &spread),
                    &mut tile,
                    &mut scratch,
                );
            }
            spread_ = spread;
            best = best.min(t.elapsed().as_secs_f64());
            times.push(t.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let macs = (n * rows * k) as f64 / 1e9;
        println!("{ty}: best {:.1} p10 {:.1} GMAC/s", macs / best, macs / times[30]);
    }
}
