// Looks at a report in a frame and writes down what it saw; tests/pages.rs says what it should be.
"use strict";
(async () => {
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const listen = "<script>window.faults=[];addEventListener('error',e=>faults.push(String(e.message)));" +
    "addEventListener('unhandledrejection',e=>faults.push(String(e.reason)));<\/script>";

  const framed = async (width) => {
    const frame = document.createElement("iframe");
    frame.width = width;
    frame.height = 900;
    frame.style.border = 0;
    frame.srcdoc = report.replace("<head>", "<head>" + listen);
    const loaded = new Promise((done) => { frame.onload = done; });
    document.body.append(frame);
    await loaded;
    await pause(50);
    return frame.contentWindow;
  };

  const luminance = ([r, g, b]) => {
    const linear = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  };
  const parts = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);
  // Colours behind an element, the nearest opaque one last.
  const behind = (win, node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      const colour = parts(win.getComputedStyle(at).backgroundColor);
      if (colour.length < 3 || colour[3] === 0) continue;
      layers.push(colour);
      if (colour[3] === undefined || colour[3] === 1) break;
    }
    return layers.reduceRight((below, layer) => {
      const share = layer[3] === undefined ? 1 : layer[3];
      return [0, 1, 2].map((c) => layer[c] * share + below[c] * (1 - share));
    }, [255, 255, 255]);
  };
  const faint = (win) => {
    const found = [];
    for (const node of win.document.querySelectorAll("body *")) {
      const own = Array.from(node.childNodes).some((it) => it.nodeType === 3 && it.textContent.trim());
      const box = node.getBoundingClientRect();
      if (!own || !box.width || ["SCRIPT", "STYLE", "TITLE", "title"].includes(node.tagName)) continue;
      const style = win.getComputedStyle(node);
      if (style.visibility === "hidden" || node.closest(".unseen, .skip")) continue;
      const ink = parts(node.ownerSVGElement ? style.fill : style.color);
      const [a, b] = [luminance(ink), luminance(behind(win, node))].sort((x, y) => y - x);
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      const ratio = (a + 0.05) / (b + 0.05);
      if (!(ratio >= (large ? 3 : 4.5))) {
        found.push(node.tagName + " " + ratio.toFixed(2) + ": " + node.textContent.trim().slice(0, 40));
      }
    }
    return found.slice(0, 5);
  };
  const overflow = (win) => {
    const wide = win.document.documentElement.scrollWidth;
    if (wide <= win.innerWidth) return [];
    const inside = (node) => node.closest(".scroll, pre, .unseen");
    return Array.from(win.document.querySelectorAll("body *"))
      .filter((node) => !inside(node) && node.getBoundingClientRect().right > win.innerWidth + 1)
      .map((node) => node.tagName + "." + node.className)
      .concat("page " + wide)
      .slice(0, 5);
  };
  const unnamed = (doc) => {
    const pictures = Array.from(doc.querySelectorAll("svg, img")).filter((it) =>
      !(it.getAttribute("aria-label") || it.getAttribute("alt")));
    const fields = Array.from(doc.querySelectorAll("input, button")).filter((it) =>
      !(it.labels && it.labels.length) && !it.textContent.trim() && !it.getAttribute("aria-label"));
    return pictures.concat(fields).map((it) => it.outerHTML.slice(0, 80));
  };
  const foreign = (doc) => Array.from(doc.querySelectorAll("[src], link, [href]"))
    .map((it) => it.getAttribute("src") || it.getAttribute("href") || it.tagName)
    .filter((it) => /^([a-z][a-z0-9+.-]*:|\/)/i.test(it));

  // A study has no trials, and no table of them.
  const table = async (win) => {
    const doc = win.document;
    const result = {};
    const details = doc.querySelector("#trials details");
    if (!details) return result;
    const rows = () => Array.from(doc.querySelector("#all-trials tbody").rows);
    // A link to a trial opens the table.
    win.location.hash = rows()[0].id;
    await pause(50);
    result.opened = details.open;
    const heads = Array.from(doc.querySelectorAll("#all-trials th button"));
    const column = heads.findIndex((it) => it.textContent.startsWith("Id"));
    const numbers = () => rows().map((row) => parseFloat(row.cells[column].textContent));
    const same = (a, b) => a.length > 0 && a.join() === b.join();
    const up = numbers().sort((a, b) => a - b);
    heads[column].click();
    result.sorted = same(numbers(), up) &&
      heads[column].parentElement.getAttribute("aria-sort") === "ascending";
    heads[column].click();
    result.reversed = same(numbers(), up.slice().reverse());
    const field = doc.getElementById("find");
    const purpose = rows()[0].cells[1].textContent;
    field.value = purpose + " measured";
    field.dispatchEvent(new win.Event("input"));
    const shown = rows().filter((row) => !row.hidden);
    result.filtered = shown.length > 0 && shown.every((row) => row.textContent.includes(purpose)) &&
      doc.getElementById("found").textContent === shown.length + " of " + rows().length;
    field.value = "no such words";
    field.dispatchEvent(new win.Event("input"));
    result.filtered &&= rows().every((row) => row.hidden);
    field.value = "";
    field.dispatchEvent(new win.Event("input"));
    return result;
  };

  const script = async (win) => {
    const doc = win.document;
    const result = await table(win);
    let taken = null;
    Object.defineProperty(win.navigator, "clipboard", {
      value: { writeText: async (text) => { taken = text; } },
    });
    const code = doc.querySelector("figure.code");
    code.querySelector("button.copy").click();
    await pause(50);
    result.copied = taken === code.querySelector("code").textContent &&
      code.querySelector("button.copy").textContent === "Copied";
    const mark = doc.querySelector(".hint");
    const words = mark.querySelector("title").textContent;
    mark.dispatchEvent(new win.PointerEvent("pointerover", { bubbles: true, clientX: 50, clientY: 50 }));
    const tip = doc.getElementById("tip");
    result.hinted = !tip.hidden && tip.textContent === words && words.length > 0;
    mark.dispatchEvent(new win.PointerEvent("pointerout", { bubbles: true }));
    result.hinted &&= tip.hidden && mark.querySelector("title").textContent === words;
    return result;
  };

  const seen = [];
  for (const width of widths) {
    const win = await framed(width);
    const doc = win.document;
    const landmarks = ["header", "main", "nav", "footer"];
    const one = {
      overflow: overflow(win),
      faint: faint(win),
      unnamed: unnamed(doc),
      foreign: foreign(doc),
      sections: Array.from(doc.querySelectorAll("main section")).map((it) => it.id),
      landmarks: landmarks.filter((it) => doc.querySelectorAll(it).length === 1),
      ...await script(win),
      errors: win.faults,
    };
    seen.push(one);
    win.frameElement.remove();
  }
  const answer = document.createElement("pre");
  answer.id = "checked";
  answer.textContent = JSON.stringify(seen);
  document.body.replaceChildren(answer);
})();
