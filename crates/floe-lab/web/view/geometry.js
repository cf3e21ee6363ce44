// Where things stand on the stage: nodes on an ellipse, clients on a rail, messages on lanes between two nodes.

/** Room for the words beside a node; where there are many nodes, they are abbreviated. */
const LABEL_WIDTH = 222;
const SHORT_LABEL_WIDTH = 130;
const MANY = 6;
/** A stage lower than this has no room for words below each of five nodes of full size. */
const LOW = 480;
/** The radius of a node where there is little room. */
const SMALL = 24;

/** Places for a stage of this size with so many nodes. All lengths are CSS pixels. */
export function layout(width, height, count, withClients) {
  const narrow = width < 560;
  const most = Math.min(width, height) * (count > MANY ? 0.062 : 0.085);
  let radius = narrow ? (count > 5 ? 18 : 24) : Math.max(24, Math.min(38, most));
  const rail = !withClients
    ? { side: "none", size: 0 }
    : narrow
      ? { side: "top", size: 60 }
      : { side: "left", size: 172 };
  const left = rail.side === "left" ? rail.size : 0;
  const top = rail.side === "top" ? rail.size : 0;
  // On a desk the words of a node stand beside it, away from the middle; where that is too wide, below it.
  const half = (width - left) / 2;
  const fits = (words) => !narrow && half - words > (radius + 9) * 3.4;
  // On a low stage the words below a node would lie on the next one: then they are short, too.
  const brief = count > MANY || (!narrow && count > 3 && height < LOW && !fits(LABEL_WIDTH));
  const words = brief ? SHORT_LABEL_WIDTH : LABEL_WIDTH;
  const beside = fits(words);
  const many = count > MANY || (brief && !beside);
  if (brief && !beside) radius = Math.min(radius, SMALL);
  const ring = radius + 9;
  const label = ring + words;
  const marginX = beside ? label : ring + (narrow ? 22 : 60);
  const above = ring + (narrow ? 14 : 24);
  const below = beside ? ring + 14 : ring + (narrow ? 42 : 60);
  const rx = Math.max(40, (width - left) / 2 - marginX);
  const ry = Math.max(40, (height - top - above - below) / 2);
  const centre = { x: left + (width - left) / 2, y: top + above + ry };
  const units = [];
  for (let place = 0; place < count; place += 1) {
    const angle = 2 * Math.PI * (place / count) - Math.PI / 2 + (count === 2 ? Math.PI / 2 : 0);
    units.push({ x: Math.cos(angle), y: Math.sin(angle) });
  }
  // A triangle or a pentagon does not fill a circle from top to bottom; here it fills its room.
  const highest = Math.min(...units.map((unit) => unit.y));
  const lowest = Math.max(...units.map((unit) => unit.y));
  const tall = lowest - highest > 0.01;
  const reach = narrow ? rx : Math.min(rx, ry * (many ? 2.8 : 1.9));
  const places = units.map((unit) => {
    const x = centre.x + reach * unit.x;
    const side = !beside ? "below" : x < centre.x - 1 ? "left" : "right";
    return { x, y: tall ? centre.y + ry * (2 * ((unit.y - highest) / (lowest - highest)) - 1) : centre.y, side };
  });
  return { width, height, radius, ring, narrow, many, brief, rail, centre, places };
}

/** How far a lane lies beside the line between two nodes. */
export const LANE_OFFSET = 9;

/** The lane of a direction: each of the two directions of a link keeps to its own side. */
export function lane(from, to, inset, offset) {
  const dx = to.x - from.x;
  const dy = to.y - from.y;
  const length = Math.hypot(dx, dy) || 1;
  const ux = dx / length;
  const uy = dy / length;
  const shift = { x: -uy * offset, y: ux * offset };
  return {
    x1: from.x + ux * inset + shift.x,
    y1: from.y + uy * inset + shift.y,
    x2: to.x - ux * inset + shift.x,
    y2: to.y - uy * inset + shift.y,
  };
}

/** A point of a lane, from 0 (its begin) to 1. */
export function along(way, part) {
  return { x: way.x1 + (way.x2 - way.x1) * part, y: way.y1 + (way.y2 - way.y1) * part };
}
