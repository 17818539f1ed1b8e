// ---- what the pointer, the keys and the clock do
const tip = one(".scatter-tip"), turnButton = one(".scatter-turn"), calm = matchMedia("(prefers-reduced-motion: reduce)");
const SPEED = 0.35, QUICK = 0.0075; // radians a second when it turns by itself, radians a pixel when dragged

function clusterOf(i) {
  const cluster = CLUSTERS[WHICH[i]], images = `${cluster.size.toLocaleString("en")} ${cluster.size === 1 ? "image" : "images"}`;
  return cluster.noise ? `noise (${images})` : `cluster ${cluster.number} (${images})`;
}
function labelOf(i) { return DATA.labelled[WHICH[i]] ? CLUSTERS[WHICH[i]].name : ""; }
function strengthOf(i) { return STRENGTH.length ? `strength ${(STRENGTH[i] / 255).toFixed(2)}` : ""; }
function fillTip() {
  const i = state.hover;
  tip.hidden = i < 0;
  stage.classList.toggle("on-point", i >= 0);
  if (i < 0) return;
  paint(one(".scatter-picture"), i, 1.6 * DATA.pictures.cell);
  one(".scatter-name").textContent = DATA.names[i];
  one(".scatter-cluster bdi").textContent = clusterOf(i);
  one(".scatter-cluster i").style.background = CLUSTERS[WHICH[i]].colour;
  one(".scatter-label bdi").textContent = labelOf(i);
  one(".scatter-label").hidden = !labelOf(i);
  one(".scatter-strength").textContent = strengthOf(i);
  one(".scatter-strength").hidden = !STRENGTH.length;
  placeTip();
}
function placeTip() {
  const i = state.hover;
  if (i < 0) return;
  const x = screenX[i], y = screenY[i], width = tip.offsetWidth, height = tip.offsetHeight;
  const left = x + 18 + width <= view.width ? x + 18 : x - 18 - width, top = y + 18 + height <= view.height ? y + 18 : y - 18 - height;
  tip.style.left = Math.max(4, Math.min(left, view.width - width - 4)) + "px";
  tip.style.top = Math.max(4, Math.min(top, view.height - height - 4)) + "px";
}
function hover(i) {
  if (i === state.hover) return;
  state.hover = i;
  fillTip();
  redraw();
}
function pictureCame() { fillTip(); }

function turn(across, down) {
  view.yaw += across;
  view.pitch = Math.max(-STEEP, Math.min(STEEP, view.pitch + down));
  redraw();
}
function pan(dx, dy) { view.x += dx; view.y += dy; redraw(); }
function zoom(factor, px = view.width / 2, py = view.height / 2) {
  const before = view.zoom;
  view.zoom = Math.max(0.3, Math.min(MAX_ZOOM, before * factor));
  const by = view.zoom / before, dx = px - view.width / 2, dy = py - view.height / 2;
  view.x = dx - (dx - view.x) * by;
  view.y = dy - (dy - view.y) * by;
  redraw();
}
function reset() {
  turning(false);
  hover(-1);
  Object.assign(view, HOME);
  redraw();
}

// ---- turning by itself: only while it is seen, and never where the system asks for less motion
let turns = false, seen = true, last = 0;
function tick(now) {
  if (!turns) return;
  const passed = Math.min(100, now - last);
  last = now;
  if (!down.size && state.hover < 0 && seen) turn((SPEED * passed) / 1000, 0); // stands still to be read or grasped
  requestAnimationFrame(tick);
}
function turning(on) {
  const begins = on && !turns && !calm.matches;
  turns = on && !calm.matches;
  turnButton.setAttribute("aria-pressed", String(turns));
  turnButton.disabled = calm.matches;
  turnButton.title = calm.matches ? "Your system asks for less motion" : "";
  if (begins) requestAnimationFrame((now) => { last = now; tick(now); });
}
calm.addEventListener("change", () => turning(turns));
turnButton.addEventListener("click", () => { hover(-1); turning(!turns); });
new IntersectionObserver((entries) => { seen = entries[entries.length - 1].isIntersecting; }).observe(stage);

const down = new Map(); // pointers that are down: id -> [x, y]
let travelled = 0, panning = false, spread = 0;
function local(event) {
  const box = stage.getBoundingClientRect();
  return [event.clientX - box.left - stage.clientLeft, event.clientY - box.top - stage.clientTop];
}
function pinch() {
  const [a, b] = [...down.values()];
  return { x: (a[0] + b[0]) / 2, y: (a[1] + b[1]) / 2, spread: Math.hypot(a[0] - b[0], a[1] - b[1]) };
}
stage.addEventListener("pointerdown", (event) => {
  stage.setPointerCapture(event.pointerId);
  if (!down.size) { travelled = 0; panning = event.button !== 0 || event.shiftKey; }
  down.set(event.pointerId, local(event));
  if (down.size === 2) spread = pinch().spread;
});
stage.addEventListener("pointermove", (event) => {
  const at = local(event), before = down.get(event.pointerId);
  if (!before) { hover(pointAt(...at)); return; }
  down.set(event.pointerId, at);
  const dx = at[0] - before[0], dy = at[1] - before[1];
  travelled += Math.hypot(dx, dy);
  if (travelled > 4) hover(-1);
  if (down.size === 2) {
    const now = pinch();
    pan(dx / 2, dy / 2);
    if (spread > 0) zoom(now.spread / spread, now.x, now.y);
    spread = now.spread;
  } else if (panning) pan(dx, dy);
  else turn(dx * QUICK, dy * QUICK);
});
function released(event) {
  if (!down.delete(event.pointerId) || event.type === "pointercancel" || down.size || travelled > 4) return;
  hover(pointAt(...local(event)));
}
stage.addEventListener("pointerup", released);
stage.addEventListener("pointercancel", released);
stage.addEventListener("pointerleave", () => { if (!down.size) hover(-1); });
stage.addEventListener("contextmenu", (event) => event.preventDefault());
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  const lines = event.deltaMode === 1 ? 16 : 1;
  hover(-1);
  zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) / 420), ...local(event));
}, { passive: false });

function step(direction) {
  for (let tried = 0, i = state.hover; tried < COUNT; tried++) {
    i = i < 0 ? (direction > 0 ? 0 : COUNT - 1) : (i + direction + COUNT) % COUNT;
    if (off[WHICH[i]]) continue;
    hover(i);
    one(".scatter-said").textContent = [DATA.names[i], clusterOf(i), labelOf(i), strengthOf(i)].filter(Boolean).join(", ");
    return;
  }
}
const KEYS = {
  ArrowLeft: () => turn(-0.12, 0), ArrowRight: () => turn(0.12, 0), ArrowUp: () => turn(0, -0.12), ArrowDown: () => turn(0, 0.12),
  "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: reset, r: () => { hover(-1); turning(!turns); },
  n: () => step(1), p: () => step(-1), Escape: () => hover(-1),
};
const SHIFTED = { ArrowLeft: () => pan(-50, 0), ArrowRight: () => pan(50, 0), ArrowUp: () => pan(0, -50), ArrowDown: () => pan(0, 50) };
stage.addEventListener("keydown", (event) => {
  const keys = event.shiftKey && Object.hasOwn(SHIFTED, event.key) ? SHIFTED : KEYS;
  if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  keys[event.key]();
});
one(".scatter-in").addEventListener("click", () => zoom(1.5));
one(".scatter-out").addEventListener("click", () => zoom(1 / 1.5));
one(".scatter-reset").addEventListener("click", reset);

const entries = [...root.querySelectorAll(".scatter-legend button")];
function refreshLegend() {
  entries.forEach((entry, k) => entry.setAttribute("aria-pressed", String(!off[k])));
  if (state.hover >= 0 && off[WHICH[state.hover]]) hover(-1);
  redraw();
}
entries.forEach((entry, k) => {
  const focus = (on) => () => { state.focus = on && !off[k] ? k : -1; redraw(); };
  entry.addEventListener("click", () => { off[k] = 1 - off[k]; state.focus = -1; refreshLegend(); });
  entry.addEventListener("dblclick", () => { off.fill(1); off[k] = 0; refreshLegend(); });
  entry.addEventListener("pointerenter", focus(true));
  entry.addEventListener("pointerleave", focus(false));
});
one(".scatter-all").addEventListener("click", () => { off.fill(0); refreshLegend(); });
one(".scatter-none").addEventListener("click", () => { off.fill(1); refreshLegend(); });

document.addEventListener("shoal-theme", () => { mixColours(); redraw(); });
mixColours();
turning(false);
new ResizeObserver(() => {
  view.width = stage.clientWidth;
  view.height = stage.clientHeight;
  redraw();
}).observe(stage);
