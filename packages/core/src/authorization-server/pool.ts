import type { ClientRequest } from 'node:http';
import { Agent, type AgentOptions, type RequestOptions } from 'node:https';
import type { Socket } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import { types } from 'node:util';
import { RequestRefused, TellableError } from '../errors.js';
import { createMismatch } from '../shared/option-errors.js';
import { isPromise } from '../shared/promises.js';
import { describeError } from '../shared/shown-error.js';
import type { CertificateAndKey } from './own-certificate.js';
import { lookUpServer } from './server-lookup.js';

/** What a connection to the authorization server must trust and show. */
export interface ConnectionOptions {
  /** Connections are used again. */
  readonly keepAlive: true;
  /** Milliseconds after which an idle connection is closed. */
  readonly timeout: number;
  /** The option `http.ca`. */
  readonly ca: SecureContextOptions['ca'];
  /** This API's own certificate in PEM, for the methods that authenticate by TLS. */
  readonly cert?: string | Buffer;
  /** Its key in PEM. */
  readonly key?: string | Buffer;
}

/**
 * Makes the agent for connections; called again when this API's certificate has changed, and must
 * return a new one then.
 */
export type AgentFactory = (options: ConnectionOptions) => Agent;

/**
 * Milliseconds. Servers and the boxes between close idle connections after some time, and not all
 * of them say so.
 */
const IDLE_TIME = 10_000;

/**
 * Without it Node takes `NODE_TLS_REJECT_UNAUTHORIZED=0` in the environment as leave to trust any
 * certificate.
 */
const verified = { rejectUnauthorized: true } as const;

/** Connections that carry this API's current certificate, kept alive. */
export interface Pool {
  /**
   * Starts one exchange, and remembers the connection that it gets. `send` must make its request
   * with the agent before it returns.
   */
  start<T>(identity: CertificateAndKey | undefined, send: (agent: Agent) => T): PooledExchange<T>;
  /**
   * Closes the idle connections of an agent that the pool made. Those in use are closed when they
   * have been idle for 10 seconds, as are those of an agent of the user's own: another resource
   * server may share it.
   */
  close(): void;
}

/** One exchange over the connections of a pool. */
export interface PooledExchange<T> {
  /** What `send` returned. */
  readonly result: T;
  /** What the agent itself threw or rejected with in the exchange. */
  readonly trouble: () => RequestRefused | undefined;
  /** Whether the exchange got a connection that an earlier exchange had used. */
  readonly wasReused: () => boolean;
  /**
   * Closes the idle connections to the same host and port: what killed one has most likely killed
   * them all. Returns whether this is the first time since the exchange began.
   */
  readonly dropIdle: () => boolean;
  /** Ends the exchange, and closes its connection. */
  readonly abort: () => void;
}

/**
 * When this API's certificate changes, new exchanges get new connections. Those under way end on
 * the old ones, which are not used again. An agent of the user's own keeps its connections and its
 * settings: it may be shared.
 */
export function createPool(ca: ConnectionOptions['ca'], makeByUser: AgentFactory | undefined): Pool {
  const make: AgentFactory = makeByUser ?? ((options) => new OwnAgent({ ...options, ...verified }));
  const options = { keepAlive: true, timeout: IDLE_TIME, ca } as const;
  let current = { identity: undefined as CertificateAndKey | undefined, agent: make(options) };
  const fault = faultOf(current.agent);
  if (fault !== undefined) {
    throw createMismatch(
      'http.agent',
      'a function that returns an agent',
      `a function that returned ${fault}`,
    );
  }
  if (makeByUser !== undefined) {
    guardMethods(current.agent);
  }
  const dropOwn = (agent: Agent): void => {
    if (makeByUser === undefined) {
      dropIdleOf(agent);
    }
  };
  const drops = { last: Number.NEGATIVE_INFINITY };
  return {
    start(identity, send) {
      if (identity !== current.identity) {
        const agent = renewed(make, { ...options, ...identity });
        dropOwn(current.agent);
        current = { identity, agent };
      }
      const { agent } = current;
      return agent instanceof OwnAgent ? startOwn(agent, drops, send) : startWatched(agent, drops, send);
    },
    close: () => dropOwn(current.agent),
  };
}

/**
 * Returns what `http.agent` returned in place of an agent, or `undefined` for an agent. Node does
 * not wait for promises of an agent's methods, so that a rejection would end the process.
 */
function faultOf(value: unknown): string | undefined {
  if (isPromise(value)) {
    return 'a promise';
  }
  if (typeof value !== 'object' || value === null || !('addRequest' in value)) {
    return 'no agent';
  }
  const agent = value as Record<string, unknown>;
  const name = synchronous.find((method) => types.isAsyncFunction(agent[method]));
  return name && `an agent whose ${name}() is asynchronous`;
}

/** The methods of an agent that Node takes no promise from. */
const synchronous = ['createConnection', 'getName', 'keepSocketAlive', 'reuseSocket'] as const;

type Method = (this: unknown, ...given: unknown[]) => unknown;

/** The agents whose methods are guarded. */
const guarded = new WeakSet<object>();

/**
 * Lets no method of a user's agent end the process by a promise, or by an error where nothing
 * catches it: Node also calls them when a connection becomes free or ends. What they return
 * otherwise is kept.
 */
function guardMethods(agent: Agent): void {
  if (guarded.has(agent)) {
    return;
  }
  guarded.add(agent);
  const giveError = (trouble: RequestRefused, given: readonly unknown[]): void => {
    const callback = given.findLast((one) => typeof one === 'function');
    callback?.(trouble);
  };
  guardMethod(agent, 'createConnection', giveError, isSocketOrNothing);
  // A connection that is not kept is closed.
  guardMethod(agent, 'keepSocketAlive', () => false);
  guardMethod(agent, 'reuseSocket', (trouble, [socket]) => {
    (socket as Partial<Socket> | undefined)?.destroy?.(trouble);
  });
}

function isSocketOrNothing(result: unknown): boolean {
  return !result || typeof (result as Partial<Socket>).on === 'function';
}

function guardMethod(
  agent: Agent,
  name: (typeof synchronous)[number],
  fallback: (trouble: RequestRefused, given: readonly unknown[]) => unknown,
  isRight: (result: unknown) => boolean = () => true,
): void {
  const method: unknown = Reflect.get(agent, name);
  if (typeof method !== 'function') {
    return;
  }
  const value: Method = function (...given) {
    try {
      const result: unknown = Reflect.apply(method, this, given);
      if (!isPromise(result) && isRight(result)) {
        return result;
      }
      const wrong = isPromise(result) ? 'a promise' : 'no connection';
      return fallback(ownTrouble(`http.agent: ${name}() of the agent returned ${wrong}`), given);
    } catch (error) {
      return fallback(ownTrouble(`http.agent: ${name}() of the agent threw ${describeError(error)}`), given);
    }
  };
  Reflect.defineProperty(agent, name, { value, writable: true, configurable: true });
}

function renewed(make: AgentFactory, options: ConnectionOptions): Agent {
  let agent: Agent;
  try {
    agent = make(options);
  } catch (error) {
    throw ownTrouble(`http.agent threw ${describeError(error)}`);
  }
  const fault = faultOf(agent);
  if (fault !== undefined) {
    throw ownTrouble(`http.agent returned ${fault}`);
  }
  if (!(agent instanceof OwnAgent)) {
    guardMethods(agent);
  }
  return agent;
}

function ownTrouble(detail: string): RequestRefused {
  return new RequestRefused('internal_error', { detail });
}

/** Node calls this method of every agent; its types leave it out. */
interface Requestable {
  addRequest(request: ClientRequest, options: NamedOptions, ...more: unknown[]): void;
}

/** What an agent was asked for in an exchange. */
interface Started {
  readonly request: ClientRequest;
  /** The start of the name of its connections. */
  readonly origin: string;
  /** What the agent itself threw or rejected with. */
  trouble: RequestRefused | undefined;
}

function startedBy(request: ClientRequest, { host, port }: NamedOptions): Started {
  return { request, origin: `${host}:${port}:`, trouble: undefined };
}

function failed(started: Started, error: unknown): RequestRefused {
  started.trouble = ownTrouble(`http.agent: the agent threw ${describeError(error)}`);
  return started.trouble;
}

/** The agent of a pool without `http.agent`. Remembers the latest request that it was given. */
class OwnAgent extends Agent {
  latest: Started | undefined;

  constructor(options: AgentOptions) {
    // The connection that was used last is the one that is most likely alive.
    super({ lookup: lookUpServer, ...options, scheduling: 'lifo' });
  }

  /** All connections of this agent differ in these alone. Node's own name contains the certificate. */
  override getName({ host, port, servername }: NamedOptions = {}): string {
    return `${host}:${port}:${servername}`;
  }

  addRequest(request: ClientRequest, options: NamedOptions, ...more: unknown[]): void {
    const started = startedBy(request, options);
    this.latest = started;
    try {
      Reflect.apply(addRequestOfNode, this, [request, options, ...more]);
    } catch (error) {
      throw failed(started, error);
    }
  }
}

type NamedOptions = Pick<RequestOptions, 'host' | 'port' | 'servername'>;

const addRequestOfNode = (Agent.prototype as unknown as Requestable).addRequest;

/** Starts an exchange over connections of an agent that the pool made. */
function startOwn<T>(agent: OwnAgent, drops: Drops, send: (agent: Agent) => T): PooledExchange<T> {
  const beganAt = performance.now();
  agent.latest = undefined;
  const result = send(agent);
  const { latest } = agent;
  return createExchange(agent, { result, started: () => latest, drops, beganAt });
}

/** Watches an agent of the user's own, which may do what Node's own agent does not do. */
function startWatched<T>(agent: Agent, drops: Drops, send: (agent: Agent) => T): PooledExchange<T> {
  const beganAt = performance.now();
  let latest: Started | undefined;
  const addRequest: Requestable['addRequest'] = (request, options, ...more) => {
    const started = startedBy(request, options);
    latest = started;
    request.once('error', (error) => {
      started.trouble ??= RequestRefused.isRefusal(error) ? error : undefined;
    });
    try {
      requireName(agent, options);
      const added: unknown = (agent as unknown as Requestable).addRequest(request, options, ...more);
      if (isPromise(added)) {
        Promise.resolve(added).catch((error: unknown) => endWithoutSocket(request, failed(started, error)));
      }
    } catch (error) {
      throw failed(started, error);
    }
  };
  const result = send(Object.create(agent, { addRequest: { value: addRequest } }) as Agent);
  return createExchange(agent, { result, started: () => latest, drops, beganAt });
}

function createExchange<T>(
  agent: Agent,
  { result, started, drops, beganAt }: StartedExchange<T>,
): PooledExchange<T> {
  return {
    result,
    trouble: () => started()?.trouble,
    wasReused: () => started()?.request.reusedSocket === true,
    dropIdle() {
      const isFirst = drops.last < beganAt;
      drops.last = performance.now();
      dropIdleOf(agent, started()?.origin);
      return isFirst;
    },
    abort: () => started()?.request.destroy(),
  };
}

interface StartedExchange<T> {
  readonly result: T;
  /** Undefined until the agent is asked. */
  readonly started: () => Started | undefined;
  readonly drops: Drops;
  /** By the monotonic clock, in milliseconds. */
  readonly beganAt: number;
}

/** When idle connections were closed last, by the monotonic clock. */
interface Drops {
  last: number;
}

/**
 * Throws if an agent names the connections for a request by a promise: Node would not wait for it.
 */
function requireName(agent: Agent, options: object): void {
  if (isPromise(agent.getName?.({ ...options, ...agent.options }))) {
    throw new TellableError('getName() returned a promise');
  }
}

/**
 * Ends a request as Node's own agent does where no connection can be had: `destroy()` alone waits
 * for a connection.
 */
function endWithoutSocket(request: ClientRequest, error: Error): void {
  (request as unknown as { onSocket(socket: null, error: Error): void }).onSocket(null, error);
}

/** Without `origin`: all of them. Node names the pool of a host by `host:port:` and more. */
function dropIdleOf(agent: Agent, origin = ''): void {
  for (const [name, sockets] of Object.entries(agent.freeSockets ?? {})) {
    for (const socket of name.startsWith(origin) ? (sockets ?? []) : []) {
      socket.destroy();
    }
  }
}
