import { createHash } from 'node:crypto';
import { readFileSync, type Stats, statSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import { isSameBytes } from '../certificate/der-members.js';
import { x509 } from '../certificate/lazy-x509.js';
import { comparableKey } from '../chain/comparable-key.js';
import { explainUnacceptedIssuerKey } from '../chain/key-rules.js';
import type { PathCertificate } from '../chain/path-certificate.js';
import { describePath, explainFileError } from '../shared/file-error.js';
import { createMismatch } from '../shared/option-errors.js';
import { authorityKeyOf } from './authority-key.js';
import { type Crl, type CrlHead, openCrl } from './crl.js';
import { describeUnusable, readCrlFile, type UnusableList } from './crl-file-content.js';
import { HeadsByName } from './heads-by-name.js';
import type { StatusReason } from './status-reason.js';

/** Seconds between two looks at the files. */
const LOOK_INTERVAL = 5;

/** Issuers whose lists are known, and the bytes of their certificates together. */
const MAX_ISSUERS = 1_000;
const MAX_ISSUERS_SIZE = 8_388_608;

/** Kept lists of one file at most. One for each unusable list of the file is kept in any case. */
const MAX_KEPT = 100;

/**
 * Kept lists of one file take at most this many times `maxSize`. One for each unusable list of the file is
 * kept in any case.
 */
const KEPT_OF_MAX_SIZE = 4;

export interface CrlFileRules {
  readonly paths: readonly string[];
  /** The name of the option in error messages. */
  readonly option: string;
  /** Bytes of one list. */
  readonly maxSize: number;
  /** Other lists are used from now on. */
  readonly onChange: () => void;
  /** A file can't be read again, or not every list of it can be used. */
  readonly onFailure: (message: string) => void;
}

/** A list of a file that was opened for an issuer, or why it can't be used. */
export type OpenedCrl = Crl | StatusReason;

/** Returns whether a list can be used. */
export function isUsable(list: OpenedCrl): list is Crl {
  return !('why' in list);
}

/** The lists of one file. */
interface ListsOfFile {
  readonly heads: readonly CrlHead[];
  /**
   * Lists that the file held before, kept while the file holds an unusable list of the same issuer. A kept
   * list is dropped when a newer list of the same kind and key was opened, or when too many are kept.
   */
  readonly kept: readonly CrlHead[];
  /** How many lists of the file can't be used. */
  readonly unusableCount: number;
}

/** What the files say of an issuer. */
export interface ListsOfIssuer {
  readonly lists: readonly OpenedCrl[];
  /** Whether a list may be missing until `open()` has resolved. */
  readonly isPending: boolean;
}

/** The revocation lists of files, which are read again when they change. */
export class CrlFiles {
  readonly #rules: CrlFileRules;
  /** By the path of the file. */
  readonly #files: Map<string, ListsOfFile>;
  readonly #byName: HeadsByName;
  readonly #states = new Map<string, string>();
  /** Counts the times that files were read. */
  #version = 0;
  /**
   * For each head, the lists that were opened, by the `comparableKey()` of the key that signed them. An entry
   * goes only when its head goes, never because clients send many issuers.
   */
  #usable = new Map<CrlHead, Map<string, Crl>>();
  /** By `keyOf()` of the issuer. */
  readonly #opened = new LRUCache<string, OpenedLists>({
    max: MAX_ISSUERS,
    maxSize: MAX_ISSUERS_SIZE,
    sizeCalculation: ({ issuer }) => issuer.der.length,
  });
  readonly #opening = new Map<string, Promise<void>>();
  #timer: NodeJS.Timeout | undefined;

  /** Reads the files. Throws `ConfigurationError` for a file that can't be read, or that holds no list. */
  constructor(rules: CrlFileRules) {
    this.#rules = rules;
    this.#files = new Map(
      rules.paths.map((path) => [path, { heads: this.#readAtStart(path), kept: [], unusableCount: 0 }]),
    );
    this.#byName = new HeadsByName(this.#allHeads());
    this.#schedule();
  }

  /** Returns what to wait for until the lists of an issuer are opened; `undefined` if they are. */
  open(issuer: PathCertificate): Promise<void> | undefined {
    const key = keyOf(issuer);
    if (this.#opened.has(key)) {
      return undefined;
    }
    const underWay = this.#opening.get(key);
    if (underWay !== undefined) {
      return underWay;
    }
    const started = this.#openAll(issuer).finally(() => this.#opening.delete(key));
    this.#opening.set(key, started);
    return started;
  }

  /** Returns the lists of an issuer. Lists that `open()` has opened stay, even if the issuer is forgotten. */
  listsOf(issuer: PathCertificate): ListsOfIssuer {
    const opened = this.#opened.get(keyOf(issuer));
    if (opened !== undefined) {
      return { lists: opened.lists, isPending: false };
    }
    const heads = this.#byName.of(issuer.subjectName);
    const key = comparableKey(issuer);
    const lists = heads.flatMap((head) => this.#usable.get(head)?.get(key) ?? []);
    return { lists, isPending: lists.length < heads.length };
  }

  /** Looks at the files no more. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #openAll(issuer: PathCertificate): Promise<void> {
    const key = keyOf(issuer);
    let heads: readonly CrlHead[];
    let lists: readonly OpenedCrl[];
    let version: number;
    do {
      // A file may be read again meanwhile.
      version = this.#version;
      const before = this.#opened.peek(key);
      heads = this.#byName.of(issuer.subjectName);
      lists = await Promise.all(heads.map((head) => listIn(before, head) ?? openCrl(head, issuer)));
    } while (version !== this.#version);
    this.#opened.set(key, { issuer, heads, lists });
    for (const [index, head] of heads.entries()) {
      const list = lists[index];
      if (list !== undefined && isUsable(list)) {
        this.#usable.set(head, (this.#usable.get(head) ?? new Map()).set(list.signerKey, list));
      }
    }
    const isKept = new Set([...this.#files.values()].flatMap(({ kept }) => kept));
    this.#drop(replacedOf(heads, lists).filter((head) => isKept.has(head)));
    this.#rules.onChange();
  }

  #allHeads(): readonly CrlHead[] {
    return [...this.#files.values()].flatMap(({ heads, kept }) => [...heads, ...kept]);
  }

  /** Drops kept lists: they are used no more. */
  #drop(lists: readonly CrlHead[]): void {
    if (lists.length === 0) {
      return;
    }
    const dropped = new Set(lists);
    const isLeft = (head: CrlHead | undefined): boolean => head === undefined || !dropped.has(head);
    for (const [path, file] of this.#files) {
      this.#files.set(path, { ...file, kept: file.kept.filter(isLeft) });
    }
    this.#byName.replace(this.#allHeads());
    for (const [key, { issuer, heads, lists: ofIssuer }] of [...this.#opened.entries()]) {
      if (!heads.every(isLeft)) {
        const left = ofIssuer.filter((_, index) => isLeft(heads[index]));
        this.#opened.set(key, { issuer, heads: heads.filter(isLeft), lists: left });
      }
    }
  }

  /** The kept lists beyond the limits: first those that no key has opened, then those that expire first. */
  #keptBeyondLimits({ kept, unusableCount }: ListsOfFile): readonly CrlHead[] {
    const isOpened = (head: CrlHead): number => Number(this.#usable.has(head));
    let size = 0;
    return kept
      .toSorted((one, other) => isOpened(other) - isOpened(one) || other.nextUpdate - one.nextUpdate)
      .filter(({ der }, index) => {
        size += der.length;
        const isBeyond = index >= MAX_KEPT || size > KEPT_OF_MAX_SIZE * this.#rules.maxSize;
        return isBeyond && index >= unusableCount;
      });
  }

  #readAtStart(path: string): readonly CrlHead[] {
    const { option, maxSize } = this.#rules;
    let content: Buffer;
    try {
      this.#states.set(path, describeState(statSync(path)));
      content = readFileSync(path);
    } catch (error) {
      throw createMismatch(
        option,
        'files that can be read',
        `${describePath(path)}: ${explainFileError(error)}`,
      );
    }
    const read = readCrlFile(content, maxSize);
    if ('why' in read) {
      throw createMismatch(option, 'files of revocation lists in PEM or DER', path, `: ${read.why}`);
    }
    if (read.unusable.length > 0) {
      this.#rules.onFailure(`${path}: ${describeUnusable(read)}`);
    }
    return read.heads;
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      void this.#look().finally(() => this.#timer !== undefined && this.#schedule());
    }, LOOK_INTERVAL * 1_000);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    const changed: CrlHead[] = [];
    for (const path of this.#rules.paths) {
      const state = await stateOf(path);
      const changedHere = state === this.#states.get(path) ? undefined : await this.#readAgain(path);
      if (changedHere !== undefined) {
        changed.push(...changedHere);
        this.#states.set(path, state);
      }
    }
    if (changed.length > 0) {
      // The old lists are used until the new ones are open. The lists of an issuer that has signed none of
      // them are opened when they are needed again: many issuers may have the name of one authority, each
      // with a key of its own.
      const names = this.#opened.size > 0 ? this.#byName.namesOf(changed) : new Set();
      for (const [key, { issuer, lists }] of [...this.#opened.entries()]) {
        if (!names.has(issuer.subjectName)) {
          continue;
        }
        if (lists.some(isUsable)) {
          await this.#openAll(issuer);
        } else {
          this.#opened.delete(key);
        }
      }
      this.#drop([...this.#files.values()].flatMap((file) => this.#keptBeyondLimits(file)));
      const heads = new Set(this.#allHeads());
      this.#usable = new Map([...this.#usable].filter(([head]) => heads.has(head)));
      // Also for the issuers that were dropped before.
      this.#rules.onChange();
    }
  }

  /** Returns the lists that came and those that went; `undefined` if the file can't be read again. */
  async #readAgain(path: string): Promise<readonly CrlHead[] | undefined> {
    let read: ReturnType<typeof readCrlFile>;
    try {
      read = readCrlFile(await readFile(path), this.#rules.maxSize);
    } catch (error) {
      read = { why: explainFileError(error) };
    }
    if ('why' in read) {
      const { why } = read;
      this.#rules.onFailure(`${path} can not be read again, the lists read before are still used: ${why}`);
      return undefined;
    }
    const hasUnusable = await this.#matchIssuers(read.unusable);
    const { heads: inFile = [], kept: keptBefore = [] } = this.#files.get(path) ?? {};
    const before = [...inFile, ...keptBefore];
    const heads = keepKnown(read.heads, before);
    const isThere = new Set(heads);
    const kept = before.filter((head) => !isThere.has(head) && hasUnusable(head));
    if (read.unusable.length > 0) {
      const meanwhile =
        kept.length > 0 ? '. Lists of these issuers that were read before are still used' : '';
      this.#rules.onFailure(`${path}: ${describeUnusable(read)}${meanwhile}`);
    }
    this.#files.set(path, { heads, kept, unusableCount: read.unusable.length });
    this.#byName.replace(this.#allHeads());
    this.#version += 1;
    const [old, now] = [new Set(before), new Set([...heads, ...kept])];
    return [...before.filter((head) => !now.has(head)), ...heads.filter((head) => !old.has(head))];
  }

  /**
   * Resolves with a function that returns whether one of the unusable lists may be the successor of a list,
   * as both have the same issuer. An unusable list whose issuer can't be read may be that of any issuer.
   */
  async #matchIssuers(unusable: readonly UnusableList[]): Promise<(head: CrlHead) => boolean> {
    const isLoaded = await x509.load().then(
      () => true,
      () => false,
    );
    const names = unusable.map(({ issuer }) => isLoaded && issuer && this.#byName.nameOf({ issuer }));
    return (head) => names.some((name) => typeof name !== 'string' || name === this.#byName.nameOf(head));
  }
}

/**
 * The lists of one key that a newer list of their kind replaces. Only lists that are open are compared: what
 * a list says before its signature is verified may be forged, and another key of its issuer's name may be
 * that of another authority.
 *
 * @param lists of each head, what the key of one issuer has opened
 */
function replacedOf(heads: readonly CrlHead[], lists: readonly OpenedCrl[]): readonly CrlHead[] {
  const now = Date.now();
  const newest = new Map<string, number>();
  for (const { kind, thisUpdate } of lists.filter(isUsable)) {
    if (thisUpdate <= now) {
      newest.set(kind, Math.max(thisUpdate, newest.get(kind) ?? thisUpdate));
    }
  }
  return heads.filter((_, index) => {
    const list = lists[index];
    return list !== undefined && isUsable(list) && list.thisUpdate < (newest.get(list.kind) ?? 0);
  });
}

/** Puts the lists that were read before in place of equal ones: they need not be opened again. */
function keepKnown(heads: readonly CrlHead[], before: readonly CrlHead[]): readonly CrlHead[] {
  const signatureOf = ({ parts }: CrlHead): string => Buffer.from(parts.signature).toString('latin1');
  const known = new Map(before.map((head) => [signatureOf(head), head]));
  return heads.map((head) => {
    const earlier = known.get(signatureOf(head));
    return earlier !== undefined && isSameBytes(earlier.der, head.der) ? earlier : head;
  });
}

/** The lists of one issuer. */
interface OpenedLists {
  readonly issuer: PathCertificate;
  readonly heads: readonly CrlHead[];
  /** Of each head, the list. */
  readonly lists: readonly OpenedCrl[];
}

function listIn(opened: OpenedLists | undefined, head: CrlHead): OpenedCrl | undefined {
  return opened?.lists[opened.heads.indexOf(head)];
}

const keys = new WeakMap<PathCertificate, string>();

/**
 * Returns what the lists of an issuer depend on: its name and its key, whichever of its certificates is sent.
 * A key that is not accepted, which may be another form of one that is, opens no list.
 */
function keyOf(issuer: PathCertificate): string {
  const known = keys.get(issuer);
  if (known !== undefined) {
    return known;
  }
  const { publicKey, subjectName } = issuer;
  const key =
    explainUnacceptedIssuerKey(publicKey) === undefined
      ? authorityKeyOf(issuer)
      : createHash('sha256').update(publicKey).update(subjectName).digest('base64url');
  keys.set(issuer, key);
  return key;
}

/** Changes when the file does. A file that can't be looked at is one that is just being replaced. */
async function stateOf(path: string): Promise<string> {
  try {
    return describeState(await stat(path));
  } catch {
    return '?';
  }
}

function describeState({ mtimeMs, ctimeMs, ino, size }: Stats): string {
  return [mtimeMs, ctimeMs, ino, size].join();
}
