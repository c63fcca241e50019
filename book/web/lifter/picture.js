// The picture: a 2D skeleton whose joints are dragged by mouse, by touch, or by the arrow keys.

import {add, addBones, round, set} from "./drawing.js";

const WIDE = 400, HIGH = 453, SCALE = WIDE / 0.72;  // drawing units; the picture is 0.72 wide in u
const REACH = [0.35, 0.4];  // in u and v: joints stay inside the frame
const NEAR = 26;  // a finger within this distance takes hold of a joint
const STEP = 0.01, BIG_STEP = 0.05;  // of an arrow key, without and with shift

const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

/**
 * Draw the picture and report what the reader does to it.
 *
 * @param svg the element to draw into.
 * @param body joints' names, bones, colours.
 * @param first the joint that Tab reaches at first.
 * @param onMove called with (joint, [du, dv], byKey) when a joint is to move; the caller moves it and calls show.
 */
export function makePicture(svg, body, first, onMove) {
  set(svg, {viewBox: `${-WIDE / 2} ${-HIGH / 2} ${WIDE} ${HIGH}`, role: "group", "aria-label": "The picture"});
  const grid = add(svg, "g", {stroke: "#e5e5e5"});
  for (let k = -4; k <= 4; k++) {
    const at = round(k * 0.1 * SCALE);
    add(grid, "line", {x1: at, x2: at, y1: -HIGH / 2, y2: HIGH / 2});
    add(grid, "line", {y1: at, y2: at, x1: -WIDE / 2, x2: WIDE / 2});
  }
  const words = {fill: "#444", "font-size": 13};
  add(svg, "text", {x: WIDE / 2 - 8, y: HIGH / 2 - 8, "text-anchor": "end", ...words}).textContent = "u →, lines 0.1 apart";
  add(svg, "text", {x: 8 - WIDE / 2, y: HIGH / 2 - 8, ...words}).textContent = "v ↓";
  const ghost = addBones(svg, body, {stroke: "#222", "stroke-width": 1.5, "stroke-dasharray": "2 3"});
  const bones = addBones(svg, body);
  let image = [], focused = first, held = null;

  const handles = body.names.map((name, joint) => {
    const handle = add(svg, "g", {
      class: "lifter-joint", role: "slider", tabindex: joint === focused ? 0 : -1, "data-joint": body.joints[joint],
      "aria-label": name, "aria-roledescription": "joint to move", "aria-valuemin": -REACH[0], "aria-valuemax": REACH[0],
    });
    add(handle, "circle", {r: NEAR, fill: "transparent"});
    add(handle, "circle", {class: "lifter-dot", r: 5.5, fill: "#fff", stroke: "#222", "stroke-width": 1.8});
    const caption = add(svg, "text", {class: "lifter-name", y: -14, "text-anchor": "middle", "font-size": 14});
    caption.textContent = name;
    handle.addEventListener("focus", () => focus(joint, false));
    handle.addEventListener("keydown", (event) => onKey(event, joint));
    return {handle, caption};
  });

  /** Make a joint the one that Tab reaches, and name it in the drawing. */
  function focus(joint, move = true) {
    focused = joint;
    handles.forEach(({handle, caption}, k) => {
      handle.setAttribute("tabindex", k === joint ? 0 : -1);
      caption.classList.toggle("lifter-shown", k === joint);
    });
    if (move) handles[joint].handle.focus({preventScroll: true});
  }

  function onKey(event, joint) {
    const n = handles.length, arrow = ARROWS[event.key];
    const next = {PageDown: (joint + 1) % n, PageUp: (joint + n - 1) % n, Home: 0, End: n - 1}[event.key];
    if (arrow) {
      const step = event.shiftKey ? BIG_STEP : STEP;
      onMove(joint, clamped(joint, arrow.map((direction) => direction * step)), true);
    } else if (next !== undefined) {
      focus(next);
    } else {
      return;
    }
    event.preventDefault();  // or the page would scroll
  }

  /** The part of a move that leaves the joint inside the frame. */
  function clamped(joint, by) {
    return by.map((d, k) => Math.max(-REACH[k], Math.min(REACH[k], image[joint][k] + d)) - image[joint][k]);
  }

  /** Where the pointer is, in u and v. */
  function place(event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return [at.x / SCALE, at.y / SCALE];
  }

  svg.addEventListener("pointerdown", (event) => {
    const [u, v] = place(event);
    const far = image.map((point) => Math.hypot(point[0] - u, point[1] - v));
    const nearest = far.indexOf(Math.min(...far));
    if (event.button !== 0 || far[nearest] * SCALE > NEAR) return;
    held = {joint: nearest, offset: [image[nearest][0] - u, image[nearest][1] - v]};
    svg.setPointerCapture(event.pointerId);
    svg.classList.add("lifter-held");
    focus(nearest);
    event.preventDefault();
  });
  svg.addEventListener("pointermove", (event) => {
    if (!held) return;
    const to = place(event);
    onMove(held.joint, clamped(held.joint, to.map((v, k) => v + held.offset[k] - image[held.joint][k])), false);
  });
  const letGo = () => { held = null; svg.classList.remove("lifter-held"); };
  svg.addEventListener("pointerup", letGo);
  svg.addEventListener("pointercancel", letGo);

  const drawn = (points) => points.map(([u, v]) => [u * SCALE, v * SCALE]);
  return {
    /** Draw a picture, and over it another one, or none. */
    show(points, over) {
      image = points;
      const at = drawn(points);
      bones.move(at);
      ghost.group.setAttribute("visibility", over ? "visible" : "hidden");
      if (over) ghost.move(drawn(over));
      handles.forEach(({handle, caption}, k) => {
        const [x, y] = at[k].map(round);
        handle.setAttribute("transform", `translate(${x} ${y})`);
        caption.setAttribute("transform", `translate(${Math.max(-140, Math.min(140, x))} ${y})`);
        handle.setAttribute("aria-valuenow", points[k][0].toFixed(2));
        handle.setAttribute("aria-valuetext", `u ${points[k][0].toFixed(2)}, v ${points[k][1].toFixed(2)}`);
      });
    },
  };
}
