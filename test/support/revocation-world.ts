import {
  type DatedToken,
  type RevocationNotice,
  Revocations,
  type WrittenRevocation,
} from '../../packages/core/src/revocation/revocations.js';
import type { SyncState } from '../../packages/core/src/revocation/usability.js';
import type { TokenClaims } from '../../packages/core/src/token/token-claims.js';

/** Milliseconds, like all times here. */
export const tolerance = 30_000;
export const lag = 5_000;
/** By how much the clocks of processes may be wrong, as documented. */
const skew = 5_000;
/** How long a message of the channel is under way at most. */
const latency = 1_000;
/** After which a channel that brings nothing counts as interrupted: the silence, and the third of it between two looks. */
const silence = lag * (4 / 3);
/** What the channel brings from a process whose clock is further off is taken for played back. */
const playedBack = 300_000;

const issuers = ['https://as.example.com', 'https://other.example.com'] as const;
const subjects = ['alice', 'bob'];
const clients = ['app', 'site'];
const sessions = ['session-1', 'session-2'];
const thumbprints = ['thumbprint-1', 'thumbprint-2'];

/** Few, so that much happens to each. */
const MAX_TOKENS = 3;

/** How far the clocks of the world are wrong: never more than is documented, or by minutes. */
export type Clocks = 'within the tolerance' | 'beyond the tolerance';

/** A token, with what is true of it. Times are true ones. */
interface Token {
  readonly id: number;
  readonly isJwt: boolean;
  readonly issuedAt: number;
  /** By how much the clock of the authorization server was ahead then. */
  readonly serverClock: number;
  readonly claims: TokenClaims;
}

/** An act of revoking that was confirmed. */
interface Act {
  readonly notice: RevocationNotice;
  readonly at: number;
  /** By how much the clock of the process that revoked was ahead. */
  readonly clock: number;
  /** Whether the log lost it, and no process that knows of it has written it again. */
  isForgotten: boolean;
  /** Whether the store has deleted its entry from between others. */
  isDeleted: boolean;
  /** Since when the log has it. */
  writtenAt: number;
}

/** When a process heard of an act, and by how much its clock was ahead then. */
interface Heard {
  readonly at: number;
  /** When it heard of it last: its own come back to it, and count again after another one of the same subject. */
  readonly lastAt: number;
  /** The number of things that had been done before. */
  readonly step: number;
  readonly clock: number;
}

/** What a process knows of a token, and when its source began to be asked, or the token was seen. */
interface Fact {
  readonly token: Token;
  readonly known: DatedToken;
  readonly askedAt: number;
  /** The number of things that had been done before. */
  readonly step: number;
  /** By how much the clock of the process that asked was ahead then. */
  readonly clock: number;
  /** Which log was read then, of those that replaced each other. */
  readonly log: number;
}

/** An answer in the store that the processes share. */
interface SharedAnswer {
  readonly token: Token;
  readonly askedAt: number;
  readonly log: number;
  readonly clock: number;
  readonly logReadUpTo: string | undefined;
}

interface Question {
  readonly token: Token;
  readonly turn: number;
  readonly since: number;
  readonly clock: number;
  readonly log: number;
  readonly logReadUpTo: string | undefined;
}

/** How a process hears of the channel. `silent`: it hears nothing, and does not know that yet. */
type Link = 'never' | 'up' | 'silent' | 'down';

interface Process {
  revocations: Revocations;
  clock: number;
  facts: Fact[];
  questions: Question[];
  heard: Map<string, Heard>;
  position: string | undefined;
  readAt: number;
  hasRead: boolean;
  /** Whether it can't reach the log. */
  isCutOff: boolean;
  /** Whether the log was lost while it was cut off. */
  hasMissedLoss: boolean;
  /** Whether it found that the log was lost, and has not read the new one to its end. */
  hasFoundLoss: boolean;
  completeSince: number;
  /** When it found last that the log lacks an entry, and by which clock. */
  gap: Beginning | undefined;
  link: Link;
  silentSince: number;
  /** Since when it has listened without a loss, as far as it knows. */
  linkedAt: number;
  linkedClock: number;
  hasLostChannel: boolean;
  inbox: { readonly notice: RevocationNotice; readonly sentAt: number }[];
}

/** What the log is vouched for, and by whose clock. */
interface Beginning {
  readonly at: number;
  readonly clock: number;
}

/**
 * A fleet, two authorization servers of one clock, a log or channel, and a shared store, in a time of their own. Small enough to be
 * checked against plain rules.
 */
export class World {
  now = 1_800_000_000_000;
  readonly history: string[] = [];
  readonly processes: Process[] = [];
  #serverClock = 0;
  #log: { position: string; notice: RevocationNotice }[] = [];
  /** The positions of entries that the store has deleted. */
  #deleted: string[] = [];
  #beginning: Beginning;
  #acts: Act[] = [];
  #tokens: Token[] = [];
  #shared: SharedAnswer[] = [];
  /** What the store keeps of the last revocation, and by which clock. */
  #count = 0;
  #position = 0;
  readonly #random: () => number;
  readonly #syncedBy: SyncState['syncedBy'];
  readonly #clocks: Clocks;
  readonly #acting: readonly ((process: Process) => void)[];
  #step = 0;
  /** How many logs there were. */
  #logs = 1;

  constructor(random: () => number, syncedBy: SyncState['syncedBy'], clocks: Clocks) {
    this.#random = random;
    this.#syncedBy = syncedBy;
    this.#clocks = clocks;
    for (let i = this.#below(3); i > 0; i -= 1) {
      this.#append({ revocation: { subject: 'carol' }, at: this.now, id: `of-old-${i}` });
    }
    this.#beginning = { at: this.now - this.#below(2) * 3_600_000, clock: 0 };
    for (let i = 0; i < 2 + this.#below(2); i += 1) {
      this.processes.push(this.#started());
    }
    this.#acting = this.#chosenActs();
    this.#begin();
  }

  /** Most histories begin with tokens that are known: so few steps would seldom come to them. */
  #begin(): void {
    for (const process of this.processes) {
      for (const begin of [
        () => this.#issue(),
        () => this.#hearOf(process),
        () => this.#see(process),
        () => this.#ask(process),
        () => this.#answer(process),
      ]) {
        if (this.#below(4) > 0) {
          begin();
        }
      }
    }
  }

  /** Does one thing at random, and returns what is wrong then, if anything. */
  step(): string | undefined {
    this.#step += 1;
    this.#one(this.#acting)(this.#one(this.processes));
    return this.#wrong();
  }

  /** Each history does some things often and others never, so that rare things meet. */
  #chosenActs(): ((process: Process) => void)[] {
    const usual = [
      () => this.#issue(),
      (process: Process) => this.#see(process),
      (process: Process) => this.#ask(process),
      (process: Process) => this.#answer(process),
      (process: Process) => this.#revoke(process),
      (process: Process) => this.#hearOf(process),
      () => this.#wait(this.#below(3_000)),
    ];
    const rare = [
      (process: Process) => this.#share(process),
      () => this.#wait(this.#below(90_000)),
      (process: Process) => this.#stepClock(process),
      (process: Process) => this.#restart(process),
    ];
    const ofLog = [
      () => this.#loseLog(),
      () => this.#loseAll(),
      () => this.#deleteEntries(),
      (process: Process) => this.#cutOff(process),
    ];
    const ofChannel = [(process: Process) => this.#loseChannel(process)];
    const ofFeed = { alone: [], channel: ofChannel, log: ofLog }[this.#syncedBy];
    return [...usual, ...usual, ...usual, ...rare, ...rare, ...ofFeed].filter(() => this.#below(3) > 0);
  }

  /** Runs `work` as a process would: by its clock. */
  #as<T>(process: Process, work: () => T): T {
    clocks.monotonic = this.now;
    clocks.wall = this.now + process.clock;
    return work();
  }

  #issue(): void {
    if (this.#tokens.length === MAX_TOKENS) {
      return;
    }
    this.#count += 1;
    const id = this.#count;
    const iat = Math.floor((this.now + this.#serverClock) / 1000);
    const hasIat = this.#below(8) > 0;
    const isJwt = this.#below(2) === 0;
    const issuer = this.#one(issuers);
    const claims = {
      sub: this.#one(subjects),
      client_id: this.#one(clients),
      sid: this.#one(sessions),
      jti: `jti-${id}`,
      ...(hasIat && { iat }),
    };
    const confirmation = { 'x5t#S256': this.#one(thumbprints) };
    const token = {
      claims,
      issuer,
      subject: claims.sub,
      clientId: claims.client_id,
      issuedAt: hasIat ? iat : undefined,
      confirmation,
    } as unknown as TokenClaims;
    this.#tokens.push({ id, isJwt, issuedAt: this.now, serverClock: this.#serverClock, claims: token });
    this.#note(`${isJwt ? 'JWT' : 'opaque'} ${id} of ${JSON.stringify({ ...claims, ...confirmation })}`);
  }

  #see(process: Process): void {
    const token = this.#one(this.#tokens.filter(({ isJwt }) => isJwt));
    if (token === undefined) {
      return;
    }
    const { now } = this;
    const known = this.#known(token, 'token', process.revocations.nextTurn(), now);
    process.facts.push({
      token,
      known,
      askedAt: now,
      step: this.#step,
      clock: process.clock,
      log: this.#logs,
    });
    this.#note(`process ${this.#name(process)} sees JWT ${token.id}`);
  }

  /** By one question in four it asks about a JWT: the authorization server may know more of it than it says itself. */
  #ask(process: Process): void {
    const token = this.#one(this.#tokens.filter(({ isJwt }) => !isJwt || this.#below(4) === 0));
    if (token !== undefined) {
      const { revocations, clock } = process;
      const { logReadUpTo } = revocations;
      process.questions.push({
        token,
        turn: revocations.nextTurn(),
        since: this.now,
        clock,
        log: this.#logs,
        logReadUpTo,
      });
      this.#note(`process ${this.#name(process)} asks about ${token.id}`);
    }
  }

  #answer(process: Process): void {
    const question = process.questions.pop();
    if (question !== undefined) {
      const { token, turn, since, logReadUpTo, clock, log } = question;
      process.facts.push({
        token,
        known: this.#known(token, 'server', turn, since),
        askedAt: since,
        step: this.#step,
        clock,
        log,
      });
      this.#shared.push({ token, askedAt: since, clock, log, logReadUpTo });
      this.#note(`process ${this.#name(process)} is answered about ${token.id}`);
    }
  }

  /** A process takes up an answer from the shared store, unless it is dated too far in the future. */
  #share(process: Process): void {
    const answer = this.#one(this.#shared);
    if (answer === undefined) {
      return;
    }
    const { token, logReadUpTo, clock, log } = answer;
    const askedAt = answer.askedAt + clock;
    if (askedAt > this.now + process.clock + skew) {
      return;
    }
    const known: DatedToken = {
      ...this.#known(token, 'server', process.revocations.nextTurn(), answer.askedAt),
      shared: { askedAt, logReadUpTo },
    };
    process.facts.push({ token, known, askedAt: answer.askedAt, step: this.#step, clock, log });
    this.#note(`process ${this.#name(process)} reads what was shared of ${token.id} at ${answer.askedAt}`);
  }

  #revoke(process: Process): void {
    const token = this.#one(this.#tokens);
    if (token === undefined || process.isCutOff) {
      return;
    }
    const revocation = this.#revocationOf(token);
    this.#count += 1;
    const { clock } = process;
    const notice = { revocation, at: this.now + clock, id: `act-${this.#count}` };
    const act: Act = {
      notice,
      at: this.now,
      clock,
      isForgotten: false,
      isDeleted: false,
      writtenAt: this.now,
    };
    this.#as(process, () => process.revocations.add(notice));
    process.heard.set(notice.id, this.#heardNow(process));
    this.#append(notice);
    this.#acts.push(act);
    for (const { link, inbox } of this.processes) {
      if (link === 'up') {
        inbox.push({ notice, sentAt: this.now });
      }
    }
    this.#note(`process ${this.#name(process)} revokes ${JSON.stringify(revocation)}, ${notice.id}`);
  }

  #revocationOf({ id, claims }: Token): WrittenRevocation {
    const { subject = '', clientId = '', confirmation } = claims;
    const session = (claims.claims as { sid: string }).sid;
    const thumbprint = (confirmation as { 'x5t#S256': string })['x5t#S256'];
    const named = this.#one([
      { tokenHash: `text-${id}` },
      { tokenHash: `identity-${id}` },
      { jti: `jti-${id}` },
      { subject },
      { clientId },
      { session },
      { thumbprint },
    ]);
    const issuer = this.#one([claims.issuer, ...issuers, undefined]);
    return ('tokenHash' in named || issuer === undefined ? named : { ...named, issuer }) as WrittenRevocation;
  }

  #append(notice: RevocationNotice): string {
    this.#position += 1;
    const position = String(this.#position).padStart(8, '0');
    this.#log.push({ position, notice });
    return position;
  }

  #hearOf(process: Process): void {
    if (this.#syncedBy === 'log') {
      this.#read(process);
    } else if (this.#syncedBy === 'channel') {
      if (process.link === 'up') {
        this.#deliver(process, process.inbox.splice(0));
      } else if (process.link !== 'silent') {
        this.#join(process);
      }
    }
  }

  /** The way of a process to the log breaks, or is there again. */
  #cutOff(process: Process): void {
    process.isCutOff = !process.isCutOff;
    this.#note(`process ${this.#name(process)} ${process.isCutOff ? 'is cut off' : 'is back'}`);
  }

  #read(process: Process): void {
    if (process.isCutOff) {
      return;
    }
    if (process.hasMissedLoss) {
      this.#findLoss(process);
      this.#writeAgain([process]);
    }
    const isCatchingUp = !process.hasRead || this.now - process.readAt > lag;
    this.#as(process, () => {
      const from = process.position ?? '';
      const entries = this.#log.filter(({ position }) => position > from);
      for (const { position, notice } of entries) {
        const at = isCatchingUp ? notice.at : Math.max(notice.at, clocks.wall);
        process.revocations.add(notice, position, { at, age: 0 });
        this.#hasHeard(process, notice);
        process.position = position;
      }
      process.revocations.markCompleteOnlySince(process.completeSince);
      if (process.hasFoundLoss) {
        process.hasFoundLoss = false;
        this.#vouchFromNow(process);
      }
      if (this.#deleted.some((position) => position > from && position < (process.position ?? ''))) {
        this.#vouchFromNow(process);
      }
      process.revocations.markRead(process.position, this.now);
    });
    process.readAt = this.now;
    process.hasRead = true;
    this.#note(`process ${this.#name(process)} reads the log`);
  }

  #deliver(process: Process, messages: Process['inbox']): void {
    this.#as(process, () => {
      for (const { notice } of messages) {
        if (Math.abs(clocks.wall - notice.at) <= playedBack) {
          process.revocations.add({ ...notice, at: Math.max(notice.at, clocks.wall) });
          this.#hasHeard(process, notice);
        }
      }
    });
    if (messages.length > 0) {
      this.#note(`process ${this.#name(process)} hears ${messages.map(({ notice }) => notice.id)}`);
    }
  }

  #hasHeard(process: Process, { id }: RevocationNotice): void {
    process.heard.set(id, { ...(process.heard.get(id) ?? this.#heardNow(process)), lastAt: this.now });
  }

  #heardNow({ clock }: Process): Heard {
    return { at: this.now, lastAt: this.now, step: this.#step, clock };
  }

  #join(process: Process): void {
    this.#as(process, () => process.revocations.markRestored());
    process.linkedClock = process.clock;
    process.linkedAt = this.now;
    process.link = 'up';
    this.#note(`process ${this.#name(process)} listens`);
  }

  /** The connection breaks with a word, or without one. What is under way is lost with it. */
  #loseChannel(process: Process): void {
    if (process.link !== 'up') {
      return;
    }
    process.inbox = [];
    if (this.#below(2) === 0) {
      process.link = 'silent';
      process.silentSince = this.now;
      this.#note(`process ${this.#name(process)} hears nothing any more`);
    } else {
      this.#hasLostChannel(process);
    }
  }

  #hasLostChannel(process: Process): void {
    process.link = 'down';
    process.hasLostChannel = true;
    this.#as(process, () => process.revocations.markUnsynced());
    this.#note(`process ${this.#name(process)} has lost the channel`);
  }

  #wait(milliseconds: number): void {
    const end = this.now + milliseconds;
    while (this.now < end) {
      this.now = Math.min(end, this.now + 500);
      for (const process of this.processes) {
        const isDue = ({ sentAt }: { sentAt: number }) => this.now - sentAt > latency - 500;
        this.#deliver(process, process.inbox.filter(isDue));
        process.inbox = process.inbox.filter((message) => !isDue(message));
        if (process.link === 'silent' && this.now - process.silentSince > silence - 500) {
          this.#hasLostChannel(process);
        }
      }
    }
    this.#note(`${this.now}`);
  }

  #stepClock(process: Process): void {
    const isBeyond = this.#clocks === 'beyond the tolerance';
    const reach = isBeyond ? 240_000 : skew;
    if (this.#below(3) === 0) {
      const reachOfServer = isBeyond ? reach : tolerance - skew;
      this.#serverClock = this.#below(2 * reachOfServer) - reachOfServer;
    } else {
      process.clock = this.#below(2 * reach) - reach;
    }
    this.#note(`clocks: server ${this.#serverClock}, ${this.processes.map(({ clock }) => clock).join(' ')}`);
  }

  #restart(process: Process): void {
    Object.assign(process, this.#started());
    this.#note(`process ${this.#name(process)} starts again`);
  }

  /** The store deletes one entry, or all but the newest. A sign of life follows, by which processes find that entries are missing. */
  #deleteEntries(): void {
    const chosen = this.#below(3) === 0 ? this.#log.slice(0, -1) : [this.#one(this.#log)];
    const deleted = chosen.filter((entry) => entry !== undefined);
    this.#log = this.#log.filter((entry) => !deleted.includes(entry));
    this.#deleted.push(...deleted.map(({ position }) => position));
    for (const act of this.#acts) {
      act.isDeleted ||= deleted.some(({ notice }) => notice.id === act.notice.id);
    }
    this.#count += 1;
    this.#append({ revocation: { subject: 'carol' }, at: this.now, id: `sign-of-life-${this.#count}` });
    this.#note(`the store deletes ${deleted.map(({ notice }) => notice.id)}`);
  }

  /** Redis forgets all; the processes that reach it write what they remember, and the others when they are back. */
  #loseLog(): void {
    this.#emptyLog();
    const reaching = this.processes.filter(({ isCutOff }) => !isCutOff);
    for (const process of this.processes) {
      process.hasMissedLoss ||= process.isCutOff;
    }
    for (const process of reaching) {
      this.#findLoss(process);
    }
    for (const act of this.#acts) {
      act.isForgotten = true;
      act.isDeleted = false;
    }
    // The name that the log gets then says so to processes that start.
    this.#beginning = { at: this.now, clock: (reaching[0] ?? this.processes[0])?.clock ?? 0 };
    this.#note('the log is lost');
    this.#writeAgain(reaching);
  }

  #findLoss(process: Process): void {
    this.#as(process, () => {
      process.revocations.markLogReplaced();
      this.#vouchFromNow(process);
    });
    Object.assign(process, {
      position: undefined,
      hasRead: false,
      hasMissedLoss: false,
      hasFoundLoss: true,
    });
  }

  #vouchFromNow(process: Process): void {
    process.revocations.markGap();
    process.gap = { at: this.now, clock: process.clock };
  }

  #writeAgain(processes: readonly Process[]): void {
    const remembered = new Map<string, RevocationNotice>();
    for (const process of processes) {
      for (const { notice } of this.#as(process, () => process.revocations.noticesOutsideLog())) {
        remembered.set(notice.id, notice);
      }
    }
    for (const notice of remembered.values()) {
      this.#append(notice);
    }
    const isKnown = ({ notice }: Act) => processes.some(({ heard }) => heard.has(notice.id));
    for (const act of this.#acts.filter((one) => one.isForgotten && isKnown(one))) {
      act.isForgotten = false;
      act.writtenAt = this.now;
    }
    this.#note(`written again: ${[...remembered.keys()]}`);
  }

  /** Redis forgets all while no process runs. The shared store may be another one, and keep what it has. */
  #loseAll(): void {
    this.#emptyLog();
    for (const act of this.#acts) {
      act.isForgotten = true;
      act.isDeleted = false;
    }
    const [first] = this.processes as [Process];
    this.#beginning = { at: this.now, clock: first.clock };
    for (const process of this.processes) {
      Object.assign(process, this.#started(), { clock: process.clock });
    }
    this.#note('the log is lost, and all processes start again');
  }

  #emptyLog(): void {
    this.#log = [];
    this.#deleted = [];
    this.#logs += 1;
    // Another log may count from the beginning.
    this.#position *= this.#below(2);
  }

  #started(): Process {
    return {
      revocations: new Revocations({
        longestUse: 3_600,
        maxAgeWhileUnsynced: lag / 1000,
        clockTolerance: tolerance / 1000,
        syncedBy: this.#syncedBy,
        maxWait: 0,
        acceptsUnknownRevocation: false,
        maxRevocations: 50,
      }),
      clock: 0,
      facts: [],
      questions: [],
      heard: new Map(),
      position: undefined,
      readAt: Number.NEGATIVE_INFINITY,
      hasRead: false,
      isCutOff: false,
      hasMissedLoss: false,
      hasFoundLoss: false,
      completeSince: this.#beginning.at + this.#beginning.clock,
      gap: undefined,
      link: 'never',
      silentSince: 0,
      linkedAt: Number.POSITIVE_INFINITY,
      linkedClock: 0,
      hasLostChannel: false,
      inbox: [],
    };
  }

  #known({ id, claims }: Token, word: DatedToken['claimsFrom'], turn: number, since: number): DatedToken {
    return {
      tokenClaims: claims,
      claimsFrom: word,
      turn,
      turnTime: since,
      shared: undefined,
      hash: `text-${id}`,
      revocationHash: `identity-${id}`,
      checkedUpTo: Number.NaN,
    };
  }

  #wrong(): string | undefined {
    for (const process of this.processes) {
      for (const fact of process.facts) {
        const usability = this.#as(process, () => process.revocations.usability(fact.known));
        const wrong =
          usability === 'use' ? this.#isUsedWrongly(process, fact) : this.#isRefusedWrongly(process, fact);
        if (wrong !== undefined) {
          return `process ${this.#name(process)}, token ${fact.token.id}, ${usability}: ${wrong}`;
        }
      }
    }
    return undefined;
  }

  // The rules, written down a second time, by what is true rather than by what a process can see.

  #isUsedWrongly(process: Process, fact: Fact): string | undefined {
    for (const act of this.#acts.filter(({ notice }) => concerns(notice.revocation, fact.token))) {
      const { notice, at } = act;
      const isVoid = fact.known.claimsFrom === 'token' || isOfOneToken(notice.revocation);
      if (!(isVoid ? fact.token.issuedAt <= at : fact.askedAt < at)) {
        continue;
      }
      const heard = process.heard.get(notice.id);
      if (heard !== undefined) {
        if (this.#countsIfHeard(fact, act, heard)) {
          return `${notice.id} was heard`;
        }
      } else if (this.#countsUnheard(process, fact, act)) {
        return `${notice.id} was made ${this.now - at} ms ago`;
      }
    }
    return undefined;
  }

  /**
   * Clocks matter only for a token that speaks for itself and is first seen after a revocation of many tokens was heard, and for an
   * answer that was shared by a process that read another log.
   */
  #countsIfHeard(fact: Fact, { notice, clock }: Act, heard: Heard): boolean {
    const { token, known, step, log } = fact;
    const ofRevocation = Math.min(clock, heard.clock + skew);
    if (isOfOneToken(notice.revocation)) {
      return true;
    }
    if (known.shared !== undefined && log !== this.#logs) {
      return fact.clock - ofRevocation <= tolerance;
    }
    return (
      known.claimsFrom === 'server' || step < heard.step || token.serverClock - ofRevocation <= tolerance
    );
  }

  /** Of what it has not heard a process knows nothing, but it knows for how long it may have heard nothing. */
  #countsUnheard(process: Process, fact: Fact, act: Act): boolean {
    const { known, askedAt } = fact;
    // A question after the act may be answered as before it.
    const unheardFor = this.now - (known.claimsFrom === 'token' ? act.at : Math.max(act.at, askedAt));
    if (act.isDeleted) {
      return this.#isFromBeforeGap(process, fact, act);
    }
    if (this.#syncedBy === 'log') {
      const isLate = unheardFor > lag && this.now - act.writtenAt > lag;
      if (!act.isForgotten || process.hasMissedLoss) {
        return isLate;
      }
      return process.gap === undefined || process.gap.at < act.at
        ? this.#isFromBeforeLog(fact, act)
        : this.#isFromBeforeGap(process, fact, act);
    }
    // By a channel a token that speaks for itself passes, if the process missed that it was revoked.
    if (this.#syncedBy === 'alone' || known.claimsFrom === 'token') {
      return false;
    }
    if (askedAt >= act.at) {
      return false;
    }
    const isDropped = process.link !== 'down' && this.#isPlayedBack(process, act);
    const isOfTime = known.shared === undefined || fact.clock - process.linkedClock <= tolerance;
    if (isDropped || !isOfTime) {
      return false;
    }
    return process.link === 'up'
      ? !process.inbox.some(({ notice }) => notice === act.notice)
      : unheardFor > lag + latency + silence;
  }

  /** A message that a clock dates five minutes away is dropped, as if a stranger had played it back. */
  #isPlayedBack(process: Process, act: Act): boolean {
    return this.#clocks === 'beyond the tolerance' && act.at >= process.linkedAt;
  }

  /** Once a process finds that an entry is missing, nothing from before counts, by clocks that agree so far. */
  #isFromBeforeGap({ gap }: Process, { token, known, askedAt, clock }: Fact, act: Act): boolean {
    const isAskedLater = known.claimsFrom === 'server' && askedAt >= act.at;
    if (gap === undefined || gap.at < act.at || isAskedLater) {
      return false;
    }
    if (known.claimsFrom === 'server' && known.shared === undefined) {
      return true;
    }
    const ahead = known.claimsFrom === 'token' ? token.serverClock : clock;
    return ahead - gap.clock <= tolerance;
  }

  /** What was revoked before the log began is not known: nothing from before it counts, by clocks that agree so far. */
  #isFromBeforeLog({ token, known, askedAt, clock }: Fact, act: Act): boolean {
    const { at, clock: ofLog } = this.#beginning;
    const isAskedLater = known.claimsFrom === 'server' && askedAt >= act.at;
    // What was revoked later is forgotten if the processes that knew of it are gone, and the log with them.
    if (isAskedLater || act.at >= at) {
      return false;
    }
    const ahead = known.claimsFrom === 'token' ? token.serverClock : clock;
    return ahead - ofLog <= tolerance;
  }

  /** A token that no revocation concerns must not be refused, nor asked about without need. */
  #isRefusedWrongly(process: Process, fact: Fact): string | undefined {
    const { token, known, askedAt } = fact;
    const acts = this.#acts.filter(({ notice }) => concerns(notice.revocation, token));
    if (!acts.every((act) => this.#sparesIt(process, fact, act)) || !this.#hearsAll(process)) {
      return undefined;
    }
    if (known.shared !== undefined) {
      const isUntouched = this.#acts.length === 0 && !process.hasLostChannel;
      // A process that joins uses no shared answer from before: it may have missed a revocation.
      const joinedAt = process.linkedAt + process.linkedClock;
      const isFromAfterJoining = known.shared.askedAt - tolerance >= joinedAt;
      const mustBeUsed = isUntouched && isFromAfterJoining && this.#syncedBy === 'channel';
      return mustBeUsed ? 'nothing was ever revoked' : undefined;
    }
    const since = known.claimsFrom === 'token' ? token.issuedAt - 2 * tolerance - 1_000 : askedAt;
    if (process.gap !== undefined && (since <= process.gap.at || this.#clocks === 'beyond the tolerance')) {
      return undefined;
    }
    const isVouched =
      this.#syncedBy !== 'log' || known.claimsFrom === 'server' || this.#isIssuedAfterBeginning(token);
    const isSince =
      this.#syncedBy !== 'channel' || known.claimsFrom === 'token' || askedAt > process.linkedAt;
    return isVouched && isSince ? 'nothing was revoked that concerns it' : undefined;
  }

  #sparesIt(process: Process, { token, known, askedAt }: Fact, { notice, at }: Act): boolean {
    if (isOfOneToken(notice.revocation)) {
      return false;
    }
    const heardAt = process.heard.get(notice.id)?.lastAt ?? Number.POSITIVE_INFINITY;
    if (known.claimsFrom === 'server') {
      return askedAt > heardAt;
    }
    const isLater = token.issuedAt > Math.max(at, heardAt) + 2 * tolerance + 1_000;
    return isLater && this.#clocks === 'within the tolerance' && token.claims.issuedAt !== undefined;
  }

  #hearsAll(process: Process): boolean {
    switch (this.#syncedBy) {
      case 'alone':
        return true;
      case 'log':
        return this.now - process.readAt <= lag;
      case 'channel':
        return process.link === 'up' || process.link === 'silent';
    }
  }

  #isIssuedAfterBeginning({ issuedAt, claims }: Token): boolean {
    const isLater = issuedAt > this.#beginning.at + 2 * tolerance + 1_000;
    return isLater && this.#clocks === 'within the tolerance' && claims.issuedAt !== undefined;
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

function isOfOneToken(revocation: WrittenRevocation): boolean {
  return 'tokenHash' in revocation || 'jti' in revocation;
}

function concerns(revocation: WrittenRevocation, { id, claims }: Token): boolean {
  if ('tokenHash' in revocation) {
    return revocation.tokenHash === `text-${id}` || revocation.tokenHash === `identity-${id}`;
  }
  if (revocation.issuer !== undefined && revocation.issuer !== claims.issuer) {
    return false;
  }
  const { sid } = claims.claims as { sid?: string };
  const { 'x5t#S256': thumbprint } = claims.confirmation as { 'x5t#S256': string };
  return (
    ('jti' in revocation && revocation.jti === `jti-${id}`) ||
    ('subject' in revocation && revocation.subject === claims.subject) ||
    ('clientId' in revocation && revocation.clientId === claims.clientId) ||
    ('session' in revocation && revocation.session === sid) ||
    ('thumbprint' in revocation && revocation.thumbprint === thumbprint)
  );
}

/** The clocks of the process that runs just now. */
export const clocks = { monotonic: 0, wall: 0 };
