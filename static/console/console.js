// What the console's pages need beyond the theme: copying a new key, following a release, and of a
// form the fields that go with a choice.
(() => {
  "use strict";
  const FOLLOW_EVERY_MS = 1000;

  async function copy(button) {
    const before = button.textContent;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      // No clipboard on a plain-http host: select the text instead.
      const text = button.parentElement.querySelector("code");
      getSelection().selectAllChildren(text);
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = before), 2000);
  }

  function draw(page, progress) {
    page.dataset.state = progress.state;
    for (const element of page.querySelectorAll("[data-progress]")) {
      const value = progress[element.dataset.progress] || "";
      if (element.textContent !== value) element.textContent = value;
    }
    const steps = page.querySelectorAll("[data-step]");
    progress.steps.forEach((step, index) => (steps[index].dataset.step = step.status));
    page.querySelector("[data-error]").hidden = !progress.error;
    page.querySelector("[data-running]").hidden = progress.ended;
    page.querySelector("[data-took]").hidden = !progress.took;
  }

  async function follow(page) {
    try {
      const answer = await fetch(page.dataset.follow, { credentials: "same-origin" });
      if (answer.ok) {
        const progress = await answer.json();
        draw(page, progress);
        if (progress.ended) return;
      }
    } catch {
      // The web process may be restarting: the next look tells.
    }
    setTimeout(() => follow(page), FOLLOW_EVERY_MS);
  }

  // Of a select with a value that has fields of its own: those, or those of its other values.
  function showFields(select) {
    const alone = select.value === select.dataset.alone;
    for (const [names, shown] of [[select.dataset.its, alone], [select.dataset.others, !alone]]) {
      for (const name of names.split(" ")) {
        const field = document.querySelector(`.field-line.field-${name}`);
        if (field) field.classList.toggle("clp-elsewhere", !shown);
      }
    }
    for (const group of document.querySelectorAll("fieldset.module")) {
      const first = group.querySelector(".field-line");
      if (first) group.classList.toggle("clp-elsewhere", first.matches(".clp-elsewhere"));
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });

  // The theme's palette waits for half a second after each key, and has no name.
  function readyPalette(input) {
    input.setAttribute("hx-trigger", "input changed delay:80ms");
    input.setAttribute("aria-label", "Search");
    input.closest("[x-data]").setAttribute("role", "dialog");
    input.closest("[x-data]").setAttribute("aria-label", "Search");
    htmx.process(input);
  }

  document.addEventListener("DOMContentLoaded", () => {
    const palette = document.getElementById("search-input-command");
    if (palette) readyPalette(palette);
    const page = document.querySelector("[data-follow]");
    if (page) follow(page);
    const select = document.querySelector("select[data-alone]");
    if (select) {
      showFields(select);
      select.addEventListener("change", () => showFields(select));
    }
  });
})();
