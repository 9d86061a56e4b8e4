"use strict";
// The page is complete without this: it adds copying, sorting, filtering and values under the pointer.
(() => {
  const all = (query, within) => Array.from((within || document).querySelectorAll(query));
  const said = document.getElementById("said");

  for (const block of all("figure.code")) {
    const button = document.createElement("button");
    const label = block.querySelector("figcaption").textContent;
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy: " + label);
    button.addEventListener("click", async () => {
      const code = block.querySelector("code");
      let done = true;
      try {
        await navigator.clipboard.writeText(code.textContent);
      } catch {
        getSelection().selectAllChildren(code);
        done = document.execCommand("copy");
      }
      button.textContent = done ? "Copied" : "Press Ctrl+C";
      said.textContent = done ? "Copied: " + label : "Selected: press Ctrl+C";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    block.append(button);
  }

  const trials = document.getElementById("all-trials");
  if (trials) explore(trials);

  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  let title = null;
  const leave = () => {
    if (title) title.node.textContent = title.text;
    title = null;
    tip.hidden = true;
  };
  document.addEventListener("pointerover", (event) => {
    leave();
    const node = event.target.closest && event.target.closest(".hint") && event.target.querySelector("title");
    if (!node) return;
    // The browser's own tooltip would come late and beside this one.
    title = { node, text: node.textContent };
    node.textContent = "";
    tip.textContent = title.text;
    tip.hidden = false;
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 12);
    const below = event.clientY + 18;
    const above = event.clientY - tip.offsetHeight - 12;
    tip.style.left = Math.max(12, left) + "px";
    tip.style.top = (below + tip.offsetHeight > innerHeight ? above : below) + "px";
  });
  document.addEventListener("pointerout", leave);

  // Sorting and filtering of the table of trials; links to a trial open it.
  function explore(table) {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows);
    const heads = all("th", table.tHead);
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const text = (row) => row.cells[column].textContent.trim();
        const number = (row) => parseFloat(text(row).replace(/[\u202f ]/g, ""));
        const way = down ? -1 : 1;
        const order = (a, b) => {
          if (!head.classList.contains("num")) return way * text(a).localeCompare(text(b));
          const [x, y] = [number(a), number(b)];
          // What was not measured stays at the end.
          if (!isFinite(x) || !isFinite(y)) return isFinite(y) - isFinite(x);
          return way * (x - y);
        };
        body.append(...Array.from(body.rows).sort(order));
      });
    });

    const find = document.getElementById("find");
    const found = document.getElementById("found");
    const filter = () => {
      const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += !row.hidden;
      }
      found.textContent = words.length ? shown + " of " + rows.length : "";
    };
    find.addEventListener("input", filter);
    find.parentElement.hidden = rows.length === 0;

    const reveal = () => {
      const target = document.getElementById(location.hash.slice(1));
      const closed = target && target.closest("details");
      if (!closed) return;
      closed.open = true;
      if (target.hidden) {
        find.value = "";
        filter();
      }
      target.scrollIntoView();
    };
    addEventListener("hashchange", reveal);
    reveal();
    addEventListener("beforeprint", () => all("details").forEach((part) => { part.open = true; }));
  }
})();
