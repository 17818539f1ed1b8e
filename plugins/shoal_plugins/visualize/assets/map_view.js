const X = new Float32Array(bytes(DATA.x).buffer), Y = new Float32Array(bytes(DATA.y).buffer);
const WHICH = new Int32Array(bytes(DATA.which).buffer), FOLDER = new Int32Array(bytes(DATA.folder).buffer);
const STRENGTH = bytes(DATA.strength), COUNT = X.length, CLUSTERS = DATA.clusters;

const stage = one(".map-stage"), points = one(".map-points"), over = one(".map-over");
const pen = points.getContext("2d"), ink = over.getContext("2d");
const off = new Uint8Array(CLUSTERS.length); // clusters that the legend hides
const state = { matches: null, focus: -1, hover: -1, pinned: -1 };

// ---- view: screen = (data - centre) * scale + middle, the same scale both ways, y upwards
const bounds = { x0: Infinity, x1: -Infinity, y0: Infinity, y1: -Infinity };
for (let i = 0; i < COUNT; i++) {
  if (X[i] < bounds.x0) bounds.x0 = X[i];
  if (X[i] > bounds.x1) bounds.x1 = X[i];
  if (Y[i] < bounds.y0) bounds.y0 = Y[i];
  if (Y[i] > bounds.y1) bounds.y1 = Y[i];
}
const view = { x: 0, y: 0, scale: 1, fit: 1, width: 0, height: 0 };
const MAX_ZOOM = 200, MARGIN = 36;
function screenX(i) { return (X[i] - view.x) * view.scale + view.width / 2; }
function screenY(i) { return (view.y - Y[i]) * view.scale + view.height / 2; }
function fitView() {
  const wide = bounds.x1 - bounds.x0, high = bounds.y1 - bounds.y0;
  const across = wide > 0 ? (view.width - 2 * MARGIN) / wide : Infinity, down = high > 0 ? (view.height - 2 * MARGIN) / high : Infinity;
  view.fit = Math.min(across, down);
  if (!(view.fit > 0 && view.fit < Infinity)) view.fit = 1;
  view.x = (bounds.x0 + bounds.x1) / 2;
  view.y = (bounds.y0 + bounds.y1) / 2;
  view.scale = view.fit;
}
function zoom(factor, px, py) {
  const next = Math.min(Math.max(view.scale * factor, view.fit / 4), view.fit * MAX_ZOOM);
  const dx = px - view.width / 2, dy = py - view.height / 2;
  view.x += dx / view.scale - dx / next;
  view.y -= dy / view.scale - dy / next;
  view.scale = next;
  moved();
}
function pan(dx, dy) {
  view.x -= dx / view.scale;
  view.y += dy / view.scale;
  moved();
}

// ---- points: discs written straight into pixels; 50,000 take a few milliseconds without any GPU
const LARGE = 20000; // from here on a moving view is drawn at one pixel a pixel, and sharpened when it rests
let pixels = null, buffer = null, density = 1, moving = false, restTimer = 0, stale = true, overStale = true;
const COLOURS = CLUSTERS.map((cluster) => abgr(cluster.colour));
function radius() {
  const base = Math.min(7, Math.max(1.6, 90 / Math.sqrt(COUNT)));
  return Math.min(base * Math.pow(view.scale / view.fit, 0.3), 9);
}
function disc(r) {
  const reach = Math.ceil(r), found = [];
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const cover = Math.min(1, Math.max(0, r + 0.5 - Math.hypot(dx, dy)));
      if (cover > 0.05) found.push([dx, dy, Math.round(cover * 255)]);
    }
  }
  return { reach, dx: Int32Array.from(found, (f) => f[0]), dy: Int32Array.from(found, (f) => f[1]), cover: Uint8Array.from(found, (f) => f[2]) };
}
function stamp(shape, cx, cy, colour, strength) {
  const width = pixels.width, height = pixels.height, size = shape.dx.length, { dx, dy, cover, reach } = shape;
  if (cx < reach || cy < reach || cx >= width - reach || cy >= height - reach) return;
  const at = cy * width + cx;
  for (let k = 0; k < size; k++) {
    const place = at + dy[k] * width + dx[k], alpha = (cover[k] * strength) >> 8;
    if (alpha > 250) { buffer[place] = colour | 0xff000000; continue; }
    const under = buffer[place], old = under >>> 24;
    if (old === 0) { buffer[place] = colour | (alpha << 24); continue; }
    const rest = 255 - alpha, red = under & 255, green = (under >> 8) & 255, blue = (under >> 16) & 255;
    const r = ((colour & 255) * alpha + red * rest) >> 8, g = (((colour >> 8) & 255) * alpha + green * rest) >> 8;
    const b = (((colour >> 16) & 255) * alpha + blue * rest) >> 8, a = Math.min(255, old + ((alpha * (255 - old)) >> 8));
    buffer[place] = r | (g << 8) | (b << 16) | (a << 24);
  }
}
function drawPoints() {
  const ratio = moving && COUNT > LARGE ? 1 : Math.min(2, devicePixelRatio || 1);
  const width = Math.max(1, Math.round(view.width * ratio)), height = Math.max(1, Math.round(view.height * ratio));
  if (!pixels || pixels.width !== width || pixels.height !== height) {
    points.width = width;
    points.height = height;
    pixels = pen.createImageData(width, height);
    buffer = new Uint32Array(pixels.data.buffer);
    density = ratio;
  }
  buffer.fill(0);
  const r = radius() * density, plain = disc(r), strong = disc(r * 1.25 + 0.5);
  const faded = state.matches !== null || state.focus >= 0;
  const scale = view.scale * density, left = width / 2 - view.x * scale, top = height / 2 + view.y * scale;
  const solid = COUNT > 5000 ? 225 : 245;
  for (let pass = faded ? 0 : 1; pass < 2; pass++) {
    for (let i = 0; i < COUNT; i++) {
      const cluster = WHICH[i];
      if (off[cluster]) continue;
      const chosen = !faded || ((state.matches === null || state.matches[i]) && (state.focus < 0 || state.focus === cluster));
      if (chosen !== (pass === 1)) continue;
      stamp(faded && chosen ? strong : plain, (X[i] * scale + left) | 0, (top - Y[i] * scale) | 0, COLOURS[cluster], chosen ? solid : 40);
    }
  }
  pen.putImageData(pixels, 0, 0);
}

// ---- one frame at a time, and only when something changed
let asked = false;
function ask() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    if (stale) { stale = false; drawPoints(); }
    if (overStale) { overStale = false; drawOver(); }
  });
}
function moved() {
  moving = true;
  clearTimeout(restTimer);
  restTimer = setTimeout(() => { moving = false; stale = true; overStale = true; ask(); }, 140);
  redraw();
}
function redraw() { stale = true; overStale = true; ask(); }
function redrawOver() { overStale = true; ask(); }

function nearest(px, py) {
  const reach = Math.max(10, radius() + 3);
  const shown = pictureAt(px, py);
  if (shown >= 0) return shown;
  let best = -1, least = reach * reach;
  for (let i = COUNT - 1; i >= 0; i--) {
    if (off[WHICH[i]]) continue;
    const dx = screenX(i) - px, dy = screenY(i) - py, far = dx * dx + dy * dy;
    if (far < least) { least = far; best = i; }
  }
  return best;
}
