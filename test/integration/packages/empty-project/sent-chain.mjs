// The chain that a client sends in the handshake, of which certificatePolicy.authorities finds its path: on a server that
// verifies it itself too. Node 24.21 and 26.8 lose such a chain.
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request } from 'node:https';
import { ClientCertificate, tlsSocket } from '@mtls-bound/core';
import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(webcrypto);
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const signs = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign;
const authority = [
  new x509.BasicConstraintsExtension(true, undefined, true),
  new x509.KeyUsagesExtension(signs, true),
];
const purpose = new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);

let serial = 0;
async function issue(subject, issuer, extensions) {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  serial += 1;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: `0${serial}`,
    subject,
    issuer: issuer?.subject ?? subject,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    signingAlgorithm: algorithm,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    extensions,
  });
  const key = x509.PemConverter.encode(
    await webcrypto.subtle.exportKey('pkcs8', keys.privateKey),
    'PRIVATE KEY',
  );
  return {
    subject,
    keys,
    key,
    cert: `${certificate.toString('pem')}\n`,
    der: new Uint8Array(certificate.rawData),
  };
}

/** @param createListener makes an API with these options, and a route /accounts for tokens of the test kit */
export async function checkSentChain(kit, createListener) {
  const root = await issue('CN=Root', undefined, authority);
  const middle = await issue('CN=Middle', root, authority);
  const [client, own] = [
    await issue('CN=client', middle, [purpose]),
    await issue('CN=server', root, [purpose]),
  ];
  const options = { ...kit.options, certificate: tlsSocket(), certificatePolicy: { authorities: root.cert } };
  const tls = { key: own.key, cert: own.cert, ca: root.cert, requestCert: true, rejectUnauthorized: false };
  const server = createServer(tls, createListener(options)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const token = kit.boundToken({
    scopes: ['accounts:read'],
    subject: 'alice',
    certificate: new ClientCertificate(client.der),
  });
  for (const [sent, expected] of [
    [client.cert + middle.cert, 200],
    [client.cert, 200],
    [own.cert, 401],
  ]) {
    const key = sent === own.cert ? own.key : client.key;
    const { port } = server.address();
    const url = `https://127.0.0.1:${port}/accounts`;
    const headers = { authorization: `Bearer ${token}` };
    const made = request(url, { agent: false, rejectUnauthorized: false, cert: sent, key, headers }).end();
    const [response] = await once(made, 'response');
    response.resume();
    assert.equal(response.statusCode, expected, 'the chain that came over TLS');
  }
  server.close();
  server.closeAllConnections();
}
