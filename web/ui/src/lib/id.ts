/** A name that nobody else makes. Unlike crypto.randomUUID, also on a page that was served by plain HTTP. */
export function newId(): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => alphabet[byte & 31]).join('');
}
