// Elements of the page: found, made, and tables that are filled in place.

const SVG = "http://www.w3.org/2000/svg";

export function byId(id) {
  return document.getElementById(id);
}

export function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text != null) made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** An element of a drawing. */
export function shape(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const name in attributes) made.setAttribute(name, attributes[name]);
  if (text != null) made.textContent = text;
  return made;
}

export function chip(text, tone) {
  return element("span", text, "chip " + tone);
}

/** A time whose day is left out where there is no room. */
export function when(at) {
  const [day, hour] = at.split(" ");
  const made = element("span");
  made.append(element("span", day + " ", "day dim"), hour);
  return made;
}

/** The cell of a side, coloured. */
export function sideCell({ side }) {
  return [side, side === "BUY" ? "up" : "down"];
}

/**
 * Fill a table in place, so that what is pressed or has the focus stays the element it was.
 *
 * A head is [name, whether its column is of numbers]; a cell is a text, [text, class] or a node.
 */
export function table(node, heads, rows, none) {
  if (!rows.length) {
    node.replaceChildren();
    const cell = node.insertRow().insertCell();
    cell.textContent = none;
    cell.className = "dim wrap";
    return;
  }
  if (!node.tHead) addHead(node, heads);
  const body = node.tBodies[0] || node.createTBody();
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((row, number) => fillRow(body.rows[number] || body.insertRow(), heads, row));
}

function addHead(node, heads) {
  node.replaceChildren();
  const row = node.createTHead().insertRow();
  for (const [name, numeric] of heads) row.append(element("th", name, numeric ? "n" : ""));
}

function fillRow(row, heads, cells) {
  cells.forEach((content, column) => {
    const cell = row.cells[column] || row.insertCell();
    const [text, extra] = Array.isArray(content) ? content : [content ?? "–", ""];
    cell.className = [heads[column][1] ? "n" : "", extra || ""].join(" ").trim();
    if (content instanceof Node) fillWithNode(cell, content);
    else if (cell.firstElementChild || cell.textContent !== String(text)) cell.textContent = text;
  });
}

function fillWithNode(cell, node) {
  if (cell.childNodes.length === 1 && cell.firstChild.isEqualNode(node)) return;
  cell.replaceChildren(node);
}
