import { mtlsBound, requireCertificateSubject } from 'express-mtls';

// `next build` imports this file too, without the options.
const options = JSON.parse(process.env.API_OPTIONS ?? '{}');
const example = {
  issuer: 'https://as.example.com',
  clientId: 'api',
  clientSecret: 'secret',
  audience: 'api',
};
const certificatePolicy = { extendedKeyUsage: 'clientAuth' };
const bound = mtlsBound({ ...example, ...options, certificatePolicy });
const subject = requireCertificateSubject({ CN: 'client_id' });

export default function handler(req, res) {
  return new Promise((resolve) => {
    res.once('close', resolve);
    bound(req, res, () => subject(req, res, () => res.send(req.auth.clientId)));
  });
}
