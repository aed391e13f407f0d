// Search: every number and every record is one lower-case string.

const CELL_TEXTS = DATA.cells.map((cell) =>
  `${cell.model} ${cell.method} ${cell.task} ${cell.metric} ${cellName(cell)} ${cell.record}`
    .toLowerCase());

// Made in the first idle moment, or when somebody looks for a hash or a path before that.
let recordTexts = null;

function textsOfRecords() {
  recordTexts ??= DATA.records.map((record, index) => [
    recordId(index), record.stage, record.folder,
    ...record.outputs.flatMap(({ name, sha256 }) => [name, hash(sha256)]),
  ].join(" ").toLowerCase());
  return recordTexts;
}

const isHash = (word) => /^[0-9a-f]{6,64}$/.test(word);
const isPath = (word) => word.includes("/");

/**
 * Find numbers. Every word must be in a number's names; a word that is a hash or a path stands for
 * the records that have it, and finds the numbers that were made from them.
 */
function search(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = new Uint8Array(DATA.cells.length).fill(1);
  const records = new Set();
  for (const word of words) {
    const found = isHash(word) || isPath(word) ? recordsWith(word) : [];
    const marked = found.length ? madeFrom(found) : null;
    found.forEach((record) => records.add(record));
    for (let index = 0; index < matches.length; index++) {
      if (!matches[index] || CELL_TEXTS[index].includes(word)) continue;
      matches[index] = marked && DATA.cells[index].records.some((record) => marked[record]) ? 1 : 0;
    }
  }
  return { matches, records: [...records] };
}

function recordsWith(word) {
  const found = [];
  textsOfRecords().forEach((text, index) => { if (text.includes(word)) found.push(index); });
  return found;
}
