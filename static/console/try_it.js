// Try it: asks an application and chosen versions about one input, with a pass of a minute.
(() => {
  "use strict";
  const find = (id) => document.getElementById(id);
  const page = find("try");
  const input = find("try-input");
  const fields = [...page.querySelectorAll("[data-column]")];
  const isText = ["strings", "bytes"].includes(page.dataset.inputType);
  const WHOLE = "the application";
  let answered = null;

  function say(text) {
    find("try-said").textContent = text;
    find("try-said").hidden = !text;
  }

  function inputText() {
    try {
      return window.clipperJson(input.value.trim());
    } catch (error) {
      if (isText && input.value.trim()) return JSON.stringify(input.value);
      throw error;
    }
  }

  const bodyOf = (version) => {
    const context = find("try-context").value.trim();
    const extra = (context ? `,"context":${JSON.stringify(context)}` : "") + (version ? `,"version":${JSON.stringify(version)}` : "");
    return `{"input":${inputText()}${extra}}`;
  };

  function show() {
    let text = "";
    try {
      text = bodyOf("");
      const numbers = JSON.parse(inputText());
      const side = Array.isArray(numbers) && numbers.every((n) => n >= 0 && n <= 255) ? { 64: 8, 784: 28 }[numbers.length] : 0;
      find("try-picture").hidden = !side;
      if (side) window.clipperPaint(find("try-picture"), numbers, { side, darkest: Math.max(1, ...numbers) });
    } catch {
      find("try-picture").hidden = true;
    }
    const quoted = text.replaceAll("'", "'\\''");
    find("try-curl").textContent = `curl -H "Authorization: Api-Key $KEY" -H "Content-Type: application/json" \\\n  -d '${quoted}' \\\n  ${location.origin}${page.dataset.api}predict`;
  }

  function fromFields() {
    const values = fields.map((field) => {
      const isNumber = /^(u?int|float)/.test(field.dataset.dtype) && field.value.trim() !== "" && !Number.isNaN(Number(field.value));
      const value = field.value === "" ? "null" : isNumber || field.dataset.dtype === "bool" ? field.value.trim() : JSON.stringify(field.value);
      return `${JSON.stringify(field.dataset.column)}: ${value}`;
    });
    input.value = `{${values.join(", ")}}`;
    show();
  }

  function toFields() {
    try {
      const known = JSON.parse(input.value);
      for (const field of fields) field.value = known[field.dataset.column] ?? "";
    } catch {
      // It is being typed.
    }
  }

  async function ask(version, pass) {
    try {
      const body = bodyOf(version).replace(/}$/, ',"explain":true}');
      return await window.clipperCall(`${page.dataset.api}predict`, body, `Pass ${pass}`);
    } catch (error) {
      return { error: error.name === "TimeoutError" ? "no answer within 15 seconds" : error.message };
    }
  }

  function line(name, one) {
    const row = document.createElement("tr");
    const why = [one.error || one.default_explanation || ""];
    for (const [arm, told] of Object.entries(one.explain?.models || {})) {
      if ((name === WHOLE || arm === name) && !(arm in (one.models || {}))) why.push(`${arm}: ${told.why || "no answer"}`);
    }
    const cells = [
      one.error ? "—" : JSON.stringify(one.output) + (one.default ? " (default)" : ""),
      one.error ? "—" : `${Math.round(one.confidence * 100)} %`,
      one.error ? "—" : `${one.latency_ms.toFixed(1)} ms`,
      why.filter(Boolean).join("; ") || "",
    ];
    row.append(Object.assign(document.createElement("th"), { scope: "row", textContent: name }));
    for (const text of cells) row.append(Object.assign(document.createElement("td"), { textContent: text }));
    return row;
  }

  find("try-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    say("");
    const button = event.submitter || event.target.querySelector("button");
    button.disabled = true;
    try {
      bodyOf("");
      const { pass } = await window.clipperCall(page.dataset.pass, new FormData());
      const versions = [...page.querySelectorAll("[name=version]:checked")].map((box) => box.value);
      const answers = await Promise.all(["", ...versions].map((version) => ask(version, pass)));
      answered = answers[0].query_id && !answers[0].error ? answers[0] : null;
      const rows = answers.map((one, index) => line(index ? versions[index - 1] : WHOLE, one));
      find("try-answers").querySelector("tbody").replaceChildren(...rows);
      find("try-answers").hidden = false;
    } catch (error) {
      say(error.message);
    } finally {
      button.disabled = false;
      if (document.activeElement === document.body) button.focus();
    }
  });
  find("try-feedback")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = event.target.elements.label.value.trim();
    try {
      if (!answered || !text) throw new Error(text ? "The application gave no answer to judge." : "Enter the right answer first.");
      const { pass } = await window.clipperCall(page.dataset.pass, new FormData());
      const body = `{"query_id":${JSON.stringify(answered.query_id)},"label":${window.clipperLabel(text)}}`;
      const result = await window.clipperCall(`${page.dataset.api}feedback`, body, `Pass ${pass}`);
      say(result.rejected.length ? result.rejected[0].error : result.accepted ? "Counted as feedback." : "Feedback on it had counted already.");
    } catch (error) {
      say(error.message);
    }
  });
  find("try-copy").addEventListener("click", () => navigator.clipboard.writeText(find("try-curl").textContent));
  for (const field of fields) field.addEventListener("input", fromFields);
  input.addEventListener("input", () => (toFields(), show()));
  find("try-context").addEventListener("input", show);
  toFields();
  show();
})();
