// Runs in the head, so that the page never flashes in the other scheme.
(() => {
  const root = document.documentElement;
  try {
    const kept = localStorage.getItem("shoal-theme");
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch (error) { /* storage is switched off: the system's scheme holds */ }
  root.classList.add("js");
})();
