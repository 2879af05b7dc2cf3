// Keys and pointers: what is selected, what is filtered, and what of it is seen.
const order = () => [...document.querySelectorAll(".tile")].map((tile) => tile.dataset.key);
const isNarrow = () => matchMedia("(max-width: 980px)").matches;

function choose(key, opens) {
  store.selected = key;
  draw();
  if (opens && isNarrow()) enterDetail();
}

function step(by, accepts = () => true) {
  const keys = order().filter((key) => key === store.selected || accepts(store.byKey.get(key)));
  if (keys.length === 0) return;
  const place = keys.indexOf(store.selected);
  choose(keys[place < 0 ? 0 : (place + by + keys.length) % keys.length], false);
  const tile = map.tiles.get(store.selected);
  tile?.focus({ preventScroll: true });
  tile?.scrollIntoView({ block: "nearest" });
}

function enterDetail() {
  if (!store.byKey.has(store.selected)) return;
  $("detail").classList.add("is-shown");
  document.body.classList.toggle("has-sheet", isNarrow());
  $("detail").focus({ preventScroll: true });
  drawHeat();
}

function leaveDetail() {
  $("detail").classList.remove("is-shown");
  document.body.classList.remove("has-sheet");
  map.tiles.get(store.selected)?.focus({ preventScroll: true });
}

function goBack() {
  if ($("detail").classList.contains("is-shown")) return leaveDetail();
  if (document.activeElement === $("search")) $("search").blur();
  $("search").value = store.filter = "";
  store.only = null;
  draw();
}

const KEYS = {
  j: () => step(1), ArrowDown: () => step(1), ArrowRight: () => step(1),
  k: () => step(-1), ArrowUp: () => step(-1), ArrowLeft: () => step(-1),
  n: () => step(1, (breaker) => !isCalm(breaker)),
  Enter: enterDetail, Escape: goBack,
  "/": () => { leaveDetail(); $("search").focus(); $("search").select(); },
  "?": () => $("help").showModal(), t: () => turnTheme(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const typing = event.target === $("search");
  if (typing && event.key !== "Escape" && event.key !== "Enter" && event.key !== "ArrowDown") return;
  const scrolls = event.key.startsWith("Arrow") && event.target.closest?.("#feed, #detail");
  const presses = event.key === "Enter" && event.target.closest?.("button") && !event.target.closest(".tile");
  const act = KEYS[event.key];
  if (!act || scrolls || presses) return;
  event.preventDefault();
  if (typing && event.key === "Enter") step(0);
  else act();
});
$("search").addEventListener("input", () => { store.filter = $("search").value; draw(); });
$("help-tool").onclick = () => $("help").showModal();

// The theme: as the system, until somebody says otherwise.
function turnTheme() {
  const themes = ["", "light", "dark"];
  setTheme(themes[(themes.indexOf(document.documentElement.dataset.theme ?? "") + 1) % 3]);
}
function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  $("theme").title = `Theme: ${theme || "as the system"} (t)`;
  try { localStorage.setItem("theme", theme); } catch { /* It is forgotten then. */ }
  drawHeat();
}
$("theme").onclick = turnTheme;
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawHeat);
