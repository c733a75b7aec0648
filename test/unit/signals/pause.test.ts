import { afterEach, expect, it, vi } from 'vitest';
import { pause, pauseAfter } from '../../../packages/core/src/signals/pause.js';

afterEach(() => {
  vi.restoreAllMocks();
});

it.each([
  [1, 1],
  [2, 2],
  [3, 4],
  [6, 32],
  [7, 60],
  [5_000, 60],
])('after %i failures the pause is %i seconds, or up to a half less', (failures, most) => {
  vi.spyOn(Math, 'random').mockReturnValue(0);
  expect(pauseAfter(failures)).toBe(most);
  vi.spyOn(Math, 'random').mockReturnValue(1);
  expect(pauseAfter(failures)).toBe(most / 2);
});

it('the pause is not shorter than the other side asks for', () => {
  expect(pauseAfter(1, 120)).toBe(120);
});

it('a pause ends when its signal is aborted, before and during it', async () => {
  const end = new AbortController();
  const paused = pause(3_600, end.signal);
  end.abort();
  await expect(paused).resolves.toBeUndefined();
  await expect(pause(3_600, end.signal)).resolves.toBeUndefined();
});
