"use strict";
// The page's data are computed in Python and lie in the page; here they are only shown.
const data = JSON.parse(document.getElementById("data").textContent);
const { steps, sections, arrays, arrows, nodes } = data;
const $ = (id) => document.getElementById(id);
const still = matchMedia("(prefers-reduced-motion: reduce)");
let now = -1; // the step that is shown
let timer = 0;

// ---- small helpers ----

function make(tag, text, kind) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text; // never as HTML: names come from users
  if (kind) element.className = kind;
  return element;
}

function short(number) {
  if (typeof number !== "number" || Number.isInteger(number)) return String(number);
  return String(Number(number.toPrecision(4)));
}

// ---- numbers ----

// A card is an array with a caption; a big one is cut, and then tells its statistics.
function drawCard(card) {
  const array = arrays[card.array];
  const figure = make("figure", undefined, `card ${card.role.split(" ")[0]}`);
  const head = make("figcaption");
  head.setAttribute("aria-hidden", "true"); // the caption of the table says the same
  if (card.role) head.append(make("span", card.role, "role"));
  if (card.label) head.append(make("code", card.label));
  head.append(make("span", array.about, "about"));
  figure.append(head);
  for (const block of array.blocks) {
    const table = make("table", undefined, card.axes.length ? "" : "scalar");
    const caption = [card.role, card.label, array.about, block.name].filter(Boolean).join(", ");
    table.append(make("caption", caption, "unseen"));
    if (block.name) figure.append(make("div", block.name, "about"));
    block.cells.forEach((row, i) => drawRow(table, row, i, block, card));
    figure.append(table);
  }
  if (array.note) figure.append(make("p", array.note, "about"));
  return figure;
}

function drawRow(table, row, i, block, card) {
  if (i > 0 && block.rows[i] > block.rows[i - 1] + 1) {
    table.insertRow().append(make("td", "⋮", "gap"));
  }
  const line = table.insertRow();
  row.forEach((number, j) => {
    if (j > 0 && block.columns[j] > block.columns[j - 1] + 1) line.append(make("td", "…", "gap"));
    const cell = make("td", short(number), typeof number === "string" ? "odd" : "");
    cell.title = `${number}`;
    cell.tabIndex = -1;
    const place = [...block.prefix, block.rows[i], block.columns[j]];
    cell.place = place.slice(place.length - card.axes.length); // of one row, or of one number
    cell.axes = card.tied ? card.axes : null;
    line.append(cell);
  });
}

// Two cells belong together if they agree on every axis that they share.
function belongs(cell, other) {
  if (!cell.axes || !other.axes) return cell === other;
  return cell.axes.every((axis, i) => {
    const k = axis < 0 ? -1 : other.axes.indexOf(axis);
    return k < 0 || other.place[k] === cell.place[i];
  });
}

function light(event) {
  const cell = event && event.target.closest("td");
  const lit = cell && cell.place;
  for (const other of $("rows").querySelectorAll("td")) {
    if (other.place) other.classList.toggle("lit", Boolean(lit && belongs(cell, other)));
  }
}

// ---- the graph ----

const part = (name) => $(`${data.id}-${name}`);

// What of the graph has a class at a step: Map from the end of an id to the class.
function marksAt(index) {
  const marks = new Map();
  const add = (name, kind) => marks.set(name, `${marks.get(name) || ""} ${kind}`);
  const step = steps[index];
  if (step.kind === "forward") {
    for (const later of steps.slice(index + 1)) {
      if (later.kind === "forward") add(later.node, "pending");
    }
    arrows.forEach(([, target], k) => target === step.node && add(`a${k}`, "active"));
  } else {
    let first = index;
    while (steps[first].kind !== "seed") first -= 1;
    for (const earlier of steps.slice(first, index + 1)) {
      if (earlier.kind === "seed") add(earlier.node, "reached");
      if (earlier.kind !== "edge") continue;
      add(`a${earlier.arrow}`, "passed");
      add(earlier.target, "reached");
    }
    if (step.arrow >= 0) add(`a${step.arrow}`, "active");
    if (step.target >= 0) add(step.target, "target");
  }
  if (step.node !== step.target) add(step.node, "current");
  return marks;
}

let marked = new Map();
const plainClass = new Map();

function markGraph(index) {
  const marks = marksAt(index);
  for (const name of new Set([...marked.keys(), ...marks.keys()])) {
    if (marked.get(name) === marks.get(name)) continue; // touch only what changes
    const element = part(name);
    if (!plainClass.has(name)) plainClass.set(name, element.getAttribute("class"));
    element.setAttribute("class", plainClass.get(name) + (marks.get(name) || ""));
  }
  marked = marks;
}

// Fit the graph into its frame, but not so small that nobody can read it.
function fit() {
  const svg = $(data.id);
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const room = Math.max(0.36 * innerHeight, 192); // as the style sheet has it
  const wanted = Math.min(($("graph").clientWidth - 2) / width, (room - 20) / height);
  const scale = Math.min(1, Math.max(wanted, 0.75));
  svg.setAttribute("width", Math.floor(width * scale));
  svg.setAttribute("height", Math.floor(height * scale));
}

// Scroll a frame until some elements are seen; if there is no room for all, the last one.
function reveal(frame, smooth, ...elements) {
  const a = frame.getBoundingClientRect();
  const rects = elements.map((element) => element.getBoundingClientRect());
  const over = (low, high, sizeOfFrame) => {
    const least = Math.min(...rects.map((r) => r[low]));
    const most = Math.max(...rects.map((r) => r[high]));
    const last = rects[rects.length - 1];
    const [from, to] = most - least < sizeOfFrame ? [least, most] : [last[low], last[high]];
    return from < a[low] || to > a[high] ? (from + to - a[low] - a[high]) / 2 : 0;
  };
  const left = over("left", "right", a.width);
  const top = over("top", "bottom", a.height);
  const behavior = smooth && !still.matches ? "smooth" : "auto";
  if (left || top) frame.scrollBy({ left, top, behavior });
}

// ---- one step ----

function drawStep(index) {
  const step = steps[index];
  $("heading").textContent = step.formula || step.title;
  $("sentence").textContent = step.sentence;
  const hadFocus = $("rows").contains(document.activeElement);
  $("rows").replaceChildren(
    ...step.rows.map((row) => {
      const line = make("div", undefined, "row");
      for (const token of row) {
        if (typeof token === "string") {
          line.append(make("span", token, "sign"));
        } else { // a sign and what follows it stay together where a line breaks
          const pair = make("span", undefined, "pair");
          if (line.lastChild?.className === "sign") pair.append(line.lastChild);
          pair.append(drawCard(token));
          line.append(pair);
        }
      }
      return line;
    }),
  );
  const first = $("rows").querySelector("td[tabindex]");
  if (first) first.tabIndex = 0;
  if (hadFocus) (first || $("panel")).focus({ preventScroll: true });
}

function show(index) {
  index = Math.max(0, Math.min(steps.length - 1, index));
  if (index === now) return;
  const before = items[now];
  const near = Math.abs(index - now) === 1; // a longer way is jumped
  now = index;
  const step = steps[now];
  drawStep(now);
  markGraph(now);
  $("count").textContent = `Step ${now + 1} of ${steps.length}`;
  $("phase").textContent = sections.findLast((section) => section.start <= now).title;
  $("progress").value = now + 1;
  $("back").disabled = now === 0;
  $("next").disabled = now === steps.length - 1;
  if (before) before.removeAttribute("aria-current");
  items[now].setAttribute("aria-current", "step");
  const main = step.target >= 0 ? step.target : step.node;
  rove(items, now, items.includes(document.activeElement));
  rove(boxes, main, boxes.includes(document.activeElement));
  reveal($("list"), near, items[now]);
  reveal($("graph"), near, part(step.node), part(main));
  keepInAddress();
}

let kept = -Infinity; // when the address was last changed: browsers forbid it more than 200 times in 30 s
let keeping = 0;

function keepInAddress() {
  clearTimeout(keeping);
  const early = kept + 200 - performance.now();
  if (early > 0) {
    keeping = setTimeout(keepInAddress, early);
    return;
  }
  kept = performance.now();
  try {
    history.replaceState(null, "", `#${now + 1}`);
  } catch {
    // a sandboxed frame has no history
  }
}

function go(index) {
  pause();
  show(index);
}

// ---- playing ----

function pause() {
  clearInterval(timer);
  timer = 0;
  $("play").textContent = "Play";
  $("play").setAttribute("aria-pressed", "false");
}

function play() {
  if (timer) return pause();
  if (now === steps.length - 1) show(0);
  timer = setInterval(() => {
    show(now + 1);
    if (now === steps.length - 1) pause();
  }, data.pause);
  $("play").textContent = "Pause";
  $("play").setAttribute("aria-pressed", "true");
}

// ---- one tab stop for the graph, one for the list, one for the numbers ----

function rove(group, index, moveFocus) {
  if (!group[index]) return;
  for (const element of group) {
    if (element.getAttribute("tabindex") === "0") element.setAttribute("tabindex", "-1");
  }
  group[index].setAttribute("tabindex", "0");
  if (moveFocus) group[index].focus({ preventScroll: true });
}

function moveInGroup(event, by) {
  const cells = [...$("rows").querySelectorAll("td[tabindex]")];
  for (const group of [items, boxes, cells]) {
    const place = group.indexOf(event.target);
    if (place >= 0) {
      event.preventDefault();
      const next = Math.max(0, Math.min(group.length - 1, place + by));
      rove(group, next, true);
      const frame = group[next].closest("#list, #graph");
      if (frame) reveal(frame, true, group[next]);
    }
  }
}

function nextAt(node) {
  const there = (step) => step.node === node || step.target === node;
  const later = steps.findIndex((step, k) => k > now && there(step));
  go(later >= 0 ? later : Math.max(steps.findIndex(there), 0));
}

const nextFanOut = () => {
  const later = steps.findIndex((step, k) => k > now && step.fan);
  if (later >= 0 || steps.some((step) => step.fan)) {
    go(later >= 0 ? later : steps.findIndex((step) => step.fan));
  }
};
const startOfSweep = () => go(Math.max(steps.findIndex((step) => step.kind === "seed"), 0));
const help = () => $("keys").showModal();

const KEYS = {
  ArrowRight: () => go(now + 1),
  ArrowLeft: () => go(now - 1),
  Home: () => go(0),
  End: () => go(steps.length - 1),
  b: startOfSweep,
  f: nextFanOut,
  " ": play,
  "?": help,
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
  const node = boxes.indexOf(event.target);
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    moveInGroup(event, event.key === "ArrowDown" ? 1 : -1);
    return;
  }
  if (event.key === "Enter" && node >= 0) return nextAt(node);
  if (event.key === " " && event.target.closest?.(".controls, summary")) return; // presses it
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

// ---- once ----

const items = [];
sections.forEach((section, number) => {
  const list = make("ol");
  list.start = section.start + 1;
  const end = number + 1 < sections.length ? sections[number + 1].start : steps.length;
  for (let k = section.start; k < end; k += 1) {
    const item = make("button", `${k + 1}. ${steps[k].title}`);
    item.type = "button";
    item.tabIndex = -1;
    item.addEventListener("click", () => go(k));
    const entry = make("li");
    entry.append(item);
    list.append(entry);
    items.push(item);
  }
  $("list").append(make("h2", section.title), list);
});

const boxes = nodes.map((label, k) => {
  const box = part(k);
  box.setAttribute("role", "button");
  box.setAttribute("aria-label", label);
  box.setAttribute("tabindex", "-1");
  box.addEventListener("click", () => nextAt(k));
  return box;
});

$(data.id).setAttribute("role", "group");
$("progress").max = steps.length;
$("all").open = false;
$("fan").disabled = !steps.some((step) => step.fan);
document.documentElement.classList.add("js");
const BUTTONS = { back: KEYS.ArrowLeft, next: KEYS.ArrowRight, play, sweep: startOfSweep, fan: nextFanOut, help };
for (const [id, action] of Object.entries(BUTTONS)) $(id).addEventListener("click", action);
document.addEventListener("keydown", onKey);
for (const kind of ["mouseover", "focusin"]) $("rows").addEventListener(kind, light);
for (const kind of ["mouseleave", "focusout"]) $("rows").addEventListener(kind, () => light());
addEventListener("beforeprint", () => ($("all").open = true));
addEventListener("afterprint", () => ($("all").open = false));
addEventListener("resize", fit);
const asked = () => (Number.parseInt(location.hash.slice(1), 10) || 1) - 1;
addEventListener("hashchange", () => go(asked()));
fit();
show(asked());
