// Why one overload for each number of guards: TypeScript does not infer what guards grant through a
// rest parameter such as `[...guards: Guards, handler]` once a guard is generic, as requireClaims()
// is. The handler would know the `Authorization` as such and no more.
import type { Authorization } from '../authorization.js';
import type { GuardOf, GuardType } from './guards.js';

/**
 * The types of a framework's handlers, for `guarded()`: an interface that extends this one says
 * them in terms of `this['granted']` and `this['input']`.
 */
export interface HandlerType extends GuardType {
  /**
   * The first parameter of a handler: the request of Express, the context of Koa. It stays `unknown`
   * in an adapter, and `GuardedCall` sets it.
   */
  readonly input: unknown;
  /** `input` of a handler whose parameters have no types of their own. */
  readonly untyped: unknown;
  /** The second parameter of such a handler: the response of Express, `next` of Koa. */
  readonly output: unknown;
  /** The parameters behind these. */
  readonly further: readonly unknown[];
  /** What guards that grant `granted` add to `input`. */
  readonly added: unknown;
  /** What a handler that takes `input` claims to be granted; `unknown` if it claims nothing. */
  readonly claimed: unknown;
  /** What `guarded()` returns for a handler that takes `input`. */
  readonly route: unknown;
}

/**
 * What guards grant, which TypeScript infers from the guards alone and not from the handler behind
 * them.
 */
type NotInferred<A> = [A][A extends unknown ? 0 : never];

/**
 * The handler behind guards; `never` if it types its own input and claims more of the authorization
 * than the guards grant.
 */
type Behind<T extends HandlerType, A extends Authorization, In, Out> = ((
  input: In & (T & { readonly granted: NotInferred<A> })['added'],
  output: Out,
  ...further: T['further']
) => unknown) &
  ([NotInferred<A>] extends [(T & { readonly input: In })['claimed']] ? unknown : never);

type Route<T extends HandlerType, In> = (T & { readonly input: In })['route'];

/** The ways to call `guarded()` of a framework: with up to six guards, and the handler behind them. */
export interface GuardedCall<T extends HandlerType> {
  <In = T['untyped'], Out = T['output']>(handler: Behind<T, Authorization, In, Out>): Route<T, In>;
  <A, In = T['untyped'], Out = T['output']>(
    a: GuardOf<T, Authorization & A>,
    handler: Behind<T, Authorization & A, In, Out>,
  ): Route<T, In>;
  <A, B, In = T['untyped'], Out = T['output']>(
    a: GuardOf<T, Authorization & A>,
    b: GuardOf<T, Authorization & B>,
    handler: Behind<T, Authorization & A & B, In, Out>,
  ): Route<T, In>;
  <A, B, C, In = T['untyped'], Out = T['output']>(
    a: GuardOf<T, Authorization & A>,
    b: GuardOf<T, Authorization & B>,
    c: GuardOf<T, Authorization & C>,
    handler: Behind<T, Authorization & A & B & C, In, Out>,
  ): Route<T, In>;
  <A, B, C, D, In = T['untyped'], Out = T['output']>(
    a: GuardOf<T, Authorization & A>,
    b: GuardOf<T, Authorization & B>,
    c: GuardOf<T, Authorization & C>,
    d: GuardOf<T, Authorization & D>,
    handler: Behind<T, Authorization & A & B & C & D, In, Out>,
  ): Route<T, In>;
  <A, B, C, D, E, In = T['untyped'], Out = T['output']>(
    a: GuardOf<T, Authorization & A>,
    b: GuardOf<T, Authorization & B>,
    c: GuardOf<T, Authorization & C>,
    d: GuardOf<T, Authorization & D>,
    e: GuardOf<T, Authorization & E>,
    handler: Behind<T, Authorization & A & B & C & D & E, In, Out>,
  ): Route<T, In>;
  <A, B, C, D, E, F, In = T['untyped'], Out = T['output']>(
    a: GuardOf<T, Authorization & A>,
    b: GuardOf<T, Authorization & B>,
    c: GuardOf<T, Authorization & C>,
    d: GuardOf<T, Authorization & D>,
    e: GuardOf<T, Authorization & E>,
    f: GuardOf<T, Authorization & F>,
    handler: Behind<T, Authorization & A & B & C & D & E & F, In, Out>,
  ): Route<T, In>;
}
