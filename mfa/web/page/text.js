// The texts of the page. A translation is a file texts.LANG.json beside
// texts.en.json and its LANG in this list.
const languages = ['en'];

let texts = {};
export let language = 'en';

// loadTexts reads the texts in the first language of the user that there is.
export async function loadTexts() {
  const wanted = navigator.languages.map((tag) => tag.split('-')[0]);
  language = wanted.find((tag) => languages.includes(tag)) ?? 'en';
  const answer = await fetch(`texts.${language}.json`);
  if (!answer.ok) throw new Error(`texts: ${answer.status}`);
  texts = await answer.json();
  document.documentElement.lang = language;
}

// t returns a text with its {names} replaced. The text is only for textContent.
export function t(key, values = {}) {
  const text = texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
}

// has reports whether there is a text of that key.
export const has = (key) => key in texts;

// many returns the text of a number of things: KEY.one, KEY.other and so on.
export function many(key, n) {
  const form = `${key}.${new Intl.PluralRules(language).select(n)}`;
  return t(has(form) ? form : `${key}.other`, { n });
}

// fill puts the texts into what index.html marks with data-text and data-label.
export function fill(root) {
  for (const e of root.querySelectorAll('[data-text]')) e.textContent = t(e.dataset.text);
  for (const e of root.querySelectorAll('[data-label]')) e.setAttribute('aria-label', t(e.dataset.label));
}

// at writes a time of today as the clock, another one with its day.
export function at(time) {
  const date = new Date(time);
  const today = date.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(navigator.language, today ? { timeStyle: 'medium' } : { dateStyle: 'medium', timeStyle: 'short' }).format(date);
}
