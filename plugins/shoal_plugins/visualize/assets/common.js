// What the map and the scatter share; each follows in the same function.
"use strict";
const root = document.currentScript.parentElement;
const DATA = __DATA__;
const FILES = "files/";
const one = (selector) => root.querySelector(selector);

function bytes(text) {
  const raw = atob(text), made = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) made[i] = raw.charCodeAt(i);
  return made;
}
function abgr(hex) {
  const value = parseInt(hex.slice(1), 16);
  return ((value & 255) << 16) | (value & 0xff00) | (value >> 16);
}
const theme = {};
function readTheme() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["ink", "surface", "raised", "line", "mark"]) theme[name] = style.getPropertyValue("--" + name).trim() || "#888";
}
// ---- pictures: each in the page itself, or many on a sprite sheet, in the page or beside it, read when first wanted
const JPEG = "data:image/jpeg;base64,";
const KEPT_SHEETS = 48; // decoded sheets kept: about 3.5 MB each
const inPage = Array.isArray(DATA.pictures.data), SIZES = inPage ? null : bytes(DATA.pictures.sizes), images = new Map();

function image(key, source) {
  let found = images.get(key);
  if (found) {
    if (!inPage) { images.delete(key); images.set(key, found); } // youngest last
    return found;
  }
  found = new Image();
  found.decoding = "async";
  found.addEventListener("load", () => { found.dataset.ready = "yes"; pictureCame(); });
  found.src = source;
  images.set(key, found);
  if (!inPage && images.size > KEPT_SHEETS) images.delete(images.keys().next().value);
  return found;
}
// Returns [image, x, y, width, height], or null while there is none.
function picture(i) {
  if (inPage) {
    if (!DATA.pictures.data[i]) return null;
    const found = image(i, JPEG + DATA.pictures.data[i]);
    return found.dataset.ready ? [found, 0, 0, found.naturalWidth, found.naturalHeight] : null;
  }
  const { sheet, cell, columns } = DATA.pictures, width = SIZES[2 * i], height = SIZES[2 * i + 1];
  if (!width) return null;
  const number = Math.floor(i / sheet), place = i % sheet;
  const beside = () => FILES + "sheet-" + String(number).padStart(5, "0") + ".jpg";
  const found = image(number, DATA.pictures.sheets ? JPEG + DATA.pictures.sheets[number] : beside());
  return found.dataset.ready ? [found, (place % columns) * cell, Math.floor(place / columns) * cell, width, height] : null;
}
// Draws image i into a canvas of its own; tells whether it could.
function paint(canvas, i, longest) {
  const found = picture(i);
  canvas.hidden = !found;
  if (!found) return false;
  const [source, x, y, width, height] = found, factor = Math.min(longest / Math.max(width, height), 2);
  const shownWidth = Math.max(1, Math.round(width * factor)), shownHeight = Math.max(1, Math.round(height * factor));
  const ratio = Math.min(2, devicePixelRatio || 1);
  canvas.width = shownWidth * ratio;
  canvas.height = shownHeight * ratio;
  canvas.style.width = shownWidth + "px";
  canvas.style.height = shownHeight + "px";
  canvas.getContext("2d").drawImage(source, x + 0.5, y + 0.5, width - 1, height - 1, 0, 0, canvas.width, canvas.height); // no neighbour shines in
  return true;
}
