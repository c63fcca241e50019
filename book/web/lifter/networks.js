// Both networks, run by onnxruntime-web in this page. Nothing is sent anywhere; everything comes from the book's server.

import {relativeTo} from "./geometry.js";

/** Load the runtime and both networks; gives lift(image), which answers with a pose for each network. */
export async function loadNetworks(body) {
  const names = Object.keys(body.models);
  const files = names.map(async (name) => {
    const answer = await fetch(new URL(body.models[name].file, import.meta.url));
    if (!answer.ok) throw new Error(`${body.models[name].file}: ${answer.status}`);
    return new Uint8Array(await answer.arrayBuffer());
  });
  const runtime = new URL("../onnxruntime/", import.meta.url);  // absolute: the runtime would look beside the page
  const ort = await import(new URL("ort.wasm.bundle.min.js", runtime));
  ort.env.wasm.wasmPaths = runtime.href;
  ort.env.wasm.numThreads = 1;  // more need headers that a plain server does not send
  const sessions = {};
  for (const [k, name] of names.entries()) {
    sessions[name] = await ort.InferenceSession.create(await files[k], {executionProviders: ["wasm"]});
  }

  /** The picture's coordinates are the networks' own; their files take image coordinates, so the factor goes out again. */
  async function run(name, image) {
    const {factor} = body.models[name];
    const flat = Float32Array.from(relativeTo(body.root, image).flat(), (v) => v / factor);
    const started = performance.now();
    const {pose} = await sessions[name].run({image: new ort.Tensor("float32", flat, [1, image.length, 2])});
    const milliseconds = performance.now() - started;
    const points = image.map((_, j) => [...pose.data.slice(3 * j, 3 * j + 3)]);
    return {pose: points, milliseconds};
  }

  return async function lift(image) {
    const answers = {};
    for (const name of names) answers[name] = await run(name, image);
    return answers;
  };
}
