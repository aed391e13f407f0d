// The main table: a grid of numbers, one tab stop, arrow keys inside.

const columns = []; // { task, metric, head }
const groups = []; // { element, rows: [{ method, row, indices, cells: [element or null] by column }] }
const gridCells = new Array(DATA.cells.length);
let current = null; // the number that Tab comes to
let taskHeads = [];

const LONG = 40; // rows from which on the table scrolls in a frame of its own

function buildGrid() {
  const places = new Map();
  const columnOf = new Map();
  for (const { task, metric } of DATA.cells) {
    const key = JSON.stringify([task, metric]);
    if (!columnOf.has(key)) columnOf.set(key, { task, metric });
  }
  // Metrics of one task stand together.
  const tasks = unique(DATA.cells.map((cell) => cell.task));
  columns.push(...tasks.flatMap((task) => [...columnOf.values()].filter((c) => c.task === task)));
  columns.forEach((column, place) => { column.place = place; });
  const ofModel = new Map();
  DATA.cells.forEach((cell, index) => {
    const key = JSON.stringify([cell.model, cell.method]);
    if (!places.has(key)) {
      const row = { method: cell.method, indices: [], cells: new Array(columns.length).fill(null) };
      places.set(key, row);
      if (!ofModel.has(cell.model)) ofModel.set(cell.model, []);
      ofModel.get(cell.model).push(row);
    }
    const column = columnOf.get(JSON.stringify([cell.task, cell.metric]));
    gridCells[index] = numberElement(cell, index);
    places.get(key).cells[column.place] = gridCells[index];
    places.get(key).indices.push(index);
  });
  const grid = byId("grid");
  grid.setAttribute("role", "grid");
  grid.setAttribute("aria-label", "Main table");
  grid.setAttribute("aria-colcount", columns.length + 1);
  grid.append(gridHead(tasks), ...[...ofModel].map(([model, rows]) => gridGroup(model, rows)));
  grid.setAttribute("aria-rowcount", places.size + 2);
  grid.classList.toggle("long", places.size > LONG);
  grid.addEventListener("click", (event) => openFrom(event.target));
  grid.addEventListener("keydown", walk);
  grid.addEventListener("focusin", (event) => focusable(event.target.closest("[data-cell]")));
  showColumns(columns);
  focusable(gridCells[0]);
}

const unique = (values) => [...new Set(values)];

function gridHead(tasks) {
  taskHeads = tasks.map((task) => ({
    task, head: element("div", { role: "columnheader", class: "task" }, task),
  }));
  for (const column of columns)
    column.head = element("div", { role: "columnheader", class: "metric" }, column.metric);
  return element("div", { role: "rowgroup", class: "head" },
    element("div", { role: "row", class: "row" },
      element("div", { role: "columnheader", class: "name" }, ""), taskHeads.map(({ head }) => head)),
    element("div", { role: "row", class: "row" },
      element("div", { role: "columnheader", class: "name" }, "method"),
      columns.map(({ head }) => head)));
}

function gridGroup(model, rows) {
  const group = element("div", { role: "rowgroup", class: "group" },
    element("div", { role: "row", class: "row model" },
      element("div", { role: "rowheader", class: "name", "aria-colspan": columns.length + 1 }, model)));
  group.style.setProperty("--rows", rows.length);
  let before = groups.reduce((sum, each) => sum + each.rows.length, 2);
  for (const row of rows) {
    row.all = row.cells.map((cell, place) => {
      const filled = cell ?? element("div", { role: "gridcell", class: "blank" });
      filled.setAttribute("aria-colindex", place + 2);
      return filled;
    });
    row.row = element("div", { role: "row", class: "row", "aria-rowindex": (before += 1) },
      element("div", { role: "rowheader", class: "name" }, row.method), row.all);
    group.append(row.row);
  }
  groups.push({ element: group, rows });
  return group;
}

function numberElement(cell, index) {
  const verdict = VERDICT_OF[index];
  const known = VERDICTS[verdict];
  return element("div", {
    role: "gridcell", tabindex: "-1", "data-cell": index, "data-record": recordId(cell.records[0]),
    class: `number ${known ? known.tone : ""} ${WRONG[index] ? "wrong" : ""} ${cell.independent ? "independent" : "own"}`,
    "aria-label": `${cell.model}, ${cell.method}, ${cell.task} ${cell.metric}: ${percent(cell.mean)} %, ` +
      `standard deviation ${percent(cell.std)}; ${known ? known.text : verdict}; ${cell.mark}` +
      (WRONG[index] ? "; depends on a problem" : ""),
  },
  element("b", {}, percent(cell.mean)), element("i", {}, `±\u2009${percent(cell.std)}`),
  WRONG[index] || known ? element("em", {}, WRONG[index] ? "!" : known.sign) : null);
}

/**
 * Leave out groups, rows and columns without a match, and blank what else does not match. What lies
 * in something that is left out stays as it is: thousands of changes would take longer than a key.
 */
function showMatches(matches) {
  const wanted = new Set();
  for (const group of groups) {
    const found = group.rows.filter(({ indices }) => indices.some((index) => matches[index]));
    setHidden(group.element, !found.length);
    if (!found.length) continue;
    group.element.style.setProperty("--rows", found.length);
    for (const row of group.rows) if (!found.includes(row)) setHidden(row.row, true);
    for (const row of found) {
      setHidden(row.row, false);
      row.indices.forEach((index) => {
        gridCells[index].classList.toggle("miss", !matches[index]);
        if (matches[index]) wanted.add(row.cells.indexOf(gridCells[index]));
      });
    }
  }
  if (wanted.size) showColumns(columns.filter((_, place) => wanted.has(place)));
  if (!isShown(current)) focusable(gridCells.find(isShown) ?? null);
}

function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

let shownColumns = "";

function showColumns(wanted) {
  const key = wanted.map(({ place }) => place).join();
  if (key === shownColumns) return;
  shownColumns = key;
  byId("grid").style.setProperty("--columns", wanted.length);
  for (const column of columns) {
    const hidden = !wanted.includes(column);
    if (column.head.hidden === hidden) continue;
    column.head.hidden = hidden;
    for (const { rows } of groups) for (const row of rows) row.all[column.place].hidden = hidden;
  }
  for (const { task, head } of taskHeads) {
    const span = wanted.filter((column) => column.task === task).length;
    head.hidden = !span;
    head.style.gridColumnEnd = `span ${Math.max(1, span)}`;
    head.setAttribute("aria-colspan", Math.max(1, span));
  }
}

const isShown = (cell) => Boolean(cell) && !cell.classList.contains("miss")
  && !cell.hidden && !cell.parentElement.hidden && !cell.parentElement.parentElement.hidden;

function focusable(cell) {
  if (cell === current) return;
  if (current) current.tabIndex = -1;
  current = cell;
  if (current) current.tabIndex = 0;
}

function openFrom(target) {
  const cell = target.closest("[data-cell]");
  if (cell) goTo(`cell=${cellName(DATA.cells[cell.dataset.cell])}`);
}

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
                PageUp: [-10, 0], PageDown: [10, 0] };

function walk(event) {
  if (!current || event.altKey || event.metaKey) return;
  if (event.key === "Enter" || event.key === " ") openFrom(current);
  else if (event.key in STEPS) moveFocus(...STEPS[event.key]);
  else if (event.key === "Home" || event.key === "End") jump(event.key === "End", event.ctrlKey);
  else return;
  event.preventDefault();
}

/** Numbers of a row that can be gone to. */
const stops = (row) => row.cells.filter(isShown);
const walkable = () => groups.filter(({ element }) => !element.hidden)
  .flatMap((group) => group.rows.filter((row) => !row.row.hidden));

function moveFocus(down, right) {
  const shown = walkable();
  const at = shown.findIndex((row) => row.row === current.parentElement);
  if (right) {
    const here = stops(shown[at]);
    focusOn(here[here.indexOf(current) + right]);
    return;
  }
  const column = shown[at].cells.indexOf(current);
  const aim = Math.max(0, Math.min(shown.length - 1, at + down));
  // From the aim back to where we are: the first row with a number in this column.
  for (let place = aim; place !== at; place -= Math.sign(down))
    if (isShown(shown[place].cells[column])) return focusOn(shown[place].cells[column]);
  // Further on, past rows that lack this one.
  for (let place = aim; shown[place]; place += Math.sign(down))
    if (place !== at && isShown(shown[place].cells[column])) return focusOn(shown[place].cells[column]);
}

function jump(toEnd, whole) {
  const shown = walkable();
  const row = whole ? shown.at(toEnd ? -1 : 0) : shown.find((each) => each.row === current.parentElement);
  focusOn(stops(row).at(toEnd ? -1 : 0));
}

function focusOn(cell) {
  if (!cell) return;
  cell.focus();
  cell.scrollIntoView({ block: "nearest", inline: "nearest" });
}
