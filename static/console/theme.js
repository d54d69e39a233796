// Follows the theme chosen in the console, else the system's; loaded first so that nothing flashes.
(() => {
  "use strict";
  const KEY = "_x_adminTheme"; // where the console keeps its choice, as JSON text
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  function chosen() {
    try {
      return JSON.parse(localStorage.getItem(KEY)) || "auto";
    } catch {
      return "auto";
    }
  }

  function apply() {
    const theme = chosen();
    const dark = theme === "dark" || (theme === "auto" && system.matches);
    show(dark);
  }

  function show(dark) {
    for (const name of ["dark", "dark-mode"]) document.documentElement.classList.toggle(name, dark); // the second is Swagger's
  }

  function switchTheme() {
    const dark = document.documentElement.classList.contains("dark");
    try {
      localStorage.setItem(KEY, JSON.stringify(dark ? "light" : "dark"));
    } catch {
      // Without storage the choice lasts as long as the page.
    }
    show(!dark);
  }

  document.addEventListener("click", (event) => {
    if (event.target.id === "theme") switchTheme();
  });

  system.addEventListener("change", apply);
  apply();
})();
