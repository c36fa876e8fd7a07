// Asking: requests to the service, whose refusals become words for people.
"use strict";

export class Refusal extends Error {}

export async function ask(address, options = {}) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The service does not answer. Is it still running, and is the picture not too large for it?");
  }
  if (answer.ok) return answer;
  const refusal = new Refusal(await reason(answer));
  refusal.wait = Number(answer.headers.get("Retry-After"));
  throw refusal;
}

export async function json(address) {
  return (await ask(address)).json();
}

async function reason(answer) {
  const wait = answer.headers.get("Retry-After");
  const when = wait ? ` (in ${wait} s)` : "";
  try {
    const { detail } = await answer.json();
    return `${detail[0].toUpperCase()}${detail.slice(1)}${when}`;
  } catch {
    return `The service refuses this with status ${answer.status}${when}.`;
  }
}

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const part = (name) => document.getElementById(name);

export function problem(place, error) {
  place.textContent = error ? error.message : "";
  place.hidden = !error;
  if (error) place.scrollIntoView({ block: "nearest" });
}

// Shows for how long `work` has been under way, and hands it what ends it.
export async function working(button, told, words, work) {
  const began = Date.now();
  const ending = new AbortController();
  const tell = () => (told.textContent = `${words} ${Math.round((Date.now() - began) / 1000)} s`);
  const clock = setInterval(tell, 1000);
  button.disabled = true;
  tell();
  try {
    return await work(ending);
  } finally {
    clearInterval(clock);
    button.disabled = false;
    told.textContent = "";
  }
}
