// The page put together: overview, filters, the panel and its address.

/** Write a name so that it can stand in the page's address, commas as they are. */
const address = (text) => {
  const [kind, ...name] = text.split("=");
  return `${kind}=${encodeURIComponent(name.join("=")).replaceAll("%2C", ",")}`;
};

function goTo(text) {
  const hash = `#${address(text)}`;
  if (location.hash === hash) route();
  else location.hash = hash;
}

/** Open what the page's address names; the address is the only state of the panel. */
function route() {
  const [, kind, written] = /^#(cell|record)=(.*)$/s.exec(location.hash) ?? [];
  const name = kind && decoded(written);
  const cell = kind === "cell" && DATA.cells.find((each) => cellName(each) === name);
  const record = kind === "record" ? DATA.records.findIndex((_, index) =>
    name.length >= 8 && recordId(index).startsWith(name)) : -1;
  if (cell) show("Number", `${cell.model} · ${cell.method} · ${cell.task} ${cell.metric}`, cellView(cell));
  else if (record >= 0) show("Record", DATA.records[record].folder, recordAlone(record));
  else if (byId("panel").open) byId("panel").close();
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

let opener = null;

function show(kind, title, view) {
  const panel = byId("panel");
  byId("panel-kind").textContent = kind;
  byId("panel-title").textContent = title;
  byId("panel-body").replaceChildren(view);
  document.title = `${title} · Audit`;
  if (!panel.open) {
    opener = document.activeElement;
    panel.showModal();
  }
  byId("panel-body").scrollTop = 0;
  for (const graph of view.querySelectorAll(".lineage"))
    graph.parentElement.scrollLeft = (graph.clientWidth - graph.parentElement.clientWidth) / 2;
  byId("panel-title").focus();
}

function closed() {
  document.title = "Audit";
  byId("panel-body").replaceChildren();
  if (/^#(cell|record)=/.test(location.hash))
    history.pushState(null, "", location.href.replace(/#.*$/s, ""));
  if (opener?.isConnected) opener.focus();
}

function options(select, names) {
  select.append(...names.map((name, place) => element("option", { value: place ? name : "" }, name)));
}

function buildFilters() {
  options(byId("of-model"), ["every model", ...unique(DATA.cells.map((cell) => cell.model))]);
  options(byId("of-task"), ["every task", ...unique(DATA.cells.map((cell) => cell.task))]);
  const found = new Set(VERDICT_OF);
  const verdicts = [...Object.keys(VERDICTS), NO_CLAIM].filter((verdict) => found.has(verdict));
  options(byId("of-verdict"), ["every verdict", ...verdicts, ...(WRONG.some(Boolean) ? [PROBLEM] : [])]);
  for (const id of ["search", "of-model", "of-task", "of-verdict"])
    byId(id).addEventListener("input", applyFilters);
  applyFilters();
}

function applyFilters() {
  const { matches, records } = search(byId("search").value);
  const [model, task, verdict] = ["of-model", "of-task", "of-verdict"].map((id) => byId(id).value);
  let count = 0;
  DATA.cells.forEach((cell, index) => {
    if ((model && cell.model !== model) || (task && cell.task !== task)
      || (verdict && !(verdict === PROBLEM ? WRONG[index] : VERDICT_OF[index] === verdict)))
      matches[index] = 0;
    count += matches[index];
  });
  showMatches(matches);
  byId("count").textContent = `${whole(count)} of ${whole(DATA.cells.length)} numbers`;
  showFoundRecords(records);
}

const RECORDS_SHOWN = 8;

function showFoundRecords(records) {
  const place = byId("found-records");
  place.hidden = !records.length;
  place.replaceChildren("Records: ", ...records.slice(0, RECORDS_SHOWN).map((index) =>
    element("a", { class: "chip none", href: `#record=${recordId(index)}`, "data-record": recordId(index) },
      DATA.records[index].folder)),
    records.length > RECORDS_SHOWN ? ` and ${records.length - RECORDS_SHOWN} more` : "");
}

function buildOverview() {
  const table = recordId(DATA.table);
  const rerun = DATA.cells.filter((cell) => cell.independent).length;
  const tile = (term, value, note, from) => element("div", from, element("dt", {}, term),
    element("dd", {}, element("b", {}, value), element("span", {}, note)));
  byId("overview").append(
    tile("Numbers", whole(DATA.cells.length), `${whole(rerun)} independently rerun`, { "data-record": table }),
    tile("Records behind them", whole(DATA.records.length), `${whole(DATA.hashes.length)} hashes`, { "data-record": table }),
    DATA.claims.length ? tile("Claims attempted", `${DATA.claims.filter(attempted).length} of ${DATA.claims.length}`,
      verdictCounts(), { "data-claim": "all" }) : "",
    ...DATA.verifications.map((outcome) => tile(`Verified ${outcome.what}`,
      !outcome.of_this_table ? "Out of date" : outcome.problems ? `${outcome.problems} problems` : "All match",
      `${whole(outcome.files)} files, ${size(outcome.bytes)}` +
        (outcome.finished ? `, ${moment(outcome.finished)}` : ""),
      { "data-record": recordId(outcome.record) })));
}

function verdictCounts() {
  return Object.keys(VERDICTS).map((verdict) => {
    const count = DATA.claims.filter((claim) => claim.verdict === verdict).length;
    return count && verdict !== "not attempted" ? `${count} ${verdict}` : null;
  }).filter(Boolean).join(", ") || "none yet";
}

function buildProblems() {
  byId("problems").hidden = !DATA.problems.length;
  byId("problems").querySelector("ul").append(...DATA.problems.map(({ text, records }) =>
    element("li", { "data-record": records.length ? recordId(records[0]) : null }, text)));
}

function buildLegend() {
  byId("legend").append(
    ...Object.entries(VERDICTS).filter(() => DATA.claims.length).map(([verdict]) => chip(verdict)),
    element("span", { class: "mark own" }, "author run"),
    element("span", { class: "mark independent" }, "independently rerun"),
    element("span", { class: "keys" }, "Arrow keys move, Enter opens, Escape closes."));
}

function buildColophon() {
  const { run } = DATA.records[DATA.table];
  byId("colophon").append(element("p", { "data-record": recordId(DATA.table) },
    "A view of the records beside the results; it holds no result of its own and verifies nothing: ",
    element("code", {}, "bat audit verify"), " does. ",
    run?.finished ? `Table of ${moment(run.finished)}` : "",
    run?.commit ? `, commit ${run.commit.slice(0, 10)}${run.dirty ? " with changes" : ""}.` : ""));
}

const THEMES = ["light dark", "light", "dark"];
const THEME_NAMES = { "light dark": "Theme: system", light: "Theme: light", dark: "Theme: dark" };

function setTheme(theme) {
  document.documentElement.style.colorScheme = theme;
  byId("theme").textContent = THEME_NAMES[theme];
  byId("theme").dataset.theme = theme;
}

function buildTheme() {
  setTheme(THEMES.includes(stored()) ? stored() : THEMES[0]);
  byId("theme").addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(byId("theme").dataset.theme) + 1) % THEMES.length];
    setTheme(next);
    try { localStorage.setItem("theme", next); } catch { /* not everywhere allowed */ }
  });
}

function stored() {
  try { return localStorage.getItem("theme"); } catch { return null; }
}

buildTheme();
buildProblems();
buildOverview();
buildGrid();
buildFilters();
buildLegend();
buildClaims();
buildFigures();
buildColophon();
byId("close").addEventListener("click", () => byId("panel").close());
byId("panel").addEventListener("close", closed);
byId("panel").addEventListener("click", (event) => {
  if (event.target === byId("panel")) byId("panel").close(); // beside the panel
});
window.addEventListener("hashchange", route);
route();
(window.requestIdleCallback ?? setTimeout)(textsOfRecords);
document.documentElement.dataset.ready = "";
