// Sorts, searches and folds the table. Everything is in the page already; without this it is only longer.
(() => {
  "use strict";
  // Rows that are shown before somebody asks for all of them.
  const FIRST = 25;
  const table = document.querySelector("table");
  // The picture takes Ctrl-F and F3 for itself, and the table is what people search.
  window.addEventListener("keydown", (event) => {
    if (event.key === "F3" || (event.ctrlKey && event.key.toLowerCase() === "f")) event.stopPropagation();
  }, true);
  if (!table) return;

  const bodies = [...table.tBodies];
  const heads = [...table.tHead.rows[0].cells];
  const find = document.getElementById("find");
  const all = document.getElementById("all");
  const count = document.getElementById("count");
  const whole = count.textContent;
  let showAll = bodies.length <= FIRST;

  function show() {
    const wanted = find.value.trim().toLowerCase();
    let found = 0;
    let shown = 0;
    for (const body of table.tBodies) {
      const fits = !wanted || body.textContent.toLowerCase().includes(wanted);
      if (fits) found += 1;
      body.hidden = !fits || (!showAll && !wanted && found > FIRST);
      if (!body.hidden) shown += 1;
    }
    all.hidden = showAll || wanted !== "";
    count.textContent = wanted ? found + " found" : showAll ? whole : "the first " + shown + " shown, " + whole;
  }

  function value(body, column) {
    const cell = body.rows[0].cells[column];
    return cell.dataset.v === undefined ? cell.textContent.toLowerCase() : Number(cell.dataset.v);
  }

  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const number = head.classList.contains("n");
      const was = head.getAttribute("aria-sort");
      // Numbers begin with the largest, names with the first.
      const up = was ? was === "descending" : !number;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const keyed = bodies.map((body) => [value(body, column), body]);
      keyed.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0) * (up ? 1 : -1));
      keyed.forEach(([, body]) => table.append(body));
      show();
    });
  });

  table.addEventListener("click", (event) => {
    const button = event.target.closest("button.open");
    if (!button) return;
    const row = document.getElementById(button.getAttribute("aria-controls"));
    row.hidden = !row.hidden;
    button.setAttribute("aria-expanded", String(!row.hidden));
  });

  find.addEventListener("input", show);
  all.addEventListener("click", () => {
    showAll = true;
    show();
  });
  show();
})();
