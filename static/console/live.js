// Keeps the home page up to date in place, and remembers the last minutes for its curves.
(() => {
  "use strict";
  const EVERY_MS = 2000;
  const REMEMBERED_S = 300;
  const RECENT_S = 60;
  const STORAGE = "clipper.live.history";
  const WIDTH = 300;
  const HEIGHT = 56;

  const page = document.getElementById("live");
  if (!page) return;
  const history = recalled();
  let timer = null;

  // --- history: per application, points {at, rate, p99, counts} ----------------------------

  function recalled() {
    try {
      return new Map(JSON.parse(sessionStorage.getItem(STORAGE)) || []);
    } catch {
      return new Map();
    }
  }

  function remember(application, at) {
    const points = history.get(application.name) || [];
    points.push({ at, rate: application.rate, p99: application.p99_ms, counts: application.counts });
    while (points[0].at < at - REMEMBERED_S) points.shift();
    history.set(application.name, points);
    return points;
  }

  function store() {
    try {
      sessionStorage.setItem(STORAGE, JSON.stringify([...history]));
    } catch {
      // A full or forbidden storage only costs the curves' past.
    }
  }

  // --- curves -------------------------------------------------------------------------------

  function curve(svg, values, ceiling) {
    const top = Math.max(ceiling || 0, ...values.map((point) => point.value)) * 1.15 || 1;
    const newest = values.length ? values[values.length - 1].at : 0;
    // A short past fills the width of a minute, a long one that of five.
    const span = Math.max(RECENT_S, values.length ? newest - values[0].at : 0);
    const x = (at) => WIDTH - ((newest - at) / span) * WIDTH;
    const y = (value) => HEIGHT - 1 - (value / top) * (HEIGHT - 4);
    const line = values.map((p) => `${x(p.at).toFixed(1)},${y(p.value).toFixed(1)}`).join(" L");
    const first = values.length ? x(values[0].at).toFixed(1) : WIDTH;
    svg.querySelector(".clp-spark-line").setAttribute("d", line ? `M${line}` : "");
    svg
      .querySelector(".clp-spark-area")
      .setAttribute("d", line ? `M${first},${HEIGHT} L${line} L${WIDTH},${HEIGHT} Z` : "");
    const limit = svg.querySelector(".clp-spark-limit");
    if (limit) limit.setAttribute("d", ceiling ? `M0,${y(ceiling)} H${WIDTH}` : "");
  }

  // --- the last minute's shares, once it has been watched long enough -----------------------

  function percent(part, whole) {
    if (whole <= 0) return "—";
    const value = (100 * part) / whole;
    if (value > 0 && value < 0.1) return "< 0.1 %";
    if (value > 99.9 && value < 100) return "> 99.9 %";
    return `${value.toFixed((value > 0 && value < 10) || (value > 99 && value < 100) ? 1 : 0)} %`;
  }

  function recent(card, points) {
    const last = points[points.length - 1];
    const first = points.find((point) => point.at >= last.at - RECENT_S);
    const grown = (name) => last.counts[name] - first.counts[name];
    // A query that ends in an error is none of the `queries`, which were answered.
    const asked = grown("queries") + grown("errors");
    // Fewer than before: a web process has restarted and counts from zero.
    if (last.at - first.at < RECENT_S / 6 || asked <= 0) return;
    const shares = {
      defaults: [grown("defaults"), asked],
      late: [grown("late") + grown("errors"), asked],
      hits: [grown("hits"), grown("hits") + grown("misses")],
    };
    for (const [name, [part, whole]] of Object.entries(shares)) {
      if (part >= 0 && whole > 0) write(card, name, percent(part, whole));
    }
    card.querySelector("[data-span]").textContent = "last minute";
  }

  // --- writing into the page ----------------------------------------------------------------

  function write(root, name, value) {
    for (const element of root.querySelectorAll(`[data-text="${name}"]`)) {
      if (element.textContent !== value) element.textContent = value;
    }
  }

  function show(element, item) {
    if (item.state !== undefined) element.dataset.state = item.state;
    for (const [name, value] of Object.entries(item.text)) write(element, name, String(value));
    for (const link of element.querySelectorAll("[data-href]")) link.href = item.url;
    if (element.matches("[data-href]")) element.href = item.url;
    for (const bar of element.querySelectorAll("[data-bar]")) bar.style.width = `${item.percent}%`;
    const problem = element.querySelector("[data-problem]");
    if (problem) problem.textContent = item.problem || "";
  }

  function list(container, items, key) {
    const rows = new Map([...container.children].map((row) => [row.dataset.key, row]));
    const template = document.getElementById(container.dataset.template);
    const wanted = items.map((item) => {
      const name = String(item[key]);
      const row = rows.get(name) || template.content.firstElementChild.cloneNode(true);
      row.dataset.key = name;
      for (const element of row.querySelectorAll("[data-name]")) element.textContent = name;
      show(row, item);
      return row;
    });
    const same =
      wanted.length === container.children.length &&
      wanted.every((row, index) => container.children[index] === row);
    if (!same) container.replaceChildren(...wanted);
  }

  function card(application, at) {
    const element = page.querySelector(`[data-application="${application.name}"]`);
    show(element, application);
    list(element.querySelector("[data-list=arms]"), application.arms, "arm");
    const points = remember(application, at);
    curve(
      element.querySelector("[data-spark=rate]"),
      points.map((point) => ({ at: point.at, value: point.rate })),
      0,
    );
    curve(
      element.querySelector("[data-spark=p99]"),
      points.filter((p) => p.p99 !== null).map((point) => ({ at: point.at, value: point.p99 })),
      application.slo_ms,
    );
    recent(element, points);
  }

  function draw(live) {
    const shown = [...page.querySelectorAll("[data-application]")].map((e) => e.dataset.application);
    const names = live.applications.map((application) => application.name);
    if (shown.join() !== names.join()) return location.reload();
    show(page.querySelector("[data-web]"), live.web);
    for (const application of live.applications) card(application, live.at);
    list(page.querySelector("[data-list=alarms]"), live.alarms, "name");
    list(page.querySelector("[data-list=models]"), live.models, "name");
    list(page.querySelector("[data-list=releases]"), live.releases, "id");
    list(page.querySelector("[data-list=processes]"), live.processes, "id");
    const problem = page.querySelector("[data-live-problem]");
    problem.textContent = live.problem;
    problem.hidden = !live.problem;
    store();
  }

  function pulse(state, words) {
    const element = page.querySelector("[data-pulse]");
    element.dataset.pulse = state;
    element.querySelector("[data-pulse-text]").textContent = words;
  }

  // --- asking -------------------------------------------------------------------------------

  async function look() {
    try {
      const answer = await fetch(page.dataset.url, { credentials: "same-origin" });
      if (answer.status === 401) return location.reload();
      if (!answer.ok) throw new Error(answer.status);
      const live = await answer.json();
      draw(live);
      pulse(live.reachable ? "on" : "off", live.reachable ? "Live" : "Redis is away");
    } catch {
      pulse("off", "Not reachable, trying again");
    }
    timer = document.hidden ? null : setTimeout(look, EVERY_MS);
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    timer = null;
    if (!document.hidden) look();
  });
  look();
})();
