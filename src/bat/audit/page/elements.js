// Elements, and how values are written. Whatever comes from the data becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: attributes by name, functions as listeners, strings as text. */
function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an element of a drawing. */
function drawing(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined)
      made.setAttribute(name, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}

const byId = (id) => document.getElementById(id);

/** A list of terms and what they are; entries without a value are left out. */
function definitions(entries, attributes = {}) {
  const shown = entries.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element("dl", attributes, shown.map(([term, value]) => [
    element("dt", {}, term), element("dd", {}, value),
  ]));
}

/** A table of plain rows; columns in `numeric` are set right. */
function plainTable(columns, rows, { numeric = [], caption = null } = {}) {
  const kind = (place) => ({ class: numeric.includes(place) ? "numeric" : null });
  return element("div", { class: "scroller", tabindex: "0", role: "region",
                          "aria-label": caption ?? columns.join(", ") },
    element("table", {},
      caption && element("caption", {}, caption),
      element("thead", {}, element("tr", {}, columns.map((name, place) =>
        element("th", { scope: "col", ...kind(place) }, name)))),
      element("tbody", {}, rows.map((row) => element("tr", {}, row.map((value, place) =>
        element("td", kind(place), value)))))));
}

const percent = (value) => value.toFixed(2);
const whole = (count) => count.toLocaleString("en");

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let place = 0;
  while (bytes >= 1000 && place < units.length - 1) [bytes, place] = [bytes / 1000, place + 1];
  return `${place ? bytes.toPrecision(3) : bytes} ${units[place]}`;
}

function duration(seconds) {
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(1)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

const moment = (text) => text && text.replace("T", " ").replace("+00:00", " UTC");

/** Quote a word for a POSIX shell. */
const quoted = (word) =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;

/** A hash, short enough to read and there as a whole for those who point at it or copy it. */
function hashText(hash, digits = 16) {
  return element("code", { class: "hash", title: hash, "data-hash": hash },
    digits < hash.length ? `${hash.slice(0, digits)}…` : hash);
}

/** A command with a button that copies it. */
function command(label, text) {
  const code = element("code", {}, text);
  const button = element("button", { type: "button", class: "copy", "data-command": text,
    "aria-label": `Copy: ${label}`, click: () => copy(text, button) }, "Copy");
  return element("div", { class: "command" },
    element("p", {}, label), element("pre", { tabindex: "0" }, code), button);
}

async function copy(text, button) {
  const done = (await copyByClipboard(text)) || copyBySelection(text, button);
  byId("said").textContent = done ? "Copied" : "Could not copy; select the text instead";
  button.textContent = done ? "Copied" : "Copy";
  setTimeout(() => { button.textContent = "Copy"; byId("said").textContent = ""; }, 2000);
}

async function copyByClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // no permission, or no clipboard on this address
  }
}

/** The way before there was a clipboard; the field must lie in the dialog, all else is inert. */
function copyBySelection(text, button) {
  const field = element("textarea", { class: "unseen", readonly: true });
  field.value = text;
  button.after(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  button.focus();
  return done;
}
