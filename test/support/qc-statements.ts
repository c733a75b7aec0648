import * as x509 from '@peculiar/x509';
import { ObjectIdentifier, Sequence, Utf8String } from 'asn1js';

/** ETSI TS 119 495 §5.1: the statement beside those that every qualified certificate has. */
export function qcStatements(...roles: string[]): x509.Extension {
  const oid = (value: string) => new ObjectIdentifier({ value });
  const role = (value: string) =>
    new Sequence({ value: [oid(value), new Utf8String({ value: 'a name for people' })] });
  const info = new Sequence({
    value: [
      new Sequence({ value: roles.map(role) }),
      new Utf8String({ value: 'Financial Supervisory Authority' }),
      new Utf8String({ value: 'NO-FSA' }),
    ],
  });
  const statements = new Sequence({
    value: [
      new Sequence({ value: [oid('0.4.0.1862.1.1')] }),
      new Sequence({ value: [oid('0.4.0.19495.2'), info] }),
    ],
  });
  return new x509.Extension('1.3.6.1.5.5.7.1.3', false, statements.toBER());
}
