use crate::support::{brooklet, fails, fails_of, json, model, stdout, stdout_of};
use serde_json::Value;

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn json_has_llama_benchs_fields_for_every_combination() {
    let args = "-p 8,16 -n 4 -d 0,32 -t 1,2 --parallel 1 -r 3 --json --no-limits";
    let out = json(["bench", "-m", model()].into_iter().chain(args.split(' ')));
    let tests = out.as_array().unwrap();
    let shapes: Vec<[u64; 4]> = tests
        .iter()
        .map(|t| ["n_threads", "n_depth", "n_prompt", "n_gen"].map(|field| t[field].as_u64().unwrap()))
        .collect();
    let expected: Vec<[u64; 4]> = [1, 2]
        .into_iter()
        .flat_map(|t| [0, 32].map(|d| [[t, d, 8, 0], [t, d, 16, 0], [t, d, 0, 4]]))
        .flatten()
        .collect();
    assert_eq!(shapes, expected);

    let size = json(["inspect", model(), "--json"]);
    for test in tests {
        assert_eq!(test["model_size"], size["tensor_bytes"]);
        assert_eq!(test["model_n_params"], size["parameters"]);
        let list = |field: &str| floats(&test[field]);
        let (ns, ts) = (list("samples_ns"), list("samples_ts"));
        assert_eq!((ns.len(), ts.len()), (3, 3));
        // Tokens a second are n / t, and the averages those of the samples.
        let tokens = (test["n_prompt"].as_u64().unwrap() + test["n_gen"].as_u64().unwrap()) as f64;
        for (ns, ts) in ns.iter().zip(&ts) {
            assert!((ts / (tokens * 1e9 / ns) - 1.0).abs() < 1e-9);
        }
        let mean = ts.iter().sum::<f64>() / 3.0;
        assert!((test["avg_ts"].as_f64().unwrap() / mean - 1.0).abs() < 1e-9);
        let spread = (ts.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
        assert!((test["stddev_ts"].as_f64().unwrap() - spread).abs() <= 1e-9 * mean);
        assert!(test["avg_ns"].as_u64().unwrap() > 0 && test["stddev_ns"].is_u64());
        let mut sorted = ts.clone();
        sorted.sort_by(f64::total_cmp);
        assert_eq!(test["median_ts"].as_f64(), Some(sorted[1]));
        assert!(test["limits"].is_null() && test["of_limit"].is_null() && test["peer"].is_null());
    }
}

#[test]
fn work_is_what_the_files_matrices_take() {
    let args = "-p 8 -n 4 -d 0,32 -t 1 -r 1 --json";
    let out = json(["bench", "-m", model()].into_iter().chain(args.split(' ')));
    let file = json(["inspect", model(), "--json", "--full"]);
    let product =
        |t: &Value| t["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap()).product::<u64>();
    let multiplied = ["attn_q", "attn_k", "attn_v", "attn_output", "in_proj", "out_proj", "ffn_"];
    let macs: u64 = file["tensors"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|t| {
            let name = t["name"].as_str().unwrap();
            multiplied.iter().any(|m| name.contains(m)) && !name.contains("norm")
        })
        .map(product)
        .sum();
    // One key and one value a position and attention layer, in F16.
    let metadata = &file["metadata"];
    let kv_heads: u64 = metadata["lfm2.attention.head_count_kv"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_u64().unwrap())
        .sum();
    let [hidden, heads] =
        ["lfm2.embedding_length", "lfm2.attention.head_count"].map(|k| metadata[k].as_u64().unwrap());
    let weights = file["tensor_bytes"].as_u64().unwrap();
    for (i, depth) in [0, 0, 32, 32].into_iter().enumerate() {
        let test = &out[i];
        assert_eq!(test["macs_per_token"].as_u64(), Some(macs));
        assert_eq!(
            test["bytes_per_token"].as_u64(),
            Some(weights + depth * kv_heads * hidden / heads * 2 * 2)
        );
        let prompt = test["n_prompt"] == 8;
        let a_token = test[if prompt { "macs_per_token" } else { "bytes_per_token" }].as_f64().unwrap();
        let work = a_token * test["median_ts"].as_f64().unwrap();
        assert!((test["work_per_s"].as_f64().unwrap() / work - 1.0).abs() < 1e-9);
        // The model is F32.
        let limit = if prompt { "float_macs_per_s" } else { "read_bytes_per_s" };
        if let Some(limit) = test["limits"][limit].as_f64() {
            assert!((test["of_limit"].as_f64().unwrap() / (work / limit) - 1.0).abs() < 1e-9);
        }
    }
}

#[test]
fn zero_leaves_a_measurement_out_and_people_get_tables() {
    let text = stdout(["bench", "-m", model(), "-p", "0", "-n", "4", "-d", "16", "-r", "1"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("lfm2 ") && lines[0].contains("f16 keys and values"), "{text}");
    let tables: Vec<&[&str]> = lines.split(|l| !l.starts_with('|')).filter(|t| !t.is_empty()).collect();
    assert_eq!(tables.len(), 2, "{text}");
    for table in tables {
        assert_eq!(table.len(), 3, "{text}");
        assert!(table[0].starts_with("| test") && table[1].starts_with("| -"), "{text}");
        assert!(table[2].starts_with("| tg4 @ d16 "), "{text}");
        let widths: Vec<usize> = table.iter().map(|l| l.chars().count()).collect();
        assert_eq!(widths, [widths[0]; 3], "{text}");
    }
    assert!(text.contains(" GB/s, ") && text.contains("The machine on "), "{text}");
    assert!(text.contains("The file has only "), "{text}");
    assert_eq!(text.matches("± ").count(), 1, "{text}");
}

#[test]
fn bad_requests_are_refused() {
    let m = model();
    fails(2, ["bench", "-m", m, "--tune", "-t", "2"], &["--tune", "--threads"]);
    fails(
        1,
        ["bench", "-m", m, "-p", "8", "-n", "0", "-r", "1", "--plot", "/nowhere/a.svg"],
        &["no directory /nowhere"],
    );
    let missing = ["bench", "-m", m, "-p", "8", "-r", "1", "--vs", "/nowhere/llama-bench"];
    fails(1, missing, &["cannot run /nowhere/llama-bench", "hint: --vs takes the path"]);
}

#[cfg(unix)]
mod against_a_peer {
    use super::*;
    use assert_cmd::Command;

    const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/cli/llama-bench");

    fn bench(more: &str) -> Command {
        let mut command = brooklet(["bench", "-m", model(), "--vs", PEER, "--no-limits"]);
        command.args(more.split(' '));
        command
    }

    #[test]
    fn both_measure_the_same_in_turn() {
        let directory = tempfile::tempdir().unwrap();
        let calls = directory.path().join("calls");
        let out = parse(&stdout_of(bench("-p 8 -n 4 -d 16 -t 2 -r 3 --json").env("FAKE_CALLS", &calls)));
        for (test, tokens) in out.as_array().unwrap().iter().zip([8.0, 4.0]) {
            let peer = &test["peer"];
            assert_eq!((&peer["build"], &peer["flash_attn"]), (&"cafe (9749)".into(), &true.into()));
            assert_eq!(floats(&peer["samples_ns"]), [2e6; 3]);
            assert_eq!(floats(&peer["samples_ts"]), [tokens * 500.0; 3]);
            // The median of three quotients, all with the same divisor.
            let ratio = test["median_ts"].as_f64().unwrap() / (tokens * 500.0);
            assert!((peer["ratio"]["median"].as_f64().unwrap() / ratio - 1.0).abs() < 1e-9);
            for first in ["own", "peer"] {
                assert!(test["first_token_s"][first]["median"].as_f64().unwrap() > 0.0, "{first}");
            }
            if cfg!(target_os = "linux") {
                assert!(test["peak_rss"].as_u64().unwrap() > 1 << 20);
            }
        }
        // Once with flash attention and once without, then what was faster.
        let calls = std::fs::read_to_string(calls).unwrap();
        let expected: Vec<String> = ["p=8 n=0", "p=0 n=4"]
            .into_iter()
            .flat_map(|test| [1, 0, 1, 1, 1].map(|fa| format!("{test} d=16 t=2 r=1 k=f16 v=f16 fa={fa}")))
            .collect();
        assert_eq!(calls.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn several_sequences_are_measured_against_its_batched_bench() {
        let directory = tempfile::tempdir().unwrap();
        let calls = directory.path().join("calls");
        let mut command = bench("-p 0 -n 4 -d 16 --parallel 3 -t 2 -r 2 --json");
        let out = parse(&stdout_of(command.env("FAKE_CALLS", &calls)));
        let test = &out[0];
        assert_eq!((&test["n_parallel"], &test["n_gen"]), (&3.into(), &4.into()));
        let (ns, ts) = (floats(&test["samples_ns"]), floats(&test["samples_ts"]));
        for (ns, ts) in ns.iter().zip(ts) {
            assert!((ts / (12.0 * 1e9 / ns) - 1.0).abs() < 1e-9, "four tokens of each of three");
        }
        assert_eq!(floats(&test["peer"]["samples_ns"]), [4e6; 2]);
        assert_eq!(floats(&test["peer"]["samples_ts"]), [3000.0; 2]);
        let calls = std::fs::read_to_string(calls).unwrap();
        let expected =
            ["on", "off", "on", "on"].map(|fa| format!("pp=16 tg=4 pl=3 c=60 t=2 k=f16 v=f16 fa={fa}"));
        assert_eq!(calls.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_tables_and_the_chart_show_both() {
        let directory = tempfile::tempdir().unwrap();
        let svg = directory.path().join("speed.svg");
        let mut command = bench("-p 8 -n 4 -t 1 -r 2");
        let text = stdout_of(command.arg("--plot").arg(&svg));
        assert!(text.contains(" brooklet t/s |  llama.cpp t/s |       ratio |"), "{text}");
        assert!(text.contains("|       4000 ± 0 |"), "{text}");
        assert!(
            text.contains("llama.cpp cafe (9749); its flash attention, as is faster: pp8 on 1: on; tg4"),
            "{text}"
        );
        assert!(
            text.contains("From start to first token of a 13-token prompt on 1 thread: brooklet "),
            "{text}"
        );

        let svg = std::fs::read_to_string(svg).unwrap();
        assert_eq!((svg.matches("class=\"own\"").count(), svg.matches("class=\"peer\"").count()), (2, 2));
        assert!(svg.contains("pp8, 1 thread: ") && svg.contains(" times llama.cpp"), "{svg}");
        assert!(svg.contains("llama.cpp 4000 ± 0") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        for element in ["text", "title", "style"] {
            let opened = svg.matches(&format!("<{element}")).count();
            assert_eq!(opened, svg.matches(&format!("</{element}>")).count(), "{element}");
        }
    }

    #[test]
    fn a_peer_that_fails_says_why() {
        fails_of(
            1,
            bench("-p 8 -n 0 -r 1").env("FAKE_FAILS", "all"),
            &["llama-bench", "loading; main: error: failed to load"],
        );
        fails_of(
            1,
            bench("-p 8 -n 0 -r 1").env("FAKE_FAILS", "other"),
            &["a measurement of pp8", "(1, 0, 0, "],
        );
        // Not every build has flash attention for every model.
        let out = parse(&stdout_of(bench("-p 8 -n 0 -r 1 --json").env("FAKE_FAILS", "flash")));
        assert_eq!(
            (&out[0]["peer"]["flash_attn"], floats(&out[0]["peer"]["samples_ns"])),
            (&false.into(), vec![3e6])
        );
    }
}

#[test]
fn tune_stores_what_later_commands_use() {
    let home = tempfile::tempdir().unwrap();
    let with_home = |args: &str| {
        let mut command = brooklet(["bench", "-m", model()]);
        command.args(args.split(' ')).env("XDG_STATE_HOME", home.path());
        stdout_of(&mut command)
    };
    let out = parse(&with_home("--tune -r 1 --json"));
    let available = std::thread::available_parallelism().unwrap().get() as u64;
    let tried: Vec<u64> =
        out["tried"].as_array().unwrap().iter().map(|t| t["n_threads"].as_u64().unwrap()).collect();
    assert_eq!((tried.first(), tried.last()), (Some(&1), Some(&available)));

    let path = home.path().join("brooklet/threads.json");
    assert_eq!(out["stored"].as_str(), path.to_str());
    let stored = parse(&std::fs::read_to_string(&path).unwrap());
    let (machine, best) = stored.as_object().unwrap().iter().next().unwrap();
    assert_eq!(best, &out["best"]);
    assert!(
        tried.contains(&best["prefill"].as_u64().unwrap())
            && tried.contains(&best["decode"].as_u64().unwrap())
    );

    let threads = || {
        let out = parse(&with_home("-p 8 -n 4 -r 1 --json --no-limits"));
        [&out[0]["n_threads"], &out[1]["n_threads"]].map(|n| n.as_u64().unwrap())
    };
    let replace = |with: &str| std::fs::write(&path, format!("{{\"{machine}\": {with}}}")).unwrap();
    replace("{\"prefill\": 3, \"decode\": 5}");
    assert_eq!(threads(), [3, 5]);
    // What makes no sense counts for nothing.
    let physical = {
        std::fs::remove_file(&path).unwrap();
        threads()
    };
    for nonsense in ["{\"prefill\": 0, \"decode\": 5}", "{\"prefill\": 3}", "7"] {
        replace(nonsense);
        assert_eq!(threads(), physical, "{nonsense}");
    }
}
