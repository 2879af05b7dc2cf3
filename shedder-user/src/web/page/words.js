// Words, numbers and elements. Text only ever becomes text: nothing here makes markup of what it is given.
const $ = (id) => document.getElementById(id);

const WORDS = {
  closed: "closed", observe: "observing", throttled: "throttled", open: "open", half_open: "half-open",
  recovering: "recovering", forced_open: "forced open", forced_closed: "held closed",
};
// The worst first.
const BY_SEVERITY = ["forced_open", "open", "throttled", "half_open", "recovering", "forced_closed", "observe", "closed"];
const CAUSES = {
  open: "the breaker was open", no_token: "every probe was taken", not_its_turn: "only a share goes through",
  burst: "the failures in a row had reached the limit",
};

const wordOf = (state) => WORDS[state] ?? state;

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function icon(name) {
  const made = document.createElementNS($("wires").namespaceURI, "svg");
  made.setAttribute("class", "icon");
  made.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(made.namespaceURI, "use");
  use.setAttribute("href", "#i-" + name);
  made.append(use);
  return made;
}

// Writes only what is not there already, so that a page at rest is at rest.
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// The same, with what stands between backticks as code.
function writeProse(node, text) {
  if (node.prose === text) return;
  node.prose = text;
  node.replaceChildren(...text.split("`").map((part, place) => (place % 2 ? element("code", {}, part) : part)));
}

function say(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

function count(number) {
  if (number < 10000) return String(Math.round(number));
  if (number < 1e6) return (number / 1e3).toFixed(number < 1e5 ? 1 : 0) + " k";
  return (number / 1e6).toFixed(1) + " M";
}

function rate(number) {
  return (number > 0 && number < 10 ? number.toFixed(1) : count(number)) + "/s";
}

function latency(microseconds) {
  if (microseconds === null || microseconds === undefined) return "–";
  if (microseconds < 1000) return Math.round(microseconds) + " µs";
  const [value, unit] = microseconds < 1e6 ? [microseconds / 1e3, "ms"] : [microseconds / 1e6, "s"];
  return (value < 10 ? value.toFixed(1).replace(/\.0$/, "") : Math.round(value)) + " " + unit;
}

const percent = (share) => (share > 0 && share < 0.1 ? (share * 100).toFixed(1) : Math.round(share * 100)) + " %";

function span(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return seconds + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min" + (seconds < 600 && seconds % 60 ? " " + (seconds % 60) + " s" : "");
  if (seconds < 172800) return Math.floor(seconds / 3600) + " h " + Math.floor((seconds % 3600) / 60) + " min";
  return Math.floor(seconds / 86400) + " days";
}

const two = (number) => String(number).padStart(2, "0");
function clock(milliseconds) {
  const at = new Date(milliseconds);
  return two(at.getHours()) + ":" + two(at.getMinutes()) + ":" + two(at.getSeconds());
}

function amount(value, unit) {
  if (unit === "share") return percent(value);
  if (unit === "seconds") return latency(value * 1e6);
  if (unit === "per_second") return rate(value);
  return (Number.isInteger(value) ? String(value) : value.toFixed(1)) + " " + unit;
}

// For a shell: nothing in a name can end the quotes.
const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\\''") + "'");
