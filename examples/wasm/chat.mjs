// Asks a model one question and prints the answer as it comes.
//
//   tools/wasm install
//   tools/wasm build
//   node examples/wasm/chat.mjs target/wasm32-wasip1/dist/brooklet.wasm model.gguf "Why is the sky blue?"
import { readFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { argv, exit, stderr, stdout } from "node:process";
import { WASI } from "node:wasi";
import { instantiate } from "./brooklet.mjs";

if (argv.length !== 5) {
    stderr.write("usage: chat.mjs BROOKLET.wasm MODEL.gguf QUESTION\n");
    exit(2);
}
const [library, file, question] = argv.slice(2);
try {
    // The library sees the model's folder and nothing else.
    const wasi = new WASI({ version: "preview1", preopens: { "/models": dirname(resolve(file)) } });
    const brooklet = await instantiate(await WebAssembly.compile(await readFile(library)), wasi);
    const model = brooklet.open(`/models/${basename(file)}`);
    for (const piece of model.chat([{ role: "user", content: question }])) {
        stdout.write(piece);
    }
    stdout.write("\n");
    model.close();
} catch (error) {
    stderr.write(`chat: ${error.message}\n`);
    exit(1);
}
