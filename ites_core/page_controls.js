// Native range inputs under a plotly figure, for ites_core.interact.embed; {plot_id} and SETTINGS are filled in.
(() => {
  const plot = document.getElementById("{plot_id}"), s = SETTINGS;
  const far = (eye, by) => ({x: by * eye.x, y: by * eye.y, z: by * eye.z});
  plot.setAttribute("role", "figure");  // not "img": it holds buttons
  plot.setAttribute("aria-label", s.alt);
  const frame = plot.parentElement;  // as high as the plot alone; it has to grow by the controls
  if (frame.style.height.endsWith("px")) [plot.style.height, frame.style.height] = [frame.style.height, "auto"];
  if (s.turns && plot.layout.xaxis && plot.clientWidth < 560) {  // a phone: the picture above the body, not beside it
    const height = 1.45 * (plot.layout.height || 450);
    plot.style.height = height + "px";
    Plotly.relayout(plot, {
      height: height, "xaxis.domain": [0.15, 0.95], "yaxis.domain": [0.56, 1],
      "scene.domain": {x: [0, 1], y: [0, 0.48]}, "scene.camera.eye": far(plot.layout.scene.camera.eye, 1.1),
    });
  }
  const box = document.createElement("div");
  box.style.cssText = "display:flex;flex-wrap:wrap;gap:.3rem 1.5rem;padding:.3rem 0";
  const range = (name, max, start, say, act) => {
    const label = document.createElement("label"), input = document.createElement("input");
    const value = document.createElement("output");
    label.style.cssText = "flex:1 1 16rem;display:flex;align-items:center;gap:.5rem;white-space:nowrap";
    input.style.cssText = "flex:1;min-width:4rem";
    value.style.minWidth = "6em";
    Object.assign(input, {type: "range", min: 0, max: max, step: 1, value: start});
    const show = () => {
      value.textContent = say(+input.value);
      input.setAttribute("aria-valuetext", say(+input.value));
    };
    input.addEventListener("input", () => { show(); act(+input.value); });
    show();
    label.append(name, input, value);
    box.append(label);
  };
  const atOnce = {mode: "immediate", frame: {duration: 0, redraw: true}, transition: {duration: 0}};
  if (s.labels.length) {
    range(s.name, s.labels.length - 1, s.start, (k) => s.labels[k], (k) => {
      Plotly.animate(plot, [String(k)], atOnce).catch(() => {});  // a later move interrupts an earlier one
    });
  }
  if (s.turns) {
    const eye = plot.layout.scene.camera.eye, radius = Math.hypot(eye.x, eye.y);
    const first = (Math.round(Math.atan2(eye.x, -eye.y) * 180 / Math.PI) + 360) % 360;
    range("walk round", 359, first, (a) => a + "°", (a) => {
      const r = a * Math.PI / 180;
      const to = {x: radius * Math.sin(r), y: -radius * Math.cos(r), z: eye.z};
      Plotly.relayout(plot, {"scene.camera.eye": to, ...(plot.layout.scene2 && {"scene2.camera.eye": to})});
    });
  }
  plot.after(box);
})();
