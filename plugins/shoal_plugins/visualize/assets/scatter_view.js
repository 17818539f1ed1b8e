// ---- view: points in a ball of radius 1, turned by yaw and pitch, seen from DISTANCE radii away
const [X, Y, Z] = [DATA.x, DATA.y, DATA.z].map((text) => new Float32Array(bytes(text).buffer));
const WHICH = new Int32Array(bytes(DATA.which).buffer), STRENGTH = bytes(DATA.strength);
const COUNT = X.length, CLUSTERS = DATA.clusters, FLAT = DATA.box[2] === 0;
const stage = one(".scatter-stage"), points = one(".scatter-points"), pen = points.getContext("2d");
const off = new Uint8Array(CLUSTERS.length); // clusters that the legend hides
const state = { focus: -1, hover: -1 };

const DISTANCE = 3.5, MARGIN = 22, MAX_ZOOM = 60, STEEP = 0.49 * Math.PI, LEVELS = 24, BUCKETS = 1024;
const HOME = { yaw: FLAT ? 0 : -0.6, pitch: FLAT ? 0 : 0.34, zoom: 1, x: 0, y: 0 };
const view = { ...HOME, width: 0, height: 0 };
const screenX = new Float32Array(COUNT), screenY = new Float32Array(COUNT), near = new Float32Array(COUNT);
const level = new Uint8Array(COUNT), bucket = new Uint16Array(COUNT), order = new Uint32Array(COUNT); // how near, in steps; the farthest first

function scale() { return Math.max(10, Math.min((view.width / 2 - MARGIN) / (REACH.x || 1), (view.height / 2 - MARGIN) / (REACH.y || 1))) * view.zoom; }
function projector(size = scale(), middle = MIDDLE) {
  const cy = Math.cos(view.yaw), sy = Math.sin(view.yaw), cp = Math.cos(view.pitch), sp = Math.sin(view.pitch);
  const left = view.width / 2 + view.x - middle.x * size, top = view.height / 2 + view.y - middle.y * size;
  return (x, y, z, put) => {
    const across = x * cy + z * sy, back = z * cy - x * sy, towards = y * sp + back * cp;
    const factor = DISTANCE / (DISTANCE - towards);
    put(left + across * factor * size, top - (y * cp - back * sp) * factor * size, towards, factor);
  };
}
function corner(k, to) {
  let at;
  to(...DATA.box.map((half, axis) => (k >> axis & 1 ? half : -half)), (x, y) => { at = [x, y]; });
  return at;
}
const CORNERS = [0, 1, 2, 3, 4, 5, 6, 7];
const seenFirst = CORNERS.map((k) => corner(k, projector(1, { x: 0, y: 0 })));
const [REACH, MIDDLE] = [[-1, 2], [1, 2]].map(([sign, part]) => { // of the box around all points, as it is first seen, in radii
  const of = (axis) => { const all = seenFirst.map((at) => at[axis]); return (Math.max(...all) + sign * Math.min(...all)) / part; };
  return { x: of(0), y: of(1) };
});
function project() {
  const to = projector(), starts = new Uint32Array(BUCKETS + 1);
  for (let i = 0; i < COUNT; i++) {
    to(X[i], Y[i], Z[i], (x, y, towards, factor) => {
      const part = Math.max(0, Math.min(0.9999, (towards + 1) / 2));
      screenX[i] = x;
      screenY[i] = y;
      near[i] = factor;
      level[i] = part * LEVELS;
      bucket[i] = part * BUCKETS;
      starts[bucket[i] + 1]++;
    });
  }
  for (let k = 1; k <= BUCKETS; k++) starts[k] += starts[k - 1];
  for (let i = 0; i < COUNT; i++) order[starts[bucket[i]]++] = i;
}

// ---- points: discs written straight into pixels, from back to front; what is far fades into the paper
let pixels = null, buffer = null, colours = [], shapes = [], density = 1, asked = false;
function radius() { return Math.min(6.5, Math.max(2.6, 150 / Math.sqrt(COUNT))) * Math.min(2.2, Math.pow(view.zoom, 0.4)); }
function disc(r) {
  const reach = Math.ceil(r + 1), found = [];
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const far = Math.hypot(dx, dy), cover = Math.min(1, Math.max(0, r + 0.5 - far)), halo = Math.min(1, Math.max(0, r + 1.3 - far));
      if (halo > 0.05) found.push([dx, dy, Math.round(cover * 255), Math.round(halo * 255)]);
    }
  }
  return { reach, ...Object.fromEntries(["dx", "dy", "cover", "halo"].map((name, k) => [name, Int32Array.from(found, (f) => f[k])])) };
}
// A disc with a thin rim of the paper's colour, so that points that lie over one another stay apart.
function stamp(shape, cx, cy, colour, rim, strength) {
  const width = pixels.width, { dx, dy, cover, halo, reach } = shape;
  if (cx < reach || cy < reach || cx >= width - reach || cy >= pixels.height - reach) return;
  for (let k = 0, at = cy * width + cx; k < dx.length; k++) {
    const place = at + dy[k] * width + dx[k], under = buffer[place], old = under >>> 24;
    const alpha = (halo[k] * strength) >> 8, rest = 255 - alpha, part = cover[k], other = 255 - part;
    const r = ((colour & 255) * part + (rim & 255) * other) >> 8, g = (((colour >> 8) & 255) * part + ((rim >> 8) & 255) * other) >> 8;
    const b = (((colour >> 16) & 255) * part + ((rim >> 16) & 255) * other) >> 8;
    if (alpha > 250 || !old) { buffer[place] = r | (g << 8) | (b << 16) | (Math.min(255, alpha + 1) << 24); continue; }
    const mixed = ((r * alpha + (under & 255) * rest) >> 8) | (((g * alpha + ((under >> 8) & 255) * rest) >> 8) << 8);
    buffer[place] = mixed | (((b * alpha + ((under >> 16) & 255) * rest) >> 8) << 16) | (Math.min(255, old + ((alpha * (255 - old)) >> 8) + 1) << 24);
  }
}
function mixColours() {
  readTheme();
  const paper = abgr(theme.raised);
  const mix = (a, b, part) => [0, 8, 16].reduce((sum, bit) => sum | (Math.round(((a >> bit) & 255) * part + ((b >> bit) & 255) * (1 - part)) << bit), 0);
  colours = CLUSTERS.map((cluster) => Array.from({ length: LEVELS }, (_, k) => mix(abgr(cluster.colour), paper, FLAT ? 1 : 0.52 + (0.48 * k) / (LEVELS - 1))));
}
function draw() {
  density = Math.min(2, devicePixelRatio || 1);
  const width = Math.max(1, Math.round(view.width * density)), height = Math.max(1, Math.round(view.height * density));
  if (!pixels || pixels.width !== width || pixels.height !== height) {
    points.width = width;
    points.height = height;
    pixels = pen.createImageData(width, height);
    buffer = new Uint32Array(pixels.data.buffer);
  }
  buffer.fill(0);
  project();
  const rim = abgr(theme.raised), r = radius() * density;
  if (r !== shapes.radius) {
    const perspective = (k) => DISTANCE / (DISTANCE + 1 - (2 * (k + 0.5)) / LEVELS);
    shapes = [1, 0.72].map((size) => Array.from({ length: LEVELS }, (_, k) => disc(r * size * perspective(k)))); // noise is smaller
    shapes.radius = r;
  }
  for (const i of order) {
    const k = WHICH[i];
    if (off[k]) continue;
    const strength = state.focus >= 0 && state.focus !== k ? 34 : 256;
    stamp(shapes[Number(CLUSTERS[k].noise)][level[i]], (screenX[i] * density) | 0, (screenY[i] * density) | 0, colours[k][level[i]], rim, strength);
  }
  pen.putImageData(pixels, 0, 0);
  pen.setTransform(density, 0, 0, density, 0, 0);
  pen.globalCompositeOperation = "destination-over"; // beneath the points
  drawBox();
  pen.globalCompositeOperation = "source-over";
  if (state.hover >= 0) ring(state.hover);
  pen.setTransform(1, 0, 0, 1, 0, 0);
}
// The edges of the box around all points: what makes a turn be seen as one.
function drawBox() {
  const to = projector(), places = CORNERS.map((k) => corner(k, to));
  pen.beginPath();
  for (const k of CORNERS) {
    for (let axis = 0; axis < 3; axis++) {
      if (k >> axis & 1) continue;
      pen.moveTo(...places[k]);
      pen.lineTo(...places[k | 1 << axis]);
    }
  }
  pen.lineWidth = 1;
  pen.strokeStyle = theme.line;
  pen.stroke();
}
function ring(i) {
  pen.beginPath();
  pen.arc(screenX[i], screenY[i], radius() * near[i] + 3, 0, 2 * Math.PI);
  for (const [width, colour] of [[4.5, theme.surface], [2.2, theme.ink]]) {
    pen.lineWidth = width;
    pen.strokeStyle = colour;
    pen.stroke();
  }
}
function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; draw(); placeTip(); });
}
// Returns the foremost point under a place of the stage, else the nearest one close by; -1 where there is none.
function pointAt(px, py) {
  let best = -1, least = 100;
  for (let k = COUNT - 1; k >= 0; k--) {
    const i = order[k], dx = screenX[i] - px, dy = screenY[i] - py, far = dx * dx + dy * dy, own = radius() * near[i];
    if (far > 400 || off[WHICH[i]]) continue;
    if (far <= own * own) return i;
    if (far < least) { least = far; best = i; }
  }
  return best;
}
