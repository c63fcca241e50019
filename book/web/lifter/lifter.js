// Lift a 2D pose in the page: drag a joint, and both networks answer. Begins as soon as the page is read.

import {makeBody} from "./body.js";
import {DASHES} from "./drawing.js";
import {depthMirror, hangingOn, project, relativeTo} from "./geometry.js";
import {KeypointError, personFrom} from "./keypoints.js";
import {LAYOUT} from "./layout.js";
import {loadNetworks} from "./networks.js";
import {makePicture} from "./picture.js";

const FIRST_VIEW = 50;  // degrees to the camera's side
const TURN_SECONDS = 16;  // for one round

const root = document.getElementById("lifter"), still = [...root.children];
start().catch((error) => {
  root.replaceChildren(...still);
  root.dataset.state = "failed";
  root.querySelector(".lifter-status").textContent =
    `The networks cannot run here, so this picture stands still. (${error.message})`;
});

async function start() {
  if (typeof WebAssembly === "undefined") throw new Error("This browser runs no WebAssembly.");
  root.dataset.state = "loading";
  root.querySelector(".lifter-status").textContent = "Loading both networks …";
  const [body, {open, lift}] = await Promise.all([describe(), loadNetworks()]);
  await open("student");
  const again = await show(body, lift);
  root.dataset.firstLift = Math.round(performance.now());  // milliseconds since the page was opened
  await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));  // before the teacher takes its time
  await open("teacher");
  await again();
  root.dataset.state = "ready";
}

/** What the build wrote about joints, examples and networks. */
async function describe() {
  const answer = await fetch(new URL("lifter.json", import.meta.url));
  if (!answer.ok) throw new Error(`lifter.json: ${answer.status}`);
  const body = await answer.json();
  return {...body, head: body.joints.indexOf("Head")};
}

/** Put the drawings and controls in place of the still picture, and keep them up to date; gives what lifts once more. */
async function show(body, lift) {
  const box = document.createElement("div");
  box.innerHTML = LAYOUT;
  const control = (name) => box.querySelector(`[data-control="${name}"]`);
  const output = (name) => box.querySelector(`[data-output="${name}"]`);
  const drawing = (name) => box.querySelector(`[data-panel="${name}"] svg`);

  let image = [], truth = null, answers = null;  // what is shown
  let wanted = false, busy = false;  // a lift to come, and one under way
  let turn = FIRST_VIEW, turning = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  let inSight = true, redraw = true, last = 0, chosen = body.joints.indexOf("LWrist");
  const recent = [];  // when the last lifts ended

  const picture = makePicture(drawing("picture"), body, chosen, (joint, by, byKey) => {
    const moved = control("together").checked ? hangingOn(joint, body.parents) : [joint];
    image = image.map((point, k) => (moved.includes(k) ? point.map((v, d) => v + by[d]) : point));
    [truth, chosen, wanted] = [null, joint, true];
    output("depth").setAttribute("aria-live", byKey ? "polite" : "off");
    picture.show(image, over());
  });
  drawing("picture").setAttribute("aria-describedby", "lifter-hint");
  const panels = Object.fromEntries(["student", "teacher", "twin"].map((name) => [name, makeBody(drawing(name), body)]));
  for (const path of box.querySelectorAll("[data-side]")) {
    path.setAttribute("stroke", body.colours[path.dataset.side]);
    path.setAttribute("stroke-dasharray", DASHES[path.dataset.side]);
  }

  /** The picture that is drawn over the reader's own, where the reader's root is. */
  function over() {
    const poses = {teacher: answers?.teacher?.pose, twin: answers && depthMirror(answers.student.pose)};
    const pose = poses[control("over").value];
    return pose ? pose.map((point) => project(point, body).map((v, d) => v + image[body.root][d])) : null;
  }

  function draw() {
    const angle = turn * Math.PI / 180, compared = control("truth").checked ? truth : null;
    const poses = {
      student: answers.student.pose, teacher: answers.teacher?.pose, twin: depthMirror(answers.student.pose),
    };
    for (const [name, pose] of Object.entries(poses)) panels[name](pose, angle, compared);
    picture.show(image, over());
  }

  async function liftNow() {
    [busy, wanted] = [true, false];
    try {
      answers = await lift(image, body);
    } finally {
      busy = false;
    }
    const now = performance.now();
    recent.push(now);
    while (recent[0] < now - 1000) recent.shift();
    root.dataset.lifts = Number(root.dataset.lifts ?? 0) + 1;
    redraw = true;
  }

  async function again() {
    while (busy) await new Promise(requestAnimationFrame);
    await liftNow();
  }

  function report() {
    const depths = Object.entries(answers).map(([name, {pose}]) => {
      const z = pose[chosen][2];
      return `${name} ${Math.abs(z).toFixed(2)} units ${z < 0 ? "nearer" : "farther"} than the hip`;
    });
    output("depth").textContent = chosen === body.root
      ? "The hip is where depths are measured from."
      : `Depth of the ${body.names[chosen]}: ${depths.join(", ")}.`;
    const took = Object.keys(answers).map((name) => `${name} ${answers[name].milliseconds.toFixed(1)} ms`);
    output("speed").textContent = `last lift: ${took.join(", ")}; lifts in its last second: ${recent.length}`;
  }

  function tick(now) {
    const passed = Math.min(100, now - last);
    last = now;
    if (turning && inSight) {
      turn = (turn + passed / 1000 / TURN_SECONDS * 360) % 360;
      showTurn();
      redraw = true;
    }
    if (wanted && !busy) liftNow();
    if (redraw && answers) {
      redraw = false;
      draw();
      report();
    }
    requestAnimationFrame(tick);
  }

  function showTurn() {
    const words = `${Math.round(turn) % 360}°`;
    control("turn").value = Math.round(turn) % 360;
    control("turn").setAttribute("aria-valuetext", words);
    output("turn").textContent = words;
    for (const [name, title] of [["student", "The student's pose"], ["teacher", "The teacher's pose"], ["twin", "The twin"]]) {
      drawing(name).setAttribute("aria-label", `${title}, seen from ${words} beside the camera`);
    }
  }

  function setTurning(on) {
    turning = on;
    control("turning").textContent = on ? "Stop turning" : "Turn";
  }

  function showExample() {
    const example = body.examples[Number(control("example").value)];
    [image, truth, wanted] = [example.image, example.pose, true];
    picture.show(image, null);
  }

  body.examples.forEach(({name}, k) => control("example").add(new Option(name, k)));
  control("example").addEventListener("change", showExample);
  control("reset").addEventListener("click", showExample);
  for (const name of ["over", "truth"]) control(name).addEventListener("change", () => { redraw = true; });
  control("turning").addEventListener("click", () => setTurning(!turning));
  control("turn").addEventListener("input", () => {
    turn = Number(control("turn").value);
    setTurning(false);
    showTurn();
    redraw = true;
  });
  for (const name of Object.keys(panels)) letTurn(drawing(name), (degrees) => {
    turn = (turn + degrees + 360) % 360;
    setTurning(false);
    showTurn();
    redraw = true;
  });
  control("lift").addEventListener("click", () => {
    try {
      const person = personFrom(control("text").value, control("order").value, control("upwards").checked, body);
      [image, truth, wanted] = [person.image, null, true];
      output("paste").textContent = `${person.note} Lifted; the drawings above show it.`.trim();
    } catch (error) {
      if (!(error instanceof KeypointError)) throw error;
      output("paste").textContent = error.message;
    }
  });
  control("download").addEventListener("click", () => download(result(body, image, answers), "lifted.json"));
  new IntersectionObserver(([entry]) => { inSight = entry.isIntersecting; }).observe(box);

  setTurning(turning);
  showTurn();
  showExample();
  await liftNow();
  draw();
  report();
  root.replaceChildren(box);
  requestAnimationFrame(tick);
  return again;
}

/** Turn a body by dragging across its panel. */
function letTurn(svg, by) {
  let at = null;
  svg.addEventListener("pointerdown", (event) => { at = event.clientX; svg.setPointerCapture(event.pointerId); });
  svg.addEventListener("pointermove", (event) => {
    if (at === null) return;
    by((at - event.clientX) / svg.clientWidth * 180);
    at = event.clientX;
  });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { at = null; });
}

/** What the reader takes home. */
function result(body, image, answers) {
  return {
    frame: "camera: x right, y down, z away; relative to the root joint",
    metres_per_unit: body.metres_per_unit,
    joints: body.joints,
    parents: body.parents,
    image: relativeTo(body.root, image),
    student: answers.student.pose,
    teacher: answers.teacher?.pose,  // absent while it is loading
    student_twin: depthMirror(answers.student.pose),
  };
}

function download(content, name) {
  const address = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], {type: "application/json"}));
  const link = Object.assign(document.createElement("a"), {href: address, download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
