// The service map: who calls what, and how each endpoint is. Rebuilt when who is shown changes, otherwise only
// what changed is written.
const map = { shape: null, tiles: new Map(), cards: new Map(), nodes: new Map(), wires: [], states: new Map() };

const worst = (breakers) => BY_SEVERITY.find((state) => breakers.some((it) => effective(it) === state)) ?? "closed";
const perSecond = (breakers) => breakers.reduce((sum, it) => sum + it.connects_per_second, 0);

function groupBy(list, keyOf) {
  const groups = new Map();
  for (const it of list) {
    const key = keyOf(it);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(it);
  }
  return groups;
}

function drawMap() {
  const shown = visible();
  const shape = shown.map((breaker) => breaker.key).join();
  if (shape !== map.shape) build(shown, shape);
  $("no-breakers").hidden = shown.length > 0;
  $("map").hidden = shown.length === 0;
  if (shown.length === 0) {
    write($("no-breakers"), !store.glance ? "Waiting for the daemon."
      : store.breakers.length ? "No breaker is like that. Esc drops the filter."
      : "No breakers yet: an endpoint gets one when the policy names its address, or when it is first called.");
  }
  for (const breaker of shown) drawTile(breaker);
  // One of them can be reached by Tab, whatever is filtered.
  if (shown.length > 0 && !map.tiles.has(store.selected)) map.tiles.get(shown[0].key).tabIndex = 0;
  for (const [service, breakers] of groupBy(shown, (it) => it.service)) {
    const card = map.cards.get(service);
    const state = worst(breakers);
    say(card, "class", "service s-" + state);
    write(card.note, `${breakers.length} ${breakers.length === 1 ? "endpoint" : "endpoints"} · ${rate(perSecond(breakers))}`);
    say(card.use, "href", "#i-" + state);
    write(card.state, state === "closed" ? "all closed" : `worst: ${wordOf(state)}`);
  }
  for (const [caller, breakers] of groupBy(shown, (it) => it.caller)) {
    write(map.nodes.get(caller).note, rate(perSecond(breakers)));
  }
  for (const wire of map.wires) {
    const breakers = shown.filter((it) => it.caller === wire.caller && it.service === wire.service);
    say(wire.path, "class", "s-" + worst(breakers));
    say(wire.path, "stroke-width", (1.5 + Math.min(3, Math.log2(1 + perSecond(breakers)) / 3)).toFixed(1));
  }
  drawChips();
}

function build(shown, shape) {
  map.shape = shape;
  for (const key of map.states.keys()) if (!store.byKey.has(key)) map.states.delete(key);
  map.tiles.clear();
  map.cards.clear();
  map.nodes.clear();
  const focused = document.activeElement?.dataset?.key;
  $("map").classList.toggle("is-dense", shown.length > 60);
  const cards = [];
  for (const [service, ofService] of groupBy(shown, (it) => it.service)) {
    const state = icon("closed");
    const card = element("section", { "aria-label": "Service " + service });
    card.use = state.firstChild;
    card.note = element("small");
    card.state = element("span", { className: "unseen" });
    card.append(element("div", { className: "head" }, state, element("h3", {}, service), card.state, card.note));
    const groups = groupBy(ofService, (it) => it.caller);
    for (const [caller, breakers] of groups) {
      const tiles = element("div", { className: "tiles" }, ...breakers.map(makeTile));
      card.append(element("div", { className: "group" + (groups.size === 1 ? " is-only" : "") },
        element("p", {}, "called by " + caller), tiles));
    }
    map.cards.set(service, card);
    cards.push(card);
  }
  $("services").replaceChildren(...cards);
  const pairs = groupBy(shown, (it) => JSON.stringify([it.caller, it.service]));
  const callers = [...groupBy(shown, (it) => it.caller).keys()];
  $("callers").replaceChildren(...callers.map((caller) => {
    const node = element("div", { className: "caller" }, element("b", {}, caller));
    node.note = element("small");
    node.append(node.note);
    map.nodes.set(caller, node);
    return node;
  }));
  map.wires = [...pairs.keys()].map((pair) => {
    const [caller, service] = JSON.parse(pair);
    return { caller, service, path: document.createElementNS($("wires").namespaceURI, "path") };
  });
  $("wires").replaceChildren(...map.wires.map((wire) => wire.path));
  layWires();
  if (focused) map.tiles.get(focused)?.focus({ preventScroll: true });
}

function makeTile(breaker) {
  const state = icon("closed");
  const tile = element("button", { type: "button" }, state,
    element("span", { className: "endpoint" }, breaker.endpoint));
  tile.dataset.key = breaker.key;
  tile.use = state.firstChild;
  tile.word = element("span", { className: "word" });
  tile.numbers = element("span", { className: "numbers" });
  tile.append(tile.word, tile.numbers);
  map.tiles.set(breaker.key, tile);
  return tile;
}

function drawTile(breaker) {
  const tile = map.tiles.get(breaker.key);
  const state = effective(breaker);
  const observed = breaker.state === "observe";
  const isNew = map.states.has(breaker.key) && map.states.get(breaker.key) !== breaker.state + state;
  map.states.set(breaker.key, breaker.state + state);
  const selected = breaker.key === store.selected;
  const shown = observed && state === "closed" ? "observe" : state;
  say(tile, "class", `tile s-${shown}${isNew || (tile.until ?? 0) > Date.now() ? " changed" : ""}`);
  if (isNew) tile.until = Date.now() + 1500;
  say(tile, "aria-current", String(selected));
  tile.tabIndex = selected ? 0 : -1;
  say(tile.use, "href", "#i-" + (observed ? "observe" : state));
  const word = observed ? (state === "closed" ? "observing" : "observing: " + wordOf(state)) : wordOf(state);
  const dense = map.shape !== null && $("map").classList.contains("is-dense");
  write(tile.word, dense ? word : `${word} for ${span(nowOnNode() - Date.parse(breaker.since))}`);
  const { window: seen } = breaker;
  const failing = seen.failures > 0 ? ` · ${percent(seen.failure_share)} fail` : "";
  write(tile.numbers, `${rate(breaker.connects_per_second)} · p99 ${latency(seen.p99_us)}${failing}`);
  say(tile, "aria-label", `${breaker.endpoint}, ${word}, ${breaker.caller} calling ${breaker.service}`);
  tile.title = breaker.endpoint + (breaker.network ? ` in ${breaker.network}` : "");
}

// Curves from the callers to the cards, measured where they are.
function layWires() {
  const frame = $("map").getBoundingClientRect();
  if (frame.width === 0) return;
  for (const wire of map.wires) {
    const from = map.nodes.get(wire.caller)?.getBoundingClientRect();
    const to = map.cards.get(wire.service)?.getBoundingClientRect();
    if (!from || !to || from.width === 0) continue;
    const [x1, y1] = [from.right - frame.left, from.top + from.height / 2 - frame.top];
    const [x2, y2] = [to.left - frame.left - 2, to.top + Math.min(20, to.height / 2) - frame.top];
    const bend = (x2 - x1) / 2;
    wire.path.setAttribute("d", `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`);
  }
}

function drawChips() {
  const tally = groupBy(store.breakers, effective);
  const states = BY_SEVERITY.filter((state) => tally.has(state) || state === store.only);
  const chips = $("chips");
  const shape = states.join();
  if (chips.dataset.shape !== shape) {
    chips.dataset.shape = shape;
    chips.replaceChildren(...[null, ...states].map((state) => {
      const chip = element("button", { type: "button", className: "chip" + (state ? " s-" + state : "") },
        state && icon(state), state ? wordOf(state) : "all");
      chip.number = element("b");
      chip.state = state;
      chip.append(" ", chip.number);
      chip.onclick = () => { store.only = store.only === state ? null : state; draw(); };
      return chip;
    }));
  }
  for (const chip of chips.children) {
    write(chip.number, String(chip.state ? (tally.get(chip.state)?.length ?? 0) : store.breakers.length));
    say(chip, "aria-pressed", String(store.only === chip.state));
  }
}

$("services").addEventListener("click", (event) => {
  const tile = event.target.closest(".tile");
  if (tile) choose(tile.dataset.key, true);
});
new ResizeObserver(layWires).observe($("map"));
