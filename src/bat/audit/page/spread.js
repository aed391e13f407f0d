// Seeds and spread: a dot for every run, one line per fold, with the interval and the claim.

const SPREAD = { most: 660, name: 7, right: 24, line: 26, top: 30 };

function spread(cell) {
  const claims = cell.claims.map((claim) => DATA.claims[claim]);
  const values = cell.folds.flatMap((fold) => fold.values);
  const width = Math.min(SPREAD.most, document.documentElement.clientWidth - 40);
  const left = 20 + SPREAD.name * Math.min(17, Math.max(...cell.folds.map(({ fold }) => fold.length)));
  const scale = scaleOf(left, width - SPREAD.right, [...values, cell.low, cell.high, ...claims.map((claim) => claim.value)]);
  const height = SPREAD.top + cell.folds.length * SPREAD.line + 30;
  const figure = drawing("svg", { class: "spread", width, height, viewBox: `0 0 ${width} ${height}`,
    role: "img", "aria-label": `${values.length} runs in ${cell.folds.length} folds, between ` +
      `${percent(Math.min(...values))} and ${percent(Math.max(...values))} %` });
  const bottom = height - 26;
  figure.append(
    drawing("rect", { class: "interval", x: scale(cell.low), y: SPREAD.top - 12,
      width: Math.max(1, scale(cell.high) - scale(cell.low)), height: bottom - SPREAD.top + 12 }),
    drawing("line", { class: "mean", x1: scale(cell.mean), x2: scale(cell.mean),
      y1: SPREAD.top - 12, y2: bottom }),
    drawing("text", { class: "label", x: scale(cell.mean), y: SPREAD.top - 17,
      "text-anchor": "middle" }, `mean ${percent(cell.mean)}`),
    ...scale.ticks.map((tick) => drawing("g", { class: "tick" },
      drawing("line", { x1: scale(tick), x2: scale(tick), y1: bottom, y2: bottom + 5 }),
      drawing("text", { x: scale(tick), y: bottom + 19, "text-anchor": "middle" }, `${tick} %`))),
    drawing("line", { class: "axis", x1: left, x2: width - SPREAD.right, y1: bottom, y2: bottom }),
    ...cell.folds.flatMap((fold, place) => foldLine(fold, SPREAD.top + (place + 0.5) * SPREAD.line, scale, left, width)),
    ...claims.map((claim) => claimMark(claim, scale(claim.value), bottom)),
  );
  return figure;
}

function foldLine(fold, y, scale, left, width) {
  const many = fold.values.length;
  return [
    drawing("line", { class: "fold", x1: left, x2: width - SPREAD.right, y1: y, y2: y }),
    drawing("text", { class: "name", x: left - 12, y: y + 4, "text-anchor": "end" }, short(fold.fold, 17)),
    ...fold.values.map((value, place) => drawing("circle", { class: "run", cx: scale(value), r: 4,
      cy: y + (many > 1 ? (place / (many - 1) - 0.5) * 11 : 0) },
      drawing("title", {}, `${fold.fold}, seed ${fold.seeds[place]}: ${percent(value)} %`))),
  ];
}

function claimMark(claim, x, bottom) {
  return drawing("path", { class: "claim", d: `M${x} ${bottom - 6}l6 6l-6 6l-6 -6z` },
    drawing("title", {}, `the paper: ${claim.printed} %`));
}

/** Map percent to a place between left and right, with round ticks. */
function scaleOf(left, right, values) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100].find((each) => (high - low) / each <= (right - left) / 60) ?? 200;
  [low, high] = [Math.floor(low / step) * step, Math.ceil(high / step) * step];
  if (low === high) high = low + step;
  const scale = (value) => left + ((value - low) / (high - low)) * (right - left);
  const count = Math.round((high - low) / step);
  scale.ticks = Array.from({ length: count + 1 }, (_, place) => Number((low + place * step).toFixed(1)));
  return scale;
}

function spreadTable(cell) {
  const seeds = unique(cell.folds.flatMap((fold) => fold.seeds));
  const value = (fold, seed) => {
    const place = fold.seeds.indexOf(seed);
    return place < 0 ? "" : percent(fold.values[place]);
  };
  const table = plainTable(["fold", ...seeds.map((seed) => `seed ${seed}`)],
    cell.folds.map((fold) => [fold.fold, ...seeds.map((seed) => value(fold, seed))]),
    { numeric: seeds.map((_, place) => place + 1), caption: "Every run, in %" });
  return element("details", {}, element("summary", {}, "As a table"), table);
}

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
