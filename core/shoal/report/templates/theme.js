// Runs in the head, so that the page never flashes in the other scheme.
(() => {
  const root = document.documentElement;
  try {
    const kept = localStorage.getItem("shoal-theme");
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch (error) { /* storage is switched off: the system's scheme holds */ }
  root.classList.add("js");
  const dark = matchMedia("(prefers-color-scheme: dark)"), changed = () => document.dispatchEvent(new Event("shoal-theme"));
  dark.addEventListener("change", changed);
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".theme")) return;
    root.dataset.theme = (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches) ? "light" : "dark";
    try { localStorage.setItem("shoal-theme", root.dataset.theme); } catch (error) { /* holds for this view only */ }
    changed();
  });
})();
