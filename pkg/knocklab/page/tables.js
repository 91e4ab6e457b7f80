// The tables and lists that show figures.

// el makes an element. Children are nodes or text; nothing is ever parsed as HTML.
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const hex = (value) => value.toString(16).padStart(2, '0');

// byte shows a byte in both ways: the style sheet chooses one.
export function byte(value) {
  return el('span', { class: 'byte' }, el('span', { class: 'dec' }, String(value)), el('span', { class: 'hex' }, hex(value)));
}

// table makes one of heads and rows. A row is {cells, kind}; its first cell is its head.
export function table(caption, heads, rows) {
  const body = rows.map(({ cells, kind }) =>
    el('tr', kind ? { class: kind } : {},
      ...cells.map((cell, i) => (i === 0 ? el('th', { scope: 'row' }, cell) : el('td', {}, cell ?? '')))));
  return el('div', { class: 'scroll' },
    el('table', {},
      el('caption', { class: 'hidden' }, caption),
      el('thead', {}, el('tr', {}, ...heads.map((head) => el('th', { scope: 'col' }, head)))),
      el('tbody', {}, ...body)));
}

export function payloadTable(payload) {
  return table('The bytes of the payload', ['Byte', 'Value', 'Means'],
    payload.map(({ name, value, means }) => ({ cells: [name, byte(value), words(means)], kind: name === 'CHECKSUM' ? 'mark' : '' })));
}

// sumLine tells how the checksum is counted.
export function sumLine(payload, sum) {
  const terms = payload.slice(0, 6).map(({ value }) => value).join(' + ');
  const good = sum.rest === sum.found;
  return el('p', { class: good ? 'sum' : 'sum bad' }, `${terms} = ${sum.total}, and ${sum.total} mod ${sum.modulo} = `,
    el('strong', {}, String(sum.rest)), good ? '' : `, but the checksum is ${sum.found}`);
}

// keyRounds shows the digests, and which of their bytes are the key.
export function keyRounds(key) {
  let left = key.size * 2;
  const rounds = key.rounds.map(({ of, digest }) => {
    const used = digest.slice(0, Math.max(0, left));
    left -= digest.length;
    return el('li', {}, el('span', { class: 'of' }, `MD5 of ${of}`),
      el('code', {}, el('span', { class: 'used' }, used), el('span', { class: 'cut' }, digest.slice(used.length))));
  });
  return el('div', {}, el('ol', { class: 'rounds' }, ...rounds),
    el('p', { class: 'hint' }, `The first ${key.size} bytes are the key of ${key.cipher}; what is left is not used.`));
}

const rowNames = ['IP 1', 'IP 2', 'IP 3', 'IP 4', 'PORT', 'TIME', 'CHECK'];
const rowName = (i) => rowNames[i] ?? 'pad';

// blockTable follows the block from left to right, or back when it is read.
export function blockTable(block, cipher, reading) {
  const { plain, mask, mixed, sealed } = block;
  const row = (cells, i) => ({ cells: [rowName(i), ...cells.map(byte)], kind: i > 6 ? 'faint' : '' });
  if (!mask) return table('The block', ['Byte', 'In clear'], plain.map((value, i) => row([value], i)));
  if (reading) {
    return table('The block, from the encrypted bytes to the plain text',
      ['Byte', 'Encrypted', `${cipher}⁻¹`, '⊕ IV', '= Plain'],
      sealed.map((value, i) => row([value, mixed[i], mask[i], plain[i]], i)));
  }
  return table('The block, from the plain text to the encrypted bytes',
    ['Byte', 'Plain', '⊕ IV', '= Mixed', cipher],
    plain.map((value, i) => row([value, mask[i], mixed[i], sealed[i]], i)));
}

export function messageTable(steps, first) {
  return table('The tries, in order', ['Try', 'Byte', `+ ${first} = port`, 'Part'],
    steps.map((step, i) => ({ cells: [String(i + 1), byte(step.byte), String(step.port), words(step.name)], kind: `part-${step.kind}` })));
}

// flipTable shows which bytes of the IV are changed, and why.
export function flipTable(bytes) {
  const iv = (value) => (value < 0 ? '–' : byte(value));
  return table('What is flipped in the IV', ['Byte', 'Guess', 'Want', 'Differ in', 'IV heard', 'IV sent'],
    bytes.map((flip) => ({
      cells: [flip.name === 'CHECKSUM' ? 'CHECK' : flip.name === 'PADDING' ? 'pad' : flip.name,
        byte(flip.guess), byte(flip.want), flip.change ? bits(flip.change) : words('nothing'),
        iv(flip.old), flip.lost ? words('out of reach') : iv(flip.new)],
      kind: flip.change ? 'mark' : 'faint',
    })));
}

const words = (text) => el('span', { class: 'words' }, text);
const bits = (value) => el('code', {}, value.toString(2).padStart(8, '0'));
