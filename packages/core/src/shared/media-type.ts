/**
 * Returns the media type of a `Content-Type`, in lower case and without parameters (RFC 9110
 * §8.3.1); an empty text for a header that is absent or is no media type.
 */
export function mediaTypeOf(contentType: string | null | undefined): string {
  const [type = ''] = (contentType ?? '').split(';', 1);
  const trimmed = type.replace(/^[\t ]+|[\t ]+$/g, '').toLowerCase();
  return mediaType.test(trimmed) ? trimmed : '';
}

const mediaType = /^[\w!#$%&'*+\-.^`|~]+\/[\w!#$%&'*+\-.^`|~]+$/;

export const formType = 'application/x-www-form-urlencoded';
