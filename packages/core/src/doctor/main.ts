import { once } from 'node:events';
import { type AddressInfo, isIPv6 } from 'node:net';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { issuerNamedIn } from '../authorization-server/named-issuer.js';
import type { ClientCertificate } from '../certificate/client-certificate.js';
import { tlsSocket } from '../certificate/tls-socket.js';
import { ConfigurationError, TellableError } from '../errors.js';
import {
  type ResourceServerOptions,
  resolveSettings,
  type Settings,
} from '../options/resource-server-options.js';
import { isPlainObject } from '../shared/option-rules.js';
import { describeError } from '../shared/shown-error.js';
import { withTimeLimit } from '../shared/time-limit.js';
import type { ProofSigner } from '../testing/proof-signer.js';
import { checkCertificate } from './certificate-checks.js';
import { fetchClientCertificates, readClients, reportClients } from './certificate-list.js';
import { decide } from './decision.js';
import { type Finding, problem, warning } from './finding.js';
import {
  daysOf,
  headerOf,
  messageOf,
  portOf,
  readCertificateFile,
  readChain,
  readClaims,
  readContent,
  readPair,
  readProofSigner,
  readTrustedAuthorities,
  UsageError,
  urlOf,
} from './input.js';
import { createListener } from './listener.js';
import { Mask } from './mask.js';
import { probe } from './probe.js';
import { probeProofs } from './proof-probe.js';
import { formatArrival, formatFinding, hasProblem, printable } from './report.js';
import { checkServer, type Sample } from './server-checks.js';
import { checkSignals } from './signal-checks.js';
import { checkStores } from './store-checks.js';

/** Where the doctor writes to and reads from. */
export interface Surroundings {
  readonly write: (text: string) => void;
  /** For what is no finding: the standard error stream, so that `--json` stays JSON. */
  readonly complain: (text: string) => void;
  readonly environment: NodeJS.ProcessEnv;
  readonly readInput: () => Promise<string>;
  /** Ends `listen`. */
  readonly signal: AbortSignal;
}

/** 0: no problem; 1: problems were found; 2: the command could not be understood or carried out. */
export type ExitCode = 0 | 1 | 2;

export const usage = `mtls-doctor: what is wrong between client, proxy, API and authorization server

  mtls-doctor check      [--config FILE] [--token TOKEN|-] [--cert CLIENT.pem] [--issuer URL]
                         [--proof-key CLIENT.key]
  mtls-doctor listen     [--config FILE] [--host 127.0.0.1] [--port 8080] [--cert SERVER.pem --key SERVER.key]
  mtls-doctor probe      --url URL --cert CLIENT.pem --key CLIENT.key
                         [--ca CA.pem] [--direct URL] [--header NAME] [--token TOKEN|-]
  mtls-doctor proofs     --url URL --token TOKEN|- --proof-key CLIENT.key [--ca CA.pem]
                         [--cert CLIENT.pem --key CLIENT.key]
  mtls-doctor thumbprint CERT.pem ...
  mtls-doctor explain    --claims CLAIMS.json [--cert CLIENT.pem] [--proof-key CLIENT.key] [--config FILE]
  mtls-doctor clients    FILE|URL ... [--days 30] [--token TOKEN|-]
                         [--cert CLIENT.pem --key CLIENT.key] [--ca CA.pem]
  mtls-doctor certificate --cert CLIENT.pem [--config FILE] [--ca AUTHORITIES.pem]

--config names a module whose default export are the options of mtlsBound(); without it they come from
the environment.
Its export signals are the options of sharedSignals(), or a list of them, which check looks at too. Its
export certificatePolicies are the options of requireCertificate(), or a list of them, which certificate
looks at too.
--token - reads the token from the standard input. --issuer says whose it is, where there are several issuers.
--proof-key names the private key of a client's DPoP proofs, in PEM or as a JWK.
--json prints findings as JSON.
Exit codes: 0 no problem, 1 problems found, 2 the command can't be understood or carried out.
`;

const optionNames = [
  'config',
  'token',
  'issuer',
  'cert',
  'key',
  'proof-key',
  'ca',
  'url',
  'direct',
  'header',
  'claims',
  'host',
  'port',
  'days',
] as const;
type Given = Partial<Record<(typeof optionNames)[number], string>> & {
  readonly json?: boolean;
  readonly help?: boolean;
};

/** Seconds for a command that ends by itself. What each check may take is far less. */
const LONGEST_COMMAND = 120;

/** Seconds for the function that a configuration file exports. */
const LONGEST_CONFIG = 10;

/** Runs one command. Never rejects. What it writes holds no secret that it was given. */
export async function main(args: readonly string[], given: Surroundings): Promise<ExitCode> {
  const mask = new Mask();
  const around: Around = {
    ...given,
    mask,
    write: (text) => given.write(printable(mask.of(text))),
    complain: (text) => given.complain(printable(mask.of(text))),
  };
  return runCommand(args, around);
}

/** Where one command writes to, and what it must not write. */
interface Around extends Surroundings {
  readonly mask: Mask;
}

async function runCommand(args: readonly string[], around: Around): Promise<ExitCode> {
  try {
    const { values, positionals } = parseArguments(args);
    const given = values as Given;
    const [command = 'check', ...rest] = positionals;
    around.mask.hide(given.token === '-' ? undefined : given.token);
    around.mask.hide(around.environment.MTLS_BOUND_CLIENT_SECRET);
    if (given.help === true) {
      around.write(usage);
      return 0;
    }
    const run = Object.hasOwn(commands, command) ? commands[command] : undefined;
    if (run === undefined) {
      // The word may be a token in the wrong place.
      throw new UsageError(`there is no such command; the commands are ${Object.keys(commands).join(', ')}`);
    }
    if (rest.length > 0 && command !== 'thumbprint' && command !== 'clients') {
      throw new UsageError(`${command} takes options alone; what stands after it is none`);
    }
    return command === 'listen'
      ? await run(given, rest, around)
      : await withTimeLimit(LONGEST_COMMAND, () => run(given, rest, around));
  } catch (error) {
    around.complain(`${messageOf(error)}\n${error instanceof UsageError ? `\n${usage}` : ''}`);
    return 2;
  }
}

/** How Node's parser names it. */
const unknownOption = 'ERR_PARSE_ARGS_UNKNOWN_OPTION';

function parseArguments(args: readonly string[]) {
  const texts = Object.fromEntries(optionNames.map((name) => [name, { type: 'string' as const }]));
  const flags = { json: { type: 'boolean' as const }, help: { type: 'boolean' as const } };
  try {
    return parseArgs({ args: [...args], options: { ...texts, ...flags }, allowPositionals: true });
  } catch (error) {
    // A word may be a token in the wrong place.
    const { code } = error as NodeJS.ErrnoException;
    const fault =
      code === unknownOption
        ? 'there is no such option'
        : 'an option lacks its value, or has one that it does not take (--option=-value ' +
          'for a value with a dash)';
    const names = [...optionNames, 'json', 'help'].map((name) => `--${name}`).join(', ');
    throw new UsageError(`${fault}; the options are ${names}`);
  }
}

type Command = (given: Given, rest: readonly string[], around: Around) => Promise<ExitCode>;

const commands: Readonly<Record<string, Command>> = {
  async check(given, _rest, around) {
    const { cert, issuer } = given;
    const sample = {
      token: await tokenOf(given, around),
      certificate: await certificateOf(cert),
      key: (await signerOf(given))?.jkt,
      issuer,
    };
    const options = await optionsOf(given, around);
    const signals = await signalsOf(given, around);
    return writeFindings(await checkAll(options, around.environment, sample, signals), given, around);
  },

  async listen(given, _rest, around) {
    const { write, complain, signal, environment } = around;
    const tls =
      given.cert === undefined && given.key === undefined
        ? undefined
        : await readPair(requireOption(given, 'cert'), requireOption(given, 'key'));
    // Without options it is as mtlsBound() without them where Node ends TLS; behind a proxy there
    // is no default.
    const source =
      given.config === undefined
        ? tls && tlsSocket()
        : resolveSettings(await optionsOf(given, around), environment).certificate;
    const server = createListener({
      source,
      ...(tls !== undefined && { tls }),
      onArrival: (arrival) =>
        write(`${given.json === true ? JSON.stringify(arrival) : formatArrival(arrival)}\n`),
    });
    const { host = '127.0.0.1', port = '8080' } = given;
    server.listen(portOf(port), host);
    await once(server, 'listening').catch((error: unknown) => {
      throw new TellableError(`no server can listen at --host and --port: ${describeError(error)}`);
    });
    const address = server.address() as AddressInfo;
    const say = given.json === true ? complain : write;
    const name = isIPv6(address.address) ? `[${address.address}]` : address.address;
    say(`listening on ${name}:${address.port}, in place of the API; end with Ctrl-C\n`);
    if (!signal.aborted) {
      await once(signal, 'abort');
    }
    server.close();
    server.closeAllConnections();
    return 0;
  },

  async probe(given, _rest, around) {
    const token = await tokenOf(given, around);
    const { direct, header, ca } = given;
    const findings = await probe({
      url: maskedUrl('url', requireOption(given, 'url'), around),
      ...(await readPair(requireOption(given, 'cert'), requireOption(given, 'key'))),
      ...(direct !== undefined && { direct: maskedUrl('direct', direct, around) }),
      ...(header !== undefined && { header: headerOf(header) }),
      ...(ca !== undefined && { ca: await readTrustedAuthorities(ca) }),
      ...(token !== undefined && { token }),
    });
    return writeFindings(findings, given, around);
  },

  async proofs(given, _rest, around) {
    const { cert, key, ca } = given;
    const url = maskedUrl('url', requireOption(given, 'url'), around);
    const signer = await readProofSigner(requireOption(given, 'proof-key'));
    requireOption(given, 'token');
    const token = (await tokenOf(given, around)) as string;
    const findings = await probeProofs({
      url,
      token,
      signer,
      identity:
        cert === undefined && key === undefined
          ? undefined
          : await readPair(requireOption(given, 'cert'), requireOption(given, 'key')),
      ca: ca === undefined ? undefined : await readTrustedAuthorities(ca),
    });
    return writeFindings(findings, given, around);
  },

  async thumbprint({ json }, files, { write }) {
    if (files.length === 0) {
      throw new UsageError('thumbprint needs a file');
    }
    const found = await Promise.all(
      files.map(async (file) => [file, (await readCertificateFile('thumbprint', file)).thumbprint] as const),
    );
    write(
      json === true
        ? `${JSON.stringify(Object.fromEntries(found))}\n`
        : found.map(([file, thumbprint]) => `${thumbprint}  ${file}\n`).join(''),
    );
    return 0;
  },

  async explain(given, _rest, around) {
    const claims = await readClaims(requireOption(given, 'claims'));
    const certificate = await certificateOf(given.cert);
    const findings = await decide(
      { claims, certificate, signer: await signerOf(given) },
      await optionsOf(given, around),
      around.environment,
    );
    return writeFindings(findings, given, around);
  },

  async certificate(given, _rest, around) {
    const certificate = await readChain('--cert', requireOption(given, 'cert'));
    const { certificatePolicy = {}, clockTolerance } = await optionsOf(given, around);
    const ca = given.ca === undefined ? undefined : (await readContent('--ca', given.ca)).toString('latin1');
    const ofAllRoutes = { ...certificatePolicy, ...(ca !== undefined && { authorities: ca }) };
    const ofRoutes = await routePoliciesOf(given);
    // A route may have authorities of its own where the API has none.
    const policies =
      ofRoutes.length === 0 || ofAllRoutes.authorities !== undefined
        ? [{ path: 'certificatePolicy', policy: ofAllRoutes }, ...ofRoutes]
        : ofRoutes;
    const found = await Promise.all(
      policies.map(async ({ path, policy }) => {
        const findings = await checkCertificate(certificate, { path, policy, clockTolerance });
        return policies.length === 1 ? findings : findings.map((finding) => prefixWith(finding, path));
      }),
    );
    return writeFindings(found.flat(), given, around);
  },

  async clients(given, rest, around) {
    if (rest.length === 0) {
      throw new UsageError('clients needs a file or URL');
    }
    const sources = rest.map((source) => ({ source, isUrl: /^https?:/i.test(source) }));
    if (sources.some(({ source, isUrl }) => isUrl && !URL.canParse(source))) {
      throw new UsageError('clients: the value is no URL');
    }
    const { cert, key, ca, days = '30' } = given;
    const limit = daysOf(days);
    const token = await tokenOf(given, around);
    const page = {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      ca: ca === undefined ? undefined : await readTrustedAuthorities(ca),
      identity:
        cert === undefined && key === undefined
          ? undefined
          : await readPair(requireOption(given, 'cert'), requireOption(given, 'key')),
    };
    const texts: string[] = [];
    for (const { source, isUrl } of sources) {
      texts.push(
        isUrl
          ? await fetchClientCertificates({ ...page, url: maskedUrl('clients', source, around) })
          : await readClients(source),
      );
    }
    const { table, findings } = reportClients(texts, limit, Date.now());
    if (given.json !== true) {
      around.write(`${table}\n`);
    }
    return writeFindings(findings, given, around);
  },
};

/** Everything that can be checked from here, with the API's own options. Never rejects. */
export async function checkAll(
  options: ResourceServerOptions,
  environment: NodeJS.ProcessEnv,
  sample: Sample,
  signals: readonly unknown[] = [],
): Promise<Finding[]> {
  try {
    const settings = resolveSettings(options, environment);
    const { issuers } = settings;
    const whose = issuers.length === 1 ? issuers[0]?.issuer : issuerOf(sample);
    const found = await Promise.all([
      ...issuers.map(async (one) => {
        const own = one.issuer === whose ? sample : { ...sample, token: undefined };
        const findings = await checkServer(one, settings, own);
        return issuers.length === 1 ? findings : findings.map((finding) => prefixIssuer(finding, one.issuer));
      }),
      tokenNotTried(settings, sample, whose),
      checkStores(settings),
      ...signals.map((one) =>
        checkSignals(
          issuers.map(({ issuer }) => issuer),
          one,
          environment,
        ),
      ),
    ]);
    return found.flat();
  } catch (error) {
    if (error instanceof ConfigurationError) {
      return [problem('configuration', error.message, 'set the option that it names')];
    }
    throw error;
  }
}

function issuerOf({ token, issuer }: Sample): string | undefined {
  return issuer ?? (token === undefined ? undefined : issuerNamedIn(token));
}

function prefixWith(finding: Finding, path: string): Finding {
  return { ...finding, message: `${path}: ${finding.message}` };
}

function prefixIssuer(finding: Finding, issuer: string): Finding {
  const { message } = finding;
  return message.includes(issuer) ? finding : { ...finding, message: `${issuer}: ${message}` };
}

/**
 * A token is a secret of the server that issued it: no other may see it, not even to be asked
 * whether it is its own.
 */
function tokenNotTried({ issuers }: Settings, { token }: Sample, whose: string | undefined): Finding[] {
  if (token === undefined || issuers.some(({ issuer }) => issuer === whose)) {
    return [];
  }
  return whose === undefined
    ? [
        warning(
          'token_not_tried',
          'the token does not show which of the issuers it is from, and no other must see it',
          'name its issuer by --issuer',
        ),
      ]
    : [
        problem(
          'token_wrong_issuer',
          'the token is of none of the issuers in the options',
          'add its issuer to the option issuers, or get a token from one that is there',
        ),
      ];
}

function writeFindings(findings: readonly Finding[], { json }: Given, { write }: Surroundings): ExitCode {
  write(
    json === true
      ? `${JSON.stringify(findings, null, 2)}\n`
      : findings.map((finding) => `${formatFinding(finding)}\n`).join(''),
  );
  return hasProblem(findings) ? 1 : 0;
}

function maskedUrl(name: string, text: string, { mask }: Around): URL {
  const url = urlOf(name, text);
  mask.hide(decodeURIComponent(url.password));
  return url;
}

function requireOption(given: Given, name: (typeof optionNames)[number]): string {
  const value = given[name];
  if (value === undefined) {
    throw new UsageError(`--${name} is missing`);
  }
  return value;
}

async function optionsOf({ config }: Given, { mask }: Around): Promise<ResourceServerOptions> {
  if (config === undefined) {
    return {};
  }
  const options = await defaultExportOf(config).catch((error: unknown) => {
    throw new TellableError(
      `--config: the module, a path of ${config.length} characters, can't be loaded: ${messageOf(error)}; ` +
        'import it with node to see the whole error',
    );
  });
  if (typeof options !== 'object' || options === null) {
    throw new UsageError(`--config: the module has no default export with the options of mtlsBound()`);
  }
  mask.hideSecretsOf(options);
  return options;
}

/**
 * The options of each `sharedSignals()`: the export `signals` of the configuration file, a list or
 * one alone.
 */
async function signalsOf({ config }: Given, { mask }: Around): Promise<readonly unknown[]> {
  const signals = config === undefined ? undefined : (await moduleOf(config)).signals;
  mask.hideSecretsOf(signals);
  return [signals ?? []].flat();
}

/**
 * The options of each `requireCertificate()` and `routeCertificatePolicy()` with authorities of its own:
 * the export `certificatePolicies` of the configuration file, a list or one alone.
 */
async function routePoliciesOf({ config }: Given): Promise<{ path: string; policy: object }[]> {
  const exported = config === undefined ? undefined : (await moduleOf(config)).certificatePolicies;
  return [exported ?? []].flat().flatMap((policy: unknown, at) => {
    const path = Array.isArray(exported) ? `certificatePolicies[${at}]` : 'certificatePolicies';
    const hasNoAuthorities = isPlainObject(policy) && policy.authorities === undefined;
    return hasNoAuthorities ? [] : [{ path, policy: policy as object }];
  });
}

interface ConfigurationModule {
  readonly default?: unknown;
  readonly certificatePolicies?: unknown;
  readonly signals?: unknown;
}

async function moduleOf(file: string): Promise<ConfigurationModule> {
  return (await import(pathToFileURL(resolve(file)).href)) as ConfigurationModule;
}

/** The file is the user's own: what it waits for may never come. */
function defaultExportOf(file: string): Promise<unknown> {
  return withTimeLimit(LONGEST_CONFIG, async () => {
    const loaded = await moduleOf(file);
    return typeof loaded.default === 'function' ? loaded.default() : loaded.default;
  });
}

/** A token among a command's arguments is seen by every user of the machine. */
async function tokenOf({ token }: Given, { readInput, mask }: Around): Promise<string | undefined> {
  const read = token === '-' ? (await readInput()).trim() : token;
  mask.hide(read);
  if (read === '') {
    throw new UsageError('--token: there is no token on the standard input');
  }
  return read;
}

async function certificateOf(file: string | undefined): Promise<ClientCertificate | undefined> {
  return file === undefined ? undefined : readCertificateFile('--cert', file);
}

async function signerOf({ 'proof-key': file }: Given): Promise<ProofSigner | undefined> {
  return file === undefined ? undefined : readProofSigner(file);
}
