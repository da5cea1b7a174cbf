// Runs a piece of JavaScript over one of the page's modules, in Node.
//
// Standard input: {module, body, args}; `body` is a function's, of `module` and `args`.
// Standard output: what it returns. Arrays travel as {type, base64}.

import { text } from 'node:stream/consumers';

const decode = (key, value) => {
  if (!value?.base64) return value;
  const bytes = new Uint8Array(Buffer.from(value.base64, 'base64'));
  return new globalThis[value.type](bytes.buffer);
};
const encode = (key, value) => {
  if (!ArrayBuffer.isView(value)) return value;
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return { type: value.constructor.name, base64: bytes.toString('base64') };
};

const { module, body, args } = JSON.parse(await text(process.stdin), decode);
const evaluate = new Function('module', 'args', body);
process.stdout.write(JSON.stringify(evaluate(await import(module), args), encode));
