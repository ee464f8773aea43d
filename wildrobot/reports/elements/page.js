"use strict";
// Charts with values under the mouse, zoom and one cursor for all (uPlot), and tables that sort by a click.
// Without JavaScript the page shows the SVG charts and the tables as they were written.

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (kind) => css("--" + kind);
const EVENT_PIXELS = 5;
const HEIGHT = 200;

function decimals(values) {
  let most = 0;
  for (const value of values) if (value != null) most = Math.max(most, Math.abs(value));
  return most > 0 ? Math.min(5, Math.max(0, 3 - Math.ceil(Math.log10(most)))) : 3;
}

// Columns of uPlot's data and its series: each line is followed by the edges of its interval, if it has one.
function lines(plot) {
  const tables = plot.tables.map((table) => [table.x]);
  const series = [{ label: plot.x, value: (_, value) => (value == null ? "–" : String(Number(value.toPrecision(6)))) }], bands = [], digits = decimals(plot.tables.flatMap((t) => t.lines.flatMap((l) => l.y)));
  plot.tables.forEach((table, index) => table.lines.forEach((line) => {
    const at = series.length, shown = (value) => (value == null ? "–" : value.toFixed(digits));
    tables[index].push(line.y);
    series.push({
      label: line.name || "value", stroke: () => colour(line.colour), width: line.colour === "asked" ? 2.2 : 1.8, spanGaps: true,
      dash: line.colour === "asked" ? [6, 4] : undefined,
      points: plot.points ? { show: true, size: 6, fill: () => colour(line.colour) } : {},
      value: (u, value, _, i) => {
        if (value == null || i == null) return "–";
        const interval = line.low ? ` [${shown(u.data[at + 2][i])}, ${shown(u.data[at + 1][i])}]` : "";
        const own = line.n ? u.data[at + 3][i] : null;
        return shown(value) + interval + (own == null ? "" : `, n = ${own}`);
      },
    });
    if (!line.low) return;
    const edge = { class: "edge", width: 0, points: { show: false }, spanGaps: true };
    tables[index].push(line.high, line.low);
    series.push(edge, { ...edge });
    bands.push({ series: [at + 1, at + 2], fill: () => colour(line.colour) + "30" });
    if (line.n) {
      tables[index].push(line.n);
      series.push({ ...edge, show: false, scale: "n" });
    }
  }));
  return { data: tables.length > 1 ? uPlot.join(tables) : tables[0], series, bands };
}

// The values at an axis, all with the decimals that their step needs: two of them never read the same.
function atAxis(u, values, axis, space, step) {
  let digits = 0;
  while (digits < 9 && Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) > 1e-6) digits++;
  return values.map((value) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
}

// The ends of the ordinate: as fixed, else a little beyond what is seen, never beyond what can be.
function ends(plot) {
  return (_, low, high) => {
    if (low == null) return [0, 1];
    const margin = 0.06 * (high - low) || 0.5 * Math.abs(high) || 0.5;
    let bottom = Math.max(low - margin, plot.within[0] ?? -Infinity), top = Math.min(high + margin, plot.within[1] ?? Infinity);
    bottom = plot.ends[0] ?? bottom;
    top = plot.ends[1] ?? top;
    return [bottom, Math.max(top, bottom + 1e-9)];
  };
}

function regions(plot) {
  return (u) => {
    const { left, top, width, height } = u.bbox, context = u.ctx;
    const fill = (low, high, kind) => {
      const from = Math.max(top, Math.min(u.valToPos(high, "y", true), top + height));
      const to = Math.max(top, Math.min(u.valToPos(low, "y", true), top + height));
      context.fillStyle = colour(kind);
      context.fillRect(left, from, width, to - from);
    };
    context.save();
    if (plot.zone) fill(plot.zone[0], plot.zone[1], "zone");
    if (plot.limits) {
      fill(plot.limits[1], u.scales.y.max + 1, "beyond");
      fill(u.scales.y.min - 1, plot.limits[0], "beyond");
    }
    context.restore();
  };
}

const EVENTS = JSON.parse(document.getElementById("events")?.textContent ?? "[]");

function marks(u) {
  const { left, top, width, height } = u.bbox, context = u.ctx;
  context.save();
  context.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const event of EVENTS) {
    const x = Math.round(u.valToPos(event.time, "x", true));
    if (x < left || x > left + width) continue;
    context.strokeStyle = colour(event.severity === "info" ? "edge-line" : event.severity === "fault" ? "bad" : "fair");
    context.lineWidth = devicePixelRatio * (event.severity === "info" ? 1 : 1.5);
    context.beginPath();
    context.moveTo(x, top);
    context.lineTo(x, top + height);
    context.stroke();
  }
  context.restore();
}

function said(note) {
  return (u) => {
    const at = u.cursor.left;
    const near = at < 0 ? [] : EVENTS.filter((e) => Math.abs(u.valToPos(e.time, "x") - at) <= EVENT_PIXELS);
    note.textContent = near.slice(0, 4).map((e) => `${e.time.toFixed(2)} s ${e.name}: ${e.text}`).join("\n")
      + (near.length > 4 ? `\nand ${near.length - 4} more` : "");
    note.hidden = !near.length || !u.over.matches(":hover");
  };
}

// The line that charts' cursor draws through rows of bars over the same time.
function follow(group) {
  return (u) => document.querySelectorAll(`svg[data-bars]`).forEach((svg) => {
    if (groupOf(svg) !== group) return;
    const [low, high, left, width] = JSON.parse(svg.dataset.bars), line = svg.querySelector(".cursor");
    const time = u.posToVal(u.cursor.left, "x"), x = left + ((time - low) / (high - low)) * width;
    const seen = u.cursor.left >= 0 && time >= low && time <= high;
    line.setAttribute("visibility", seen ? "visible" : "hidden");
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  });
}

const groupOf = (element) => element.closest("[data-cursor]")?.dataset.cursor ?? "";

function nearest(u, index, hovered, x) {
  const [xs, ys] = [u.data[0], u.data[index]];
  if (ys[hovered] != null) return hovered;
  let low = hovered, high = hovered;
  while (low >= 0 && ys[low] == null) low--;
  while (high < ys.length && ys[high] == null) high++;
  if (low < 0 || high >= ys.length) return low < 0 && high >= ys.length ? hovered : low < 0 ? high : low;
  return x - xs[low] <= xs[high] - x ? low : high;
}

// All charts over the same abscissa show [low, high] of it, or all that each has.
function show(group, low, high) {
  for (const u of window.charts) {
    if (u.group !== group) continue;
    const first = u.data[0][0], last = u.data[0].at(-1);
    const to = low == null ? [first, last] : [Math.max(low, first), Math.min(high, last)];
    if (to[1] > to[0]) u.setScale("x", { min: to[0], max: to[1] });
  }
}

// Two fingers zoom and move; one finger shows values, and up or down it still scrolls the page.
function touch(u) {
  let held = null;
  const places = (event) => [...event.touches].map((t) => t.clientX - u.over.getBoundingClientRect().left).sort((a, b) => a - b);
  u.over.addEventListener("touchstart", (event) => {
    held = event.touches.length === 2 ? places(event).map((x) => u.posToVal(x, "x")) : null;
  }, { passive: true });
  u.over.addEventListener("touchmove", (event) => {
    const at = places(event);
    if (at.length === 1) {
      const y = event.touches[0].clientY - u.over.getBoundingClientRect().top;
      u.setCursor({ left: at[0], top: y }, true, true);
      return;
    }
    event.preventDefault();
    if (!held || at.length !== 2 || at[1] - at[0] < 8 || held[1] <= held[0]) return;
    const unit = (held[1] - held[0]) / (at[1] - at[0]), low = held[0] - at[0] * unit;
    show(u.group, low, low + unit * u.over.clientWidth);
  }, { passive: false });
}

function chart(svg) {
  const plot = JSON.parse(svg.dataset.plot), figure = svg.parentElement, group = plot.x + groupOf(svg);
  const host = document.createElement("div"), note = document.createElement("div");
  host.className = "plot";
  note.className = "note";
  note.hidden = true;
  const all = document.createElement("button");
  all.className = "all";
  all.textContent = "show all";
  all.hidden = true;
  all.addEventListener("click", () => show(u.group));
  svg.after(host);
  svg.classList.add("replaced");
  const { data, series, bands } = lines(plot), isTime = plot.x.startsWith("time");
  const axis = { stroke: () => css("--faint"), font: "11px system-ui, sans-serif", grid: { stroke: () => css("--rule"), width: 1 }, ticks: { show: false } };
  const u = new uPlot({
    title: plot.title, width: figure.clientWidth - 12, height: HEIGHT, series, bands,
    scales: { x: { time: false }, y: { range: ends(plot) }, n: {} },
    axes: [
      { ...axis, values: atAxis, label: plot.x, labelFont: axis.font, labelSize: 16, size: 24 },
      { ...axis, values: atAxis, size: (_, values) => 14 + 6.2 * Math.max(2, ...(values ?? []).map((v) => v.length)) },
    ],
    cursor: {
      sync: { key: group, scales: ["x", null] }, drag: { x: true, y: false }, dataIdx: nearest,
    },
    hooks: {
      drawClear: [regions(plot)], draw: isTime ? [marks] : [],
      setCursor: isTime ? [said(note), follow(groupOf(svg))] : [],
      setScale: [(u, key) => {
        if (key === "x") all.hidden = u.scales.x.min <= u.data[0][0] && u.scales.x.max >= u.data[0].at(-1);
      }],
      setSeries: [(u, i, options) => {
        // the edges of an interval go with their line
        if (i == null || options.show == null || !series[i + 1] || series[i + 1].class !== "edge" || series[i].class === "edge") return;
        [i + 1, i + 2].forEach((edge) => u.setSeries(edge, { show: options.show }));
      }],
    },
  }, data, host);
  u.group = group;
  u.over.append(note);
  host.append(all);
  touch(u);
  new ResizeObserver(() => u.setSize({ width: figure.clientWidth - 12, height: HEIGHT })).observe(figure);
  return u;
}

// "1,234.5", "97.5%" and "0.31 [0.30, 0.32]" sort as numbers, "–" comes last however the column is sorted.
function sortBy(table, column, head) {
  const down = head.getAttribute("aria-sort") === "ascending", body = table.tBodies[0];
  const text = (row) => row.cells[column].textContent.trim();
  const known = [...body.rows].filter((row) => text(row) !== "–"), unknown = [...body.rows].filter((row) => text(row) === "–");
  const numbers = known.every((row) => /^[-+−]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?(%| \[|$)/.test(text(row)));
  const value = (row) => parseFloat(text(row).replaceAll(",", "").replace("−", "-"));
  known.sort((a, b) => (numbers ? value(a) - value(b) : text(a).localeCompare(text(b))));
  if (down) known.reverse();
  body.append(...known, ...unknown);
  table.querySelectorAll("th").forEach((th) => th.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
}

document.querySelectorAll("table.sortable").forEach((table) => {
  if (table.tBodies[0].rows.length < 2) return;
  table.classList.add("on");
  table.querySelectorAll("thead th").forEach((head, column) => {
    head.tabIndex = 0;
    head.title = "sort by this column";
    head.addEventListener("click", () => sortBy(table, column, head));
    head.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      sortBy(table, column, head);
    });
  });
});

if (typeof uPlot !== "undefined") {
  const all = () => [...document.querySelectorAll("svg[data-plot]")].map(chart);
  window.charts = all();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    window.charts.forEach((u) => u.destroy());
    document.querySelectorAll(".plot").forEach((host) => host.remove());
    window.charts = all();
  });
}
