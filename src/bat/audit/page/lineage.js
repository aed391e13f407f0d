// The lineage of a number, drawn from the number down to the sources.
//
// Boxes stand in layers by their distance from the number. A line that passes a layer gets a place
// of its own in it, so that it runs between the boxes. Inside a layer everything is ordered by the
// mean place of its neighbours, a few times down and up (Sugiyama, Tagawa and Toda 1981).

const BOX = { width: 190, height: 62, gap: 18, layer: 38, lane: 14, sweeps: 6 };

/** What is drawn for a number: itself, the statistics, and every record behind its runs. */
function lineageOf(cell) {
  const depth = behind(cell.records);
  const top = { key: "cell", layer: 0, cell };
  const statistics = { key: "table", layer: 1, record: DATA.table };
  const nodes = new Map([...depth].map(([record, layer]) =>
    [record, { key: `record-${record}`, layer: layer + 2, record }]));
  const edges = [[top, statistics], ...cell.records.map((record) => [statistics, nodes.get(record)])];
  for (const [record, node] of nodes)
    for (const maker of unique(DATA.records[record].inputs.map((known) => known.record)))
      if (maker !== null && nodes.has(maker)) edges.push([node, nodes.get(maker)]);
  return { nodes: [top, statistics, ...nodes.values()], edges };
}

function layout({ nodes, edges }) {
  const layers = [];
  const place = (node) => (layers[node.layer] ??= []).push(node);
  for (const node of nodes) place(Object.assign(node, { width: BOX.width, near: [] }));
  const paths = edges.map(([reader, maker]) => {
    const path = [reader];
    for (let layer = reader.layer + 1; layer < maker.layer; layer++) {
      path.push({ layer, width: BOX.lane, near: [], passes: true });
      place(path.at(-1));
    }
    path.push(maker);
    path.forEach((node, step) => {
      if (step) { node.near.push(path[step - 1]); path[step - 1].near.push(node); }
    });
    return path;
  });
  for (const layer of layers) layer.forEach((node, order) => { node.order = order; });
  for (let sweep = 0; sweep < BOX.sweeps; sweep++) {
    const down = sweep % 2 === 0;
    for (const layer of down ? layers : [...layers].reverse()) orderLayer(layer, down ? -1 : 1);
  }
  return { layers, paths, ...coordinates(layers) };
}

function orderLayer(layer, towards) {
  for (const node of layer) {
    const near = node.near.filter((other) => other.layer === node.layer + towards);
    node.wish = near.length ? mean(near.map((other) => other.order)) : node.order;
  }
  layer.sort((one, other) => one.wish - other.wish);
  layer.forEach((node, order) => { node.order = order; });
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Middles of all boxes: layers side by side first, then drawn towards their neighbours. */
function coordinates(layers) {
  for (const layer of layers) {
    let x = 0;
    for (const node of layer) { node.x = x + node.width / 2; x += node.width + BOX.gap; }
    const middle = (x - BOX.gap) / 2;
    for (const node of layer) node.x -= middle;
  }
  for (let sweep = 0; sweep < BOX.sweeps; sweep++)
    for (const layer of sweep % 2 ? [...layers].reverse() : layers) settle(layer);
  const all = layers.flat();
  const left = Math.min(...all.map((node) => node.x - node.width / 2));
  const right = Math.max(...all.map((node) => node.x + node.width / 2));
  for (const node of all) {
    node.x += 8 - left;
    node.y = 8 + node.layer * (BOX.height + BOX.layer);
  }
  return { width: right - left + 16, height: layers.length * (BOX.height + BOX.layer) - BOX.layer + 16 };
}

/** Move the boxes of a layer to the mean of their neighbours, as far as the order leaves room. */
function settle(layer) {
  const room = (place) => (layer[place - 1].width + layer[place].width) / 2 + BOX.gap;
  const wishes = layer.map((node) => (node.near.length ? mean(node.near.map((n) => n.x)) : node.x));
  const forth = [...wishes];
  for (let p = 1; p < layer.length; p++) forth[p] = Math.max(forth[p], forth[p - 1] + room(p));
  const back = [...wishes];
  for (let p = layer.length - 2; p >= 0; p--) back[p] = Math.min(back[p], back[p + 1] - room(p + 1));
  // Both satisfy the distances, so their mean does.
  layer.forEach((node, p) => { node.x = (forth[p] + back[p]) / 2; });
}

/** Draw a lineage; `open` is told the record of a box that is chosen. */
function lineageGraph(cell, open) {
  const { layers, paths, width, height } = layout(lineageOf(cell));
  const graph = drawing("svg", { class: "lineage", viewBox: `0 0 ${width} ${height}`, width, height,
    role: "group", "aria-label": "Lineage: each box was made from those below it" });
  const boxes = layers.flat().filter((node) => !node.passes);
  graph.append(
    ...paths.map((path) => drawing("path", { class: "edge", d: curve(path) })),
    ...boxes.map((node) => (node.cell ? numberBox(node) : recordBox(node, open))));
  graph.addEventListener("keydown", (event) => walkGraph(event, boxes));
  return graph;
}

function curve(path) {
  const [first, ...rest] = path;
  let [x, y] = [first.x, first.y + BOX.height];
  let d = `M${x} ${y}`;
  for (const node of rest) {
    const bend = (node.y - y) / 2;
    d += `C${x} ${y + bend} ${node.x} ${node.y - bend} ${node.x} ${node.y}`;
    [x, y] = [node.x, node.y];
    if (node.passes) { y += BOX.height; d += `L${x} ${y}`; }
  }
  return d;
}

function box(node, attributes, lines, title) {
  const [x, y] = [node.x - BOX.width / 2, node.y];
  return drawing("g", { "data-key": node.key, transform: `translate(${x} ${y})`, ...attributes },
    drawing("title", {}, title),
    drawing("rect", { width: BOX.width, height: BOX.height, rx: 8 }),
    ...lines.map(([kind, text], line) => drawing("text", { class: kind, x: 12, y: 20 + 17 * line }, text)));
}

function numberBox(node) {
  const { cell } = node;
  return box(node, { class: "box top", "data-record": recordId(cell.records[0]) }, [
    ["kind", "Number"], ["what", `${percent(cell.mean)} ± ${percent(cell.std)} %`],
    ["id", short(`${cell.task} ${cell.metric}`, 24)],
  ], cellName(cell));
}

function recordBox(node, open) {
  const record = DATA.records[node.record];
  const wrong = PROBLEMS_OF.has(node.record);
  const choose = () => open(node.record);
  return box(node, {
    class: `box ${wrong ? "wrong" : ""}`, role: "button", tabindex: "0",
    "data-record": recordId(node.record), "data-index": node.record,
    "aria-label": `${leaves(record)}: ${about(record)}${wrong ? "; has a problem" : ""}`,
    click: choose,
    keydown: (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose();
    },
  }, [
    ["kind", `${wrong ? "! " : ""}${leaves(record)}`], ["what", short(about(record), 27)],
    ["id", record.id === null ? "no record" : recordId(node.record).slice(0, 16)],
  ], `${record.stage}: ${record.folder}`);
}

/** Arrow keys go to the next box in a direction. */
function walkGraph(event, boxes) {
  const step = STEPS[event.key];
  const here = boxes.find((node) => node.key === event.target.closest("[data-key]")?.dataset.key);
  if (!step || !here || Math.abs(step[0]) > 1) return;
  const [down, right] = step;
  const nearest = boxes
    .filter((node) => node !== here && !node.cell &&
      (down ? Math.sign(node.layer - here.layer) === down
            : node.layer === here.layer && Math.sign(node.x - here.x) === right))
    .sort((one, other) => distance(one, here) - distance(other, here))[0];
  if (nearest) event.currentTarget.querySelector(`[data-key="${nearest.key}"]`).focus();
  event.preventDefault();
}

const distance = (one, other) => Math.abs(one.layer - other.layer) * 1e4 + Math.abs(one.x - other.x);
