// What the widget renderer (html-manager) expects of the page it runs in. Loaded before it, on pages with widgets.

// 1. It looks for its fonts where require.js says that its folder is. (require.js, which loads next, takes a plain
//    object of this name as its configuration.)
window.require = {
  paths: { "@jupyter-widgets/html-manager/dist": new URL("./html-manager", document.currentScript.src).href },
};

// 2. It asks MathJax 2 to typeset (MathJax.Hub.Queue). This book serves MathJax 3, which replaces window.MathJax when
//    it starts; so watch that name, and answer the old call with the new one.
(() => {
  const loaded = new Promise((done) => {
    if (document.readyState === "complete") done();
    else window.addEventListener("load", () => done());
  });
  const Hub = {
    Queue(...jobs) {
      for (const job of jobs) {
        if (!Array.isArray(job) || job[0] !== "Typeset") continue;
        const elements = job[2] ? [job[2]] : undefined;
        loaded
          .then(() => window.MathJax.startup.promise)
          .then(() => window.MathJax.typesetPromise(elements))
          .catch((error) => console.error("MathJax:", error));
      }
    },
  };
  const withHub = (value) => {
    if (value && !value.Hub) value.Hub = Hub;
    return value;
  };
  let current = withHub(window.MathJax);
  Object.defineProperty(window, "MathJax", {
    configurable: true,
    get: () => current,
    set: (value) => {
      current = withHub(value);
    },
  });
})();
