import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { ClientCertificate } from '../certificate/client-certificate.js';
import { ConfigurationError } from '../errors.js';
import { type ResourceServerOptions, resolveSettings } from '../options.js';
import { decide } from './decision.js';
import { type Finding, problem } from './finding.js';
import { createListener } from './listener.js';
import { probe } from './probe.js';
import { arrivalInWords, hasProblem, inWords } from './report.js';
import { checkServer } from './server-checks.js';
import { checkStores } from './store-checks.js';

/** Where the doctor writes to and reads from. */
export interface Surroundings {
  readonly write: (text: string) => void;
  readonly environment: NodeJS.ProcessEnv;
  readonly readInput: () => Promise<string>;
  /** Ends `listen`. */
  readonly signal: AbortSignal;
}

/** 0: no problem; 1: problems were found; 2: the command could not be understood or carried out. */
export type ExitCode = 0 | 1 | 2;

export const usage = `mtls-doctor: what is wrong between client, proxy, API and authorization server

  mtls-doctor check      [--config FILE] [--token TOKEN|-] [--cert CLIENT.pem]
  mtls-doctor listen     [--config FILE] [--host 127.0.0.1] [--port 8080] [--cert SERVER.pem --key SERVER.key]
  mtls-doctor probe      --url URL --cert CLIENT.pem --key CLIENT.key
                         [--ca CA.pem] [--direct URL] [--header NAME] [--token TOKEN|-]
  mtls-doctor thumbprint CERT.pem ...
  mtls-doctor explain    --claims CLAIMS.json [--cert CLIENT.pem] [--config FILE]

--config names a module whose default export are the options of mtlsBound(); without it they come from the environment.
--token - reads the token from the standard input. --json prints findings as JSON.
Exit codes: 0 no problem, 1 problems found, 2 the command can't be understood or carried out.
`;

const optionNames = [
  'config',
  'token',
  'cert',
  'key',
  'ca',
  'url',
  'direct',
  'header',
  'claims',
  'host',
  'port',
] as const;
type Given = Partial<Record<(typeof optionNames)[number], string>> & {
  readonly json?: boolean;
  readonly help?: boolean;
};

class UsageError extends Error {}

/** Runs one command. Never rejects. */
export async function main(args: readonly string[], around: Surroundings): Promise<ExitCode> {
  try {
    const texts = Object.fromEntries(optionNames.map((name) => [name, { type: 'string' as const }]));
    const flags = { json: { type: 'boolean' as const }, help: { type: 'boolean' as const } };
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { ...texts, ...flags },
      allowPositionals: true,
    });
    const given = values as Given;
    const [command = 'check', ...rest] = positionals;
    if (given.help === true) {
      around.write(usage);
      return 0;
    }
    const run = commands[command];
    if (run === undefined) {
      throw new UsageError(`there is no command ${command}`);
    }
    return await run(given, rest, around);
  } catch (error) {
    around.write(`${(error as Error).message}\n${error instanceof UsageError ? `\n${usage}` : ''}`);
    return 2;
  }
}

type Command = (given: Given, rest: readonly string[], around: Surroundings) => Promise<ExitCode>;

const commands: Readonly<Record<string, Command>> = {
  async check(given, _rest, around) {
    const sample = { token: await tokenOf(given, around), certificate: await certificateOf(given.cert) };
    return told(await checkAll(await optionsOf(given), around.environment, sample), given, around);
  },

  async listen(given, _rest, { write, signal, environment }) {
    const source =
      given.config === undefined
        ? undefined
        : resolveSettings(await optionsOf(given), environment).certificate;
    const { cert, key } = given;
    const tls =
      cert === undefined || key === undefined
        ? undefined
        : { cert: await readFile(cert), key: await readFile(key) };
    const server = createListener({
      source,
      ...(tls !== undefined && { tls }),
      onArrival: (arrival) =>
        write(`${given.json === true ? JSON.stringify(arrival) : arrivalInWords(arrival)}\n`),
    });
    const { host = '127.0.0.1', port = '8080' } = given;
    server.listen(Number(port), host);
    await once(server, 'listening');
    const address = server.address();
    write(
      `listening on ${host}:${typeof address === 'object' ? address?.port : port}, in place of the API; end with Ctrl-C\n`,
    );
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
      url: new URL(required(given, 'url')),
      cert: await readFile(required(given, 'cert')),
      key: await readFile(required(given, 'key')),
      ...(direct !== undefined && { direct: new URL(direct) }),
      ...(header !== undefined && { header: header.toLowerCase() }),
      ...(ca !== undefined && { ca: await readFile(ca) }),
      ...(token !== undefined && { token }),
    });
    return told(findings, given, around);
  },

  async thumbprint({ json }, files, { write }) {
    if (files.length === 0) {
      throw new UsageError('thumbprint needs a file');
    }
    const found = await Promise.all(
      files.map(async (file) => [file, (await certificateOf(file))?.thumbprint] as const),
    );
    write(
      json === true
        ? `${JSON.stringify(Object.fromEntries(found))}\n`
        : found.map(([file, thumbprint]) => `${thumbprint}  ${file}\n`).join(''),
    );
    return 0;
  },

  async explain(given, _rest, around) {
    const claims = JSON.parse(await readFile(required(given, 'claims'), 'utf8')) as Record<string, unknown>;
    const options = given.config === undefined ? {} : await optionsOf(given);
    return told(
      [await decide({ claims, certificate: await certificateOf(given.cert) }, options)],
      given,
      around,
    );
  },
};

/** Everything that can be checked from here, with the API's own options. Never rejects. */
export async function checkAll(
  options: ResourceServerOptions,
  environment: NodeJS.ProcessEnv,
  sample: { readonly token: string | undefined; readonly certificate: ClientCertificate | undefined },
): Promise<Finding[]> {
  try {
    const settings = resolveSettings(options, environment);
    const found = await Promise.all([
      ...settings.issuers.map((issuer) => checkServer(issuer, settings, sample)),
      checkStores(settings),
    ]);
    return found.flat();
  } catch (error) {
    if (error instanceof ConfigurationError) {
      return [problem('configuration', error.message, 'set the option that it names')];
    }
    throw error;
  }
}

function told(findings: readonly Finding[], { json }: Given, { write }: Surroundings): ExitCode {
  write(
    json === true
      ? `${JSON.stringify(findings, null, 2)}\n`
      : findings.map((finding) => `${inWords(finding)}\n`).join(''),
  );
  return hasProblem(findings) ? 1 : 0;
}

function required(given: Given, name: (typeof optionNames)[number]): string {
  const value = given[name];
  if (value === undefined) {
    throw new UsageError(`--${name} is missing`);
  }
  return value;
}

async function optionsOf({ config }: Given): Promise<ResourceServerOptions> {
  if (config === undefined) {
    return {};
  }
  const loaded = (await import(pathToFileURL(resolve(config)).href)) as { default?: unknown };
  const options: unknown = typeof loaded.default === 'function' ? await loaded.default() : loaded.default;
  if (typeof options !== 'object' || options === null) {
    throw new UsageError(`${config} has no default export with the options of mtlsBound()`);
  }
  return options;
}

/** A token among a command's arguments is seen by every user of the machine. */
async function tokenOf({ token }: Given, { readInput }: Surroundings): Promise<string | undefined> {
  return token === '-' ? (await readInput()).trim() : token;
}

async function certificateOf(file: string | undefined): Promise<ClientCertificate | undefined> {
  return file === undefined
    ? undefined
    : new ClientCertificate(new X509Certificate(await readFile(file)).raw);
}
