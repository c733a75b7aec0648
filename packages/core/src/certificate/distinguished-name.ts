import { type OptionRule, textList } from '../shared/option-rules.js';

/** One `type=value` of a name: the type as OID, the value as it is compared (RFC 5280 §7.1). */
type Attribute = string;

/** A name as the sequence of its relative names in the certificate's order, each a sorted list. */
export type DistinguishedName = readonly (readonly Attribute[])[];

/** The names of RFC 4514 §3, and those that national profiles use. */
const oids: ReadonlyMap<string, string> = new Map(
  Object.entries({
    cn: '2.5.4.3',
    sn: '2.5.4.4',
    serialnumber: '2.5.4.5',
    c: '2.5.4.6',
    l: '2.5.4.7',
    st: '2.5.4.8',
    street: '2.5.4.9',
    o: '2.5.4.10',
    ou: '2.5.4.11',
    t: '2.5.4.12',
    businesscategory: '2.5.4.15',
    postalcode: '2.5.4.17',
    g: '2.5.4.42',
    gn: '2.5.4.42',
    i: '2.5.4.43',
    organizationidentifier: '2.5.4.97',
    uid: '0.9.2342.19200300.100.1.1',
    dc: '0.9.2342.19200300.100.1.25',
    e: '1.2.840.113549.1.9.1',
    emailaddress: '1.2.840.113549.1.9.1',
  }),
);

// One attribute: a type, then characters that are plain or escaped, then what comes next (RFC 4514
// §3).
const attribute =
  /[ ]*([A-Za-z][\w-]*|\d+(?:\.\d+)+)[ ]*=((?:[^\\,+"<>;\0]|\\[ "#+,;<=>\\]|\\[0-9A-Fa-f]{2})*)([,+]|$)/y;

/**
 * Reads the text form of a name (RFC 4514), whose first attribute is the certificate's last.
 * `undefined` for what is none, and for a type that has no name here and is not written as an OID.
 */
export function parseDistinguishedName(text: string): DistinguishedName | undefined {
  const names: Attribute[][] = [];
  let relative: Attribute[] = [];
  attribute.lastIndex = 0;
  for (let next = ','; next !== ''; ) {
    const match = attribute.exec(text);
    if (match === null) {
      return undefined;
    }
    const [, type, value, separator] = [...match] as [string, string, string, string];
    const oid = attributeOid(type);
    if (oid === undefined) {
      return undefined;
    }
    relative.push(normalizeForComparison(oid, unescaped(value)));
    next = separator;
    if (next !== '+') {
      names.push(relative.toSorted());
      relative = [];
    }
  }
  return names.toReversed();
}

/** Names in the text form of RFC 4514, as options accept them. */
export const distinguishedNames: OptionRule<readonly DistinguishedName[], string | readonly string[]> = {
  accepted: "a distinguished name as RFC 4514 writes it ('CN=client,O=Example,C=NO'), or a list of them",
  read: (given) => {
    const parsed = textList.read(given)?.map(parseDistinguishedName);
    return parsed?.every((name) => name !== undefined) ? parsed : undefined;
  },
};

/**
 * The OID of an attribute type that is named, or written as an OID; undefined for an unknown name.
 */
export function attributeOid(type: string): string | undefined {
  return /^\d+(?:\.\d+)+$/.test(type) ? type : oids.get(type.toLowerCase());
}

/** Returns the name that was decoded from a certificate, in the order of the certificate. */
export function decodeDistinguishedName(
  names: readonly Readonly<Record<string, readonly string[]>>[],
): DistinguishedName {
  return names.map((relative) =>
    Object.entries(relative)
      .flatMap(([type, values]) =>
        values.map((value) => normalizeForComparison(oids.get(type.toLowerCase()) ?? type, value)),
      )
      .toSorted(),
  );
}

export function isSameName(a: DistinguishedName, b: DistinguishedName): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Case and the number of blanks do not count (RFC 5280 §7.1). */
function normalizeForComparison(oid: string, value: string): Attribute {
  return `${oid}=${value.normalize('NFC').trim().replace(/\s+/g, ' ').toLowerCase()}`;
}

/** Hex pairs are bytes of UTF-8; any other escaped character is itself. */
function unescaped(value: string): string {
  return value
    .replace(/(?:\\[0-9A-Fa-f]{2})+/g, (bytes) => Buffer.from(bytes.replaceAll('\\', ''), 'hex').toString())
    .replace(/\\(.)/g, '$1');
}
