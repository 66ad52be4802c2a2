// Holds the library in WebAssembly against the command line, on the same files: logits and greedy answers.
//
//   node wasm-demo.mjs BROOKLET.wasm BROOKLET MODEL.gguf…
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { argv, env, stdout } from "node:process";
import { WASI } from "node:wasi";
import { instantiate } from "../examples/wasm/brooklet.mjs";

// The same code computes both, so the logits are the same but for what compilers may do to sums; the largest difference as
// a fraction of their spread, was 1.9e-8.
const BOUND = 1e-7;
const TEXT = "Turn on the kitchen light at 40 percent, please. Remind me tomorrow at half past seven to call my sister.";
const QUESTIONS = ["Set a timer for ten minutes, please.", 'Turn on the "kitchen" light.', "Add naïve crème brûlée to the shopping list."];

const [library, command, ...files] = argv.slice(2);
const run = (...args) =>
    execFileSync(command, args, { encoding: "utf8", env: { ...env, BROOKLET_ISA: "portable" }, maxBuffer: 1 << 26 });
const module = await WebAssembly.compile(await readFile(library));
for (const file of files) {
    const wasi = new WASI({ version: "preview1", preopens: { "/models": dirname(resolve(file)) } });
    const model = (await instantiate(module, wasi)).open(`/models/${basename(file)}`, { kvType: "f32", context: 512 });

    const ids = model.tokenize(TEXT);
    model.prompt(ids);
    const here = model.logits();
    const there = JSON.parse(run("logits", "-m", file, "-p", TEXT, "--kv-type", "f32", "-t", "1"));
    assert.deepEqual(ids, there.ids);
    assert.equal(here.length, there.logits.length);
    const spread = Math.max(...here) - Math.min(...here);
    const largest = Math.max(...here.map((logit, i) => Math.abs(logit - there.logits[i]))) / spread;
    assert(largest <= BOUND, `${file}: logits differ by ${largest} of their spread`);

    for (const question of QUESTIONS) {
        const answer = [...model.chat([{ role: "user", content: question }], { sampling: { temperature: 0 } })].join("");
        assert.equal(`${answer}\n`, run("run", "-m", file, "--kv-type", "f32", "--temp", "0", "-p", question));
    }
    model.close();
    stdout.write(`${basename(file)}: logits within ${largest.toExponential(1)} of their spread, the same answers\n`);
}
