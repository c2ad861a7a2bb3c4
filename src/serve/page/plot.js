"use strict";

// Lines over the last samples, as SVG: every line a list of numbers, the newest at the right.
function drawPlot(svg, lines, samples) {
  const width = 300, height = 54, top = 12;
  const most = Math.max(1e-9, ...lines.flat());
  const shown = most < 1e-6 ? "" : most < 10 ? most.toFixed(1) : most.toFixed(0);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(
    svgElement("line", { class: "base", x1: 0, x2: width, y1: height - 1, y2: height - 1 }),
    svgElement("text", { x: 0, y: 9 }, shown),
    ...lines.map((values, i) => svgElement("polyline", {
      class: i === 0 ? "a" : "b",
      points: values.map((value, at) => {
        const x = width - (values.length - 1 - at) * width / (samples - 1);
        const y = height - 1.5 - value / most * (height - top - 2);
        return `${x.toFixed(1)},${y.toFixed(1)}`;
      }).join(" "),
    })));
}

function svgElement(name, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}
