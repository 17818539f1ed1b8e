(() => {
  "use strict";
  const root = document.currentScript.parentElement;
  const button = root.querySelector(".grid-more"), size = Number(root.querySelector(".grid-clusters").dataset.page);
  const waiting = [...root.querySelectorAll(".grid-cluster[hidden]")];
  function refresh() {
    button.hidden = !waiting.length;
    button.textContent = `Show ${Math.min(size, waiting.length)} more of ${waiting.length} clusters`;
  }
  button.addEventListener("click", () => {
    const shown = waiting.splice(0, size);
    for (const cluster of shown) cluster.hidden = false;
    shown[0].tabIndex = -1;
    shown[0].focus({ preventScroll: true });
    refresh();
  });
  refresh();
})();
