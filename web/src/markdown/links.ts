const schemes = new Set(["http:", "https:", "mailto:"]);

/** The address if a link in an answer may lead there, which no relative address may. */
export function safeAddress(href: string): string | undefined {
  try {
    const url = new URL(href);
    return schemes.has(url.protocol) ? url.href : undefined;
  } catch {
    return undefined;
  }
}
