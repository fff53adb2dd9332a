import { type Candidate, chosenVote, type Run, tokensOf } from "./run";

/** An answer in a cell of a table: whatever it is, it stays there. */
const cell = (text: string): string => {
  const line = text.replace(/\s+/g, " ").replace(/[\\|<&`$*_[\]]/g, "\\$&").trim();
  return line.length > 200 ? `${line.slice(0, 199)}…` : line;
};

const ended = ({ state, finish, error }: Candidate): string =>
  state === "done" ? (finish ?? "done") : state === "failed" && error ? `failed: ${error}` : state;

/** A run as a folded table: what each candidate saw, used and answered, and the votes. Stages and candidates count from one. */
export function runMarkdown(run: Run): string {
  const rows = run.stages.flatMap((stage, at) =>
    stage.map((one, slot) => {
      const chosen = run.result?.stage === at && run.result.chosen === slot ? " (chosen)" : "";
      const sources = one.sources.map((source) => source + 1).join(", ");
      return `| ${at + 1} | ${slot + 1}${chosen} | ${sources} | ${one.tokens} | ${cell(ended(one))} | ${cell(one.answer ?? "")} |`;
    }),
  );
  const best = chosenVote(run);
  const votes = (run.result?.votes ?? []).map(
    (vote) => `- ${vote.candidates.length} × ${cell(vote.answer)}${vote === best ? " (chosen)" : ""}`,
  );
  return [
    "<details>",
    `<summary>Markovian RSA: ${run.stages.length} stages, ${tokensOf(run)} tokens</summary>`,
    "",
    "| stage | candidate | shown | tokens | ended | answer |",
    "|---|---|---|---|---|---|",
    ...rows,
    ...(votes.length ? ["", "Votes:", "", ...votes] : []),
    "",
    "</details>",
  ].join("\n");
}
