// Draws how an application's selection went, and keeps the page up to date in place.
(() => {
  "use strict";
  const EVERY_MS = 5000;
  const SELDOM_MS = 60000;
  const DAY_S = 86400;
  // Told apart by most colour-blind people, on white and on dark; more arms go round again.
  const COLOURS = ["#6366f1", "#f59e0b", "#10b981", "#ef4444", "#0ea5e9", "#a855f7", "#84cc16", "#ec4899", "#14b8a6", "#94a3b8"];

  const page = document.getElementById("monitoring");
  if (!page) return;
  const charts = new Map();
  let picture = null;
  let timer = null;

  // --- colours -------------------------------------------------------------------------------

  function token(name) {
    return getComputedStyle(page).getPropertyValue(`--clp-${name}`).trim();
  }

  function colours(names) {
    const sorted = [...names].sort();
    return new Map(sorted.map((name, index) => [name, COLOURS[index % COLOURS.length]]));
  }

  // --- series --------------------------------------------------------------------------------

  const seconds = (text) => Date.parse(text) / 1000;

  // Where nothing changed there is no snapshot: what held before holds until just before the next.
  function held(points, stepS, value) {
    const line = [];
    for (const [index, point] of points.entries()) {
      const at = seconds(point.at);
      const before = points[index - 1];
      if (before && at - seconds(before.at) > 2 * stepS) {
        line.push({ x: at - stepS, y: value(before) });
      }
      line.push({ x: at, y: value(point) });
    }
    return line;
  }

  function shareOf(part, whole) {
    return whole > 0 ? part / whole : null;
  }

  function asked(point) {
    return Object.values(point.arms).reduce((sum, arm) => sum + arm.asked, 0);
  }

  const SERIES = {
    weight: (shown, arm) => held(shown.points, shown.step_s, (point) => point.arms[arm].weight ?? 0),
    reward: (shown, arm) =>
      shown.points.map((point) => ({ x: seconds(point.at), y: point.arms[arm].reward })),
    asked: (shown, arm) =>
      shown.points
        .filter((point) => asked(point) > 0)
        .map((point) => ({ x: seconds(point.at), y: point.arms[arm].asked / asked(point) })),
    missed: (shown, arm) =>
      shown.points.map((point) => {
        const one = point.arms[arm];
        return { x: seconds(point.at), y: shareOf(one.late + one.failed + one.refused, one.asked) };
      }),
  };
  const STACKED = ["weight", "asked"];

  function datasets(kind, shown, colour) {
    const lines = shown.arms.map(({ arm }) => {
      const data = SERIES[kind](shown, arm);
      const stacked = STACKED.includes(kind);
      return {
        label: arm,
        data,
        borderColor: colour.get(arm),
        backgroundColor: `${colour.get(arm)}${stacked ? "b3" : ""}`,
        borderWidth: stacked ? 1 : 2,
        fill: stacked ? (arm === shown.arms[0].arm ? "origin" : "-1") : false,
        pointRadius: data.filter((point) => point.y !== null).length === 1 ? 3 : 0,
        pointHitRadius: 8,
        spanGaps: !stacked,
        tension: 0,
      };
    });
    // The first one is drawn on top.
    return kind === "reward" ? [earned(shown), ...lines, ...bands(shown, colour)] : lines;
  }

  // Where each arm's mean reward lies: a line along the high ends, filled down to that of the low.
  function bands(shown, colour) {
    return shown.arms.flatMap(({ arm }) =>
      ["high", "low"].map((end) => ({
        label: arm,
        band: true,
        data: shown.points.map((point) => ({
          x: seconds(point.at),
          y: point.arms[arm].reward_interval?.[end] ?? null,
        })),
        borderWidth: 0,
        backgroundColor: `${colour.get(arm)}26`,
        fill: end === "high" ? "+1" : false,
        pointRadius: 0,
        spanGaps: true,
      })),
    );
  }

  function earned(shown) {
    return {
      label: "earned",
      data: shown.points.map((p) => ({ x: seconds(p.at), y: p.earned })),
      borderColor: token("strong"),
      borderDash: [3, 5],
      borderWidth: 1.5,
      pointRadius: 0,
      spanGaps: true,
    };
  }

  // --- charts --------------------------------------------------------------------------------

  const STEPS_S = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000];

  // Round times of the viewer's own clock, as many as there is room for.
  function times(first, last) {
    const most = page.clientWidth < 640 ? 4 : 6;
    const step = STEPS_S.find((one) => (last - first) / one <= most) || 864000;
    const shift = new Date(last * 1000).getTimezoneOffset() * 60;
    const found = [];
    for (let at = Math.ceil((first - shift) / step) * step + shift; at <= last; at += step) {
      found.push({ value: at });
    }
    return found;
  }

  function clock(at, spanS) {
    const time = new Date(at * 1000);
    return spanS > DAY_S
      ? time.toLocaleDateString([], { day: "numeric", month: "short" })
      : time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  }

  const percent = (value) => `${+(100 * value).toFixed(1)} %`;

  function options(kind, shown) {
    const [first, last] = [seconds(shown.since), seconds(shown.until)];
    const ticks = { color: token("muted"), font: { size: 11 }, maxRotation: 0 };
    const grid = { color: token("line"), drawTicks: false };
    const rewarded = shown.points.some((point) => point.earned !== null);
    return {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      scales: {
        x: {
          type: "linear",
          min: first,
          max: last,
          grid: { display: false },
          border: { color: token("line") },
          afterBuildTicks: (axis) => (axis.ticks = times(first, last)),
          ticks: { ...ticks, autoSkip: false, callback: (at) => clock(at, last - first) },
        },
        y: {
          min: kind === "reward" && rewarded ? undefined : 0,
          max: kind === "missed" ? undefined : 1,
          suggestedMax: 0.05,
          stacked: STACKED.includes(kind),
          grid,
          border: { display: false },
          ticks: { ...ticks, padding: 6, maxTicksLimit: 6, callback: percent },
        },
      },
      plugins: {
        legend: { display: false },
        tooltip: {
          filter: (item) => item.parsed.y !== null && !item.dataset.band,
          itemSort: (one, other) => other.parsed.y - one.parsed.y,
          callbacks: {
            title: (items) =>
              items.length ? new Date(items[0].parsed.x * 1000).toLocaleString() : "",
            label: (item) => ` ${item.dataset.label}  ${percent(item.parsed.y)}`,
          },
        },
      },
    };
  }

  function draw() {
    const colour = colours(picture.arms.map(({ arm }) => arm));
    for (const canvas of page.querySelectorAll("[data-chart]")) {
      const kind = canvas.dataset.chart;
      const data = { datasets: datasets(kind, picture, colour) };
      const chart = charts.get(kind);
      if (chart) {
        chart.data = data;
        chart.options = options(kind, picture);
        chart.update("none");
      } else {
        charts.set(kind, new Chart(canvas, { type: "line", data, options: options(kind, picture) }));
      }
    }
    for (const row of page.querySelectorAll("[data-list=arms] > [data-key]")) {
      row.style.setProperty("--clp-arm", colour.get(row.dataset.key));
      row.querySelector("[data-swatch]").style.background = colour.get(row.dataset.key);
    }
    legend(colour);
  }

  function legend(colour) {
    const items = picture.arms.map(({ arm }) => {
      const item = document.createElement("li");
      const swatch = document.createElement("i");
      swatch.className = "clp-swatch";
      swatch.style.background = colour.get(arm);
      item.append(swatch, arm);
      return item;
    });
    page.querySelector("[data-legend]").replaceChildren(...items);
  }

  // --- writing into the page -----------------------------------------------------------------

  function write(root, texts) {
    for (const [name, value] of Object.entries(texts)) {
      for (const element of root.querySelectorAll(`[data-text="${name}"]`)) {
        if (element.textContent !== value) element.textContent = value;
      }
    }
  }

  function rows() {
    const list = page.querySelector("[data-list=arms]");
    const known = new Map([...list.children].map((row) => [row.dataset.key, row]));
    const template = document.getElementById("monitored-arm");
    const wanted = picture.arms.map((arm) => {
      const row = known.get(arm.arm) || template.content.firstElementChild.cloneNode(true);
      row.dataset.key = arm.arm;
      row.dataset.state = arm.state;
      row.querySelector("[data-name]").textContent = arm.arm;
      row.querySelector("[data-bar]").style.width = `${arm.percent}%`;
      write(row, arm.text);
      interval(row.querySelector("[data-interval]"), arm.interval);
      return row;
    });
    list.replaceChildren(...wanted);
  }

  function guardrails() {
    const list = page.querySelector("[data-list=guardrails]");
    const template = document.getElementById("monitored-guardrail");
    const wanted = picture.guardrails.map((guardrail) => {
      const row = template.content.firstElementChild.cloneNode(true);
      row.dataset.key = guardrail.key;
      write(row, guardrail.text);
      return row;
    });
    list.replaceChildren(...wanted);
  }

  function health() {
    for (const check of picture.health) {
      const row = page.querySelector(`[data-list=health] > [data-key="${check.check}"]`);
      row.dataset.state = check.state;
      row.hidden = check.hidden;
      write(row, check.text);
    }
    page.querySelector("[data-unhealthy]").hidden = !picture.unhealthy;
    page.querySelector("[data-unhealthy-text]").textContent = picture.unhealthy;
  }

  function interval(element, shown) {
    element.hidden = !shown;
    if (!shown) return;
    const range = element.querySelector("[data-range]").style;
    range.left = `${shown.left}%`;
    range.width = `${shown.width}%`;
    element.querySelector("[data-at]").style.left = `${shown.at}%`;
  }

  function recommendation(text) {
    const notice = page.querySelector("[data-recommendation]");
    notice.hidden = !text.recommendation;
    notice.dataset.state = text.proof;
    write(notice, text);
  }

  function show() {
    recommendation(picture.summary.text);
    write(page.querySelector("[data-summary]"), picture.summary.text);
    page.querySelector("[data-policy]").textContent = picture.summary.text.policy;
    rows();
    guardrails();
    health();
    draw();
  }

  function pulse(state, words) {
    const element = page.querySelector("[data-pulse]");
    element.dataset.pulse = state;
    element.querySelector("[data-pulse-text]").textContent = words;
  }

  // --- asking --------------------------------------------------------------------------------

  // A long period changes slowly, and takes longer to put together.
  function pause() {
    return Math.min(Math.max(EVERY_MS, picture ? picture.step_s * 500 : 0), SELDOM_MS);
  }

  async function look() {
    try {
      const answer = await fetch(page.dataset.url, { credentials: "same-origin" });
      if (answer.status === 401) return location.reload();
      if (!answer.ok) throw new Error(answer.status);
      picture = await answer.json();
      show();
      pulse("on", "Live");
    } catch {
      pulse("off", "Not reachable, trying again");
    }
    timer = document.hidden ? null : setTimeout(look, pause());
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    timer = null;
    if (!document.hidden) look();
  });
  // The theme was switched: the charts are painted, not styled.
  new MutationObserver(() => picture && draw()).observe(document.documentElement, {
    attributeFilter: ["class"],
  });
  look();
})();
