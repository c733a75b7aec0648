import type { Hearing, Usability } from '../../packages/core/src/cache/knowledge.js';
import {
  type Known,
  type Revocation,
  type RevocationNotice,
  Revocations,
  type WrittenRevocation,
} from '../../packages/core/src/cache/revocations.js';
import type { TokenClaims } from '../../packages/core/src/token-claims.js';

/** Milliseconds. */
export const tolerance = 30_000;
export const lag = 5_000;
/** By how much a process's clock may be wrong. */
const skew = 5_000;

const issuer = 'https://as.example.com';
const subjects = ['alice', 'bob'];
const clients = ['app', 'site'];

/** A token, with what is true of it. Times are true ones, in milliseconds. */
interface Token {
  readonly id: number;
  readonly isJwt: boolean;
  readonly issuedAt: number;
  readonly claims: TokenClaims;
}

/** An act of revoking that was confirmed. */
interface Act {
  readonly notice: RevocationNotice;
  readonly at: number;
  readonly position: string;
}

/** What a process knows of a token, and when its source began to be asked, or the token was seen. */
interface Fact {
  readonly token: Token;
  readonly known: Known;
  readonly askedAt: number;
  /** Up to where its source had read the log then. */
  readonly heardUpTo?: string | undefined;
}

interface Process {
  revocations: Revocations;
  clock: number;
  facts: Fact[];
  /** Questions on their way. */
  questions: {
    readonly token: Token;
    readonly turn: number;
    readonly since: number;
    readonly heardUpTo: string | undefined;
  }[];
  /** When it heard of an act. */
  heard: Map<string, number>;
  position: string | undefined;
  readAt: number;
  completeSince: number;
}

/** A fleet, an authorization server and a log, in a time of their own. Small enough to be checked against plain rules. */
export class World {
  now = 1_800_000_000_000;
  serverClock = 0;
  readonly history: string[] = [];
  readonly processes: Process[] = [];
  #log: { position: string; notice: RevocationNotice }[] = [];
  #logSince = this.now;
  #acts: Act[] = [];
  #tokens: Token[] = [];
  #count = 0;
  readonly #random: () => number;
  readonly #from: Hearing['from'];

  constructor(random: () => number, from: Hearing['from']) {
    this.#random = random;
    this.#from = from;
    for (let i = 0; i < 2 + this.#below(2); i += 1) {
      this.processes.push(this.#started());
    }
  }

  /** Does one thing at random, and returns what is wrong then, if anything. */
  step(): string | undefined {
    const process = this.#one(this.processes);
    const acts: (() => void)[] = [
      () => this.#issue(),
      () => this.#issue(),
      () => this.#see(process),
      () => this.#see(process),
      () => this.#ask(process),
      () => this.#answer(process),
      () => this.#share(process),
      () => this.#revoke(process),
      () => this.#read(process),
      () => this.#read(process),
      () => this.#read(process),
      () => this.#wait(),
      () => this.#wait(),
      () => this.#stepClock(process),
    ];
    if (this.#below(20) === 0) {
      acts.push(() => this.#restart(process));
      if (this.#from === 'log') {
        acts.push(() => this.#loseLog());
      }
    }
    this.#one(acts)();
    return this.#wrong();
  }

  /** Runs `work` as a process would: by its clock. */
  #as<T>(process: Process, work: () => T): T {
    clocks.monotonic = this.now;
    clocks.wall = this.now + process.clock;
    return work();
  }

  #issue(): void {
    this.#count += 1;
    const iat = Math.floor((this.now + this.serverClock) / 1000);
    const hasIat = this.#below(8) > 0;
    const isJwt = this.#below(2) === 0;
    const claims = {
      sub: this.#one(subjects),
      client_id: this.#one(clients),
      jti: `jti-${this.#count}`,
      ...(hasIat && { iat }),
    };
    const token = {
      claims,
      issuer,
      subject: claims.sub,
      clientId: claims.client_id,
      issuedAt: hasIat ? iat : undefined,
      confirmation: undefined,
    } as unknown as TokenClaims;
    this.#tokens.push({ id: this.#count, isJwt, issuedAt: this.now, claims: token });
    this.#note(
      `${isJwt ? 'JWT' : 'opaque'} ${this.#count} of ${claims.sub} by ${claims.client_id}${hasIat ? '' : ', no iat'}`,
    );
  }

  #see(process: Process): void {
    const token = this.#one(this.#tokens.filter(({ isJwt }) => isJwt));
    if (token === undefined) {
      return;
    }
    const known = this.#as(process, () => this.#known(token, 'token', process.revocations.turn(), this.now));
    process.facts.push({ token, known, askedAt: this.now });
    this.#note(`process ${this.#name(process)} sees JWT ${token.id}`);
  }

  #ask(process: Process): void {
    const token = this.#one(this.#tokens.filter(({ isJwt }) => !isJwt));
    if (token !== undefined) {
      const { revocations } = process;
      const { heardUpTo } = revocations;
      process.questions.push({ token, turn: revocations.turn(), since: this.now, heardUpTo });
      this.#note(`process ${this.#name(process)} asks about ${token.id}`);
    }
  }

  #answer(process: Process): void {
    const question = process.questions.pop();
    if (question !== undefined) {
      const { token, turn, since, heardUpTo } = question;
      process.facts.push({
        token,
        known: this.#known(token, 'server', turn, since),
        askedAt: since,
        heardUpTo,
      });
      this.#note(`process ${this.#name(process)} is answered about ${token.id}`);
    }
  }

  /** Another process takes up an answer, with the position that its asker had read. */
  #share(process: Process): void {
    const fact = this.#one(
      process.facts.filter(({ known }) => known.word === 'server' && known.shared === undefined),
    );
    const other = this.#one(this.processes);
    if (fact === undefined || other === process) {
      return;
    }
    const known: Known = {
      ...this.#known(fact.token, 'server', other.revocations.turn(), fact.askedAt),
      shared: { askedAt: fact.askedAt + process.clock, heardUpTo: fact.heardUpTo },
    };
    other.facts.push({ token: fact.token, known, askedAt: fact.askedAt });
    this.#note(`process ${this.#name(other)} reads what ${this.#name(process)} shared of ${fact.token.id}`);
  }

  #revoke(process: Process): void {
    const token = this.#one(this.#tokens);
    if (token === undefined) {
      return;
    }
    const { subject = '', clientId = '' } = token.claims;
    const revocation = this.#one<WrittenRevocation>([
      { tokenHash: `token-${token.id}` },
      { jti: `jti-${token.id}`, issuer },
      { subject },
      { subject, issuer },
      { clientId },
      { subject, issuer: 'https://other.example.com' },
    ]);
    if (revocation === undefined) {
      return;
    }
    this.#count += 1;
    const notice = { revocation, at: this.now + process.clock, id: `act-${this.#count}` };
    this.#as(process, () => process.revocations.add(notice));
    process.heard.set(notice.id, this.now);
    const position = this.#append(notice);
    this.#acts.push({ notice, at: this.now, position });
    this.#note(`process ${this.#name(process)} revokes ${JSON.stringify(revocation)}`);
  }

  #append(notice: RevocationNotice): string {
    this.#count += 1;
    const position = String(this.#count).padStart(8, '0');
    this.#log.push({ position, notice });
    return position;
  }

  #read(process: Process): void {
    if (this.#from !== 'log') {
      return;
    }
    this.#as(process, () => {
      for (const { position, notice } of this.#log.filter(
        (entry) => entry.position > (process.position ?? ''),
      )) {
        process.revocations.add(notice, position);
        process.heard.set(notice.id, process.heard.get(notice.id) ?? this.now);
        process.position = position;
      }
      process.revocations.completeOnlySince(process.completeSince);
      process.revocations.hasRead(process.position, this.now);
    });
    process.readAt = this.now;
    this.#note(`process ${this.#name(process)} reads the log`);
  }

  #wait(): void {
    this.now += this.#below(3_000);
    this.#note(`${this.now}`);
  }

  #stepClock(process: Process): void {
    if (this.#below(3) === 0) {
      this.serverClock = this.#below(2 * (tolerance - skew)) - (tolerance - skew);
    } else {
      process.clock = this.#below(2 * skew) - skew;
    }
    this.#note(`clocks: server ${this.serverClock}, ${this.processes.map(({ clock }) => clock).join(' ')}`);
  }

  #restart(process: Process): void {
    Object.assign(process, this.#started());
    this.#note(`process ${this.#name(process)} starts again`);
  }

  /** Redis forgets all; the processes that run write what they remember. */
  #loseLog(): void {
    this.#log = [];
    for (const process of this.processes) {
      this.#as(process, () => process.revocations.hasLostLog());
      process.position = undefined;
    }
    const remembered = new Map<string, RevocationNotice>();
    for (const process of this.processes) {
      for (const notice of this.#as(process, () => process.revocations.noticesOutsideLog())) {
        remembered.set(notice.id, notice);
      }
    }
    for (const notice of remembered.values()) {
      this.#append(notice);
    }
    // What the oldest of them was vouched for is what the log is vouched for.
    this.#logSince = Math.min(...this.processes.map(({ completeSince }) => completeSince));
    this.#note('the log is lost, and written again');
  }

  #started(): Process {
    return {
      revocations: new Revocations({
        maxAge: 3_600,
        maxAgeWhileLost: lag / 1000,
        clockTolerance: tolerance / 1000,
        from: this.#from,
        maxWait: 0,
        acceptsUnheard: false,
        maxRecords: 50,
      }),
      clock: 0,
      facts: [],
      questions: [],
      heard: new Map(),
      position: undefined,
      readAt: Number.NEGATIVE_INFINITY,
      completeSince: this.#logSince,
    };
  }

  #known(token: Token, word: Known['word'], turn: number, since: number): Known {
    const known: Known = {
      token: token.claims,
      word,
      turn,
      since,
      shared: undefined,
      hash: `token-${token.id}`,
      identity: `token-${token.id}`,
      unconcernedBy: Number.NaN,
    };
    return known;
  }

  #wrong(): string | undefined {
    for (const process of this.processes) {
      for (const fact of process.facts) {
        const usability = this.#as(process, () => process.revocations.usability(fact.known));
        const wrong = this.#isWrong(process, fact, usability);
        if (wrong !== undefined) {
          return `process ${this.#name(process)}, token ${fact.token.id}, ${usability}: ${wrong}`;
        }
      }
    }
    return undefined;
  }

  /** The rules, written down a second time, by what is true rather than by what a process can see. */
  #isWrong(process: Process, { token, known, askedAt }: Fact, usability: Usability): string | undefined {
    const acts = this.#acts.filter(({ notice }) => concerns(notice.revocation, token));
    if (usability === 'use') {
      for (const { notice, at } of acts) {
        const heardAt = process.heard.get(notice.id);
        const isVoid = known.word === 'token' || isOfOne(notice.revocation);
        const isFromBefore = isVoid ? token.issuedAt <= at : askedAt < at;
        if (isFromBefore && heardAt !== undefined) {
          return `${notice.id} was heard`;
        }
        // Of what it has not heard it can know nothing: a question after the act may be answered as before it.
        const unheardFor = this.now - (known.word === 'token' ? at : Math.max(at, askedAt));
        if (isFromBefore && this.#from === 'log' && unheardFor > lag) {
          return `${notice.id} was made ${this.now - at} ms ago`;
        }
      }
      return undefined;
    }
    const isCurrent = this.#from === 'alone' || this.now - process.readAt <= lag;
    const isVouched =
      this.#from === 'alone' ||
      known.word === 'server' ||
      token.issuedAt > process.completeSince + 2 * tolerance + 1_000;
    const hasIat = token.claims.issuedAt !== undefined || known.word === 'server';
    if (
      acts.length === 0 &&
      isCurrent &&
      isVouched &&
      (hasIat || this.#from === 'alone') &&
      known.shared === undefined
    ) {
      return 'nothing was revoked';
    }
    return undefined;
  }

  #name(process: Process): number {
    return this.processes.indexOf(process) + 1;
  }

  #note(what: string): void {
    this.history.push(what);
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #one<T>(list: readonly T[]): T {
    return list[this.#below(list.length)] as T;
  }
}

function isOfOne(revocation: Revocation): boolean {
  return 'tokenHash' in revocation || 'jti' in revocation;
}

function concerns(revocation: WrittenRevocation, { id, claims }: Token): boolean {
  if ('tokenHash' in revocation) {
    return revocation.tokenHash === `token-${id}`;
  }
  if (revocation.issuer !== undefined && revocation.issuer !== issuer) {
    return false;
  }
  return (
    ('jti' in revocation && revocation.jti === `jti-${id}`) ||
    ('subject' in revocation && revocation.subject === claims.subject) ||
    ('clientId' in revocation && revocation.clientId === claims.clientId)
  );
}

/** The clocks of the process that runs just now. */
export const clocks = { monotonic: 0, wall: 0 };
