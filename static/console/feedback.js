// The page at /feedback/{app}/: asks, shows the answer, sends what a person says about it.
(() => {
  "use strict";
  const SIDE = 8; // a handwritten digit is 8 by 8 numbers from 0 to 16
  const DARKEST = 16;

  const find = (id) => document.getElementById(id);
  const page = find("feedback");
  const api = page.dataset.api;
  const needsKey = page.dataset.public === "no";
  const KEY_STORAGE = "clipper.feedback.key";
  let answer = null; // the last prediction
  let asked = null; // the context that it was asked in
  let before = null; // trust before the feedback

  // --- the key: kept by this tab only -------------------------------------------------------

  function storedKey() {
    return needsKey ? sessionStorage.getItem(KEY_STORAGE) || "" : "";
  }

  function showKey() {
    if (!needsKey) return;
    const known = storedKey() !== "";
    find("key").placeholder = known ? "in use; enter another to change it" : "clp_…";
    find("key-forget").hidden = !known;
  }

  function keepKey() {
    const entered = needsKey ? find("key").value.trim() : "";
    if (entered) {
      sessionStorage.setItem(KEY_STORAGE, entered);
      find("key").value = "";
    }
    showKey();
  }

  // --- the API ------------------------------------------------------------------------------

  const call = (path, body) =>
    window.clipperCall(api + path, body, storedKey() && `Api-Key ${storedKey()}`);

  function say(text) {
    find("notice").textContent = text;
    find("notice").hidden = !text;
  }

  async function attempt(button, work) {
    say("");
    button.disabled = true;
    try {
      keepKey();
      if (needsKey && !storedKey()) throw new Error("Enter an API key first.");
      await work();
    } catch (error) {
      say(error.name === "TimeoutError" ? "No answer within 15 seconds." : error.message);
    } finally {
      button.disabled = false;
    }
  }

  // --- the input: JSON text as the API wants it ----------------------------------------------

  const isText = page.dataset.inputType === "strings" || page.dataset.inputType === "bytes";

  function inputText() {
    const text = find("input").value.trim();
    if (isText) return JSON.stringify(find("input").value);
    const bare = text && page.dataset.numbers === "yes" && !text.startsWith("[");
    return window.clipperJson(bare ? `[${text.split(/[\s,;]+/).filter(Boolean).join(",")}]` : text);
  }

  // --- the picture --------------------------------------------------------------------------

  const canvas = find("canvas");

  function pixels() {
    try {
      const numbers = JSON.parse(inputText());
      const fits =
        Array.isArray(numbers) &&
        numbers.length === SIDE * SIDE &&
        numbers.every((n) => typeof n === "number" && n >= 0 && n <= DARKEST);
      return fits ? numbers : null;
    } catch {
      return null;
    }
  }

  const paint = (target, numbers) =>
    window.clipperPaint(target, numbers, { side: SIDE, darkest: DARKEST });

  function redraw() {
    const numbers = page.dataset.numbers === "yes" ? pixels() : null;
    find("drawing").hidden = !numbers;
    if (numbers) paint(canvas, numbers);
  }

  function enter(numbers) {
    find("input").value = `[${numbers.join(", ")}]`;
    redraw();
  }

  function stroke(event) {
    const numbers = pixels();
    if (!numbers) return;
    const box = canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * SIDE);
    const row = Math.floor(((event.clientY - box.top) / box.height) * SIDE);
    if (column < 0 || row < 0 || column >= SIDE || row >= SIDE) return;
    numbers[row * SIDE + column] = event.shiftKey ? 0 : DARKEST;
    enter(numbers);
  }

  async function offerSamples() {
    const row = find("samples");
    if (!row) return;
    const samples = await (await fetch(page.dataset.samples)).json();
    for (const sample of samples) {
      const button = document.createElement("button");
      const picture = document.createElement("canvas");
      button.type = "button";
      button.className = "sample";
      button.title = `A handwritten ${sample.label}`;
      button.setAttribute("aria-label", button.title);
      button.dataset.testid = "sample";
      picture.width = picture.height = SIDE * 4;
      paint(picture, sample.input);
      button.append(picture);
      button.addEventListener("click", () => {
        for (const other of row.children) other.setAttribute("aria-pressed", other === button);
        enter(sample.input);
      });
      row.append(button);
    }
  }

  // --- the answer ---------------------------------------------------------------------------

  const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

  function showAnswer() {
    const output = shown(answer.output);
    find("blank").hidden = true;
    find("answer").hidden = false;
    find("accepted").hidden = true;
    find("output").textContent = output;
    find("output").classList.toggle("long", output.length > 12);
    find("confidence").textContent =
      typeof answer.confidence === "number" ? `${Math.round(answer.confidence * 100)} %` : "—";
    find("latency").textContent = `${answer.latency_ms.toFixed(1)} ms`;
    find("default-note").hidden = !answer.default;
    find("default-note").textContent = answer.default
      ? `This is the default output: ${answer.default_explanation}`
      : "";
    find("models").replaceChildren(
      ...Object.entries(answer.models || {}).map(([name, value]) => {
        const item = document.createElement("li");
        item.classList.toggle("differs", shown(value) !== output);
        for (const text of [name, shown(value)]) {
          item.append(Object.assign(document.createElement("span"), { textContent: text }));
        }
        return item;
      }),
    );
  }

  async function predict() {
    const context = find("context").value.trim();
    // The input goes as it was typed: JSON.parse would round numbers that a double can't hold.
    const extra = context ? `,"context":${JSON.stringify(context)}` : "";
    answer = await call("predict", `{"input":${inputText()}${extra}}`);
    asked = context;
    find("label").value = "";
    showAnswer();
    before = await selection();
    showWeights(before, before);
  }

  async function send(label) {
    const id = JSON.stringify(answer.query_id);
    const result = await call("feedback", `{"query_id":${id},"label":${label}}`);
    if (result.rejected && result.rejected.length) throw new Error(result.rejected[0].error);
    find("accepted").hidden = false;
    find("accepted").textContent = result.accepted
      ? "Accepted, and kept for good."
      : "Known already: feedback on a query counts once.";
    showWeights(before, await selection());
  }

  // --- trust --------------------------------------------------------------------------------

  async function selection() {
    const query = asked ? `?context=${encodeURIComponent(asked)}` : "";
    return call(`selection${query}`);
  }

  function showWeights(old, now) {
    const name = (arm) => `${arm.model}:${arm.version}`;
    const past = new Map(old.arms.map((arm) => [name(arm), arm.weight]));
    find("weights-panel").hidden = false;
    find("policy").textContent = asked ? `${now.policy}, context ${asked}` : now.policy;
    const rows = now.arms.map((arm) => {
      const row = find("weight-template").content.firstElementChild.cloneNode(true);
      const was = past.get(name(arm)) ?? arm.weight;
      const change = 100 * (arm.weight - was);
      row.dataset.arm = name(arm);
      row.querySelector(".weight-name").textContent = name(arm);
      row.querySelector(".before").style.width = `${was * 100}%`;
      row.querySelector(".after").style.width = `${arm.weight * 100}%`;
      const share = row.querySelector(".weight-share");
      share.textContent = `${(arm.weight * 100).toFixed(1)} %`;
      if (Math.abs(change) >= 0.05) {
        const moved = document.createElement("span");
        moved.className = change > 0 ? "up" : "down";
        moved.textContent = ` ${change > 0 ? "+" : "−"}${Math.abs(change).toFixed(1)}`;
        share.append(moved);
      }
      return row;
    });
    find("weights").replaceChildren(...rows);
  }

  // --- wiring -------------------------------------------------------------------------------

  find("predict-form").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(find("predict"), predict);
  });
  find("feedback-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const label = find("label").value.trim();
    attempt(find("send"), async () => {
      if (!label) throw new Error("Enter the right answer first.");
      await send(window.clipperLabel(label));
    });
  });
  find("right").addEventListener("click", () =>
    attempt(find("right"), () => send(JSON.stringify(answer.output))),
  );
  find("input").addEventListener("input", redraw);
  find("clear").addEventListener("click", () => enter(Array(SIDE * SIDE).fill(0)));
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    stroke(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons === 1) stroke(event);
  });
  if (needsKey) {
    find("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      keepKey();
      say("");
    });
    find("key-forget").addEventListener("click", () => {
      sessionStorage.removeItem(KEY_STORAGE);
      showKey();
    });
  }
  showKey();
  offerSamples().catch(() => {}); // without the samples the page still works
})();
