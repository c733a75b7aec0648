#!/usr/bin/env node
// The command of @mtls-bound/core, for package managers that show an application the commands of its direct dependencies alone.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const core = dirname(createRequire(import.meta.url).resolve('@mtls-bound/core/package.json'));
await import(pathToFileURL(join(core, 'bin/mtls-doctor.js')).href);
