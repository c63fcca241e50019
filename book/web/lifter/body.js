// A 3D pose that turns: bones in depth order over a squared floor, and the camera that took the picture.

import {add, addBones, round, set} from "./drawing.js";
import {view} from "./geometry.js";

const WIDE = 300, HIGH = 340, SCALE = 84;  // drawing units; units to drawing units
const RISE = 0.22;  // radians above the horizon
const FLOOR = 1.25, SQUARE = 0.5;  // half the floor's side and one of its squares, units

/**
 * Draw one panel.
 *
 * @param svg the element to draw into.
 * @param body bones and colours.
 * @returns show(pose, turn, over): without a pose the panel is empty; `over` is a second pose for comparison, or null.
 */
export function makeBody(svg, body) {
  set(svg, {viewBox: `${-WIDE / 2} ${-HIGH / 2} ${WIDE} ${HIGH}`, role: "img"});
  const floor = add(svg, "path", {fill: "none", stroke: "#d5d5d5"});
  const camera = add(svg, "g", {});
  add(camera, "path", {d: "M -7 -5 h 10 v 10 h -10 z M 3 -2 l 5 -3 v 10 l -5 -3 z", fill: "#444"});
  add(camera, "text", {y: 19, "text-anchor": "middle", "font-size": 12, fill: "#444"}).textContent = "camera";
  const ghost = addBones(svg, body, {stroke: "#222", "stroke-width": 1.5, "stroke-dasharray": "2 3"});
  const bones = addBones(svg, body);
  const head = add(svg, "circle", {r: 5, fill: body.colours.middle});

  return function show(pose, turn, over) {
    for (const part of [floor, camera, bones.group, head]) part.setAttribute("visibility", pose ? "visible" : "hidden");
    ghost.group.setAttribute("visibility", pose && over ? "visible" : "hidden");
    if (!pose) return;
    const level = Math.max(...pose.map((point) => point[1]));
    const seen = (points) => view(points, turn, RISE).map(([x, y, z]) => [x * SCALE, y * SCALE, z]);

    let path = "";
    for (let k = -FLOOR; k <= FLOOR; k += SQUARE) {
      const [a, b, c, d] = seen([[k, level, -FLOOR], [k, level, FLOOR], [-FLOOR, level, k], [FLOOR, level, k]]);
      path += `M${round(a[0])} ${round(a[1])}L${round(b[0])} ${round(b[1])}M${round(c[0])} ${round(c[1])}L${round(d[0])} ${round(d[1])}`;
    }
    floor.setAttribute("d", path);
    const [[x, y]] = seen([[0, level, -FLOOR - 0.25]]);
    const inside = [Math.max(26 - WIDE / 2, Math.min(WIDE / 2 - 26, x)), Math.min(y, HIGH / 2 - 24)];
    camera.setAttribute("transform", `translate(${inside.map(round).join(" ")})`);

    const points = seen(pose);
    bones.move(points);
    if (over) ghost.move(seen(over));
    set(head, {cx: round(points[body.head][0]), cy: round(points[body.head][1])});
    // The nearer a bone, the later and the thicker it is drawn.
    const depth = body.bones.map(({ends: [a, b]}) => (points[a][2] + points[b][2]) / 2);
    const order = depth.map((_, k) => k).sort((a, b) => depth[b] - depth[a]);
    for (const k of order) {
      bones.group.append(bones.lines[k]);
      bones.lines[k].setAttribute("stroke-width", round(Math.max(2, Math.min(5.5, 3.6 - 1.3 * depth[k]))));
    }
  };
}
