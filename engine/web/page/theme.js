// Dark or light: as last chosen here, else as the system says. Loaded before anything is drawn, so
// that no page is first shown in the other; a module would come after that.
"use strict";

{
  const root = document.documentElement;

  const change = () => {
    const isDark = getComputedStyle(root).colorScheme === "dark";
    root.dataset.theme = isDark ? "light" : "dark";
    try {
      localStorage.theme = root.dataset.theme;
    } catch {
      // A browser that keeps nothing shows it for this page alone.
    }
  };

  try {
    if (localStorage.theme) root.dataset.theme = localStorage.theme;
  } catch {
    // A browser that keeps nothing shows what the system says.
  }
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").onclick = change;
  });
}
