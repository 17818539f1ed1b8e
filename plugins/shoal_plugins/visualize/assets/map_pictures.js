// ---- pictures on the map: as many as fit without covering one another, the same ones while the view only pans
const PICTURE = 54, MOST_FROM_SHEETS = 400;
let pictures = inPage && COUNT <= 2000, chosenScale = 0, chosen = [], drawn = [];
function choose() {
  if (chosenScale === view.scale) return chosen;
  chosenScale = view.scale;
  chosen = [];
  const taken = new Map(), side = PICTURE / view.scale;
  const stride = COUNT % 7919 ? 7919 : 7907; // prime, so that all come, evenly spread over the clusters
  for (let noise = 0; noise < 2; noise++) { // noise only where there is room left
    for (let k = 0, i = 0; k < COUNT; k++, i = (i + stride) % COUNT) {
      if (off[WHICH[i]] || Number(CLUSTERS[WHICH[i]].noise) !== noise) continue;
      const cx = Math.floor(X[i] / side), cy = Math.floor(Y[i] / side);
      if (!crowded(i, cx, cy, side, taken)) { taken.set(cx * 1e6 + cy, i); chosen.push(i); }
    }
  }
  return chosen;
}
function crowded(i, cx, cy, side, taken) {
  for (let ax = cx - 1; ax <= cx + 1; ax++) {
    for (let ay = cy - 1; ay <= cy + 1; ay++) {
      const other = taken.get(ax * 1e6 + ay);
      if (other !== undefined && Math.abs(X[other] - X[i]) < side && Math.abs(Y[other] - Y[i]) < side) return true;
    }
  }
  return false;
}
function inView(i) {
  const x = screenX(i), y = screenY(i);
  return x > -PICTURE && y > -PICTURE && x < view.width + PICTURE && y < view.height + PICTURE;
}
function pictureAt(px, py) {
  const half = PICTURE / 2 - 2;
  return drawn.find((i) => Math.abs(screenX(i) - px) < half && Math.abs(screenY(i) - py) < half) ?? -1;
}
function drawPictures() {
  drawn = [];
  const visible = choose().filter((i) => inView(i) && !off[WHICH[i]]);
  if (!inPage) {
    let inside = 0;
    for (let i = 0; i < COUNT && inside <= MOST_FROM_SHEETS; i++) if (inView(i)) inside++;
    if (inside > MOST_FROM_SHEETS) return;
  }
  for (const i of visible) {
    const found = picture(i);
    if (!found) continue;
    drawn.push(i);
    const [source, x, y, width, height] = found, square = Math.min(width, height), half = PICTURE / 2 - 5;
    const faded = (state.matches !== null && !state.matches[i]) || (state.focus >= 0 && state.focus !== WHICH[i]);
    const px = screenX(i), py = screenY(i);
    ink.globalAlpha = faded ? 0.12 : 1;
    ink.fillStyle = CLUSTERS[WHICH[i]].colour;
    ink.beginPath();
    ink.roundRect(px - half - 2.5, py - half - 2.5, 2 * half + 5, 2 * half + 5, 7);
    ink.fill();
    ink.save();
    ink.beginPath();
    ink.roundRect(px - half, py - half, 2 * half, 2 * half, 5);
    ink.clip();
    ink.drawImage(source, x + (width - square) / 2, y + (height - square) / 2, square, square, px - half, py - half, 2 * half, 2 * half);
    ink.restore();
  }
  ink.globalAlpha = 1;
}
function ring(i, colour, extra) {
  ink.beginPath();
  ink.arc(screenX(i), screenY(i), radius() + extra, 0, 2 * Math.PI);
  ink.lineWidth = 4.5;
  ink.strokeStyle = theme.surface;
  ink.stroke();
  ink.lineWidth = 2.2;
  ink.strokeStyle = colour;
  ink.stroke();
}
const MOST_RINGS = 300;
function drawOver() {
  const ratio = Math.min(2, devicePixelRatio || 1), width = Math.round(view.width * ratio), height = Math.round(view.height * ratio);
  if (over.width !== width || over.height !== height) { over.width = width; over.height = height; }
  ink.setTransform(ratio, 0, 0, ratio, 0, 0);
  ink.clearRect(0, 0, view.width, view.height);
  if (pictures) drawPictures();
  else drawn = [];
  if (state.matches !== null && matched.length <= MOST_RINGS) {
    for (const i of matched) if (!off[WHICH[i]] && inView(i)) ring(i, theme.mark, 2);
  }
  if (state.hover >= 0) ring(state.hover, theme.ink, 3);
  if (state.pinned >= 0) ring(state.pinned, theme.mark, 4);
}
