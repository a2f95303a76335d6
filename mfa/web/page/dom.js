// Building the page. Everything that comes from the network gets in as text
// nodes and attributes, never as markup: the policy of the server forbids that
// too (require-trusted-types-for).
import { t } from './text.js';

export const $ = (id) => document.getElementById(id);

// el makes an element. Attributes that are functions are listeners, true ones
// are set without a value, false and missing ones are left out.
export function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') e.addEventListener(name, value);
    else if (value === true) e.setAttribute(name, '');
    else if (value !== false && value !== undefined) e.setAttribute(name, value);
  }
  e.append(...children.filter((c) => c !== undefined && c !== ''));
  return e;
}

const shapes = {
  yes: 'M5 12.5l4.5 4.5L19 7.5',
  no: 'M6.5 6.5l11 11M17.5 6.5l-11 11',
  clock: 'M12 7v5l3 2M12 3.5a8.5 8.5 0 1 0 0 17a8.5 8.5 0 0 0 0-17z',
  alert: 'M12 4l9 16H3zM12 10v4.5M12 17.4v.1',
  device: 'M9 2.5h6a2 2 0 0 1 2 2v15a2 2 0 0 1-2 2H9a2 2 0 0 1-2-2v-15a2 2 0 0 1 2-2zM11 18.4h2',
};

// icon makes one of the shapes, which says nothing to a screen reader.
export function icon(shape) {
  const ns = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(ns, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(ns, 'path');
  path.setAttribute('d', shapes[shape]);
  svg.append(path);
  return svg;
}

// show shows a text in an element that is hidden while it has none.
export function show(e, text) {
  e.textContent = text || '';
  e.hidden = !text;
}

// announce has a screen reader say something at once, also what it said before.
export function announce(text) {
  $('announce').textContent = '';
  setTimeout(() => { $('announce').textContent = text; }, 50);
}

let dialogs = 0;

// ask opens a dialog. It resolves to true, or to what was typed where there is
// an input, when the user agrees, else to false.
export function ask({ title, text, agree, danger = false, input }) {
  const id = `dialog-${++dialogs}`;
  const field = input && el('input', { id: `${id}-input`, value: input.value, maxlength: 64, autocomplete: 'off' });
  const dialog = el('dialog', { 'aria-labelledby': `${id}-title`, 'aria-describedby': text && `${id}-text` },
    el('h2', { id: `${id}-title` }, title),
    ...(text ? [el('p', { id: `${id}-text` }, text)] : []));
  return new Promise((resolve) => {
    const end = (value) => { resolve(value); dialog.close(); dialog.remove(); };
    const form = el('form', { submit: (event) => { event.preventDefault(); end(field ? field.value.trim() || false : true); } },
      ...(field ? [el('label', { for: field.id }, input.label), field] : []),
      el('div', { class: 'buttons' },
        el('button', { type: 'button', class: 'plain', click: () => end(false) }, t('cancel')),
        el('button', { type: 'submit', class: danger ? 'danger' : 'primary' }, agree)));
    dialog.addEventListener('cancel', () => end(false));
    dialog.append(form);
    document.body.append(dialog);
    dialog.showModal();
    if (field) field.select();
  });
}
