// The page: its three desks, each of which asks the server and shows the answer.
import { ask, Desk, markFaults } from './ask.js';
import { Drawing } from './drawing.js';
import { blockTable, el, flipTable, keyRounds, messageTable, payloadTable, sumLine } from './tables.js';

const $ = (id) => document.getElementById(id);
const fill = (id, ...children) => $(id).replaceChildren(...children);
const fieldsOf = (form) => [...form.querySelectorAll('input, select, textarea')];
const values = (ids, prefix = '') => Object.fromEntries(ids.map((id) => [id, $(prefix + id).disabled ? '' : $(prefix + id).value]));

const agreed = ['passphrase', 'cipher', 'header', 'iv', 'ivForm', 'first'];
const wished = ['ip', 'port', 'time'];
const agreement = () => values(agreed);

// ---- Make

const makeDrawing = new Drawing($('make-drawing'), 'The knock', { controls: true });
let made = null; // the last answer
const makeDesk = new Desk($('make-result'), 'seal', () => ({ ...values(wished), ...agreement() }), showMade);

function showMade({ data, faults = {}, failure }, play) {
  markFaults(fieldsOf($('make-form')), faults);
  $('make-result').classList.toggle('stale', !data);
  $('steps').classList.toggle('stale', !data);
  if (!data) {
    const n = Object.keys(faults).length;
    fill('make-status', failure ?? `${n === 1 ? 'One field is' : `${n} fields are`} to be mended: what is shown below is the knock before.`);
    return;
  }
  made = data;
  fill('make-status', el('strong', {}, capital(data.says)), `: ${data.ports.length} tries`);
  makeDrawing.show({ ...data, clear: !data.key });
  fill('ports', data.sequence);
  fill('command', ...data.command.split(' ').flatMap((word, i) => [i ? ' ' : '', el('span', {}, word)]));
  fill('notes', ...data.notes.map((note) => el('p', { class: 'hint' }, note)));
  showSteps(data);
  if (play) makeDrawing.start();
}

function showSteps(data) {
  const cipher = data.key?.cipher;
  fill('payload', payloadTable(data.payload), sumLine(data.payload, data.sum));
  fill('key-text', cipher ? 'MD5 makes bytes of the passphrase, and again of all there are, until the key is long enough.' : 'The cipher none has no key.');
  fill('key', ...(data.key ? [keyRounds(data.key)] : []));
  fill('block-text', ...aboutBlock(data, cipher));
  fill('block', blockTable(data.block, cipher, false));
  fill('message-text', aboutMessage(data));
  fill('message', messageTable(data.steps, data.first));
}

function aboutBlock({ padding, iv, drawn, block }, cipher) {
  const n = padding.length;
  const padded = `${n === 1 ? 'One byte' : `${n} bytes`} of value ${padding[0]} fill${n === 1 ? 's' : ''} up the block of ${block.plain.length}.`;
  if (!cipher) return [`${padded} Nothing is encrypted.`];
  const short = iv.length < block.plain.length ? ` It reaches ${iv.length} bytes far.` : '';
  return [`${padded} Each byte is XORed (⊕) with one of the ${drawn ? 'IV, fresh and random' : 'IV'}, then ${cipher} encrypts the block.${short}`];
}

function aboutMessage({ steps, first, last }) {
  const sent = steps[0].kind === 'header';
  return `${sent ? 'The header “RandomIV” and the IV go before the block. ' : ''}Byte b is one try at TCP port ${first} + b, so somewhere from ${first} to ${last}.`;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

// adapt lets the form offer what goes together.
function adapt() {
  const cipher = $('cipher').value;
  const sent = $('header').value === 'randomiv' && cipher !== 'none';
  for (const id of ['passphrase', 'header', 'iv', 'ivForm']) $(id).disabled = cipher === 'none';
  const size = cipher === 'Rijndael' ? 16 : 8;
  $('iv-hint').textContent = cipher === 'none' ? 'The cipher none has no IV.'
    : sent ? '1 to 8 bytes. Empty: a fresh random one each time.'
      : `${size} bytes. Empty: ${'01234567'.repeat(size / 8)}`;
}

$('make-form').addEventListener('input', () => {
  adapt();
  makeDesk.soon();
  if ($('sequence').value.trim()) readDesk.soon();
});
$('make-form').addEventListener('submit', (event) => {
  event.preventDefault();
  makeDesk.now(true);
});

// ---- Read

const readDrawing = new Drawing($('read-drawing'), 'The pasted knock');
const readDesk = new Desk($('read-result'), 'open', () => {
  const question = { ...agreement(), sequence: $('sequence').value };
  if ($('readHeader').value) question.header = $('readHeader').value;
  return question;
}, showRead);

function showRead({ data, faults = {}, failure }) {
  const elsewhere = markFaults([$('sequence')], faults);
  const verdict = $('read-verdict');
  const steps = data?.steps ?? [];
  readDrawing.show({ steps, first: data?.first, clear: $('cipher').value === 'none' });
  fill('read-steps', ...(data ? readSteps(data) : []));
  if (!data) {
    verdict.className = 'verdict bad';
    fill('read-verdict', el('p', {}, failure ?? (elsewhere.length ? `First mend what both sides agree on, above: ${elsewhere.join('; ')}.` : 'There is nothing to read yet.')));
    return;
  }
  verdict.className = `verdict ${data.good ? 'good' : 'bad'}`;
  fill('read-verdict', el('p', {}, el('strong', {}, data.good ? 'It decodes. ' : 'It does not decode. '), data.good ? `${capital(data.says)}.` : data.says),
    ...(data.hint ? [el('p', { class: 'hint' }, data.hint)] : []));
}

function readSteps(data) {
  const parts = [];
  if (data.block.plain) parts.push(el('div', {}, el('h3', {}, 'The block, back again'), blockTable(data.block, data.key?.cipher, true)));
  if (data.payload) parts.push(el('div', {}, el('h3', {}, 'The payload'), payloadTable(data.payload), sumLine(data.payload, data.sum)));
  return parts;
}

$('read-form').addEventListener('input', () => readDesk.soon());
$('read-form').addEventListener('submit', (event) => {
  event.preventDefault();
  readDesk.now();
});
$('take').addEventListener('click', () => {
  if (!made) return;
  $('sequence').value = made.sequence;
  $('readHeader').value = '';
  readDesk.now();
});

// ---- Forge

const forgeDrawing = new Drawing($('forge-drawing'), 'The forged knock, beside the recorded one');
let recorded = null; // the agreement that the recorded knock was made under, and its steps
const forgeDesk = new Desk($('forge-result'), 'forge', askForge, showForged);

async function askForge(signal) {
  if (!recorded) await record(signal);
  if (!recorded) return null;
  return { ...recorded.agreement, sequence: $('recorded').value, guess: values(wished, 'guess-'), want: values(wished, 'want-') };
}

// record has a knock made that carries its IV, as the form above says.
async function record(signal) {
  const under = { ...agreement(), header: 'randomiv', iv: '', ivForm: 'text' };
  if (!['Blowfish', 'DES'].includes(under.cipher)) Object.assign(under, { cipher: 'Blowfish', passphrase: $('passphrase').value });
  const { data } = await ask('seal', { ...values(wished), ...under }, signal);
  if (!data) return;
  recorded = { agreement: under, steps: data.steps };
  $('recorded').value = data.sequence;
  for (const id of wished) $(`guess-${id}`).value = $(id).value;
}

const fieldOf = (name) => (name === 'sequence' ? 'recorded' : name.replace('.', '-'));

function showForged({ data, faults = {}, failure }) {
  const byField = Object.fromEntries(Object.entries(faults).map(([name, fault]) => [fieldOf(name), fault]));
  markFaults(fieldsOf($('forge-form')), byField);
  $('forge-result').classList.toggle('stale', !data);
  if (!data) {
    fill('forge-status', failure ?? (recorded ? 'First mend the fields that are marked.' : 'First mend the fields at the top: there is no knock to record.'));
    return;
  }
  const n = data.changed;
  fill('forge-status', el('strong', {}, n === 0 ? 'Nothing to change' : `${n} byte${n === 1 ? '' : 's'} of the IV changed`), `: from “${data.guess}” to “${data.want}”`);
  fill('flips', flipTable(data.bytes));
  forgeDrawing.show(data, ghostOf(data));
  fill('forged', data.sequence);
  judge('naive', 'A host that remembers nothing', data.naive.good, data.naive.good ? `${capital(data.naive.says)}.` : data.naive.says);
  judge('daemon', 'knockdaemon', !data.refused, `${data.refused ? 'Refused. ' : ''}${data.why}`);
}

// ghostOf gives the steps of the recorded knock, as it stands in its field.
function ghostOf({ first }) {
  return $('recorded').value.split(/[\s,;]+/).filter(Boolean).map((port) => ({ byte: Number(port) - first }));
}

function judge(id, who, opens, why) {
  $(id).className = `verdict ${opens ? 'good' : 'bad'}`;
  fill(id, el('h3', {}, who), el('p', {}, why));
}

$('forge-form').addEventListener('input', () => forgeDesk.soon());
$('forge-form').addEventListener('submit', (event) => {
  event.preventDefault();
  forgeDesk.now();
});
$('record').addEventListener('click', () => {
  recorded = null;
  forgeDesk.now();
});

// ---- The whole page

for (const button of document.querySelectorAll('[data-copies]')) {
  const words = button.textContent;
  button.addEventListener('click', async () => {
    const source = $(button.dataset.copies);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = 'Selected: now copy it';
    }
    setTimeout(() => (button.textContent = words), 1500);
  });
}

for (const radio of document.querySelectorAll('[name=radix]')) {
  const choose = () => radio.checked && (document.documentElement.dataset.radix = radio.value);
  radio.addEventListener('change', choose);
  choose();
}

adapt();
makeDesk.now(true);
forgeDesk.now();
