// Drag the depth of one joint at a time, for ites_core.interact_depths, which fills in id and data.
// Everything is computed here: bodies by unprojection, their picture by projection, the lengths of their bones.
(() => {
  const plot = document.getElementById("{plot_id}"), s = DEPTHS;
  const depth = s.starts[s.names[0]].slice();
  let joint = s.joint;

  const lift = ([u, v], d) => { const z = Math.max(1, s.t + d); return [u * z, v * z, d]; };
  const look = ([x, y, d]) => { const z = Math.max(1, s.t + d); return [x / z, y / z]; };
  const length = ([a, b], body) => Math.hypot(...[0, 1, 2].map((k) => body[a][k] - body[b][k]));
  const unevenness = (depths) => {  // of the most uneven pair of bones: millimetres, name
    const body = s.image.map((point, j) => lift(point, depths[j]));
    const gaps = s.pairs.map((p) => [Math.abs(length(p.left, body) - length(p.right, body)), p.name]);
    const [most, name] = gaps.reduce((a, b) => (b[0] > a[0] ? b : a));
    return [Math.round(s.millimetres * most), name];
  };
  const bones = (list, points, k) => list.flatMap(([a, b]) => [points[a][k], points[b][k], null]);
  const up = (values) => values.map((v) => (v === null ? null : -v));

  const make = (tag, text, css) => Object.assign(document.createElement(tag), {textContent: text || "", style: css || ""});
  const box = make("div", "", "display:flex;flex-wrap:wrap;align-items:center;gap:.4rem 1.2rem;padding:.4rem 0");
  const chosen = make("label", "joint", "display:flex;align-items:center;gap:.5rem");
  const menu = make("select");
  s.joints.forEach((name, k) => {
    if (k !== s.root) menu.append(Object.assign(make("option", name), {value: k}));
  });
  chosen.append(menu);
  const dragged = make("label", "depth", "flex:1 1 100%;display:flex;align-items:center;gap:.5rem;white-space:nowrap");
  const slider = Object.assign(make("input", "", "flex:1;min-width:4rem"),
    {type: "range", min: -s.reach, max: s.reach, step: 0.01});
  const value = make("output", "", "min-width:6em");
  dragged.append(slider, value);
  const buttons = make("span", "", "display:flex;gap:.4rem");
  const report = make("output", "", "flex:1 1 100%");
  report.setAttribute("aria-live", "polite");

  const draw = () => {
    const body = s.image.map((point, j) => lift(point, depth[j])), picture = body.map(look);
    const [u, v] = s.image[joint], near = Math.max(1 - s.t, -s.reach), far = s.reach;
    const ray = [lift([u, v], near), lift([u, v], far)];
    const flat = [...s.sides.map((list) => [0, 1].map((k) => bones(list, picture, k))),
      [0, 1].map((k) => picture.map((p) => p[k])), [0, 1].map((k) => [picture[joint][k]])];
    const solid = [...s.sides.map((list) => [0, 2, 1].map((k) => bones(list, body, k))),
      [0, 2, 1].map((k) => ray.map((p) => p[k])), [0, 2, 1].map((k) => [body[joint][k]])];
    Plotly.restyle(plot, {x: flat.map((t) => t[0]), y: flat.map((t) => t[1])}, flat.map((_, k) => k));
    Plotly.restyle(plot, {x: solid.map((t) => t[0]), y: solid.map((t) => t[1]), z: solid.map((t) => up(t[2]))},
      solid.map((_, k) => flat.length + k));
    const moved = Math.max(...picture.map((p, j) => Math.hypot(p[0] - s.image[j][0], p[1] - s.image[j][1])));
    const [most, where] = unevenness(depth), [usual] = unevenness(s.starts[s.names[0]]);
    report.textContent = `largest left-right difference of a bone: ${most} mm, ${where} (${s.names[0]}: ${usual} mm); ` +
      `largest movement in the picture: ${moved.toFixed(6)}`;
  };
  const show = () => {
    menu.value = joint;
    slider.value = depth[joint];
    const words = (+depth[joint]).toFixed(2) + " units";
    value.textContent = words;
    slider.setAttribute("aria-valuetext", s.joints[joint] + " at depth " + words);
  };
  const pick = (j) => { joint = j; show(); draw(); };
  menu.addEventListener("change", () => pick(+menu.value));
  slider.addEventListener("input", () => { depth[joint] = +slider.value; show(); draw(); });
  s.names.forEach((name) => {
    const button = Object.assign(make("button", name), {type: "button"});
    button.addEventListener("click", () => { s.starts[name].forEach((d, j) => { depth[j] = d; }); pick(joint); });
    buttons.append(button);
  });
  plot.on("plotly_click", (event) => {
    const point = event.points.find((p) => p.curveNumber === s.sides.length);
    if (point && point.pointNumber !== s.root) pick(point.pointNumber);
  });
  box.append(chosen, buttons, dragged, report);
  plot.after(box);
  pick(joint);
})();
