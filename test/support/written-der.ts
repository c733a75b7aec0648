/** Writes DER by hand, also what no library would write. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const size: number[] = [];
  for (let rest = content.length; rest > 0; rest = Math.floor(rest / 256)) {
    size.unshift(rest % 256);
  }
  const length = content.length < 0x80 ? [content.length] : [0x80 + size.length, ...size];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts);
export const octets = (content: Uint8Array): Buffer => der(0x04, content);
export const integer = (...bytes: readonly number[]): Buffer => der(0x02, Buffer.from(bytes));
export const bits = (content: Uint8Array, unused = 0): Buffer => der(0x03, Buffer.from([unused]), content);
export const boolean = (value: boolean): Buffer => der(0x01, Buffer.from([value ? 0xff : 0]));
export const text = (tag: number, value: string): Buffer => der(tag, Buffer.from(value, 'latin1'));

/** An object identifier as people write it: 2.5.29.31. */
export function identifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...others] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second, ...others].flatMap((arc) => {
    const low = [arc & 0x7f];
    for (let rest = arc >> 7; rest > 0; rest >>= 7) {
      low.unshift((rest & 0x7f) | 0x80);
    }
    return low;
  });
  return der(0x06, Buffer.from(bytes));
}

/** GeneralizedTime; `short` writes UTCTime. Milliseconds since the epoch. */
export function time(at: number, short = false): Buffer {
  const digits = new Date(at).toISOString().replace(/\.\d+/, '').replaceAll(/[-:T]/g, '');
  return short ? text(0x17, digits.slice(2)) : text(0x18, digits);
}

/** A name of one common name. */
export const commonName = (value: string, tag = 0x0c): Buffer =>
  sequence(der(0x31, sequence(identifier('2.5.4.3'), text(tag, value))));

export const extension = (id: string, value: Uint8Array, critical = false): Buffer =>
  sequence(identifier(id), ...(critical ? [boolean(true)] : []), octets(value));
