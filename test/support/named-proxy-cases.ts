import * as x509 from '@peculiar/x509';
import { authority, client, type Node, type NodeOptions, rawExtension } from './chains.js';

type Usages = Parameters<typeof client>[3];

/** Alternative names, as the certificates of proxies and workloads have them. */
export function named(
  ...names: readonly (readonly ['url' | 'dns' | 'email', string])[]
): NodeOptions & { readonly extensions: readonly x509.Extension[] } {
  const list = names.map(([type, value]) => ({ type, value }));
  return { extensions: [new x509.SubjectAlternativeNameExtension(list)] };
}

/** One alternative name, whatever its bytes are. `tag`: 0x86 for a URI, 0x82 for a DNS name. */
export function namedByBytes(tag: number, value: string): NodeOptions {
  return namedByAll([tag, Buffer.from(value, 'latin1')]);
}

/** Alternative names of any tag and content. */
function namedByAll(...names: readonly (readonly [tag: number, content: Uint8Array])[]): NodeOptions {
  const name = Buffer.concat(names.map(([tag, content]) => Buffer.from([tag, content.length, ...content])));
  const list = Buffer.concat([Buffer.from([0x30, name.length]), name]);
  return { extensions: [rawExtension('2.5.29.17', list.toString('hex'), false)] };
}

/** A name constraint that permits the URIs of one host alone. */
function permittedUris(host: string): NodeOptions {
  const base = Buffer.concat([Buffer.from([0x86, host.length]), Buffer.from(host)]);
  const subtree = Buffer.concat([Buffer.from([0x30, base.length]), base]);
  const permitted = Buffer.concat([Buffer.from([0xa0, subtree.length]), subtree]);
  const whole = Buffer.concat([Buffer.from([0x30, permitted.length]), permitted]);
  return { extensions: [rawExtension('2.5.29.30', whole.toString('hex'))] };
}

export const proxyId = 'spiffe://mesh.example/ns/edge/sa/proxy';
export const proxyHost = 'proxy.mesh.example';
export const proxySubject = 'CN=proxy,O=Mesh';

export const mesh = await authority('CN=Mesh, O=Example');
export const issuing = await authority('CN=Issuing, O=Example', mesh);
/** Another authority of the same name, with another key. */
export const impostor = await authority('CN=Mesh, O=Example');
export const otherAuthority = await authority('CN=Other, O=Example');
const limited = await authority('CN=Limited, O=Example', mesh, permittedUris('mesh.example'));
const elsewhere = await authority('CN=Elsewhere, O=Example', mesh, permittedUris('other.example'));

const subject = 'O=Mesh, CN=proxy';
const withId = named(['url', proxyId]);
const leaf = (options: NodeOptions, issuer: Node = mesh, usages?: Usages) =>
  client(subject, issuer, options, usages);

/** A certificate of a peer, and those that it sends behind it. */
export type Chain = readonly [leaf: Node, ...between: Node[]];

/** What `proxyCertificate` accepts beside `ca`. */
export type NameOption = { readonly uri: string } | { readonly dns: string } | { readonly subject: string };

const uri = { uri: proxyId };
const dns = { dns: proxyHost };

export const accepted: readonly (readonly [string, NameOption, Chain])[] = [
  ['the right URI by the right authority', uri, [await leaf(withId)]],
  ['an intermediate that the proxy sends', uri, [await leaf(withId, issuing), issuing]],
  ['a URI within the name constraints', uri, [await leaf(withId, limited), limited]],
  ['a certificate without an extended key usage', uri, [await leaf(withId, mesh, [])]],
  ['DNS names next to the one SPIFFE id', uri, [await leaf(named(['url', proxyId], ['dns', 'x.example']))]],
  [
    'one of several URIs that are no SPIFFE ids',
    { uri: 'urn:mesh:proxy' },
    [await leaf(named(['url', 'urn:mesh:a'], ['url', 'urn:mesh:proxy']))],
  ],
  [
    'an empty subject, and a critical name',
    uri,
    [
      await client('', mesh, {
        extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'url', value: proxyId }], true)],
      }),
    ],
  ],
  ['the right DNS name', dns, [await leaf(named(['dns', 'x.example'], ['dns', proxyHost]))]],
  ['the right DNS name in another case', dns, [await leaf(named(['dns', 'Proxy.Mesh.Example']))]],
  ['the right subject', { subject: proxySubject }, [await client(subject, mesh)]],
];

export const refused: readonly (readonly [string, NameOption, Chain, RegExp])[] = [
  ['another authority with the same name', uri, [await leaf(withId, impostor)], /no path leads/],
  ['another authority, which it sends', uri, [await leaf(withId, impostor), impostor], /no path leads/],
  ['an authority of another name', uri, [await leaf(withId, otherAuthority)], /no path leads/],
  ['a certificate that it issued to itself', uri, [impostor], /and it has none$/],
  [
    'another workload of the mesh',
    uri,
    [await client('CN=cart', mesh, named(['url', 'spiffe://mesh.example/ns/shop/sa/cart']))],
    /uri "spiffe:\/\/mesh\.example\/ns\/shop\/sa\/cart", subject "CN=cart"\): proxyCertificate expects uri "spiffe:\/\/mesh\.example\/ns\/edge\/sa\/proxy", and it has another$/,
  ],
  ...(await Promise.all(
    (
      [
        ['upper case in the scheme', proxyId.replace('spiffe', 'SPIFFE')],
        ['upper case in the trust domain', proxyId.replace('mesh', 'Mesh')],
        ['upper case in the path', proxyId.replace('proxy', 'Proxy')],
        ['a slash at the end', `${proxyId}/`],
        ['two slashes', proxyId.replace('/sa', '//sa')],
        ['a percent-encoded letter', proxyId.replace('proxy', 'prox%79')],
        ['a dot segment', proxyId.replace('/sa', '/./sa')],
        ['a port', proxyId.replace('mesh.example', 'mesh.example:443')],
        ['a query', `${proxyId}?`],
        ['a longer path', `${proxyId}/x`],
        ['another trust domain', proxyId.replace('mesh.example', 'other.example')],
      ] as const
    ).map(
      async ([title, other]) =>
        [
          `the SPIFFE id with ${title}`,
          uri,
          [await leaf(named(['url', other]))],
          /and it has another$/,
        ] as const,
    ),
  )),
  [
    'two SPIFFE ids, the right one first',
    uri,
    [await leaf(named(['url', proxyId], ['url', `${proxyId}2`]))],
    /it has 2 URIs, where a SPIFFE id must be the only one/,
  ],
  [
    'another URI, and the right SPIFFE id behind it',
    uri,
    [await leaf(named(['url', 'urn:mesh:a'], ['url', proxyId]))],
    /it has 2 URIs, where a SPIFFE id must be the only one/,
  ],
  [
    'the right SPIFFE id, and another one in the constructed form of BER',
    uri,
    [
      await leaf(
        namedByAll([0x86, Buffer.from(proxyId)], [0xa6, Buffer.from([0x16, 6, ...Buffer.from('urn:ab')])]),
      ),
    ],
    /and its alternative names can not be read$/,
  ],
  ['the SPIFFE id as a DNS name', uri, [await leaf(named(['dns', proxyId]))], /and it has none$/],
  ['the SPIFFE id in the common name alone', uri, [await client(`CN=${proxyId}`, mesh)], /and it has none$/],
  ['the host in the common name alone', dns, [await client(`CN=${proxyHost}`, mesh)], /and it has none$/],
  ['the host as a URI', dns, [await leaf(named(['url', proxyHost]))], /and it has none$/],
  ['a wildcard for the host', dns, [await leaf(named(['dns', '*.mesh.example']))], /and it has another$/],
  ['a dot behind the host', dns, [await leaf(named(['dns', `${proxyHost}.`]))], /and it has another$/],
  ['a host below the host', dns, [await leaf(named(['dns', `a.${proxyHost}`]))], /and it has another$/],
  ['a NUL behind the SPIFFE id', uri, [await leaf(namedByBytes(0x86, `${proxyId}\0.x`))], /can not be read$/],
  ['a NUL behind the host', dns, [await leaf(namedByBytes(0x82, `${proxyHost}\0.x`))], /can not be read$/],
  ['a blank behind the host', dns, [await leaf(namedByBytes(0x82, `${proxyHost} `))], /can not be read$/],
  ['an expired certificate', uri, [await leaf({ ...withId, from: -9, to: -1 })], /it has expired$/],
  ['a certificate of tomorrow', uri, [await leaf({ ...withId, from: 1, to: 9 })], /it is not valid yet$/],
  [
    'a certificate for servers',
    uri,
    [await leaf(withId, mesh, [x509.ExtendedKeyUsage.serverAuth])],
    /extended key usage lacks clientAuth$/,
  ],
  ['an intermediate that it does not send', uri, [await leaf(withId, issuing)], /no path leads/],
  [
    'a URI outside the name constraints',
    uri,
    [await leaf(withId, elsewhere), elsewhere],
    /its URI violates a name constraint$/,
  ],
  [
    'another subject',
    { subject: proxySubject },
    [await client('O=Mesh, CN=proxy2', mesh)],
    /subject "O=Mesh, CN=proxy2"\): proxyCertificate expects subject "CN=proxy,O=Mesh", and its subject is another$/,
  ],
  [
    'the subject in another order',
    { subject: proxySubject },
    [await client('CN=proxy, O=Mesh', mesh)],
    /its subject is another$/,
  ],
  [
    'the subject with a NUL behind it',
    { subject: proxySubject },
    [await client('O=Mesh, CN=proxy\\00', mesh)],
    /its subject is another$/,
  ],
];
