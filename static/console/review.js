// Review: labels captured inputs by keys; each label goes to the console, then to feedback.
(() => {
  "use strict";
  const page = document.getElementById("review");
  const said = document.getElementById("said");
  const cases = [...page.querySelectorAll(".clp-case")];
  let given = 0;

  for (const canvas of page.querySelectorAll("canvas[data-pixels]")) {
    const numbers = JSON.parse(canvas.dataset.pixels);
    const darkest = Math.max(1, ...numbers);
    window.clipperPaint(canvas, numbers, { side: Number(canvas.dataset.side), darkest });
  }

  function next(one) {
    const rest = cases.slice(cases.indexOf(one) + 1).find((other) => !other.dataset.done);
    if (rest) {
      rest.focus();
      rest.scrollIntoView({ block: "nearest" });
    }
  }

  async function give(one, label) {
    if (one.dataset.done) return next(one);
    one.dataset.done = "sending";
    const form = new FormData();
    form.append("id", one.dataset.id);
    form.append("label", label);
    next(one);
    try {
      const kept = await window.clipperCall(page.dataset.label, form);
      let words = kept.said;
      if (kept.feedback) {
        const counted = await window.clipperCall(`${page.dataset.api}feedback`, kept.feedback, `Pass ${kept.pass}`);
        const [refused] = counted.rejected;
        if (refused) words = `Kept for training only: ${refused.error}`;
        else if (!counted.accepted) words = "Feedback on this query had counted already.";
      }
      one.dataset.done = "yes";
      given += 1;
      said.textContent = `${words} ${given} of ${cases.length} done.`;
    } catch (error) {
      delete one.dataset.done;
      said.textContent = `Not labelled: ${error.message}`;
      one.focus();
    }
  }

  for (const one of cases) {
    one.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      if ("skip" in button.dataset) next(one);
      else give(one, button.dataset.give);
    });
    one.querySelector("form")?.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = event.target.elements.other.value.trim();
      if (text) give(one, window.clipperLabel(text));
    });
  }
  page.addEventListener("keydown", (event) => {
    const one = event.target.closest(".clp-case");
    if (!one || event.target !== one || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    const named = [...one.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key);
    const right = one.querySelector("[data-give]:not([data-key]):not([data-give=''])");
    const answer = right && right.dataset.give === one.dataset.answer ? right.dataset.give : null;
    if (!one.querySelector("form")) return;
    if (key === "enter" && answer) give(one, answer);
    else if (key === "s") next(one);
    else if (key === "u") give(one, "");
    else if (named) give(one, named.dataset.give);
    else return;
    event.preventDefault();
  });
  // A case's buttons are one stop; arrows lead from one to the next.
  const buttonsOf = (form) => [...form.querySelectorAll("button")];
  const stopAt = (chosen) => buttonsOf(chosen.form).forEach((button) => (button.tabIndex = button === chosen ? 0 : -1));
  for (const form of page.querySelectorAll(".clp-case-label")) stopAt(form.querySelector("button"));
  page.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!step || !event.target.matches(".clp-case-label button")) return;
    const buttons = buttonsOf(event.target.form);
    const chosen = buttons.at((buttons.indexOf(event.target) + step) % buttons.length);
    stopAt(chosen);
    chosen.focus();
    event.preventDefault();
  });
  cases[0]?.focus({ preventScroll: true });
})();
