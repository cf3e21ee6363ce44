// Shapes: each role and each kind of message has one, so that nothing is told by colour alone.

/** A regular polygon with its first corner at `turn` (in turns; 0 is to the right). */
function polygon(sides, radius, turn) {
  const points = [];
  for (let corner = 0; corner < sides; corner += 1) {
    const angle = 2 * Math.PI * (corner / sides + turn);
    points.push(`${(radius * Math.cos(angle)).toFixed(2)},${(radius * Math.sin(angle)).toFixed(2)}`);
  }
  return `M${points.join("L")}Z`;
}

function circle(radius) {
  return `M${-radius},0A${radius},${radius} 0 1 1 ${radius},0A${radius},${radius} 0 1 1 ${-radius},0Z`;
}

function roundedBox(width, height, radius) {
  const w = width / 2 - radius;
  const h = height / 2;
  const x = width / 2;
  const y = height / 2 - radius;
  return `M${-w},${-h}H${w}Q${x},${-h} ${x},${-y}V${y}Q${x},${h} ${w},${h}H${-w}Q${-x},${h} ${-x},${y}V${-y}Q${-x},${-h} ${-w},${-h}Z`;
}

/** The outline of a node: circle, diamond, hexagon; learners are rounded squares, witnesses octagons. */
export function nodeShape(node, radius) {
  if (node.role === "leader") return polygon(6, radius * 1.1, 0.25);
  if (node.role === "candidate" || node.role === "pre-candidate") return polygon(4, radius * 1.2, 0.25);
  if (node.witness) return polygon(8, radius * 1.04, 1 / 16);
  if (node.member === "learner") return roundedBox(radius * 1.8, radius * 1.8, radius * 0.4);
  return circle(radius);
}

/** The key of a node's look: which colour it takes. */
export function nodeLook(node) {
  if (node.status !== "up" && node.status !== "paused") return "off";
  if (node.role === "leader" || node.role === "candidate" || node.role === "pre-candidate") return node.role;
  if (node.member === "learner") return "learner";
  return "follower";
}

/** What a kind of message looks like: its family (colour), its shape, its letter, and whether it is an answer. */
const MESSAGES = {
  "pre-vote": ["vote", "diamond", "P", false],
  "pre-vote-reply": ["vote", "diamond", "P", true],
  vote: ["vote", "diamond", "V", false],
  "vote-reply": ["vote", "diamond", "V", true],
  append: ["append", "box", "A", false],
  "append-ok": ["append", "box", "✓", true],
  "append-reject": ["reject", "box", "✗", true],
  heartbeat: ["beat", "circle", "H", false],
  "heartbeat-reply": ["beat", "circle", "h", true],
  beat: ["beat", "circle", "B", false],
  snapshot: ["snapshot", "wide", "S", false],
  "read-index": ["read", "triangle", "R", false],
  "read-index-reply": ["read", "triangle", "R", true],
  pull: ["append", "triangle", "L", false],
  "pull-reply": ["append", "triangle", "L", true],
  propose: ["propose", "hexagon", "C", false],
  "propose-reply": ["propose", "hexagon", "C", true],
  priority: ["propose", "hexagon", "Y", false],
  "timeout-now": ["vote", "hexagon", "T", false],
};

/** Every kind of message that the legend shows. */
export const MESSAGE_KINDS = Object.keys(MESSAGES);

export function messageLook(kind) {
  const [family, shape, letter, reply] = MESSAGES[kind] ?? ["other", "circle", "?", false];
  return { family, shape, letter, reply };
}

export function messageShape(shape, radius) {
  switch (shape) {
    case "diamond":
      return polygon(4, radius * 1.25, 0.25);
    case "box":
      return roundedBox(radius * 2, radius * 1.8, radius * 0.3);
    case "wide":
      return roundedBox(radius * 2.8, radius * 2, radius * 0.4);
    case "triangle":
      return polygon(3, radius * 1.35, 0.75);
    case "hexagon":
      return polygon(6, radius * 1.1, 0);
    default:
      return circle(radius);
  }
}
