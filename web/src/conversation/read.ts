/** Reading of values that may be anything: out of a file, or from a server. */

export type Fields = Record<string, unknown>;

export const fields = (value: unknown): Fields | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;

export const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

export const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** A time in milliseconds since 1970; now, where there is none. */
export const time = (value: unknown): number =>
  typeof value === "number" && Number.isFinite(value) && value > 0 && value < 8.64e15 ? value : Date.now();

/** A number of things, at most `most`. */
export const amount = (value: unknown, most = Number.MAX_SAFE_INTEGER): number | undefined =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most ? (value as number) : undefined;

/** A measure that is not negative. */
export const measure = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined;
