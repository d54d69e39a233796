// What the console's pages need beyond the theme: copying a new key, and of a form the fields that go
// with a choice.
(() => {
  "use strict";

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

  // Choose the runtime that a file's bytes say, or tell that it isn't of the one chosen: as
  // registry/versions/artifact_kinds.py does once it has arrived.
  async function recognise(input, select) {
    const file = input.files[0];
    if (!file) return;
    const { begins, members, ends } = JSON.parse(input.dataset.kinds);
    const head = String.fromCharCode(...new Uint8Array(await file.slice(0, 8).arrayBuffer()));
    const tail = await file.slice(-(1 << 20)).text();
    const zip = head.startsWith("PK");
    const fits = (name) =>
      (!begins[name] || begins[name].some((start) => head.startsWith(start))) &&
      (!zip || !members[name] || members[name].some((each) => tail.includes(each)));
    const named = Object.keys(ends).find((end) => file.name.toLowerCase().endsWith(end));
    const found = ends[named] || Object.keys(zip ? members : begins).find(fits) || "";
    if (found && select.dataset.chosen !== select.value) select.value = found;
    const of = select.value;
    const wrong = of && !fits(of);
    const size = `${file.name}, ${file.size < 1 << 20 ? `${Math.ceil(file.size / 1024)} KiB` : `${(file.size / (1 << 20)).toFixed(1)} MiB`}`;
    say(input, wrong || !of ? "failed" : "good", !of ? `${size}: choose its runtime.`
      : !wrong ? `${size}: ${of}${found === of ? ", by its bytes" : ""}.`
        : `${file.name} is no artifact of ${of}${found ? `: it looks like one of ${found}` : ""}.`);
    showFields(select);
  }

  function say(input, state, words) {
    const zone = input.closest(".clp-drop");
    zone.dataset.state = state;
    zone.querySelector("[data-says]").textContent = words;
  }

  function takeUploads(input, select) {
    const zone = input.closest(".clp-drop");
    const form = input.form;
    input.addEventListener("change", () => recognise(input, select));
    select.addEventListener("change", () => {
      select.dataset.chosen = select.value;
      recognise(input, select);
    });
    for (const kind of ["dragenter", "dragleave", "drop"])
      input.addEventListener(kind, () => zone.toggleAttribute("data-over", kind === "dragenter"));
    form.addEventListener("submit", (event) => {
      if (event.defaultPrevented || !input.files.length) return;
      event.preventDefault();
      send(form, input);
    });
  }

  // What is wrong is said above the form, which keeps the file.
  function send(form, input) {
    const request = new XMLHttpRequest();
    const bar = input.closest(".clp-drop").querySelector("progress");
    const save = document.querySelector("[name=_save], [data-testid=create]");
    bar.hidden = false;
    save.disabled = true;
    request.upload.onprogress = (event) => (bar.value = event.loaded / event.total);
    request.onerror = () => say(input, "failed", "The upload broke off: send it again.");
    request.onload = () => {
      if (new URL(request.responseURL).pathname !== location.pathname) return location.assign(request.responseURL);
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      const wrong = page.querySelector(".clp-errors, .clp-field-error, main > div:first-child ul, main > p");
      document.querySelector(".clp-errors")?.remove();
      if (wrong) form.before(wrong);
      wrong?.classList.add("clp-errors");
      wrong?.scrollIntoView({ block: "center" });
      say(input, "failed", wrong ? "Nothing was stored: see above." : `Nothing was stored (${request.status}).`);
    };
    request.onloadend = () => (([bar.hidden, save.disabled] = [true, false], save.focus()));
    request.open("POST", location.href);
    request.send(new FormData(form));
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
    let before = null;
    input.addEventListener("focus", (event) => (before = event.relatedTarget));
    input.addEventListener("keydown", (event) => {
      if (event.key === "Escape") setTimeout(() => input.checkVisibility() || before?.focus(), 50);
    });
  }

  // A part of the page that is brought up to date keeps the focus on the same link or region.
  const mark = (part) => part.getAttribute("href") || part.id || part.ariaLabel;
  let focused;
  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const here = document.activeElement;
    focused = detail.target.contains(here) ? mark(here) : "";
  });
  document.addEventListener("htmx:afterSettle", () => {
    if (focused && document.activeElement === document.body)
      [...document.querySelectorAll("a[href], [id], [aria-label]")].find((part) => mark(part) === focused)?.focus();
  });

  document.addEventListener("DOMContentLoaded", () => {
    const palette = document.getElementById("search-input-command");
    if (palette) readyPalette(palette);
    const select = document.querySelector("select[data-alone]");
    if (!select) return;
    showFields(select);
    select.addEventListener("change", () => showFields(select));
    takeUploads(document.querySelector("[data-kinds]"), select);
  });
})();
