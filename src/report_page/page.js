"use strict";
// All text comes from the JSON beside this script and becomes text nodes: nothing is parsed as HTML.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const jobCount = data.modules.length;

  const PLACES = [
    ["disk cache", "disk"], ["farm's cache", "cache"], ["equal job", "shared"], ["farm", "remote"],
    ["this machine", "local"], ["in place", "in-place"], ["no result", "failed"],
  ];
  const STEPS = [
    ["planning", "plan"], ["looking up", "lookup"], ["uploading", "upload"], ["queued at the farm", "queue"],
    ["compiling at the farm", "execute"], ["fetching", "fetch"], ["writing", "write"], ["waiting for a slot", "wait"],
    ["starting", "start"], ["ending", "plan"], ["linker: reading, thin link", "link"],
    ["compiling here", "local"],
  ];
  const GROUPS = ["this machine", "farm", "planning, caches"];
  const EXECUTE = 4, QUEUE = 3, LINKER = 10, EXECUTE_HERE = 11;
  const compiles = (step) => step === EXECUTE || step === EXECUTE_HERE;

  // --- small helpers

  function make(tag, properties, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties || {})) {
      if (name in element) element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }
  function swatch(color) {
    const mark = make("span", { className: "swatch", ariaHidden: "true" });
    mark.style.background = `var(--${color})`;
    return mark;
  }
  function time(micros) {
    if (micros < 1000) return `${Math.round(micros)} µs`;
    if (micros < 995000) return `${(micros / 1000).toFixed(micros < 9950 ? 1 : 0)} ms`;
    if (micros < 59950000) return `${(micros / 1e6).toFixed(micros < 9.95e6 ? 2 : 1)} s`;
    const seconds = Math.round(micros / 1e6);
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
    return `${Math.floor(seconds / 3600)} h ${Math.round(seconds % 3600 / 60)} min`;
  }
  function bytes(count) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (count >= 1024 && unit < units.length - 1) { count /= 1024; unit++; }
    return `${count.toFixed(unit && count < 100 ? 1 : 0)} ${units[unit]}`;
  }
  const number = (count) => count.toLocaleString("en-US");
  const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
  function percent(part, whole) {
    if (!whole) return "0 %";
    const share = 100 * part / whole;
    return share > 0 && share < 1 ? "< 1 %" : `${Math.round(share)} %`;
  }
  const baseName = (name) => name.slice(name.lastIndexOf("/") + 1);
  let colors = {};
  function readColors() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    colors = { steps: STEPS.map((step) => read(step[1])) };
    for (const name of ["text", "soft", "line", "card", "back", "accent", "lost", "execute", "local", "queue"]) colors[name] = read(name);
  }

  // --- what is known of each job, as columns

  const lanes = data.lanes;
  const entryCount = lanes.jobs.length;
  const entryStart = (entry) => lanes.starts[lanes.first[entry]];
  const entryEnd = (entry) => lanes.ends[entry];
  const stepsEnd = (entry) => (entry + 1 < entryCount ? lanes.first[entry + 1] : lanes.steps.length);
  const stepEnd = (entry, step) => (step + 1 < stepsEnd(entry) ? lanes.starts[step + 1] : entryEnd(entry));

  const compile = new Float64Array(jobCount), total = new Float64Array(jobCount);
  const start = new Float64Array(jobCount), waited = new Float64Array(jobCount);
  const entriesOf = Array.from({ length: jobCount }, () => []);
  let lastEnd = data.duration;
  for (let entry = 0; entry < entryCount; entry++) {
    const job = lanes.jobs[entry];
    entriesOf[job].push(entry);
    lastEnd = Math.max(lastEnd, entryEnd(entry));
    const planning = lanes.groups[entry] === 2;
    if (lanes.groups[entry] === 0) {
      for (let step = lanes.first[entry]; step < stepsEnd(entry); step++) {
        if (lanes.steps[step] === EXECUTE) lanes.steps[step] = EXECUTE_HERE;
      }
    }
    if (planning ? total[job] === 0 : lanes.succeeded[entry]) {
      start[job] = entryStart(entry);
      total[job] = entryEnd(entry) - entryStart(entry);
    }
    if (planning || !lanes.succeeded[entry]) continue;
    waited[job] += Math.max(0, entryStart(entry) - data.ready[job]);
    for (let step = lanes.first[entry]; step < stepsEnd(entry); step++) {
      const span = stepEnd(entry, step) - lanes.starts[step];
      if (compiles(lanes.steps[step])) compile[job] += span;
      if (lanes.steps[step] === QUEUE) waited[job] += span;
    }
  }
  const causeText = (job) => {
    const cause = data.causes.of[job];
    return cause < 0 ? "" : data.causes.all[cause].text;
  };
  const byPlace = PLACES.map(() => 0);
  for (const place of data.places) byPlace[place]++;
  const cached = byPlace[0] + byPlace[1] + byPlace[2];
  const ran = byPlace[3] + byPlace[4] + byPlace[5];

  // --- heading and tiles

  $("output").textContent = data.output;
  document.title = `${baseName(data.output)} - relto report`;
  const when = new Date(data.started).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "medium" });
  $("meta").textContent = `${data.launched ? "Compilers launched by a build" : "Link"} of ${when}${data.succeeded ? "" : ", failed"}: ${data.summary}`;

  function tile(label, value, note) {
    const children = [make("dt", {}, label), make("dd", {}, value)];
    if (note) children.push(make("dd", { className: "small" }, note));
    $("tiles").append(make("div", {}, ...children));
  }
  let faster = "";
  if (data.earlier) faster = `${time(data.earlier.duration)} in the one before`;
  tile("Time in relto", time(data.duration), faster);
  tile("Jobs", number(jobCount), ran ? `${number(ran)} ran` : "none ran");
  tile("From caches", percent(cached, jobCount), `${number(cached)} objects`);
  if (ran) {
    const all = compile.reduce((sum, one) => sum + one, 0);
    tile("Compiling", time(all), `${(all / Math.max(1, data.duration)).toFixed(1)} at a time on average`);
  }
  tile("Objects", bytes(data.outputs.reduce((sum, one) => sum + one, 0)), `${bytes(data.hashedBytes)} of inputs hashed anew`);
  if (data.up || data.down) tile("Sent to the farm", bytes(data.up), `${bytes(data.down)} received`);
  if (data.waited > 50000) tile("Slots waited", time(data.waited), data.waitedForMake ? "for job slots of make" : "for slots of other links");

  // --- filters

  const filter = { place: -1, cause: -1, words: [] };
  let order = [], chosen = -1;

  function setFilter(change) {
    Object.assign(filter, { place: -1, cause: -1 }, change);
    const text = filter.place >= 0 ? PLACES[filter.place][0] : filter.cause >= 0 ? data.causes.all[filter.cause].text : "";
    $("filter").hidden = !text;
    $("filter-text").textContent = text;
    for (const button of document.querySelectorAll("[data-place], [data-cause]")) {
      const { place, cause } = button.dataset;
      button.ariaPressed = String(place !== undefined ? Number(place) === filter.place : Number(cause) === filter.cause);
    }
    applyFilter();
  }
  $("clear-filter").onclick = () => setFilter({});
  let searchTimer = 0;
  $("search").oninput = () => {
    clearTimeout(searchTimer);
    searchTimer = setTimeout(() => {
      filter.words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
      applyFilter();
    }, jobCount > 5000 ? 80 : 0);
  };

  // --- where objects came from

  for (const [place, [label, color]] of PLACES.entries()) {
    if (!byPlace[place]) continue;
    const part = make("span", {});
    part.style.flexGrow = byPlace[place];
    part.style.background = `var(--${color})`;
    $("places-bar").append(part);
    const button = make("button", { type: "button", className: "plain", ariaPressed: "false" }, label);
    button.dataset.place = place;
    button.onclick = () => setFilter(filter.place === place ? {} : { place });
    $("places").append(make("li", {}, swatch(color), button,
      make("span", { className: "soft" }, `${number(byPlace[place])}, ${percent(byPlace[place], jobCount)}`)));
  }

  // --- the critical path

  const isHere = (job) => data.places[job] === 4 || data.places[job] === 5;
  const path = data.path.map(([step, job, from, to]) => [step === EXECUTE && isHere(job) ? EXECUTE_HERE : step, job, from, to]);
  const linkerTime = data.linker === null ? 0 : data.linker;
  if (linkerTime) path.unshift([LINKER, -1, -linkerTime, 0]);
  const byStep = STEPS.map(() => 0);
  for (const [step, , from, to] of path) byStep[step] += to - from;
  const pathTime = byStep.reduce((sum, one) => sum + one, 0);
  $("path-note").textContent = path.length
    ? "The chain of steps that ends with the last job; a job that waited for a slot follows the one that left it. Shortening anything else does not shorten the link."
    : "Nothing is known of this.";
  for (const step of [LINKER, 8, 0, 1, 2, 3, 7, EXECUTE, EXECUTE_HERE, 5, 6, 9]) {
    if (!byStep[step]) continue;
    const [label, color] = STEPS[step];
    const part = make("span", { title: `${label}: ${time(byStep[step])}` });
    part.style.flexGrow = byStep[step];
    part.style.background = `var(--${color})`;
    $("path-bar").append(part);
    $("path-kinds").append(make("li", {}, swatch(color), label,
      make("span", { className: "soft" }, `${time(byStep[step])}, ${percent(byStep[step], pathTime)}`)));
  }
  $("path-details").hidden = !path.length;
  const MOST = 400;
  for (const [step, job, from, to] of path.slice(-MOST)) {
    const [label, color] = STEPS[step];
    const words = [swatch(color), make("span", {}, label)];
    if (job >= 0) words.push(jobButton(job));
    $("path-list").append(make("li", {}, make("span", { className: "time" }, time(to - from)), ...words));
  }
  function jobButton(job) {
    const button = make("button", { type: "button", className: "plain" }, data.modules[job]);
    button.onclick = () => choose(job, true);
    return button;
  }

  // --- why jobs ran

  const perCause = data.causes.all.map(() => 0);
  for (const cause of data.causes.of) if (cause >= 0) perCause[cause]++;
  const causes = perCause.map((_, cause) => cause).sort((a, b) => perCause[b] - perCause[a] || a - b);
  // Causes that read the same differ only in their details.
  const causeGroups = new Map();
  for (const cause of causes) {
    const { text } = data.causes.all[cause];
    const group = causeGroups.get(text) || { cause, count: 0, members: new Set() };
    group.count += perCause[cause];
    group.members.add(cause);
    causeGroups.set(text, group);
  }
  const groups = [...causeGroups.values()].sort((a, b) => b.count - a.count);
  $("why-note").textContent = !ran ? "None did: every object came from a cache."
    : data.earlier ? "Compared with the link of the same output before." : "";
  function showCauses(count) {
    $("causes").replaceChildren(...groups.slice(0, count).map((group) => {
      const { text } = data.causes.all[group.cause];
      const button = make("button", { type: "button", className: "plain", ariaPressed: String(filter.cause === group.cause) }, text);
      button.dataset.cause = group.cause;
      button.onclick = () => setFilter(filter.cause === group.cause ? {} : { cause: group.cause });
      const level = make("span", {});
      level.style.width = `${100 * group.count / groups[0].count}%`;
      return make("li", {}, make("span", { className: "number" }, number(group.count)),
        make("span", { className: "meter", ariaHidden: "true" }, level), button);
    }));
    $("more-causes").hidden = groups.length <= count;
    $("more-causes").textContent = `${plural(groups.length - count, "more reason")}`;
  }
  showCauses(12);
  $("more-causes").onclick = () => showCauses(500);

  // --- the table

  // Numbers have the width they need; names and reasons share the rest.
  const COLUMNS = [
    ["Module", "", (job) => data.modules[job], null, 1],
    ["Object from", "10em", (job) => PLACES[data.places[job]][0], null, 1],
    ["Compiling", "7.5em", (job) => compile[job], time, -1],
    ["Took", "6.6em", (job) => total[job], time, -1],
    ["Began at", "7em", (job) => start[job], time, 1],
    ["Waited", "6.6em", (job) => waited[job], time, -1],
    ["Inputs", "6.6em", (job) => data.inputs[job], bytes, -1],
    ["Memory", "6.8em", (job) => data.memory[job], bytes, -1],
    ["Why it ran", "", causeText, null, 1],
  ];
  const ROW = 30, MARGIN = 12;
  const sort = { column: ran ? 2 : 3, direction: -1 };
  for (const [position, [label, width, , format]] of COLUMNS.entries()) {
    const button = make("button", { type: "button" }, label);
    button.onclick = () => {
      sort.direction = sort.column === position ? -sort.direction : COLUMNS[position][4];
      sort.column = position;
      applySort();
    };
    const head = make("th", { scope: "col", className: format ? "number" : "" }, button);
    head.style.width = width;
    $("head").append(head);
  }
  const lowered = data.modules.map((name) => name.toLowerCase());
  function matches(job) {
    if (filter.place >= 0 && data.places[job] !== filter.place) return false;
    if (filter.cause >= 0 && (data.causes.of[job] < 0 || causeText(job) !== data.causes.all[filter.cause].text)) return false;
    return filter.words.every((word) => lowered[job].includes(word)
      || PLACES[data.places[job]][0].includes(word) || causeText(job).toLowerCase().includes(word));
  }
  function applyFilter() {
    order = [];
    for (let job = 0; job < jobCount; job++) if (matches(job)) order.push(job);
    $("count").textContent = order.length === jobCount ? plural(jobCount, "job") : `${number(order.length)} of ${plural(jobCount, "job")}`;
    applySort();
  }
  function applySort() {
    const [, , value] = COLUMNS[sort.column];
    const keys = new Array(jobCount);
    for (const job of order) keys[job] = value(job);
    const text = typeof keys[order[0]] === "string";
    const compare = text
      ? (a, b) => (keys[a] < keys[b] ? -1 : keys[a] > keys[b] ? 1 : a - b)
      : (a, b) => keys[a] - keys[b] || b - a;
    order.sort((a, b) => sort.direction * compare(a, b));
    for (const [position, head] of [...$("head").children].entries()) {
      head.ariaSort = position !== sort.column ? "none" : sort.direction > 0 ? "ascending" : "descending";
    }
    $("scroller").scrollTop = 0;
    shown = "";
    drawRows();
  }
  let shown = "";
  function space(rows) {
    const cell = make("td", { colSpan: COLUMNS.length });
    cell.style.height = `${rows * ROW}px`;
    return make("tr", { className: "space", ariaHidden: "true" }, cell);
  }
  // Only the rows in view exist; empty ones above and below keep the height of all.
  function drawRows() {
    const scroller = $("scroller");
    const first = Math.max(0, Math.floor(scroller.scrollTop / ROW) - MARGIN);
    const last = Math.min(order.length, first + Math.ceil((scroller.clientHeight || 620) / ROW) + 2 * MARGIN);
    const state = `${first} ${last} ${chosen}`;
    if (state === shown) return;
    shown = state;
    const focused = document.activeElement && document.activeElement.dataset.job;
    const rows = [];
    if (first > 0) rows.push(space(first));
    for (let position = first; position < last; position++) rows.push(row(order[position], position));
    if (last < order.length) rows.push(space(order.length - last));
    $("table").setAttribute("aria-rowcount", order.length + 1);
    $("rows").replaceChildren(...rows);
    if (focused !== undefined) {
      const again = $("rows").querySelector(`[data-job="${Number(focused)}"]`);
      if (again) again.focus({ preventScroll: true });
    }
  }
  function row(job, position) {
    const cells = COLUMNS.map(([, , value, format], column) => {
      const found = value(job);
      if (column === 0) {
        const button = make("button", { type: "button", className: "plain", title: found }, make("bdi", {}, found));
        button.dataset.job = job;
        button.onclick = () => choose(job, false);
        return make("th", { scope: "row" }, button);
      }
      if (column === 1) return make("td", {}, swatch(PLACES[data.places[job]][1]), found);
      if (format) return make("td", { className: "number" }, found ? format(found) : "–");
      return make("td", { title: found }, found);
    });
    const line = make("tr", { className: job === chosen ? "chosen" : "" }, ...cells);
    line.setAttribute("aria-rowindex", position + 2);
    return line;
  }
  $("scroller").addEventListener("scroll", () => requestAnimationFrame(drawRows), { passive: true });
  $("scroller").addEventListener("keydown", (event) => {
    const at = event.target.dataset ? event.target.dataset.job : undefined;
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (at === undefined || !by) return;
    event.preventDefault();
    const next = order[order.indexOf(Number(at)) + by];
    if (next === undefined) return;
    reveal(next);
    const button = $("rows").querySelector(`[data-job="${next}"]`);
    if (button) button.focus({ preventScroll: true });
  });
  function reveal(job) {
    const position = order.indexOf(job);
    if (position < 0) return;
    const scroller = $("scroller"), top = position * ROW;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (top + ROW > scroller.scrollTop + scroller.clientHeight - 40) scroller.scrollTop = top + ROW - scroller.clientHeight + 40;
    drawRows();
  }

  // --- one job

  function choose(job, scroll) {
    chosen = job;
    showJob(job);
    drawRows();
    if (scroll) {
      reveal(job);
      $("job").scrollIntoView({ block: "center" });
      $("job").focus({ preventScroll: true });
    }
    drawTimeline();
  }
  function fact(label, value) {
    return make("div", {}, make("dt", {}, label), make("dd", {}, value));
  }
  function showJob(job) {
    const close = make("button", { type: "button" }, "Close");
    close.onclick = () => { chosen = -1; $("job").hidden = true; drawRows(); drawTimeline(); };
    const parts = [make("div", { className: "row" }, make("h3", {}, data.modules[job]), close)];
    const [label, color] = PLACES[data.places[job]];
    parts.push(make("p", {}, swatch(color), " ", `Object from: ${label}`));
    for (const entry of entriesOf[job]) {
      const bar = make("div", { className: "bar", ariaHidden: "true" });
      const legend = make("ul", { className: "legend" });
      for (let step = lanes.first[entry]; step < stepsEnd(entry); step++) {
        const span = stepEnd(entry, step) - lanes.starts[step];
        const [name, shade] = STEPS[lanes.steps[step]];
        const part = make("span", {});
        part.style.flexGrow = Math.max(span, 1);
        part.style.background = `var(--${shade})`;
        bar.append(part);
        legend.append(make("li", {}, swatch(shade), name, make("span", { className: "soft" }, time(span))));
      }
      const lost = lanes.succeeded[entry] ? "" : ", given up";
      parts.push(make("p", { className: "note" }, `${GROUPS[lanes.groups[entry]]}, from ${time(entryStart(entry))} to ${time(entryEnd(entry))}${lost}`), bar, legend);
    }
    parts.push(make("dl", {}, fact("Inputs", bytes(data.inputs[job])), fact("Outputs", data.outputs[job] ? bytes(data.outputs[job]) : "unknown"),
      fact("Memory", data.memory[job] ? bytes(data.memory[job]) : "unknown"), fact("Waited", time(waited[job]))));
    const cause = data.causes.of[job];
    if (cause >= 0) {
      const { text, details } = data.causes.all[cause];
      parts.push(make("p", {}, `Why it ran: ${text}`));
      if (details.length) parts.push(make("ul", {}, ...details.slice(0, 100).map((line) => make("li", {}, line))));
    }
    $("job").replaceChildren(...parts);
    $("job").hidden = false;
  }

  // --- the timeline

  const usedSteps = new Set(lanes.steps);
  for (const [step, [label, color]] of STEPS.entries()) {
    if (usedSteps.has(step)) $("steps").append(make("li", {}, swatch(color), label));
  }
  if (lanes.succeeded.includes(0)) $("steps").append(make("li", {}, swatch("lost"), "given up: another was faster, or it failed"));
  const laneBase = [];
  let laneCount = 0;
  for (const group of [0, 1, 2]) { laneBase[group] = laneCount; laneCount += lanes.counts[group]; }
  // The entries of each lane, in the order of time.
  const ofLane = Array.from({ length: laneCount }, () => []);
  for (let entry = 0; entry < entryCount; entry++) ofLane[laneBase[lanes.groups[entry]] + lanes.lanes[entry]].push(entry);

  const GUTTER = 104, AXIS = 22, GAP = 10;
  const laneHeight = Math.max(5, Math.min(20, Math.floor(400 / Math.max(1, laneCount))));
  const groupGaps = (group) => [0, 1, 2].filter((it) => it < group && lanes.counts[it]).length;
  const laneTop = (lane) => {
    const group = lane >= laneBase[2] ? 2 : lane >= laneBase[1] ? 1 : 0;
    return AXIS + lane * laneHeight + groupGaps(group) * GAP;
  };
  const fullHeight = laneCount ? laneTop(laneCount - 1) + laneHeight + 6 : AXIS + 6;
  const viewHeight = Math.min(460, fullHeight);
  $("lanes-space").style.height = `${fullHeight - viewHeight}px`;
  const view = { from: 0, to: Math.max(1, lastEnd) };
  const whole = Math.max(1, lastEnd);

  function prepare(canvas, height) {
    const scale = window.devicePixelRatio || 1, width = canvas.parentElement.clientWidth;
    canvas.style.height = `${height}px`;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
    return [context, width];
  }

  // How many jobs did what at each moment, for the overview.
  const BINS = 600;
  const levels = [0, 1, 2].map(() => new Float64Array(BINS + 1));
  function addLevel(level, from, to) {
    const width = whole / BINS;
    const first = Math.floor(from / width), last = Math.min(BINS - 1, Math.floor(to / width));
    for (let bin = first; bin <= last; bin++) {
      const part = Math.min(to, (bin + 1) * width) - Math.max(from, bin * width);
      levels[level][bin] += Math.max(0, part) / width;
    }
  }
  for (let entry = 0; entry < entryCount; entry++) {
    const group = lanes.groups[entry];
    if (group === 2) continue;
    for (let step = lanes.first[entry]; step < stepsEnd(entry); step++) {
      const level = compiles(lanes.steps[step]) ? group : 2;
      addLevel(level, lanes.starts[step], stepEnd(entry, step));
    }
  }
  let highest = 1;
  for (let bin = 0; bin < BINS; bin++) highest = Math.max(highest, levels[0][bin] + levels[1][bin] + levels[2][bin]);

  function drawOverview() {
    const height = 64;
    const [context, width] = prepare($("overview"), height);
    const area = width - GUTTER;
    context.fillStyle = colors.soft;
    context.fillText(`${number(Math.round(highest))} at a time`, 0, 14);
    for (let column = 0; column < area; column++) {
      const bin = Math.floor(column / area * BINS);
      let y = height;
      for (const [level, color] of [[0, colors.local], [1, colors.execute], [2, colors.queue]]) {
        const tall = levels[level][bin] / highest * (height - 4);
        context.fillStyle = color;
        context.fillRect(GUTTER + column, y - tall, 1, tall);
        y -= tall;
      }
    }
    if (view.from > 0 || view.to < whole) {
      const left = GUTTER + view.from / whole * area, right = GUTTER + view.to / whole * area;
      context.strokeStyle = colors.accent;
      context.lineWidth = 2;
      context.strokeRect(left + 1, 1, Math.max(3, right - left - 2), height - 2);
    }
  }

  function ticks(span, width) {
    const rough = span / Math.max(1, width / 110), power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 5, 10].map((by) => by * power).find((step) => step >= rough);
  }
  function drawTimeline() {
    const [context, width] = prepare($("timeline"), viewHeight);
    const area = width - GUTTER, scroll = $("lanes").scrollTop;
    const x = (at) => GUTTER + (at - view.from) / (view.to - view.from) * area;
    context.save();
    context.beginPath();
    context.rect(GUTTER, AXIS, area, viewHeight - AXIS);
    context.clip();
    const firstLane = Math.max(0, Math.floor((scroll - AXIS - 3 * GAP) / laneHeight));
    for (let lane = firstLane; lane < laneCount; lane++) {
      const top = laneTop(lane) - scroll;
      if (top > viewHeight) break;
      if (top + laneHeight < AXIS) continue;
      drawLane(context, lane, top, x);
    }
    context.restore();
    drawAxis(context, width, x);
    context.fillStyle = colors.soft;
    for (const group of [0, 1, 2]) {
      if (!lanes.counts[group]) continue;
      const top = laneTop(laneBase[group]) - scroll, bottom = top + lanes.counts[group] * laneHeight;
      if (bottom < AXIS + 14 || top > viewHeight) continue;
      context.fillText(GROUPS[group], 0, Math.max(AXIS, top) + 13);
    }
    drawOverview();
  }
  function drawAxis(context, width, x) {
    const step = ticks(view.to - view.from, width - GUTTER);
    context.strokeStyle = colors.line;
    context.lineWidth = 1;
    for (let at = Math.ceil(view.from / step) * step; at <= view.to; at += step) {
      const left = Math.round(x(at)) + 0.5;
      context.beginPath();
      context.moveTo(left, AXIS - 4);
      context.lineTo(left, viewHeight);
      context.globalAlpha = 0.55;
      context.stroke();
      context.globalAlpha = 1;
      context.fillStyle = colors.soft;
      context.fillText(at === 0 ? "0" : time(at), Math.min(left + 3, width - 44), 13);
    }
  }
  function firstIn(entries, at) {
    let low = 0, high = entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (entryEnd(entries[middle]) < at) low = middle + 1; else high = middle;
    }
    return low;
  }
  function drawLane(context, lane, top, x) {
    const entries = ofLane[lane], tall = laneHeight - (laneHeight > 8 ? 2 : 1);
    let drawn = -1;
    for (let position = firstIn(entries, view.from); position < entries.length; position++) {
      const entry = entries[position];
      const left = x(entryStart(entry)), right = x(entryEnd(entry));
      if (entryStart(entry) > view.to) break;
      // What ends in the pixel that was drawn last would not be seen.
      if (right < drawn + 0.5) continue;
      if (lanes.succeeded[entry]) {
        for (let step = lanes.first[entry]; step < stepsEnd(entry); step++) {
          const from = x(lanes.starts[step]), to = x(stepEnd(entry, step));
          if (to - from < 0.2 && to < drawn + 1) continue;
          context.fillStyle = colors.steps[lanes.steps[step]];
          context.fillRect(from, top, Math.max(0.7, to - from - (to === right && to - from > 3 ? 1 : 0)), tall);
        }
      } else {
        context.fillStyle = colors.lost;
        context.fillRect(left, top, Math.max(0.7, right - left), tall);
      }
      drawn = Math.max(drawn, right);
      if (lanes.jobs[entry] === chosen) {
        context.strokeStyle = colors.text;
        context.lineWidth = 2;
        context.strokeRect(left - 1, top, Math.max(4, right - left + 1), tall);
      }
      if (laneHeight >= 14 && right - left > 70) label(context, entry, Math.max(left, GUTTER), top, right);
    }
  }
  function label(context, entry, left, top, right) {
    context.save();
    context.beginPath();
    context.rect(left, top, right - left - 6, laneHeight);
    context.clip();
    context.fillStyle = "#ffffff";
    context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    context.shadowColor = "rgba(0, 0, 0, 0.6)";
    context.shadowBlur = 3;
    context.fillText(baseName(data.modules[lanes.jobs[entry]]), left + 5, top + laneHeight / 2 + 3.5);
    context.restore();
  }

  let pending = false;
  function redraw() {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => { pending = false; drawTimeline(); });
  }
  function setView(from, to) {
    const span = Math.min(whole, Math.max(whole / 1e5, 20, to - from));
    view.from = Math.max(0, Math.min(whole - span, from));
    view.to = view.from + span;
    redraw();
  }
  function zoom(factor, at) {
    const middle = at === undefined ? (view.from + view.to) / 2 : at;
    setView(middle - (middle - view.from) * factor, middle + (view.to - middle) * factor);
  }
  $("zoom-in").onclick = () => zoom(0.5);
  $("zoom-out").onclick = () => zoom(2);
  $("zoom-all").onclick = () => setView(0, whole);
  const timeAt = (event) => {
    const box = $("timeline").getBoundingClientRect();
    return view.from + (event.clientX - box.left - GUTTER) / Math.max(1, box.width - GUTTER) * (view.to - view.from);
  };
  function entryAt(event) {
    const box = $("timeline").getBoundingClientRect();
    const y = event.clientY - box.top, at = timeAt(event);
    if (y < AXIS || event.clientX - box.left < GUTTER) return -1;
    const slack = 2 * (view.to - view.from) / box.width;
    for (let lane = 0; lane < laneCount; lane++) {
      const top = laneTop(lane) - $("lanes").scrollTop;
      if (y < top || y >= top + laneHeight) continue;
      const entries = ofLane[lane];
      for (let position = firstIn(entries, at - slack); position < entries.length; position++) {
        if (entryStart(entries[position]) > at + slack) break;
        return entries[position];
      }
    }
    return -1;
  }
  let drag = null;
  $("timeline").addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX, from: view.from, to: view.to, moved: false };
    $("timeline").setPointerCapture(event.pointerId);
  });
  $("timeline").addEventListener("pointermove", (event) => {
    if (drag) {
      const area = $("timeline").clientWidth - GUTTER;
      const by = (event.clientX - drag.x) / Math.max(1, area) * (drag.to - drag.from);
      if (Math.abs(event.clientX - drag.x) > 3) drag.moved = true;
      if (drag.moved) setView(drag.from - by, drag.to - by);
    }
    showTip(event);
  });
  $("timeline").addEventListener("pointerup", (event) => {
    const clicked = drag && !drag.moved;
    drag = null;
    const entry = clicked ? entryAt(event) : -1;
    if (entry >= 0) choose(lanes.jobs[entry], true);
  });
  $("timeline").addEventListener("pointercancel", () => { drag = null; });
  $("timeline").addEventListener("pointerleave", () => { $("tip").hidden = true; });
  $("timeline").addEventListener("dblclick", (event) => zoom(0.25, timeAt(event)));
  $("timeline").addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      zoom(Math.exp(event.deltaY * 0.003), timeAt(event));
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      const by = event.deltaX / 800 * (view.to - view.from);
      setView(view.from + by, view.to + by);
    }
  }, { passive: false });
  $("lanes").addEventListener("scroll", redraw, { passive: true });
  $("lanes").addEventListener("keydown", (event) => {
    const quarter = (view.to - view.from) / 4;
    const actions = {
      "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), "0": () => setView(0, whole),
      ArrowLeft: () => setView(view.from - quarter, view.to - quarter),
      ArrowRight: () => setView(view.from + quarter, view.to + quarter),
    };
    if (!actions[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    actions[event.key]();
  });
  $("overview").addEventListener("pointerdown", (event) => {
    const box = $("overview").getBoundingClientRect();
    const at = (event.clientX - box.left - GUTTER) / Math.max(1, box.width - GUTTER) * whole;
    const half = Math.min(view.to - view.from, whole / 4) / 2;
    setView(at - half, at + half);
  });
  function showTip(event) {
    const entry = drag && drag.moved ? -1 : entryAt(event);
    const tip = $("tip");
    tip.hidden = entry < 0;
    if (entry < 0) return;
    const job = lanes.jobs[entry];
    const steps = [];
    for (let step = lanes.first[entry]; step < stepsEnd(entry); step++) {
      steps.push(`${STEPS[lanes.steps[step]][0]} ${time(stepEnd(entry, step) - lanes.starts[step])}`);
    }
    const lines = [make("strong", {}, data.modules[job]), make("div", {}, steps.join(", "))];
    if (!lanes.succeeded[entry]) lines.push(make("div", { className: "soft" }, "given up"));
    if (causeText(job)) lines.push(make("div", { className: "soft" }, causeText(job)));
    tip.replaceChildren(...lines);
    const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
    const below = event.clientY + 18 + tip.offsetHeight < window.innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${below ? event.clientY + 18 : event.clientY - tip.offsetHeight - 12}px`;
  }

  // --- begin

  function renew() { readColors(); redraw(); }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", renew);
  window.addEventListener("resize", () => { shown = ""; redraw(); drawRows(); });
  readColors();
  applyFilter();
  drawTimeline();
  document.documentElement.dataset.ready = "true";
})();
