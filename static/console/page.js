// On every page: times in the viewer's zone, and names and keys for the theme's spans that are clicked.
(() => {
  "use strict";
  const DAY_MS = 24 * 3600 * 1000;
  const minute = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const date = { day: "numeric", month: "short", year: "numeric" };
  const clock = new Intl.DateTimeFormat("en-GB", minute);
  const moment = new Intl.DateTimeFormat("en-GB", { ...date, ...minute });
  const weekday = new Intl.DateTimeFormat("en-GB", { weekday: "long", ...date });
  const ICON = ".material-symbols-outlined";
  const ICONS = { dock_to_right: "Menu", more_horiz: "More actions", sailing: "Home", arrow_back: "Back" };

  function drawTime(time) {
    const at = new Date(time.dateTime);
    const here = moment.format(at);
    if (time.dataset.shown === "ago") time.title = `${here} here, ${time.title}`;
    else time.textContent = time.dataset.shown === "clock" ? clock.format(at) : here;
    time.removeAttribute("data-shown");
  }

  // Days begin at the viewer's midnight.
  function drawDays(list) {
    const headings = [...list.querySelectorAll(".clp-events-day")];
    headings.forEach((heading) => heading.remove());
    let before = "";
    for (const row of list.querySelectorAll(".clp-event")) {
      const at = new Date(row.querySelector("time").dateTime);
      const [day, today, yesterday] = [at, Date.now(), Date.now() - DAY_MS].map((each) => weekday.format(each));
      if (day !== before) {
        const heading = headings[0].cloneNode(true);
        const name = { [yesterday]: "Yesterday, ", [today]: "Today, " }[day] || "";
        heading.firstElementChild.textContent = name + (name ? day.replace(/^\S+ /, "") : day);
        row.before(heading);
      }
      before = day;
    }
  }

  function labelOf(search) {
    const select = search.closest(".select2-container").parentElement.querySelector("select");
    return select && select.labels.length ? select.labels[0].textContent.trim() : "Search";
  }

  // Icons are words of a font; a control with nothing else is named by its icon.
  function nameByIcon(part) {
    const icon = part.matches(ICON) ? part : part.querySelector(ICON);
    if (!icon || part.ariaLabel) return;
    const drawn = icon.textContent.trim();
    const words = part.textContent.replace(drawn, "").trim();
    if (!words) part.ariaLabel = part.title || ICONS[drawn] || drawn.replaceAll("_", " ");
  }

  function mend(root) {
    for (const list of root.querySelectorAll(".clp-events:has(.clp-events-day)")) drawDays(list);
    for (const time of root.querySelectorAll("time[data-shown]")) drawTime(time);
    for (const part of root.querySelectorAll("span[x-on\\:click], div.cursor-pointer[x-on\\:click], a[x-on\\:click]:not([href])")) {
      part.setAttribute("role", "button");
      part.tabIndex = 0;
    }
    for (const part of root.querySelectorAll("a, button, [role=button]")) nameByIcon(part);
    for (const icon of root.querySelectorAll(`${ICON}:not([role])`)) icon.ariaHidden = "true";
    for (const search of root.querySelectorAll(".select2-search__field")) search.ariaLabel = labelOf(search);
    for (const help of root.querySelectorAll(".help-tooltip[aria-label]")) help.role = "img";
  }

  let opener = null;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && opener) {
      document.body.click();
      opener.focus();
      opener = null;
    }
    const pressed = event.target.closest?.("[role=button]:not(button, a[href])");
    if (!pressed || !["Enter", " "].includes(event.key)) return;
    event.preventDefault();
    opener = pressed;
    pressed.click();
    // The theme's account menu lies before what opens it.
    setTimeout(() => pressed.previousElementSibling?.querySelector("a, button, [role=button]")?.focus(), 50);
  });

  document.addEventListener("DOMContentLoaded", () => mend(document));
  // What scripts of others have drawn by now, and what a page gets later.
  window.addEventListener("load", () => setTimeout(() => mend(document)));
  // The browser itself leaves it out where the page is drawn late.
  window.addEventListener("load", () => document.activeElement === document.body && document.querySelector("[autofocus]")?.focus());
  document.addEventListener("htmx:load", (event) => mend(event.target.parentElement || document));
})();
