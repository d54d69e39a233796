// Charts over time. Each <figure data-chart="name"> shows one chart of the JSON at its `data-src`, or
// of the JSON <script> that its `data-from` names, as {at, charts: {name: {unit, line, series}}, marks}.
// A series is {label, colour, values}, with `low` and `high` for a band; a mark {at, label, url, kind}.
(() => {
  "use strict";
  const HEIGHT = 190;
  const sync = uPlot.sync("clipper");
  const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
  const clock = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
  const minute = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
  const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
  const DAY_S = 24 * 3600;
  const drawn = [];

  const colour = (name) =>
    name.startsWith("--") ? getComputedStyle(document.documentElement).getPropertyValue(name).trim() : name;
  const shown = (value, unit) => (value == null ? "—" : `${number.format(value)} ${unit}`.trim());

  function element(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  // --- data ---------------------------------------------------------------------------------

  const fetched = new Map();

  function load(figure) {
    const { src, from } = figure.dataset;
    if (from) return Promise.resolve(JSON.parse(document.getElementById(from).textContent));
    if (!fetched.has(src))
      fetched.set(src, fetch(src, { credentials: "same-origin" }).then((answer) => answer.ok ? answer.json() : Promise.reject(answer.status)));
    return fetched.get(src);
  }

  // --- one chart ----------------------------------------------------------------------------

  function options(chart, at, width) {
    const line = chart.line == null ? [] : [{ label: chart.line_label || "objective", colour: "--clp-muted", values: at.map(() => chart.line), dash: [5, 4] }];
    const columns = [];
    const bands = [];
    for (const each of [...chart.series, ...line]) {
      columns.push(each);
      if (each.low) {
        columns.push({ label: `${each.label}, high`, colour: each.colour, values: each.high, edge: true });
        columns.push({ label: `${each.label}, low`, colour: each.colour, values: each.low, edge: true });
        const place = columns.length;
        bands.push({ series: [place - 1, place], fill: () => `color-mix(in oklab, ${colour(each.colour)} 22%, transparent)` });
      }
    }
    const axis = { stroke: () => colour("--clp-muted"), grid: { stroke: () => colour("--clp-line"), width: 1 }, ticks: { show: false } };
    return {
      data: [at, ...columns.map((column) => column.values)],
      settings: {
        width,
        height: HEIGHT,
        bands,
        cursor: { sync: { key: sync.key }, focus: { prox: 24 }, points: { size: 6 } },
        // One point alone ends a day.
        scales: { x: { range: (_, low, high) => (at.length > 1 ? [low, high] : [low - DAY_S, low]) }, y: { range: (_, low, high) => [Math.min(low ?? 0, 0), chart.top ?? ((high ?? 0) > 0 ? high * 1.06 : 1)] } },
        axes: [{ ...axis, values: times }, { ...axis, size: 58, values: (_, ticks) => ticks.map((tick) => shown(tick, chart.unit)) }],
        series: [
          { value: (_, x) => (x == null ? "—" : clock.format(x * 1e3)) },
          ...columns.map((column) => ({
            label: column.label,
            stroke: () => colour(column.colour),
            width: column.edge ? 0 : 1.75,
            dash: column.dash,
            spanGaps: false,
            points: { show: column.edge ? false : undefined, size: 4 },
            value: (_, y) => shown(y, chart.unit),
          })),
        ],
      },
    };
  }

  // Minutes, with the day where it begins; days alone where they are further apart.
  function times(_, ticks, __, ___, step) {
    return ticks.map((tick, place) => {
      const today = day.format(tick * 1e3);
      if (step >= DAY_S) return today;
      const same = place && day.format(ticks[place - 1] * 1e3) === today;
      return minute.format(tick * 1e3) + (same ? "" : `\n${today}`);
    });
  }

  // Links over the plot: a line where something happened, a triangle at its foot.
  function addMarks(plot, marks) {
    const { min, max } = plot.scales.x;
    const [first, second] = plot.data[0];
    plot.over.querySelectorAll(".clp-mark").forEach((mark) => mark.remove());
    for (const { at, label, url, kind } of marks) {
      if (at < min || at > max + (second - first || 0)) continue; // the last step goes on
      const mark = element(url ? "a" : "span", { className: "clp-mark", title: label }, element("span", { className: "clp-hidden", textContent: label }));
      // Among dozens of marks nobody tabs to the next chart: the timeline has them all by keyboard.
      if (url) Object.assign(mark, { href: url, tabIndex: -1 });
      mark.dataset.kind = kind;
      mark.style.left = `${Math.min(1, (at - min) / (max - min)) * 100}%`;
      plot.over.append(mark);
    }
  }

  function table(name, chart, at) {
    const head = element("tr", {}, ...["Time", ...chart.series.map((each) => each.label)].map((text) => element("th", { scope: "col", textContent: text })));
    const rows = at.map((x, place) =>
      element("tr", {}, element("th", { scope: "row", textContent: clock.format(x * 1e3) }),
        ...chart.series.map((each) => element("td", { textContent: shown(each.values[place], chart.unit) }))));
    const body = element("table", { className: "clp-table" }, element("caption", { className: "clp-hidden", textContent: name }), element("thead", {}, head), element("tbody", {}, ...rows));
    const frame = element("div", { className: "clp-chart-rows", tabIndex: 0, role: "region", ariaLabel: `${name}, as a table` }, body);
    return element("details", { className: "clp-chart-table" }, element("summary", { textContent: "Table" }), frame);
  }

  function draw(figure, { at, charts, marks = [] }) {
    const chart = charts[figure.dataset.chart];
    const name = figure.querySelector("figcaption").textContent.trim();
    figure.querySelectorAll(".clp-plot, .clp-chart-table, .clp-chart-said").forEach((old) => old.remove());
    if (!chart.series.some((each) => each.values.some((value) => value != null))) {
      figure.append(element("p", { className: "clp-hint clp-chart-said", textContent: "Nothing was counted in this time yet." }));
      return;
    }
    const place = element("div", { className: "clp-plot", tabIndex: 0, role: "group", ariaLabel: `${name}: left and right move along it` });
    const said = element("p", { className: "clp-hidden clp-chart-said", ariaLive: "polite" });
    figure.append(place, said, table(name, chart, at));
    const { data, settings } = options(chart, at, place.clientWidth || 600);
    settings.hooks = { setScale: [(plot, key) => key === "x" && plot.over && addMarks(plot, marks)] };
    const plot = new uPlot(settings, data, place);
    addMarks(plot, marks);
    drawn.push(plot);
    new ResizeObserver(() => place.clientWidth && place.clientWidth !== plot.width && plot.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place);
    let cursor = at.length;
    place.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: cursor - 1, ArrowRight: cursor + 1, Home: 0, End: at.length - 1 };
      if (!(event.key in moves)) return;
      event.preventDefault();
      cursor = Math.max(0, Math.min(at.length - 1, moves[event.key]));
      plot.setCursor({ left: plot.valToPos(at[cursor], "x"), top: plot.over.clientHeight / 2 });
      said.textContent = [clock.format(at[cursor] * 1e3), ...chart.series.map((each) => `${each.label} ${shown(each.values[cursor], chart.unit)}`)].join(", ");
    });
  }

  function drawAll(root) {
    for (const figure of root.querySelectorAll("figure[data-chart]"))
      load(figure).then(
        (found) => draw(figure, found),
        (why) => figure.append(element("p", { className: "clp-hint", textContent: `The numbers could not be read (${why}): load the page again.` })),
      );
  }

  drawAll(document);
  document.addEventListener("htmx:afterSwap", (event) => drawAll(event.target));
  new MutationObserver(() => drawn.forEach((plot) => plot.redraw(false))).observe(document.documentElement, { attributeFilter: ["class"] });
})();
