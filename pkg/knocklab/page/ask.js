// Asking the server, and showing at each field what is wrong with it.

// ask posts a question. The answer is {data}, {faults} by field, or {failure} in words.
export async function ask(path, question, signal) {
  let response;
  try {
    response = await fetch(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(question),
      cache: 'no-store',
      signal,
    });
    if (response.ok) return { data: await response.json() };
    if (response.status === 422) return { faults: (await response.json()).faults };
    return { failure: `The lab refuses this: ${(await response.text()).trim()}.` };
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    return { failure: 'The lab does not answer. Has knockclient -lab ended?' };
  }
}

// markFaults writes faults, by the ids of fields, to those of all given fields, and
// clears the others. It gives back those that have no field among them.
export function markFaults(fields, faults) {
  const left = { ...faults };
  for (const field of fields) {
    const fault = left[field.id];
    delete left[field.id];
    const place = document.getElementById(`${field.id}-fault`);
    if (!place) continue;
    place.textContent = fault ?? '';
    if (fault) field.setAttribute('aria-invalid', 'true');
    else field.removeAttribute('aria-invalid');
  }
  return Object.values(left);
}

const settling = 120; // milliseconds after a key, before the server is asked

// A Desk asks one kind of question again and again: the last one counts.
export class Desk {
  #timer;
  #abort;

  // region is busy from a change to the answer; answer gets what ask gives.
  constructor(region, path, question, answer) {
    Object.assign(this, { region, path, question, answer });
  }

  soon() {
    this.#cancel();
    this.#timer = setTimeout(() => this.now(), settling);
  }

  async now(...more) {
    this.#cancel();
    const abort = (this.#abort = new AbortController());
    try {
      const question = await this.question(abort.signal);
      const answer = question ? await ask(this.path, question, abort.signal) : {};
      if (abort.signal.aborted) return;
      this.answer(answer, ...more);
      this.region.setAttribute('aria-busy', 'false');
    } catch (error) {
      if (error.name !== 'AbortError') throw error;
    }
  }

  #cancel() {
    this.region.setAttribute('aria-busy', 'true');
    clearTimeout(this.#timer);
    this.#abort?.abort();
  }
}
