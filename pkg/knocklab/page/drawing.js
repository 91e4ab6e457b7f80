// The drawing of a knock: ports from left to right, time from top to bottom.
import { el } from './tables.js';

const NS = 'http://www.w3.org/2000/svg';
const svg = (name, attributes = {}, ...children) => {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};

const beat = 420; // milliseconds from try to try
const calm = matchMedia('(prefers-reduced-motion: reduce)');
const side = { left: 34, right: 22 }; // room for the numbers of tries, and for a mark
const legends = { header: 'header', iv: 'IV', block: 'encrypted block' };
let drawings = 0;

export class Drawing {
  #steps = [];
  #at = 0;
  #timer = null;

  // Without controls the drawing shows the whole knock.
  constructor(root, title, { controls = false } = {}) {
    this.id = `drawing-${++drawings}`;
    this.title = title;
    this.canvas = el('div', { class: 'canvas' });
    this.legend = el('ul', { class: 'legend', 'aria-label': 'Marks' });
    root.append(el('figure', { class: 'knock' }, this.canvas, this.legend));
    if (controls) root.firstChild.append(this.#makeControls());
    new ResizeObserver(() => this.#draw()).observe(this.canvas);
    calm.addEventListener('change', () => this.#still());
  }

  #makeControls() {
    this.play = el('button', { type: 'button' }, 'Play');
    this.back = el('button', { type: 'button' }, 'Back');
    this.next = el('button', { type: 'button' }, 'Step');
    this.range = el('input', { type: 'range', min: '0', 'aria-label': 'Tries shown' });
    this.where = el('p', { class: 'where' });
    this.calmly = el('p', { class: 'hint', hidden: '' }, 'No motion, as your system asks: step through.');
    this.play.addEventListener('click', () => (this.#timer ? this.pause() : this.start()));
    this.back.addEventListener('click', () => this.#go(this.#at - 1));
    this.next.addEventListener('click', () => this.#go(this.#at + 1));
    this.range.addEventListener('input', () => this.#go(Number(this.range.value)));
    return el('div', { class: 'controls' }, this.play, this.back, this.next, this.range, this.where, this.calmly);
  }

  // show draws steps from port first on, which are clear if nothing is encrypted; ghost is another knock behind it, or nothing.
  show({ steps, first, clear = false }, ghost = []) {
    this.pause();
    Object.assign(this, { first, ghost });
    this.#steps = steps;
    this.#at = steps.length;
    this.canvas.hidden = this.legend.hidden = steps.length === 0;
    const kinds = [...new Set(steps.map(({ kind }) => kind))];
    this.legend.replaceChildren(
      ...kinds.map((kind) => el('li', {}, key(kind), clear && kind === 'block' ? 'block, in clear' : legends[kind])),
      ...(ghost.length ? [el('li', {}, key('ghost'), 'as it was recorded')] : []));
    this.#draw();
    this.#still();
  }

  // start plays the knock from its first port, or from where it was paused.
  start() {
    if (calm.matches) return;
    if (this.#at >= this.#steps.length) this.#set(0);
    this.#timer = setInterval(() => {
      this.#set(this.#at + 1);
      if (this.#at >= this.#steps.length) this.pause();
    }, beat);
    this.#label();
  }

  pause() {
    clearInterval(this.#timer);
    this.#timer = null;
    this.#label();
  }

  #go(at) {
    this.pause();
    this.#set(at);
  }

  #label() {
    if (this.play) this.play.textContent = this.#timer ? 'Pause' : 'Play';
  }

  // still takes the motion out where it is not wanted.
  #still() {
    if (!this.play) return;
    if (calm.matches) this.#go(this.#steps.length);
    disable(this.play, calm.matches);
    this.calmly.hidden = !calm.matches;
  }

  // set shows the first tries, as many as at.
  #set(at) {
    this.#at = Math.max(0, Math.min(at, this.#steps.length));
    for (const node of this.canvas.querySelectorAll('[data-knock]')) {
      const knock = Number(node.dataset.knock);
      node.classList.toggle('on', knock <= this.#at);
      node.classList.toggle('now', knock === this.#at && Boolean(this.range));
    }
    if (!this.range) return;
    this.range.max = String(this.#steps.length);
    this.range.value = String(this.#at);
    disable(this.back, this.#at === 0);
    disable(this.next, this.#at === this.#steps.length);
    const step = this.#steps[this.#at - 1];
    this.where.textContent = step
      ? `Try ${this.#at} of ${this.#steps.length}: port ${step.port} = ${this.first} + ${step.byte} (${step.name})`
      : 'No try yet: every port is closed.';
    this.range.setAttribute('aria-valuetext', this.where.textContent);
  }

  #draw() {
    const width = this.canvas.clientWidth;
    if (!width || !this.#steps.length) return;
    const pitch = this.#steps.length > 16 ? 19 : this.#steps.length > 8 ? 24 : 36;
    const top = 18;
    const floor = top + this.#steps.length * pitch + 10;
    const x = (value) => side.left + (value / 255) * (width - side.left - side.right);
    const y = (i) => top + i * pitch;
    const picture = svg('svg', { width, height: floor + 44, role: 'img', 'aria-labelledby': this.id },
      svg('title', { id: this.id }, `${this.title}: ${this.#steps.length} tries at ports ${this.#steps.map((s) => s.port).join(', ')}`),
      ...this.#grid(x, top - 12, floor),
      ...this.#ghostMarks(x, y),
      ...this.#lines(x, y),
      ...this.#marks(x, y, floor, width));
    this.canvas.replaceChildren(picture);
    this.#set(this.#at);
  }

  // grid draws the closed ports along the floor, and a scale.
  #grid(x, ceiling, floor) {
    const all = [];
    const narrow = x(255) - x(0) < 420;
    for (let value = 0; value < 256; value++) {
      all.push(svg('line', { class: 'door', x1: x(value), x2: x(value), y1: floor, y2: floor + 9 }));
    }
    for (const value of narrow ? [0, 128, 255] : [0, 32, 64, 96, 128, 160, 192, 224, 255]) {
      all.push(svg('line', { class: 'grid', x1: x(value), x2: x(value), y1: ceiling, y2: floor }),
        svg('text', { class: 'scale', x: x(value), y: floor + 30, 'text-anchor': 'middle' },
          String(this.first + value)));
    }
    return all;
  }

  #ghostMarks(x, y) {
    return this.ghost.flatMap((step, i) => (step.byte === this.#steps[i]?.byte ? [] : [
      svg('line', { class: 'shift', x1: x(step.byte), x2: x(this.#steps[i].byte), y1: y(i), y2: y(i) }),
      svg('circle', { class: 'ghost', cx: x(step.byte), cy: y(i), r: 5 })]));
  }

  #lines(x, y) {
    return this.#steps.slice(1).map((step, i) => {
      const [x1, y1, x2, y2] = [x(this.#steps[i].byte), y(i), x(step.byte), y(i + 1)];
      const middle = (y1 + y2) / 2;
      return svg('path', { class: 'way', 'data-knock': i + 2, d: `M${x1} ${y1}C${x1} ${middle} ${x2} ${middle} ${x2} ${y2}` });
    });
  }

  #marks(x, y, floor, width) {
    return this.#steps.flatMap((step, i) => {
      const [cx, cy] = [x(step.byte), y(i)];
      const right = cx < width - 80;
      return [
        svg('text', { class: 'count', x: 0, y: cy + 4 }, String(i + 1)),
        svg('line', { class: `hit ${step.kind}`, 'data-knock': i + 1, x1: cx, x2: cx, y1: floor - 4, y2: floor + 13 }),
        svg('g', { class: `mark ${step.kind}`, 'data-knock': i + 1 },
          svg('circle', { class: 'ring', cx, cy, r: 11 }), shape(step.kind, cx, cy),
          svg('text', { x: right ? cx + 14 : cx - 14, y: cy + 4, 'text-anchor': right ? 'start' : 'end' }, String(step.port))),
      ];
    });
  }
}

// disable tells that a button does nothing now. It stays where the keyboard is.
function disable(button, yes) {
  button.setAttribute('aria-disabled', String(yes));
}

// shape makes the mark of a kind: not by its colour alone is it told from others.
function shape(kind, x, y) {
  switch (kind) {
    case 'header':
      return svg('rect', { class: 'dot', x: x - 4.5, y: y - 4.5, width: 9, height: 9 });
    case 'iv':
      return svg('path', { class: 'dot', d: `M${x} ${y - 6.5}l6.5 6.5l-6.5 6.5l-6.5 -6.5z` });
    case 'ghost':
      return svg('circle', { class: 'ghost', cx: x, cy: y, r: 5 });
  }
  return svg('circle', { class: 'dot', cx: x, cy: y, r: 5.5 });
}

const key = (kind) => svg('svg', { width: 16, height: 16, class: `mark on ${kind}`, 'aria-hidden': 'true' }, shape(kind, 8, 8));
