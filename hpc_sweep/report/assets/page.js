"use strict";
(() => {
  const told = JSON.parse(document.getElementById("charts").textContent);
  const root = document.documentElement;

  // Light and dark: the reader's choice, else the system's.
  const toggle = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const show = () => {
    toggle.textContent = dark() ? "Light" : "Dark";
    toggle.setAttribute("aria-pressed", String(dark()));
    toggle.setAttribute("aria-label", dark() ? "Light colours" : "Dark colours");
  };
  toggle.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    show();
  });
  system.addEventListener("change", show);
  show();

  // Tables: sorted by a click on a heading; long ones are folded.
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.key === undefined ? null : Number(cell.dataset.key);
  };
  const compare = (column) => (left, right) => {
    const [a, b] = [key(left, column), key(right, column)];
    if (a !== null && b !== null) return a - b;
    if (a !== null || b !== null) return a === null ? 1 : -1;
    return left.cells[column].textContent.localeCompare(right.cells[column].textContent, "en", { numeric: true });
  };
  const tables = new Map();
  const board = document.getElementById("table-leaderboard");
  const fold = (table) => {
    const state = tables.get(table);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const kept = !state.filter || state.filter.has(Number(row.dataset.rank));
      shown += kept;
      row.classList.toggle("away", !kept || (!state.open && shown > state.limit));
    }
    const total = table.tBodies[0].rows.length;
    if (state.button) {
      state.button.hidden = shown <= state.limit;
      state.button.textContent = state.open ? `Show the first ${state.limit}` : `Show all ${shown}`;
      state.button.setAttribute("aria-expanded", String(state.open));
    }
    if (state.note) state.note.textContent = state.filter ? `${shown} of ${total} within the brush` : "";
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const state = { open: false, limit: Number(table.dataset.limit) || Infinity, filter: null };
    tables.set(table, state);
    const rows = [...table.tBodies[0].rows];
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) =>
      heading.firstElementChild.addEventListener("click", () => {
        const up = heading.getAttribute("aria-sort") !== "ascending";
        headings.forEach((one) => one.setAttribute("aria-sort", "none"));
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        const known = rows.filter((row) => key(row, column) !== null).length > 0;
        const missing = (row) => known && key(row, column) === null;
        const order = [...rows].sort((a, b) => missing(a) - missing(b) || (up ? 1 : -1) * compare(column)(a, b));
        table.tBodies[0].append(...order);
        fold(table);
      }),
    );
    const bar = document.createElement("p");
    bar.className = "more";
    state.note = document.createElement("span");
    state.note.className = "told";
    state.note.setAttribute("role", "status");
    if (rows.length > state.limit) {
      state.button = document.createElement("button");
      state.button.type = "button";
      state.button.className = "quiet";
      state.button.addEventListener("click", () => {
        state.open = !state.open;
        fold(table);
      });
      bar.append(state.button);
    }
    bar.append(state.note);
    if (state.button || table === board) table.parentElement.after(bar);
    fold(table);
  }

  // Parallel coordinates: drag along an axis, or use the arrow keys on it; Escape or a click clears it.
  const svg = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const classes = { "the pick": "pick", "tied with it": "tied" };
  const strands = (place) => {
    const { axes, lines, metric } = told.own[Number(place.dataset.own)];
    const [top, bottom, height, side] = [34, 300, 330, 70];
    const brushes = axes.map(() => null);
    const y = (share) => bottom - share * (bottom - top);
    const draw = () => {
      const width = Math.max(place.clientWidth, axes.length * 110);
      const x = (index) => side + (index * (width - 2 * side)) / Math.max(1, axes.length - 1);
      const drawn = svg("svg", { width, height, role: "group", "aria-label": place.dataset.words });
      const paths = [...lines].reverse().map((line) => {
        const d = line.at.map((share, index) => `${index ? "L" : "M"}${x(index).toFixed(1)} ${y(share).toFixed(1)}`);
        const path = svg("path", { d: d.join(""), class: classes[line.state] || "", "data-rank": line.rank });
        path.append(svg("title", {}, `#${line.rank} ${line.label}: ${metric} ${line.mean.toPrecision(4)}`));
        drawn.append(path);
        return [path, line];
      });
      const apply = () => {
        const active = brushes.some((one) => one);
        const inside = (line) => brushes.every((one, at) => !one || (line.at[at] >= one[0] && line.at[at] <= one[1]));
        for (const [path, line] of paths) path.classList.toggle("out", !inside(line));
        if (tables.has(board)) {
          tables.get(board).filter = active ? new Set(lines.filter(inside).map((line) => line.rank)) : null;
          fold(board);
        }
      };
      axes.forEach((axis, index) => {
        const group = svg("g", { class: "axis", tabindex: 0, role: "slider", "aria-orientation": "vertical" });
        group.setAttribute("aria-valuemin", 0);
        group.setAttribute("aria-valuemax", 100);
        const at = x(index);
        group.append(svg("line", { x1: at, x2: at, y1: top, y2: bottom }));
        group.append(svg("text", { x: at, y: 16, "text-anchor": "middle", class: "name" }, short(axis.name, 18)));
        for (const tick of axis.ticks) {
          group.append(svg("line", { x1: at - 4, x2: at, y1: y(tick.at), y2: y(tick.at) }));
          group.append(svg("text", { x: at + 6, y: y(tick.at) + 4 }, short(tick.text, 14)));
        }
        const band = svg("rect", { class: "brush", x: at - 9, width: 18, y: 0, height: 0, visibility: "hidden" });
        const catcher = svg("rect", { class: "catch", x: at - 20, width: 40, y: top - 8, height: bottom - top + 16 });
        group.append(band, catcher);
        const mark = () => {
          const brush = brushes[index];
          band.setAttribute("visibility", brush ? "visible" : "hidden");
          if (brush) {
            band.setAttribute("y", y(brush[1]) - 3);
            band.setAttribute("height", y(brush[0]) - y(brush[1]) + 6);
          }
          const inside = axis.ticks.filter((tick) => brush && tick.at >= brush[0] && tick.at <= brush[1]);
          const words = brush ? `from ${name(brush[0])} to ${name(brush[1])}` : "no brush";
          group.setAttribute("aria-label", `${axis.name}: arrow keys move a brush, Escape clears it`);
          group.setAttribute("aria-valuetext", inside.length ? inside.map((tick) => tick.text).join(", ") : words);
          group.setAttribute("aria-valuenow", Math.round(100 * (brush ? (brush[0] + brush[1]) / 2 : 0)));
          apply();
        };
        const name = (share) => `${Math.round(100 * share)} %`;
        const share = (event) => {
          const box = drawn.getBoundingClientRect();
          return Math.min(1, Math.max(0, (bottom - (event.clientY - box.top)) / (bottom - top)));
        };
        let start = null;
        catcher.addEventListener("pointerdown", (event) => {
          start = share(event);
          catcher.setPointerCapture(event.pointerId);
        });
        catcher.addEventListener("pointermove", (event) => {
          if (start === null) return;
          const now = share(event);
          brushes[index] = [Math.min(start, now) - 0.02, Math.max(start, now) + 0.02];
          mark();
        });
        catcher.addEventListener("pointerup", (event) => {
          if (start !== null && Math.abs(share(event) - start) < 0.01) brushes[index] = null;
          start = null;
          mark();
        });
        group.addEventListener("keydown", (event) => {
          const step = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 }[event.key];
          if (event.key === "Escape") brushes[index] = null;
          else if (step) {
            const levels = axis.ticks.map((tick) => tick.at).sort((a, b) => a - b);
            const brush = brushes[index];
            const middle = brush ? (brush[0] + brush[1]) / 2 : step > 0 ? -1 : 2;
            const next = step > 0 ? levels.find((one) => one > middle + 0.001) : levels.findLast((one) => one < middle - 0.001);
            const half = levels.length > 1 ? Math.min(...levels.slice(1).map((one, i) => one - levels[i])) / 2 : 0.5;
            if (next !== undefined) brushes[index] = [next - half, next + half];
          } else return;
          event.preventDefault();
          mark();
        });
        drawn.append(group);
        mark();
      });
      place.replaceChildren(drawn);
    };
    draw();
    let last = place.clientWidth;
    new ResizeObserver(() => {
      if (Math.abs(place.clientWidth - last) < 2) return;
      last = place.clientWidth;
      draw();
    }).observe(place);
  };
  const short = (text, limit) => (text.length > limit ? `${text.slice(0, limit - 1)}…` : text);

  // Charts: Vega-Lite, with its expressions interpreted, since the page forbids the evaluation of text.
  const options = { mode: "vega-lite", ast: true, actions: false, renderer: "svg", defaultStyle: false, config: told.theme };
  options.tooltip = { disableDefaultStyle: true };
  options.logLevel = 1;
  const charts = async () => {
    for (const place of document.querySelectorAll(".strands")) strands(place);
    for (const place of document.querySelectorAll(".chart")) {
      try {
        await vegaEmbed(place, told.specs[Number(place.dataset.spec)], options);
        place.querySelector("svg").setAttribute("aria-hidden", "true"); // the place itself has the words
      } catch (error) {
        place.textContent = "This chart could not be drawn here; the same picture is in the folder plots.";
        console.error(error);
      }
    }
    root.dataset.ready = "true";
  };
  charts();
})();
