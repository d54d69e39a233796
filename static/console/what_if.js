// Draws what each target would have earned, with its interval, beside what was really earned.
(() => {
  "use strict";
  const ROW_PX = 30;
  const AXIS_PX = 34;
  const WHISKER = 9;
  const LONGEST_NAME = { narrow: 18, wide: 44 };

  const page = document.getElementById("what-if");
  const form = page && page.querySelector("form");
  if (form) {
    form.addEventListener("submit", () => {
      form.querySelector("[data-testid=busy]").hidden = false;
    });
    // Back from the answer: nothing is being worked out any more.
    window.addEventListener("pageshow", () => {
      form.querySelector("[data-testid=busy]").hidden = true;
    });
  }
  const canvas = page && page.querySelector("[data-chart]");
  if (!canvas) return;
  const told = JSON.parse(canvas.dataset.chart);
  let chart = null;

  const token = (name) => getComputedStyle(page).getPropertyValue(`--clp-${name}`).trim();
  const percent = (value) => `${+(100 * value).toFixed(1)} %`;
  const colour = (row) => token(`kind-${row.kind}`);
  const pale = (row) => `${colour(row)}${row.verdict === "enough" ? "" : "73"}`;

  function shortened(name) {
    const most = page.clientWidth < 640 ? LONGEST_NAME.narrow : LONGEST_NAME.wide;
    return name.length > most ? `${name.slice(0, most - 1)}…` : name;
  }

  // The points, and over everything the line of what was earned with its own interval.
  const marks = {
    id: "marks",
    beforeDatasetsDraw(drawn) {
      if (!told.earned) return;
      const { ctx, chartArea: area, scales } = drawn;
      const [low, high] = [told.earned.low, told.earned.high].map((v) => scales.x.getPixelForValue(v));
      ctx.save();
      ctx.fillStyle = token("line");
      ctx.globalAlpha = 0.7;
      ctx.fillRect(low, area.top, Math.max(1, high - low), area.height);
      ctx.restore();
    },
    afterDatasetsDraw(drawn) {
      const { ctx, chartArea: area, scales } = drawn;
      ctx.save();
      told.rows.forEach((row, index) => {
        const x = scales.x.getPixelForValue(row.value);
        const y = scales.y.getPixelForValue(index);
        ctx.beginPath();
        ctx.arc(x, y, 5, 0, 2 * Math.PI);
        ctx.fillStyle = colour(row);
        ctx.fill();
        ctx.lineWidth = 2;
        ctx.strokeStyle = token("surface");
        ctx.stroke();
      });
      if (told.earned) {
        const x = scales.x.getPixelForValue(told.earned.value);
        ctx.beginPath();
        ctx.setLineDash([4, 4]);
        ctx.lineWidth = 1.5;
        ctx.strokeStyle = token("strong");
        ctx.moveTo(x, area.top);
        ctx.lineTo(x, area.bottom);
        ctx.stroke();
      }
      ctx.restore();
    },
  };

  function bounds() {
    const values = told.rows.flatMap((row) => [row.low, row.high]);
    if (told.earned) values.push(told.earned.low, told.earned.high);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const margin = Math.max(0.01, 0.05 * (high - low));
    return { min: Math.max(0, low - margin), max: Math.min(1, high + margin) };
  }

  function options() {
    const ticks = { color: token("muted"), font: { size: 11 }, maxRotation: 0 };
    return {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      indexAxis: "y",
      layout: { padding: { right: 8 } },
      scales: {
        x: {
          ...bounds(),
          grid: { color: token("line"), drawTicks: false },
          border: { display: false },
          ticks: { ...ticks, padding: 8, maxTicksLimit: page.clientWidth < 640 ? 4 : 8, includeBounds: false, callback: percent },
        },
        y: {
          grid: { display: false },
          border: { color: token("line") },
          ticks: { ...ticks, font: { size: 12 }, color: token("text"), autoSkip: false, callback: (index) => shortened(told.rows[index].name) },
        },
      },
      plugins: {
        legend: { display: false },
        tooltip: {
          callbacks: {
            title: (items) => (items.length ? told.rows[items[0].dataIndex].name : ""),
            label: (item) => {
              const row = told.rows[item.dataIndex];
              return ` ${percent(row.value)}, ${percent(row.low)} to ${percent(row.high)}`;
            },
          },
        },
      },
    };
  }

  function draw() {
    const data = {
      labels: told.rows.map((row) => row.name),
      datasets: [
        {
          data: told.rows.map((row) => [row.low, row.high]),
          backgroundColor: told.rows.map(pale),
          barThickness: WHISKER,
          borderRadius: WHISKER / 2,
          borderSkipped: false,
          minBarLength: 2,
        },
      ],
    };
    if (chart) chart.destroy();
    chart = new Chart(canvas, { type: "bar", data, options: options(), plugins: [marks] });
    canvas.dataset.drawn = String(told.rows.length);
  }

  if (!told.rows.length) {
    canvas.parentElement.remove();
    return;
  }
  canvas.parentElement.style.height = `${told.rows.length * ROW_PX + AXIS_PX}px`;
  draw();
  // The theme was switched: the chart is painted, not styled.
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["class"] });
})();
