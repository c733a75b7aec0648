import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { x509 } from '../../packages/core/src/certificate/lazy-x509.js';
import { type PathCertificate, readPathCertificate } from '../../packages/core/src/chain/path-certificate.js';

await x509.load();

export interface IssueOptions {
  /** Lines of an extension section of openssl. */
  readonly extensions?: readonly string[];
}

/** An authority that the openssl program keeps, with its index of certificates, lists and OCSP answers. */
export class OpensslAuthority {
  static readonly #folders: string[] = [];
  readonly folder = mkdtempSync(join(tmpdir(), 'authority-'));
  readonly certificate: PathCertificate;
  readonly #index: string[] = [];
  #files = 0;
  #serial = 0x1000;

  /** The root, or an authority below `issuer`. */
  constructor(name: string, issuer?: OpensslAuthority, extensions: readonly string[] = []) {
    OpensslAuthority.#folders.push(this.folder);
    const own = ['basicConstraints=critical,CA:true', 'keyUsage=critical,keyCertSign,cRLSign', ...extensions];
    if (issuer === undefined) {
      const request = [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-days',
        '30',
      ];
      const config = this.#write(
        'ca.cnf',
        ['[req]', 'distinguished_name=dn', '[dn]', '[own]', ...own].join('\n'),
      );
      this.#run(
        ...request,
        '-config',
        config,
        '-extensions',
        'own',
        '-subj',
        `/CN=${name}`,
        '-keyout',
        this.#path('key.pem'),
        '-out',
        this.#path('cert.pem'),
      );
    } else {
      const issued = issuer.issue(name, { extensions: own });
      writeFileSync(this.#path('key.pem'), readFileSync(issued.keyFile));
      writeFileSync(this.#path('cert.pem'), readFileSync(issued.certFile));
    }
    this.certificate = readCertificate(this.#path('cert.pem'));
    this.#write('crlnumber', '01\n');
  }

  /** Removes the files of all authorities. */
  static removeAll(): void {
    for (const folder of OpensslAuthority.#folders.splice(0)) {
      rmSync(folder, { recursive: true });
    }
  }

  issue(name: string, { extensions = [] }: IssueOptions = {}): Issued {
    this.#files += 1;
    this.#serial += 1;
    const serial = this.#serial.toString(16).toUpperCase();
    const base = this.#path(`${this.#files}`);
    this.#run('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', `${base}.key`);
    this.#run('req', '-new', '-key', `${base}.key`, '-subj', `/CN=${name}`, '-out', `${base}.csr`);
    writeFileSync(`${base}.ext`, extensions.join('\n'));
    this.#run(
      'x509',
      '-req',
      '-in',
      `${base}.csr`,
      '-CA',
      this.#path('cert.pem'),
      '-CAkey',
      this.#path('key.pem'),
      '-set_serial',
      `0x${serial}`,
      '-days',
      '30',
      '-extfile',
      `${base}.ext`,
      '-out',
      `${base}.pem`,
    );
    this.#index.push(['V', '351231235959Z', '', serial, 'unknown', `/CN=${name}`].join('\t'));
    return {
      certificate: readCertificate(`${base}.pem`),
      serial,
      keyFile: `${base}.key`,
      certFile: `${base}.pem`,
    };
  }

  revoke({ serial }: Issued, reason = 'keyCompromise'): void {
    const at = this.#index.findIndex((line) => line.split('\t')[3] === serial);
    const fields = (this.#index[at] ?? '').split('\t');
    this.#index[at] = ['R', fields[1], `250101000000Z,${reason}`, ...fields.slice(3)].join('\t');
  }

  /** A revocation list of this moment, in DER, signed by the authority itself or by `signer`. */
  list(seconds = 3_600, extensions: readonly string[] = [], signer?: Issued): Buffer {
    const config = [
      ...[
        '[ca]',
        'default_ca=own',
        '[own]',
        `database=${this.#writeIndex()}`,
        `crlnumber=${this.#path('crlnumber')}`,
      ],
      ...(extensions.length > 0 ? ['crl_extensions=more', '[more]', ...extensions] : []),
    ];
    const { certFile, keyFile } = signer ?? {
      certFile: this.#path('cert.pem'),
      keyFile: this.#path('key.pem'),
    };
    const files = ['-cert', certFile, '-keyfile', keyFile];
    const pem = this.#run(
      'ca',
      '-gencrl',
      '-config',
      this.#write('crl.cnf', config.join('\n')),
      ...files,
      '-md',
      'sha256',
      '-crlsec',
      String(seconds),
    );
    return Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
  }

  /** An OCSP answer to a request, signed by the authority itself or by `signer`. */
  answer(request: Buffer, signer?: Issued, minutes = 60): Buffer {
    const [input, output] = [this.#path('request.der'), this.#path('answer.der')];
    writeFileSync(input, request);
    const [cert, key] =
      signer === undefined
        ? [this.#path('cert.pem'), this.#path('key.pem')]
        : [signer.certFile, signer.keyFile];
    this.#run(
      'ocsp',
      '-index',
      this.#writeIndex(),
      '-CA',
      this.#path('cert.pem'),
      '-rsigner',
      cert,
      '-rkey',
      key,
      '-reqin',
      input,
      '-respout',
      output,
      '-nmin',
      String(minutes),
    );
    return readFileSync(output);
  }

  #writeIndex(): string {
    // An authority has several certificates while it changes its key.
    this.#write('index.txt.attr', 'unique_subject = no\n');
    return this.#write('index.txt', this.#index.map((line) => `${line}\n`).join(''));
  }

  #path(name: string): string {
    return join(this.folder, name);
  }

  #write(name: string, content: string): string {
    writeFileSync(this.#path(name), content);
    return this.#path(name);
  }

  #run(...args: readonly string[]): string {
    return execFileSync('openssl', [...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }
}

/** A certificate that openssl issued. */
export interface Issued {
  readonly certificate: PathCertificate;
  readonly serial: string;
  readonly keyFile: string;
  readonly certFile: string;
}

function readCertificate(file: string): PathCertificate {
  const der = Buffer.from(readFileSync(file, 'utf8').replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
  const certificate = readPathCertificate(der);
  if (typeof certificate === 'string') {
    throw new Error(certificate);
  }
  return certificate;
}
