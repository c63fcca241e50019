// Headers of tables with the class "sortable" sort their column: numbers by size, text by letter, blanks last.
(() => {
  for (const table of document.querySelectorAll("table.sortable:not([data-ready])")) {
    table.dataset.ready = "yes";
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    const printed = [...body.rows];
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        const order = before === "ascending" ? "descending" : before === "descending" ? "" : "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (order) head.setAttribute("aria-sort", order);
        const key = (row) => row.cells[column].dataset.key;
        const compare = (a, b) => (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);
        const rows = order
          ? [...printed].sort((a, b) => {
              const [x, y] = [key(a), key(b)];
              if (x === "" || y === "") return (x === "") - (y === "");
              return order === "ascending" ? compare(x, y) : compare(y, x);
            })
          : printed; // the third click brings back the order in print
        body.append(...rows);
      });
    });
  }
})();
