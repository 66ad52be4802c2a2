use crate::support::{json, model, stdout};

#[test]
fn json_has_llama_benchs_fields_for_every_combination() {
    let out = json([
        "bench",
        "-m",
        model(),
        "-p",
        "8,16",
        "-n",
        "4",
        "-d",
        "0,32",
        "-t",
        "1,2",
        "-r",
        "3",
        "--json",
    ]);
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
        let list = |field: &str| -> Vec<f64> {
            test[field].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
        };
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
    }
}

#[test]
fn zero_leaves_a_measurement_out_and_people_get_a_table() {
    let text = stdout(["bench", "-m", model(), "-p", "0", "-n", "4", "-d", "16", "-r", "1"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("| model") && lines[0].ends_with("t/s |"), "{text}");
    assert!(lines[1].starts_with("|-") || lines[1].starts_with("| -"), "{text}");
    assert!(lines[2].contains(" tg4 @ d16 | ") && lines[2].ends_with("± 0.00 |"), "{text}");
    assert_eq!(text.matches("± ").count(), 1);
    let width = |line: &str| line.chars().count();
    assert!(width(lines[0]) == width(lines[1]) && width(lines[1]) == width(lines[2]), "{text}");
}
