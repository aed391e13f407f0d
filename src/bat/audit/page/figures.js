// Figures, each with the table of its numbers.

function buildFigures() {
  byId("figures").hidden = !DATA.figures.length;
  byId("figure-list").append(...DATA.figures.map(figureView));
}

function figureView(figure) {
  const record = recordId(figure.record);
  const isNumber = (place) => figure.rows.every((row) => row[place] !== "" && !Number.isNaN(Number(row[place])));
  return element("figure", { "data-record": record },
    figure.image
      ? element("img", { src: figure.image, alt: `Figure: ${figure.name}`, loading: "lazy", decoding: "async" })
      : element("p", { class: "notice" }, `${size(figure.bytes)}, too large to be carried in this page.`),
    element("figcaption", {}, element("b", {}, capital(figure.name)), " ",
      element("a", { href: `#${address(`record=${record}`)}` }, "its record"), " ",
      hashText(hash(figure.sha256))),
    figure.rows.length ? element("details", {}, element("summary", {}, "Its numbers"),
      plainTable(figure.columns, figure.rows, {
        numeric: figure.columns.map((_, place) => place).filter(isNumber), caption: `Numbers of ${figure.name}`,
      })) : null);
}
