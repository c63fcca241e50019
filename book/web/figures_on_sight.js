// Draws a plotly figure when it comes into sight, and loads plotly.js for the first of them, so that a page can be read
// and used at once. Stands in for plotly.js until then (book/_ext/page_assets.py): figures call Plotly.newPlot while
// the page is read, and their own scripts wait for its promise.
(() => {
  const library = new URL("plotly/plotly.min.js", document.currentScript.src);
  const waiting = new Map();  // a figure's place -> what begins its drawing
  let coming = null;

  function load() {
    coming ??= new Promise((done, failed) => {
      document.head.append(Object.assign(document.createElement("script"), {src: library, onload: done, onerror: failed}));
    });
    return coming;
  }

  function begin(place) {
    watcher.unobserve(place);
    waiting.get(place)();
    waiting.delete(place);
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) begin(entry.target);
  }, {rootMargin: "300px"});
  const read = new Promise((done) => addEventListener("load", done));

  async function newPlot(place, ...figure) {
    const element = typeof place === "string" ? document.getElementById(place) : place;
    await read;
    await new Promise((begun) => { waiting.set(element, begun); watcher.observe(element); });
    await load();  // replaces the stand-in by the library
    return window.Plotly.newPlot(element, ...figure);
  }

  window.Plotly = {newPlot};
  addEventListener("beforeprint", () => [...waiting.keys()].forEach(begin));
})();
