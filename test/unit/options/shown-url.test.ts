import { expect, it } from 'vitest';
import {
  hasUserInfo,
  redactIdentifier,
  redactUrl,
  redactUrlSpelling,
} from '../../../packages/core/src/shared/shown-url.js';

it.each([
  ['https://as.example.com', 'https://as.example.com/'],
  ['https://as.example.com:8443/introspect', 'https://as.example.com:8443/introspect'],
  ['https://user:pa55word@as.example.com/introspect', 'https://as.example.com/introspect'],
  ['https://pa55word@as.example.com/', 'https://as.example.com/'],
  ['https://as.example.com/introspect?code=pa55word', 'https://as.example.com/introspect'],
  ['https://as.example.com/introspect#pa55word', 'https://as.example.com/introspect'],
  ['urn:pa55word', 'urn:[hidden]'],
  ['data:,pa55word', 'data:[hidden]'],
  [`https://as.example.com/${'a'.repeat(277)}`, `https://as.example.com/${'a'.repeat(277)}`],
  [
    `https://as.example.com/${'a'.repeat(278)}`,
    `https://as.example.com/${'a'.repeat(277)}... (301 characters)`,
  ],
  ['pa55word', '[not a URL]'],
  ['', '[not a URL]'],
])('%s is shown as %s', (url, shown) => {
  expect(redactUrl(url)).toBe(shown);
});

it.each([
  ['redactUrl', redactUrl],
  ['redactUrlSpelling', redactUrlSpelling],
  ['redactIdentifier', redactIdentifier],
])('%s() shows the beginning of a text of a million characters', (_name, show) => {
  expect(show(`https://as.example.com/${'a'.repeat(1_000_000)}`)).toMatch(
    /^https:.{294}\.\.\. \(1000023 characters\)$/,
  );
});

it('a URL object is shown like its text', () => {
  expect(redactUrl(new URL('https://user:pa55word@as.example.com/x?code=y#z'))).toBe(
    'https://as.example.com/x',
  );
});

it.each([
  ['https://user:pa55word@as.example.com', true],
  ['https://user@as.example.com', true],
  ['https://:pa55word@as.example.com', true],
  ['https://as.example.com/@x', false],
  ['no URL', false],
])('%s carries a user name or a password: %s', (url, expected) => {
  expect(hasUserInfo(url)).toBe(expected);
});
