// Both networks, run by onnxruntime-web in this page. Nothing is sent anywhere; everything comes from the book's server.

import {relativeTo} from "./geometry.js";

const NAMES = ["student", "teacher"];

/**
 * Load the runtime, and begin to fetch both networks.
 *
 * @returns open(name), which makes a network ready, and lift(image, body), which asks all that are.
 */
export async function loadNetworks() {
  const files = Object.fromEntries(NAMES.map((name) => [name, fetched(`${name}.onnx`)]));
  files.teacher.catch(() => {});  // heard again when the teacher's turn comes
  const runtime = new URL("../onnxruntime/", import.meta.url);  // absolute: the runtime would look beside the page
  const ort = await import(new URL("ort.wasm.bundle.min.js", runtime));
  ort.env.wasm.wasmPaths = {wasm: new URL("ort-wasm-simd-threaded.wasm", runtime).href};
  ort.env.wasm.numThreads = 1;  // more need headers that a plain server does not send
  const sessions = {};

  async function open(name) {
    sessions[name] = await ort.InferenceSession.create(await files[name], {executionProviders: ["wasm"]});
  }

  /** The picture's coordinates are the networks' own; their files take image coordinates, so the factor goes out again. */
  async function run(name, image, body) {
    const {factor} = body.models[name];
    const flat = Float32Array.from(relativeTo(body.root, image).flat(), (v) => v / factor);
    const started = performance.now();
    const {pose} = await sessions[name].run({image: new ort.Tensor("float32", flat, [1, image.length, 2])});
    const milliseconds = performance.now() - started;
    const points = image.map((_, j) => [...pose.data.slice(3 * j, 3 * j + 3)]);
    return {pose: points, milliseconds};
  }

  async function lift(image, body) {
    const answers = {};
    for (const name of Object.keys(sessions)) answers[name] = await run(name, image, body);
    return answers;
  }

  return {open, lift};
}

async function fetched(name) {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}
