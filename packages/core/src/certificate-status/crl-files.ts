import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import { isSameBytes } from '../certificate/der-members.js';
import { x509 } from '../certificate/lazy-x509.js';
import { comparableKey } from '../chain/comparable-key.js';
import { explainUnacceptedIssuerKey } from '../chain/key-rules.js';
import type { PathCertificate } from '../chain/path-certificate.js';
import { isTellable } from '../errors.js';
import { describePath, explainFileError } from '../shared/file-error.js';
import { describeFileState, readFileStates } from '../shared/file-state.js';
import { createMismatch } from '../shared/option-errors.js';
import { describeError } from '../shared/shown-error.js';
import { SingleReading } from '../shared/single-reading.js';
import { authorityKeyOf } from './authority-key.js';
import { type Crl, type CrlHead, openCrl, type UnusableCrl } from './crl.js';
import { type CrlFileContent, describeUnusable, readCrlFile } from './crl-file-content.js';
import { HeadsByName } from './heads-by-name.js';
import { findKeptBeyondLimits, type KnownLists, type ListsOfFile } from './kept-crls.js';

/** Seconds between two looks at the files. */
const LOOK_INTERVAL = 5;

/** Seconds that the files may take. Requests do not wait for them: the lists read before are used. */
const TIMEOUT = 5;

/** Issuers whose lists are known, and the bytes of their certificates together. */
const MAX_ISSUERS = 1_000;
const MAX_ISSUERS_SIZE = 8_388_608;

export interface CrlFileRules {
  readonly paths: readonly string[];
  /** The name of the option in error messages. */
  readonly option: string;
  /** Bytes of one list. */
  readonly maxSize: number;
  /** Returns the seconds that the clock of an authority may be ahead. */
  readonly clockTolerance: () => number;
  /** Other lists are used from now on. */
  readonly onChange: () => void;
  /** A file can't be read again, or not every list of it can be used. */
  readonly onFailure: (message: string) => void;
}

/** A list of a file that was opened for an issuer, or why it can't be used. */
export type OpenedCrl = Crl | UnusableCrl;

/** Returns whether a list can be used. */
export function isUsable(list: OpenedCrl): list is Crl {
  return !('why' in list);
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
  /** Counts the times that files were read, and that kept lists were dropped. */
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
  /** Lists that were reported, as no key could open them. */
  readonly #reported = new WeakSet<CrlHead>();
  readonly #known: KnownLists = {
    nameOf: (head) => this.#byName.nameOf(head),
    isOpened: (head) => this.#usable.has(head),
    canBeUsed: (head) => this.#usable.has(head) && !this.#isFromFuture(head),
  };
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  readonly #reading = new SingleReading();
  /** The file that is looked at; all of them while none is. */
  #pathAtHand: string;
  /** Settles when what was read last is used. */
  #using: Promise<void> = Promise.resolve();

  /** Reads the files. Throws `ConfigurationError` for a file that can't be read, or that holds no list. */
  constructor(rules: CrlFileRules) {
    this.#rules = rules;
    this.#pathAtHand = rules.paths.join(', ');
    this.#files = new Map(rules.paths.map((path) => [path, this.#readAtStart(path)]));
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
    const started = this.#openAll(issuer)
      .then(() => this.#reportUnopened(issuer))
      .finally(() => this.#opening.delete(key));
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
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  async #openAll(issuer: PathCertificate): Promise<void> {
    const key = keyOf(issuer);
    let opened = this.#opened.peek(key);
    let version: number;
    do {
      // A file may be read again meanwhile, and a kept list dropped.
      version = this.#version;
      opened = await openHeads(this.#byName.of(issuer.subjectName), issuer, opened);
    } while (version !== this.#version);
    this.#opened.set(key, opened);
    for (const [index, head] of opened.heads.entries()) {
      const list = opened.lists[index];
      if (list !== undefined && isUsable(list)) {
        this.#usable.set(head, (this.#usable.get(head) ?? new Map()).set(list.signerKey, list));
      }
    }
    this.#drop(this.#findReplaced(opened));
    this.#rules.onChange();
  }

  /**
   * The kept lists that are needed no more, now that an issuer has opened its lists: a newer list replaces
   * them, or none of the lists of this name in their file is left that may do so.
   */
  #findReplaced({ issuer, heads, lists }: OpenedLists): readonly CrlHead[] {
    const ofName = new Set(heads);
    const replaced = new Set(replacedOf(heads, lists));
    return [...this.#files.values()].flatMap((file) => {
      const kept = file.kept.filter((head) => ofName.has(head));
      const isWaiting =
        kept.length > 0 &&
        (file.unusable.some(({ name }) => name === undefined || name === issuer.subjectName) ||
          [...file.heads.keys()].some((head) => ofName.has(head) && !this.#known.canBeUsed(head)));
      return isWaiting ? kept.filter((head) => replaced.has(head)) : kept;
    });
  }

  #isFromFuture({ thisUpdate }: CrlHead): boolean {
    return thisUpdate - 1_000 * this.#rules.clockTolerance() > Date.now();
  }

  #allHeads(): readonly CrlHead[] {
    return [...this.#files.values()].flatMap(({ heads, kept }) => [...heads.keys(), ...kept]);
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
    this.#version += 1;
    for (const [key, { issuer, heads, lists: ofIssuer }] of [...this.#opened.entries()]) {
      if (!heads.every(isLeft)) {
        const left = ofIssuer.filter((_, index) => isLeft(heads[index]));
        this.#opened.set(key, { issuer, heads: heads.filter(isLeft), lists: left });
      }
    }
  }

  /**
   * Reports the lists of files that an issuer can't open, each once. A list that another key may have signed
   * is reported if an earlier list by the key of the issuer is kept, as this one may be its successor.
   */
  #reportUnopened(issuer: PathCertificate): void {
    const { heads = [], lists = [] } = this.#opened.peek(keyOf(issuer)) ?? {};
    for (const [path, file] of this.#files) {
      const kept = new Set(file.kept);
      const keepsOwn = heads.some((head, index) => {
        const list = lists[index];
        return kept.has(head) && list !== undefined && isUsable(list);
      });
      const unopened = heads.flatMap((head, index) => {
        const number = file.heads.get(head);
        const why = this.#reported.has(head)
          ? undefined
          : this.#explainUnopened(head, lists[index], keepsOwn);
        return number === undefined || why === undefined ? [] : [{ head, number, why }];
      });
      if (unopened.length > 0) {
        for (const { head } of unopened) {
          this.#reported.add(head);
        }
        this.#reportLists(path, file, unopened, keepsOwn);
      }
    }
  }

  #explainUnopened(head: CrlHead, list: OpenedCrl | undefined, keepsOwn: boolean): string | undefined {
    if (this.#usable.has(head)) {
      return this.#isFromFuture(head) ? 'its thisUpdate is in the future' : undefined;
    }
    const isReason = list !== undefined && !isUsable(list);
    return isReason && (keepsOwn || list.signerKey !== undefined) ? list.why : undefined;
  }

  /** Reports the lists of a file that can't be read. */
  #reportUnreadable(path: string, file: ListsOfFile): void {
    const inFile = new Set([...file.heads.keys()].map(this.#known.nameOf));
    const names = new Set(file.unusable.map(({ name }) => name));
    const isKept = file.kept.some((head) => {
      const name = this.#known.nameOf(head);
      return names.has(name) || (names.has(undefined) && !inFile.has(name));
    });
    if (file.unusable.length > 0) {
      this.#reportLists(path, file, file.unusable, isKept);
    }
  }

  #reportLists(
    path: string,
    { heads, unusable: unreadable }: ListsOfFile,
    unusable: Parameters<typeof describeUnusable>[0],
    isKept: boolean,
  ): void {
    const meanwhile = isKept ? '. Lists of these issuers that were read before are still used' : '';
    const count = heads.size + unreadable.length;
    this.#rules.onFailure(`${path}: ${describeUnusable(unusable, count)}${meanwhile}`);
  }

  #readAtStart(path: string): ListsOfFile {
    const { option, maxSize } = this.#rules;
    let content: Buffer;
    try {
      this.#states.set(path, describeFileState(statSync(path)));
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
    const { heads } = read;
    // No name is needed while no list is kept.
    const unusable = read.unusable.map(({ number, why }) => ({ number, why, name: undefined }));
    const file: ListsOfFile = { heads, unusable, kept: [] };
    if (unusable.length > 0) {
      this.#reportLists(path, file, unusable, false);
    }
    return file;
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      void this.#look().finally(() => this.#isClosed || this.#schedule());
    }, LOOK_INTERVAL * 1_000);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    // A reading that was given up may have ended since.
    await this.#using;
    try {
      await this.#reading.run(TIMEOUT, async () => {
        const read = await this.#readChanged();
        if (!this.#isClosed) {
          this.#using = this.#useChanged(read).catch((error: unknown) => {
            this.#reportKept(this.#pathAtHand, describeError(error));
          });
        }
      });
    } catch (error) {
      if (!this.#isClosed) {
        this.#reportKept(this.#pathAtHand, isTellable(error) ? error.message : describeError(error));
      }
    }
    await this.#using;
  }

  /** Reads the files that have changed, one after the other. */
  async #readChanged(): Promise<readonly ChangedFile[]> {
    const read: ChangedFile[] = [];
    for (const path of this.#rules.paths) {
      this.#pathAtHand = path;
      const state = await readFileStates(path);
      if (state !== this.#states.get(path)) {
        read.push({ path, state, content: await this.#readAgain(path) });
      }
    }
    this.#pathAtHand = this.#rules.paths.join(', ');
    return read;
  }

  async #readAgain(path: string): Promise<ChangedFile['content']> {
    try {
      return readCrlFile(await readFile(path), this.#rules.maxSize);
    } catch (error) {
      return { why: explainFileError(error) };
    }
  }

  async #useChanged(files: readonly ChangedFile[]): Promise<void> {
    const changed: CrlHead[] = [];
    const readPaths: string[] = [];
    for (const { path, state, content } of files) {
      const changedHere = await this.#replace(path, content);
      if (changedHere !== undefined) {
        changed.push(...changedHere);
        readPaths.push(path);
        this.#states.set(path, state);
      }
    }
    const openedAgain = changed.length > 0 ? await this.#openChanged(changed) : [];
    for (const path of readPaths) {
      const file = this.#files.get(path);
      if (file !== undefined) {
        this.#reportUnreadable(path, file);
      }
    }
    for (const issuer of openedAgain) {
      this.#reportUnopened(issuer);
    }
    if (changed.length > 0) {
      // Also for the issuers that were dropped before.
      this.#rules.onChange();
    }
  }

  /**
   * Opens the lists of the issuers that have signed lists before, if these have changed. Resolves with these
   * issuers.
   *
   * The old lists are used until the new ones are open. The lists of an issuer that has signed none of them
   * are opened when they are needed again: many issuers may have the name of one authority, each with a key
   * of its own.
   */
  async #openChanged(changed: readonly CrlHead[]): Promise<readonly PathCertificate[]> {
    const openedAgain: PathCertificate[] = [];
    const names = this.#opened.size > 0 ? this.#byName.namesOf(changed) : new Set();
    for (const [key, { issuer, lists }] of [...this.#opened.entries()]) {
      if (!names.has(issuer.subjectName)) {
        continue;
      }
      if (lists.some(isUsable)) {
        await this.#openAll(issuer);
        openedAgain.push(issuer);
      } else {
        this.#opened.delete(key);
      }
    }
    const { maxSize } = this.#rules;
    this.#drop([...this.#files.values()].flatMap((file) => findKeptBeyondLimits(file, maxSize, this.#known)));
    const heads = new Set(this.#allHeads());
    this.#usable = new Map([...this.#usable].filter(([head]) => heads.has(head)));
    return openedAgain;
  }

  #reportKept(path: string, why: string): void {
    this.#rules.onFailure(`${path} can not be read again, the lists read before are still used: ${why}`);
  }

  /** Returns the lists that came and those that went; `undefined` if what was read can't be used. */
  async #replace(path: string, content: ChangedFile['content']): Promise<readonly CrlHead[] | undefined> {
    let read = content;
    try {
      await x509.load();
    } catch (error) {
      read = { why: explainFileError(error) };
    }
    if ('why' in read) {
      this.#reportKept(path, read.why);
      return undefined;
    }
    const { heads: inFile = new Map(), kept: keptBefore = [] } = this.#files.get(path) ?? {};
    const before = [...inFile.keys(), ...keptBefore];
    const heads = keepKnown(read.heads, before);
    const unusable = read.unusable.map(({ number, why, issuer }) => {
      return { number, why, name: issuer && this.#byName.nameOf({ issuer }) };
    });
    const { nameOf, isOpened, canBeUsed } = this.#known;
    const unusableNames = new Set(unusable.map(({ name }) => name));
    const unopenedNames = this.#byName.namesOf([...heads.keys()].filter((head) => !canBeUsed(head)));
    const changedNames = this.#byName.namesOf([
      ...[...inFile.keys()].filter((head) => !heads.has(head)),
      ...[...heads.keys()].filter((head) => !inFile.has(head)),
    ]);
    // Each time the lists of an issuer change, those that no key has opened are kept until the next change
    // alone: otherwise they would fill the memory.
    const mayHaveSuccessor = (head: CrlHead): boolean => {
      const name = nameOf(head);
      const isUnopened = name !== undefined && unopenedNames.has(name);
      return (
        unusableNames.has(undefined) ||
        unusableNames.has(name) ||
        (isUnopened && (inFile.has(head) || isOpened(head) || !changedNames.has(name)))
      );
    };
    const kept = before.filter((head) => !heads.has(head) && mayHaveSuccessor(head));
    this.#files.set(path, { heads, kept, unusable });
    this.#byName.replace(this.#allHeads());
    this.#version += 1;
    const [old, now] = [new Set(before), new Set([...heads.keys(), ...kept])];
    return [
      ...before.filter((head) => !now.has(head)),
      ...[...heads.keys()].filter((head) => !old.has(head)),
    ];
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
function keepKnown(heads: CrlFileContent['heads'], before: readonly CrlHead[]): CrlFileContent['heads'] {
  const signatureOf = ({ parts }: CrlHead): string => Buffer.from(parts.signature).toString('latin1');
  const known = new Map(before.map((head) => [signatureOf(head), head]));
  return new Map(
    [...heads].map(([head, number]) => {
      const earlier = known.get(signatureOf(head));
      return [earlier !== undefined && isSameBytes(earlier.der, head.der) ? earlier : head, number];
    }),
  );
}

/** A file that has changed, and what it holds now. */
interface ChangedFile {
  readonly path: string;
  readonly state: string;
  readonly content: ReturnType<typeof readCrlFile>;
}

/** The lists of one issuer. */
interface OpenedLists {
  readonly issuer: PathCertificate;
  readonly heads: readonly CrlHead[];
  /** Of each head, the list. */
  readonly lists: readonly OpenedCrl[];
}

/** Opens lists by the key of an issuer, but for those that it has opened before. */
async function openHeads(
  heads: readonly CrlHead[],
  issuer: PathCertificate,
  before: OpenedLists | undefined,
): Promise<OpenedLists> {
  const listOf = (head: CrlHead): OpenedCrl | undefined => before?.lists[before.heads.indexOf(head)];
  const lists = await Promise.all(heads.map((head) => listOf(head) ?? openCrl(head, issuer)));
  return { issuer, heads, lists };
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
