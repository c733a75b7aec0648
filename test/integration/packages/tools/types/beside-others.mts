// Other packages declare req.auth as well: our property has another name then.

import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import type { AuthInfo } from '@modelcontextprotocol/sdk/server/auth/types.js';
import express from 'express';
import type { Authorization } from 'express-mtls';
import { guarded, mtlsBound, requirePsd2Role } from 'express-mtls';

declare module 'express-mtls' {
  interface MtlsBoundTypes {
    property: 'mtls';
  }
}

export const guard = requireBearerAuth;
const app = express();
app.use(mtlsBound({ property: 'mtls' }));
app.get('/', (req, res) => {
  const theirs: AuthInfo | undefined = req.auth;
  const ours: Authorization | undefined = req.mtls;
  // @ts-expect-error
  const wrong: number = req.mtls;
  res.send([theirs?.token, ours?.subject, wrong]);
});
app.get(
  '/psd2',
  guarded(requirePsd2Role('PSP_AI'), (req, res) => {
    const theirs: AuthInfo | undefined = req.auth;
    res.send([theirs?.token, req.mtls.certificate.thumbprint]);
  }),
);
