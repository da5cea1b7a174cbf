"use strict";
const cases = JSON.parse(document.getElementById("cases").textContent);
const byId = (id) => document.getElementById(id);
const gallery = byId("gallery");
const viewer = byId("viewer");
let shown = [];
let open = 0;

function makeCard(item) {
  const card = document.createElement("button");
  card.className = "card";
  const picture = document.createElement("img");
  picture.loading = "lazy";
  picture.src = item.picture;
  picture.alt = `image, truth, prediction and heatmap of ${item.name}`;
  const line = document.createElement("span");
  const name = document.createElement("span");
  name.textContent = item.centre ? `${item.name} (${item.centre})` : item.name;
  const score = document.createElement("b");
  score.textContent = `Dice ${item.dice.toFixed(3)}`;
  line.append(name, score);
  card.append(picture, line);
  card.addEventListener("click", () => view(shown.indexOf(item)));
  return card;
}

// A control with fewer than two choices is hidden. `data-order` lists its choices in
// order; those it does not list are sorted by name.
function fillChoices(key) {
  const select = byId(key);
  const order = (select.dataset.order ?? "").split(" ");
  const values = [...new Set(cases.map((item) => item[key]))].filter(Boolean);
  values.sort((a, b) => order.indexOf(a) - order.indexOf(b) || a.localeCompare(b));
  for (const value of values) select.append(new Option(value, value));
  select.parentElement.hidden = values.length < 2;
}

// Cases without the value come last in either direction.
function compare(key, sign) {
  return (a, b) => {
    const [x, y] = [a[key], b[key]];
    if (x === null || y === null) return (x === null) - (y === null);
    if (typeof x === "number") return sign * (x - y);
    return sign * x.localeCompare(y, undefined, { numeric: true });
  };
}

function update() {
  const sort = byId("sort").value;
  const part = byId("search").value.toLowerCase();
  shown = cases.filter((item) =>
    (!byId("size").value || item.size === byId("size").value) &&
    (!byId("centre").value || item.centre === byId("centre").value) &&
    item.name.toLowerCase().includes(part));
  shown.sort(compare(sort.replace("-", ""), sort.startsWith("-") ? -1 : 1));
  gallery.replaceChildren(...shown.map((item) => item.card));
  byId("count").textContent = `${shown.length} of ${cases.length} cases`;
}

// A picture is a strip of four panels; each panel of the viewer shows one of them.
function showPanels(picture) {
  const strip = new Image();
  strip.onload = () => {
    if (shown[open].picture !== picture) return; // another case was opened meanwhile
    document.querySelectorAll("#panels div").forEach((panel, i) => {
      panel.style.backgroundImage = `url("${picture}")`;
      panel.style.backgroundPosition = `${(i * 100) / 3}% 0`;
      panel.style.aspectRatio = strip.naturalWidth / 4 / strip.naturalHeight;
    });
  };
  strip.src = picture;
}

function view(index) {
  if (index < 0 || index >= shown.length) return;
  open = index;
  const item = shown[index];
  showPanels(item.picture);
  byId("facts").textContent =
    `${item.name} · ${index + 1} of ${shown.length} · Dice ${item.dice.toFixed(4)} · ` +
    `IoU ${item.iou.toFixed(4)} · recall ${item.recall.toFixed(4)} · ` +
    `precision ${item.precision.toFixed(4)} · HD95 ${item.hd95.toFixed(1)} px · ` +
    `${item.polyps_found} of ${item.polyps} polyps found, ` +
    `${item.false_positives} false positives` +
    (item.area === null ? "" : ` · ${item.area} px, ${item.size}`);
  if (!viewer.open) viewer.showModal();
}

for (const item of cases) item.card = makeCard(item);
fillChoices("size");
fillChoices("centre");
byId("controls").addEventListener("input", update);
byId("controls").addEventListener("submit", (event) => event.preventDefault());
byId("previous").addEventListener("click", () => view(open - 1));
byId("next").addEventListener("click", () => view(open + 1));
viewer.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") view(open - 1);
  if (event.key === "ArrowRight") view(open + 1);
});
viewer.addEventListener("click", (event) => {
  if (event.target === viewer) viewer.close();
});
update();
