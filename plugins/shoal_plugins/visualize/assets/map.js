// ---- what the pointer and the keys do
const search = one(".map-search"), found = one(".map-found"), tip = one(".map-tip");
let matched = [], step = -1, lower = null;

function describeCluster(i) {
  const cluster = CLUSTERS[WHICH[i]];
  return `${cluster.name} (${cluster.size.toLocaleString("en")})`;
}
function fillTip() {
  const i = state.hover;
  tip.hidden = i < 0;
  if (i < 0) return;
  paint(one(".map-tip-picture"), i, 190);
  one(".map-tip-name").textContent = DATA.names[i];
  one(".map-tip-cluster bdi").textContent = describeCluster(i);
  one(".map-tip-cluster i").style.background = CLUSTERS[WHICH[i]].colour;
  const x = screenX(i), y = screenY(i), width = tip.offsetWidth, height = tip.offsetHeight;
  const right = x + 18 + width <= view.width, below = y + 18 + height <= view.height;
  tip.style.left = Math.max(4, right ? x + 18 : x - 18 - width) + "px";
  tip.style.top = Math.max(4, below ? y + 18 : Math.min(y - 18, view.height - 4) - height) + "px";
}
function hover(i) {
  if (i === state.hover) return;
  state.hover = i;
  stage.classList.toggle("on-point", i >= 0);
  fillTip();
  redrawOver();
}
function pin(i) {
  state.pinned = i;
  one(".map-hint").hidden = i >= 0;
  one(".map-details").hidden = i < 0;
  if (i >= 0) {
    paint(one(".map-pinned-picture"), i, 240);
    one(".map-file").textContent = DATA.names[i];
    one(".map-folder").textContent = DATA.folders[FOLDER[i]];
    one(".map-cluster bdi").textContent = CLUSTERS[WHICH[i]].name;
    one(".map-cluster i").style.background = CLUSTERS[WHICH[i]].colour;
    one(".map-size").textContent = CLUSTERS[WHICH[i]].size.toLocaleString("en");
    one(".map-strength").textContent = STRENGTH.length ? (STRENGTH[i] / 255).toFixed(2) : "";
    one(".map-strength-name").hidden = !STRENGTH.length;
  }
  redrawOver();
}
function pictureCame() {
  if (state.hover >= 0) fillTip();
  if (state.pinned >= 0) paint(one(".map-pinned-picture"), state.pinned, 240);
  redrawOver();
}
function bring(i) {
  const x = screenX(i), y = screenY(i);
  if (x < 20 || y < 20 || x > view.width - 20 || y > view.height - 20) { view.x = X[i]; view.y = Y[i]; moved(); }
}
function next(direction) {
  const all = state.matches === null ? COUNT : matched.length;
  if (!all) return;
  for (let tried = 0; tried < all; tried++) {
    step = step < 0 ? (direction > 0 ? 0 : all - 1) : (step + direction + all) % all;
    const i = state.matches === null ? step : matched[step];
    if (off[WHICH[i]]) continue;
    bring(i);
    pin(i);
    return;
  }
}
function find() {
  const text = search.value.trim().toLowerCase();
  step = -1;
  matched = [];
  if (!text) {
    state.matches = null;
    found.textContent = "";
  } else {
    lower = lower || DATA.names.map((name) => name.toLowerCase());
    state.matches = new Uint8Array(COUNT);
    for (let i = 0; i < COUNT; i++) if (lower[i].includes(text)) { state.matches[i] = 1; matched.push(i); }
    found.textContent = matched.length === 1 ? "1 match" : `${matched.length.toLocaleString("en")} matches`;
  }
  redraw();
}
search.addEventListener("input", find);
search.addEventListener("keydown", (event) => {
  if (event.key === "Enter") { event.preventDefault(); next(event.shiftKey ? -1 : 1); }
});

const entries = [...root.querySelectorAll(".map-legend button")];
function refreshLegend() {
  entries.forEach((entry, k) => entry.setAttribute("aria-pressed", String(!off[k])));
  chosenScale = 0;
  if (state.hover >= 0 && off[WHICH[state.hover]]) hover(-1);
  redraw();
}
entries.forEach((entry, k) => {
  entry.addEventListener("click", () => { off[k] = 1 - off[k]; refreshLegend(); });
  entry.addEventListener("dblclick", () => { off.fill(1); off[k] = 0; refreshLegend(); });
  const focus = (on) => () => { state.focus = on && !off[k] ? k : -1; redraw(); };
  entry.addEventListener("pointerenter", focus(true));
  entry.addEventListener("pointerleave", focus(false));
});
one(".map-all").addEventListener("click", () => { off.fill(0); refreshLegend(); });
one(".map-none").addEventListener("click", () => { off.fill(1); refreshLegend(); });

const down = new Map(); // pointers that are down: id -> [x, y]
let travelled = 0, spread = 0;
function local(event) {
  const box = stage.getBoundingClientRect();
  return [event.clientX - box.left - stage.clientLeft, event.clientY - box.top - stage.clientTop];
}
function pinch() {
  const [a, b] = [...down.values()];
  return { x: (a[0] + b[0]) / 2, y: (a[1] + b[1]) / 2, spread: Math.hypot(a[0] - b[0], a[1] - b[1]) };
}
stage.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  stage.setPointerCapture(event.pointerId);
  if (!down.size) travelled = 0;
  down.set(event.pointerId, local(event));
  if (down.size === 2) spread = pinch().spread;
});
stage.addEventListener("pointermove", (event) => {
  const at = local(event), before = down.get(event.pointerId);
  if (!before) { hover(nearest(at[0], at[1])); return; }
  down.set(event.pointerId, at);
  const dx = at[0] - before[0], dy = at[1] - before[1];
  travelled += Math.hypot(dx, dy);
  if (travelled > 4) hover(-1);
  pan(dx / down.size, dy / down.size);
  if (down.size === 2) {
    const now = pinch();
    if (spread > 0) zoom(now.spread / spread, now.x, now.y);
    spread = now.spread;
  }
});
function released(event) {
  if (!down.delete(event.pointerId) || event.type === "pointercancel" || down.size || travelled > 4) return;
  const [x, y] = local(event), i = nearest(x, y);
  if (event.pointerType !== "mouse") hover(i);
  pin(i);
}
stage.addEventListener("pointerup", released);
stage.addEventListener("pointercancel", released);
stage.addEventListener("pointerleave", () => { if (!down.size) hover(-1); });
stage.addEventListener("dblclick", (event) => { const [x, y] = local(event); zoom(2, x, y); });
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  const [x, y] = local(event), lines = event.deltaMode === 1 ? 16 : 1;
  zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) / 420), x, y);
  hover(-1);
}, { passive: false });

function reset() { fitView(); moved(); }
const middle = () => [view.width / 2, view.height / 2];
const KEYS = {
  ArrowLeft: () => pan(60, 0), ArrowRight: () => pan(-60, 0), ArrowUp: () => pan(0, 60), ArrowDown: () => pan(0, -60),
  "+": () => zoom(1.4, ...middle()), "=": () => zoom(1.4, ...middle()), "-": () => zoom(1 / 1.4, ...middle()), 0: reset,
  n: () => next(1), p: () => next(-1), Escape: () => pin(-1),
};
stage.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
});
one(".map-in").addEventListener("click", () => zoom(1.5, ...middle()));
one(".map-out").addEventListener("click", () => zoom(1 / 1.5, ...middle()));
one(".map-reset").addEventListener("click", reset);
one(".map-unpin").addEventListener("click", () => { pin(-1); stage.focus(); });
const toggle = one(".map-pictures");
toggle.title = inPage ? "Show thumbnails on the map" : "Show thumbnails on the map, once zoomed in";
function showToggle() { toggle.setAttribute("aria-pressed", String(pictures)); redrawOver(); }
toggle.addEventListener("click", () => { pictures = !pictures; showToggle(); });

document.addEventListener("shoal-theme", () => { readTheme(); redrawOver(); });
readTheme();
showToggle();
new ResizeObserver(() => {
  const first = !view.width, zoomed = view.scale / view.fit, x = view.x, y = view.y;
  view.width = stage.clientWidth;
  view.height = stage.clientHeight;
  fitView();
  if (!first) { view.scale *= zoomed; view.x = x; view.y = y; }
  redraw();
}).observe(stage);
