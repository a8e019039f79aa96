// Elements, made of text and never of markup.

/** An element. `props` are properties, or handlers as in `onclick`; `aria` and `data` as in dataset. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name === 'aria') for (const [key, v] of Object.entries(value)) element.setAttribute(`aria-${key}`, v);
    else if (name === 'role') element.setAttribute('role', value);
    else if (name === 'data') Object.assign(element.dataset, value);
    else element[name] = value;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A field with its label. */
export function field(label, props) {
  return h('label', { className: 'field' }, h('span', {}, label), h('input', props));
}

/** A form that shows what went wrong. `submit` gets the values by name. */
export function form(props, fields, label, submit) {
  const problem = h('p', { className: 'problem', role: 'alert' });
  const button = h('button', { className: 'main', type: 'submit' }, label);
  const element = h('form', props, ...fields, problem, button);
  element.onsubmit = async (event) => {
    event.preventDefault();
    problem.textContent = '';
    button.disabled = true;
    try {
      await submit(Object.fromEntries(new FormData(element)));
    } catch (error) {
      problem.textContent = error.shown ?? error.message;
    } finally {
      button.disabled = false;
    }
  };
  return element;
}

/** The initial of a name in a colour of its own. */
export function avatar(name) {
  let hash = 7;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 360;
  const element = h('span', { className: 'avatar', aria: { hidden: 'true' } }, [...name][0]?.toUpperCase() ?? '?');
  element.style.setProperty('--hue', hash);
  return element;
}
