// Making elements: HTML and SVG, without a template language. Texts are always text nodes, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else if (name === "checked" || name === "disabled" || name === "hidden" || name === "open")
      element[name] = Boolean(value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

/** An HTML element; attributes that begin with `on` are listeners. */
export function el(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** Puts these children in the place of all others; what is null or false is left out. */
export function put(element, ...children) {
  element.replaceChildren();
  return fill(element, null, children);
}

/** Sets attributes of an element only where they differ from what was set last. */
export function set(element, attributes) {
  const known = (element.__set ??= {});
  for (const [name, value] of Object.entries(attributes)) {
    if (known[name] === value) continue;
    known[name] = value;
    if (value === null || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value);
  }
}

/** Sets the text of an element only if it differs. */
export function text(element, value) {
  if (element.__text === value) return;
  element.__text = value;
  element.textContent = value;
}

/** Runs `work` at most once every `ms`, the last wish always. */
export function throttled(work, ms) {
  let timer = null;
  let last = 0;
  return () => {
    if (timer !== null) return;
    timer = setTimeout(
      () => {
        timer = null;
        last = performance.now();
        work();
      },
      Math.max(0, ms - (performance.now() - last)),
    );
  };
}
