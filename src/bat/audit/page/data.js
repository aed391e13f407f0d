// The data in the page, and the way from a number back through the records.

const DATA = JSON.parse(byId("data").textContent);

const VERDICTS = {
  identical: { sign: "=", tone: "good", text: "identical at the printed precision" },
  equivalent: { sign: "≈", tone: "good", text: "equivalent within the margin" },
  different: { sign: "≠", tone: "bad", text: "different" },
  undecided: { sign: "?", tone: "unsure", text: "undecided" },
  "not attempted": { sign: "–", tone: "none", text: "not attempted" },
};
const HOLDINGS = {
  holds: { sign: "✓", tone: "good" }, "does not hold": { sign: "✗", tone: "bad" },
};
const NO_CLAIM = "no claim";
const PROBLEM = "depends on a problem";
// The verdict that a cell with several claims is shown with: the worst comes first.
const WORST_FIRST = ["different", "undecided", "not attempted", "equivalent", "identical"];

// What a stage leaves behind, as people call it.
const LEAVES = {
  download: "Source archive", acquire: "Source archives", inventory: "Source folder",
  weights: "Published weights", resample: "Ledger and recordings", account: "Ledger",
  prepare: "Manifest", frontend: "Spectrograms", pretrain: "Checkpoint", convert: "Checkpoint",
  embed: "Embeddings", probe: "Head and predictions", finetune: "Head and predictions",
  baseline: "Predictions", figure: "Figures", audit: "Verification", table: "Statistics",
};

const hash = (index) => DATA.hashes[index];
const recordId = (index) => {
  const { id } = DATA.records[index];
  return id === null ? "" : hash(id);
};
const cellName = (cell) => `${cell.model},${cell.method},${cell.task},${cell.metric}`;
const leaves = (record) => LEAVES[record.stage] ?? record.stage;

// From the general to the particular.
const SELECTION = ["dataset", "weights", "frontend", "model", "method", "group", "task", "part"];

/** What a job is about, as names and values in a settled order; a part that is all is no part. */
const selection = (record) => Object.entries(record.selection)
  .filter(([name, value]) => name !== "part" || value !== "all")
  .sort(([one], [other]) => SELECTION.indexOf(one) - SELECTION.indexOf(other));
const about = (record) => selection(record).map(([, value]) => value).join(" · ") || record.folder;

function verdictOf(cell) {
  if (!cell.claims.length) return NO_CLAIM;
  const found = new Set(cell.claims.map((claim) => DATA.claims[claim].verdict));
  return WORST_FIRST.find((verdict) => found.has(verdict));
}

const VERDICT_OF = DATA.cells.map(verdictOf);

/** Indices of some records and all that is behind them. Inputs come first in the data. */
function behind(records) {
  const depth = new Map(records.map((record) => [record, 0]));
  for (let index = Math.max(...records, -1); index >= 0; index--) {
    if (!depth.has(index)) continue;
    for (const { record } of DATA.records[index].inputs)
      if (record !== null) depth.set(record, Math.max(depth.get(record) ?? 0, depth.get(index) + 1));
  }
  return depth;
}

/** Tell of every record whether it is one of some, or was made from one. */
function madeFrom(records) {
  const marked = new Uint8Array(DATA.records.length);
  for (const record of records) marked[record] = 1;
  DATA.records.forEach(({ inputs }, index) => {
    if (inputs.some(({ record }) => record !== null && marked[record])) marked[index] = 1;
  });
  return marked;
}

// Numbers that depend on something that is wrong.
const WRONG = (() => {
  const unsaid = DATA.problems.filter((problem) => problem.cells === null);
  const marked = madeFrom(unsaid.flatMap((problem) => problem.records));
  const said = new Set(DATA.problems.flatMap((problem) => problem.cells ?? []));
  return DATA.cells.map((cell, index) => said.has(index) || cell.records.some((record) => marked[record]));
})();

const PROBLEMS_OF = new Map();
DATA.problems.forEach((problem) => problem.records.forEach((record) =>
  PROBLEMS_OF.set(record, [...(PROBLEMS_OF.get(record) ?? []), problem.text])));
