// The heatmap of the selected breaker: time from left to right, latency from bottom to top, and the darker or the
// hotter, the more answers. What it shows began when the page was opened.
const COLUMN_SECONDS = 5;
const COLUMNS = SECONDS_KEPT / COLUMN_SECONDS;
const LEAST_ROWS = 12;
const GUTTER = 54;
const FOOT = 16;

// Where a step of half an octave begins, in microseconds.
const stepStart = (step) => (step < 2 ? step * 4 : 8 * 2 ** (Math.floor(step / 2) - 1) * (step % 2 ? 1.5 : 1));

function gather(key, now) {
  const columns = Array.from({ length: COLUMNS }, () => new Map());
  const totals = new Map();
  const newest = Math.floor(now / 1000 / COLUMN_SECONDS);
  for (const { at, added } of store.heat.get(key)?.columns ?? []) {
    const column = columns[COLUMNS - 1 - (newest - Math.floor(at / 1000 / COLUMN_SECONDS))];
    if (!column) continue;
    for (const [step, more] of added) {
      column.set(step, (column.get(step) ?? 0) + more);
      totals.set(step, (totals.get(step) ?? 0) + more);
    }
  }
  return { columns, totals, begin: (newest - COLUMNS + 1) * COLUMN_SECONDS * 1000 };
}

function quantile(totals, share) {
  const sorted = [...totals].sort((a, b) => a[0] - b[0]);
  let left = sorted.reduce((sum, [, more]) => sum + more, 0) * share;
  for (const [step, more] of sorted) {
    left -= more;
    if (left <= 0) return stepStart(step + 1);
  }
  return null;
}

// Between the colours of the theme, as the page has them now.
function ramp() {
  const probe = element("span");
  document.body.append(probe);
  const stops = [0, 1, 2, 3].map((stop) => {
    probe.style.color = `var(--heat-${stop})`;
    return getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
  });
  probe.style.color = "var(--soft)";
  const ink = getComputedStyle(probe).color;
  probe.style.color = "var(--open)";
  const mark = getComputedStyle(probe).color;
  probe.remove();
  const colour = (heat) => {
    const place = Math.min(2.999, Math.max(0, heat) * 3);
    const [low, high] = [stops[Math.floor(place)], stops[Math.floor(place) + 1]];
    return `rgb(${low.map((it, index) => Math.round(it + (high[index] - it) * (place % 1))).join()})`;
  };
  return { colour, ink, mark };
}

function drawHeatmap(canvas, breaker) {
  const now = nowOnNode();
  const { columns, totals, begin } = gather(breaker.key, now);
  const steps = [...totals.keys()].sort((a, b) => a - b);
  const middle = steps.length ? Math.round((steps[0] + steps.at(-1)) / 2) : 16;
  const low = Math.max(0, Math.min(steps[0] ?? 99, middle - LEAST_ROWS / 2));
  const high = Math.max(steps.at(-1) ?? 0, low + LEAST_ROWS - 1);
  const rows = high - low + 1;
  const scale = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  const { colour, ink, mark } = ramp();
  const [cellWidth, cellHeight] = [(width - GUTTER) / COLUMNS, (height - FOOT) / rows];
  pen.fillStyle = colour(0);
  pen.fillRect(GUTTER, 0, width - GUTTER, height - FOOT);
  const most = Math.max(1, ...columns.flatMap((column) => [...column.values()]));
  columns.forEach((column, place) => {
    for (const [step, more] of column) {
      pen.fillStyle = colour(0.22 + 0.78 * (Math.log1p(more) / Math.log1p(most)));
      pen.fillRect(GUTTER + place * cellWidth, (high - step) * cellHeight, Math.ceil(cellWidth) - 0.5, Math.ceil(cellHeight) - 0.5);
    }
  });
  pen.fillStyle = ink;
  pen.font = "10.5px system-ui, 'DejaVu Sans', sans-serif";
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  const every = Math.max(2, Math.ceil(rows / 7 / 2) * 2);
  for (let step = low + (low % 2); step <= high; step += every) {
    pen.fillText(latency(stepStart(step)), GUTTER - 6, Math.min(height - FOOT - 6, (high - step + 1) * cellHeight));
  }
  // When the breaker tripped or was let go, in the same picture.
  pen.fillStyle = mark;
  for (const change of store.history.get(breaker.key) ?? []) {
    const place = (change.ms - begin) / 1000 / COLUMN_SECONDS;
    if (change.event === "transition" && place >= 0 && place <= COLUMNS) {
      const x = GUTTER + place * cellWidth;
      for (let y = 0; y < height - FOOT; y += 6) pen.fillRect(x, y, 1.2, 3.5);
    }
  }
  pen.fillStyle = ink;
  pen.textBaseline = "bottom";
  pen.textAlign = "left";
  pen.fillText("5 min ago", GUTTER, height);
  pen.textAlign = "right";
  pen.fillText("now", width, height);
  const all = [...totals.values()].reduce((sum, more) => sum + more, 0);
  canvas.cells = { columns, begin, high, cellWidth, cellHeight };
  const said = all === 0 ? "No answers since this page was opened."
    : `${count(all)} answers: median below ${latency(quantile(totals, 0.5))}, 99 % below ${latency(quantile(totals, 0.99))}`;
  say(canvas, "aria-label", `Latencies of the last five minutes. ${said}`);
  return said;
}

// What the cell under the pointer holds.
function readCell(canvas, event) {
  const { columns, begin, high, cellWidth, cellHeight } = canvas.cells ?? {};
  if (!columns) return null;
  const place = Math.floor((event.offsetX - GUTTER) / cellWidth);
  const step = high - Math.floor(event.offsetY / cellHeight);
  if (!columns[place] || step < 0) return null;
  const at = clock(begin + place * COLUMN_SECONDS * 1000);
  return `${at}: ${count(columns[place].get(step) ?? 0)} answers in ${latency(stepStart(step))} to ${latency(stepStart(step + 1))}`;
}
