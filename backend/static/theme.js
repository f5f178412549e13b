// The chosen theme, before anything is painted. A classic script, as a module would come too late.
(() => {
  try {
    const theme = localStorage.getItem("askgraph.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // no storage: the system's theme
  }
})();
