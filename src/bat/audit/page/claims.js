// Claims of the paper: each with its verdict, whether or not there is a number for it.

const CLAIM_TEXTS = DATA.claims.map((claim) => [claim.id, claim.version, claim.place, claim.model,
  claim.method, claim.task, claim.metric, claim.verdict, claim.reason].join(" ").toLowerCase());

const printed = (claim) => claim.printed +
  (claim.spread === null ? "" : ` ± ${claim.spread}`);
const ours = (claim) => claim.ours.toFixed(claim.cell === null ? claim.decimals : 2) +
  (claim.low === null ? "" : ` [${percent(claim.low)}, ${percent(claim.high)}]`);
const attempted = (claim) => claim.verdict !== "not attempted";

function chip(verdict) {
  const known = VERDICTS[verdict] ?? HOLDINGS[verdict] ?? { sign: "", tone: "none" };
  return element("span", { class: `chip ${known.tone}` },
    element("span", { "aria-hidden": "true" }, known.sign), ` ${verdict}`);
}

/** A claim in the panel of a number. */
function claimView(claim) {
  const record = claim.cell === null ? "" : recordId(DATA.cells[claim.cell].records[0]);
  return element("div", { class: "claim-view", "data-claim": claim.id },
    element("p", {}, chip(claim.verdict), element("span", { "data-claim": claim.id },
      ` ${claim.place} (${claim.version}): ${claim.model} · ${claim.method} · ${claim.task} ${claim.metric}`)),
    definitions([
      ["The paper prints", element("span", { "data-claim": claim.id }, printed(claim))],
      ["Ours", claim.ours === null ? null : element("span", { "data-record": record }, ours(claim))],
      ["Margin", claim.margin === null ? null : element("span", { "data-claim": claim.id },
        `± ${claim.margin.toFixed(2)} points`)],
      ["Given", claim.given],
      ["Scale", claim.scale],
      ["Reason", element("span", { "data-claim": claim.id }, claim.reason)],
    ], { class: "facts" }));
}

// As the paper has them, those that were attempted first.
const CLAIM_ORDER = DATA.claims.map((_, index) => index)
  .sort((one, other) => attempted(DATA.claims[other]) - attempted(DATA.claims[one]) || one - other);
const CLAIM_COLUMNS = ["where", "claim", "printed", "ours", "verdict", "reason"];

function buildClaims() {
  const total = DATA.claims.length;
  byId("claims").querySelector(".tools").hidden = !total;
  byId("coverage").textContent = total
    ? `${DATA.claims.filter(attempted).length} of ${total} printed values were attempted.`
    : "Verdicts were not given yet: bat audit claims";
  byId("coverage").dataset.claim = "all";
  byId("statements").append(...statements());
  if (!total) return;
  const verdicts = Object.keys(VERDICTS).filter((verdict) =>
    DATA.claims.some((claim) => claim.verdict === verdict));
  options(byId("claim-verdict"), ["every verdict", ...verdicts]);
  for (const id of ["claim-search", "claim-verdict"]) byId(id).addEventListener("input", showClaims);
  const list = plainTable(CLAIM_COLUMNS, CLAIM_ORDER.map((index) => claimRow(DATA.claims[index])), { numeric: [2, 3], caption: "Printed values" });
  list.classList.add("claims");
  byId("claim-list").append(list);
  showClaims();
}

function claimRow(claim) {
  const cell = claim.cell === null ? null : DATA.cells[claim.cell];
  const what = `${claim.model} · ${claim.method} · ${claim.task} ${claim.metric}`;
  return [
    element("span", { "data-claim": claim.id }, `${claim.place}, ${claim.version}`),
    element(cell ? "a" : "span", { "data-claim": claim.id,
      href: cell && `#${address(`cell=${cellName(cell)}`)}` }, what),
    element("span", { "data-claim": claim.id }, printed(claim)),
    claim.ours === null ? "" : element("span", cell ? { "data-record": recordId(cell.records[0]) }
      : { "data-claim": claim.id }, ours(claim)),
    chip(claim.verdict),
    element("span", { "data-claim": claim.id }, claim.reason),
  ];
}

function showClaims() {
  const words = byId("claim-search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const verdict = byId("claim-verdict").value;
  let shown = 0;
  [...byId("claim-list").querySelectorAll("tbody tr")].forEach((row, place) => {
    const index = CLAIM_ORDER[place];
    const wanted = (!verdict || DATA.claims[index].verdict === verdict)
      && words.every((word) => CLAIM_TEXTS[index].includes(word));
    row.hidden = !wanted;
    shown += wanted;
  });
  byId("claim-count").textContent = `${shown} of ${DATA.claims.length} claims`;
}

function statements() {
  return DATA.statements.map((statement) => element("details", { class: "statement", "data-claim": statement.id },
    element("summary", {}, statement.text, " ", chip(statement.holding)),
    element("p", { class: "quiet" },
      [statement.place, statement.reason, statement.printed].filter(Boolean).join("; ")),
    statement.findings.length ? plainTable(["difference", "found", "outcome", "at the scale of"],
      statement.findings.map((finding) => [finding.what, difference(finding), chip(finding.holding),
        [finding.scale, finding.given].filter(Boolean).join("; ")]), { numeric: [1] }) : null));
}

const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
const difference = ({ difference: value, low, high }) => (value === null ? "" : signed(value)
  + (low === null ? "" : ` [${signed(low)}, ${signed(high)}]`));
