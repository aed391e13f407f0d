// The panel: one number and everything behind it, or one record.

function cellView(cell) {
  const detail = element("div", { class: "detail", id: "detail" });
  const record = { "data-record": recordId(cell.records[0]) };
  const view = element("div", { class: "cell" });
  const open = (index) => {
    detail.replaceChildren(recordView(index, open));
    for (const node of view.querySelectorAll(".box[data-index]"))
      node.classList.toggle("chosen", Number(node.dataset.index) === index);
    detail.firstChild.scrollIntoView({ block: "nearest" });
    byId("said").textContent = `Record of ${DATA.records[index].folder}`;
  };
  const graph = lineageGraph(cell, open);
  const wide = Number(graph.getAttribute("width")) > 460;
  view.append(
    ...problemsOf(cell),
    numberView(cell),
    part("Claim and verdict", claimsOf(cell)),
    part("Seeds and spread", element("div", record, spread(cell),
      element("p", { class: "quiet" }, "A dot is a run: one seed of one fold. " +
        `The band is the ${level()} % interval over clips.`), spreadTable(cell))),
    part("Lineage",
      element("p", {}, "Each box was made from those below it. Open one to see its record."),
      element("div", { class: wide ? "trace wide" : "trace" },
        element("div", { class: "scroller" }, graph), detail)),
    part("Data behind it", dataOf(cell)),
    part("Rebuild", element("div", { class: "commands", ...record }, commandsOf(cell))),
    part("Environment", environmentOf(cell)));
  open(cell.records[0]);
  byId("said").textContent = "";
  return view;
}

const level = () => Math.round(DATA.confidence * 100);
/** Problems that a number depends on. */
function problemsOf(cell) {
  const index = DATA.cells.indexOf(cell);
  if (!WRONG[index]) return [];
  const lineage = behind(cell.records);
  const texts = DATA.problems.filter(({ records, cells }) =>
    (cells ? cells.includes(index) : records.some((record) => lineage.has(record)))).map(({ text }) => text);
  return [element("div", { class: "notice", "data-record": recordId(cell.records[0]) },
    element("p", {}, "It depends on what does not hold:"),
    element("ul", {}, texts.map((text) => element("li", {}, text))))];
}

const part = (title, ...content) => element("section", {}, element("h3", {}, title), ...content);

function numberView(cell) {
  return element("div", { class: "headline", "data-record": recordId(cell.records[0]) },
    element("p", { class: "value" },
      element("b", {}, percent(cell.mean)), element("i", {}, ` ± ${percent(cell.std)} %`)),
    definitions([
      [`${level()} % interval over clips`, `${percent(cell.low)} to ${percent(cell.high)}`],
      ["Test clips", whole(cell.n_clips) + (cell.comparison_set ? ` of ${cell.comparison_set}` : "")],
      ["Folds × seeds", `${cell.n_folds} × ${cell.n_seeds}`],
      ["Who ran it", cell.mark],
      ["Record", hashText(cell.record)],
    ], { class: "facts" }));
}

function claimsOf(cell) {
  if (!cell.claims.length)
    return element("p", { class: "quiet" }, "The paper prints no value for this model, method, task and metric.");
  return element("div", {}, cell.claims.map((index) => claimView(DATA.claims[index])));
}

/** Recordings that were used or not, and clips, of every ledger and manifest behind a number. */
function dataOf(cell) {
  const lineage = behind(cell.records);
  const ledgers = DATA.ledgers.filter(({ record }) => lineage.has(record));
  const manifests = DATA.manifests.filter(({ record }) => lineage.has(record));
  return element("div", {}, ledgers.map(ledgerView), manifests.map(manifestView));
}

function ledgerView(ledger) {
  const sums = ledger.statuses.map((_, place) => ledger.rows.reduce((sum, row) => sum + row[place], 0));
  const all = sums.reduce((sum, count) => sum + count, 0);
  const numeric = [...ledger.statuses, "all"].map((_, place) => place + 1);
  return element("div", { class: "ledger", "data-record": recordId(ledger.record) },
    element("h4", {}, `Ledger of ${ledger.dataset}`),
    plainTable(["part", ...ledger.statuses, "all"], [
      ...ledger.parts.map((name, place) => [name, ...ledger.rows[place].map(whole),
        whole(ledger.rows[place].reduce((sum, count) => sum + count, 0))]),
      ["all", ...sums.map(whole), whole(all)],
    ], { numeric, caption: "Recordings by part and what became of them" }),
    ledger.reasons.length ? plainTable(["status", "reason", "recordings", "the first"],
      ledger.reasons.map(({ status, reason, rows: count, first }) => [status, reason, whole(count), first]),
      { numeric: [2], caption: "Why recordings are not used" }) : null,
    ledger.more_reasons ? element("p", {}, `and ${whole(ledger.more_reasons)} further reasons`) : null);
}

function manifestView(manifest) {
  const all = manifest.clips.reduce((sum, count) => sum + count, 0);
  return element("div", { class: "ledger", "data-record": recordId(manifest.record) },
    element("h4", {}, `Clips of ${manifest.task}`),
    plainTable(["part", "clips"], [
      ...manifest.parts.map((name, place) => [name, whole(manifest.clips[place])]), ["all", whole(all)],
    ], { numeric: [1], caption: "Clips of the manifest by part" }));
}

function commandsOf(cell) {
  const bat = DATA.params ? `bat --params ${quoted(DATA.params)}` : "bat";
  const name = quoted(`main.csv#${cellName(cell)}`);
  const verified = DATA.claims.length ? unique(cell.claims.map((claim) => DATA.claims[claim].command)) : [];
  const rebuild = rebuildCommand(cell.records.map((record) => DATA.records[record]));
  return [
    command("Rebuild its runs in place, and what depends on them", rebuild),
    command("Rebuild it aside from verified inputs, and compare", `${bat} audit rerun ${name}`),
    command("Rehash everything behind it", `bat audit trace ${name} --verify`),
    ...verified.filter((text) => text && text !== rebuild).map((text) => command("Build what the claim is about", text)),
  ];
}

function environmentOf(cell) {
  return element("div", { "data-record": recordId(cell.records[0]) }, runOf(DATA.records[cell.records[0]]));
}

/** A record by itself, with the numbers that depend on it. */
function recordAlone(index) {
  const marked = madeFrom([index]);
  const cells = DATA.cells.filter((cell) => cell.records.some((record) => marked[record]));
  return element("div", { class: "cell" },
    recordView(index, (other) => goTo(`record=${recordId(other)}`)),
    part("Numbers that depend on it", element("p", {},
      `${whole(cells.length)} of ${whole(DATA.cells.length)}`),
      element("ul", { class: "names" }, cells.slice(0, 60).map((cell) => element("li", {},
        element("a", { href: `#${address(`cell=${cellName(cell)}`)}` },
          `${cell.model} · ${cell.method} · ${cell.task} ${cell.metric}`))),
        cells.length > 60 ? element("li", {}, `and ${whole(cells.length - 60)} more`) : null)));
}
