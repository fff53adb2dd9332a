import { useLayoutEffect, useRef } from "preact/hooks";
import type { CandidateAddress, Run } from "../conversation/run";
import { Markdown } from "../markdown/markdown";
import { growing, messages } from "../state/conversations";
import { IconButton } from "./button";
import { CopyButton } from "./copy";
import { Dialog } from "./dialog";
import { count, words } from "./format";
import { candidateAt, candidateFigures, candidateName, fedBy, inLine, isChosen, sourcesOf } from "./run_text";
import { Thinking } from "./thinking";
import { type CandidateView, dialog } from "./view";

function Others({ label, stage, slots, go }: { label: string; stage: number; slots: number[]; go: (at: CandidateAddress) => void }) {
  if (slots.length === 0) return null;
  return (
    <p class="row others">
      <span class="faint">
        {label} stage {stage + 1}:
      </span>
      {slots.map((slot) => (
        <button key={slot} type="button" class="button" aria-label={candidateName({ stage, slot })} onClick={() => go({ stage, slot })}>
          {slot + 1}
        </button>
      ))}
    </p>
  );
}

function Contents({ run, at, live, go }: { run: Run; at: CandidateAddress; live: boolean; go: (at: CandidateAddress) => void }) {
  const { stage, slot } = at;
  const candidate = candidateAt(run, at)!;
  const { state, reasoning, content, cut, answer, error, finish } = candidate;
  const running = state === "running" && live;
  const silent = !reasoning && !content;
  return (
    <>
      <ul class="figures">
        {candidateFigures(candidate).map((figure) => (
          <li key={figure}>{figure}</li>
        ))}
        {answer !== undefined && (
          <li>
            answer <bdi>{inLine(answer, 200)}</bdi>
            {isChosen(run, at) && ", chosen"}
          </li>
        )}
      </ul>
      <Others label="Fed by" stage={stage - 1} slots={sourcesOf(run, at)} go={go} />
      <Others label="Feeds" stage={stage + 1} slots={fedBy(run, at)} go={go} />
      {cut !== undefined && <p class="faint">The first {count(cut, "character")} of its thinking are not kept here.</p>}
      {reasoning && (
        <Thinking
          key={`${stage} ${slot}`}
          text={reasoning}
          length={count(words(reasoning), "word")}
          busy={running && content === ""}
        />
      )}
      {content && <Markdown key={`${stage} ${slot}`} text={content} />}
      {running && silent && <p class="faint">Nothing was written yet.</p>}
      {state === "waiting" && <p class="faint">{live ? "It waits for its turn." : "It did not begin."}</p>}
      {state === "done" && silent && <p class="faint">The server did not send its text.</p>}
      {state === "cancelled" && <p class="ending">Stopped.</p>}
      {finish === "length" && <p class="ending">The limit of tokens was reached before it was complete.</p>}
      {error && <p class="trouble">{error}</p>}
    </>
  );
}

/** The text of one candidate, which may still grow; leads to those that fed it. */
export function CandidateDialog({ view }: { view: CandidateView }) {
  const body = useRef<HTMLDivElement>(null);
  const { message: id, stage, slot } = view;
  const message = messages.value.get(id);
  const run = message?.answer?.run;
  const candidate = run && candidateAt(run, view);
  const moved = useRef(false);
  useLayoutEffect(() => {
    // The button that led here may be gone.
    if (moved.current) body.current?.focus();
    moved.current = true;
  }, [stage, slot]);
  useLayoutEffect(() => {
    if (!candidate) dialog.value = null;
  });
  if (!message || !run || !candidate) return null;
  const go = (at: CandidateAddress) => (dialog.value = { message: id, ...at });
  const live = growing.has(id) && !run.result;
  return (
    <Dialog title={candidateName(view)} kind="page" onClose={() => (dialog.value = null)}>
      <div ref={body} class="candidate" role="group" tabIndex={-1} aria-label={candidateName(view)}>
        <div class="actions">
          <IconButton icon="branchBack" label="Previous candidate" disabled={slot === 0} onClick={() => go({ stage, slot: slot - 1 })} />
          <IconButton
            icon="branchOn"
            label="Next candidate"
            disabled={slot + 1 >= run.stages[stage]!.length}
            onClick={() => go({ stage, slot: slot + 1 })}
          />
          {candidate.content && <CopyButton text={candidate.content} label="Copy its answer" />}
        </div>
        <Contents run={run} at={view} live={live} go={go} />
      </div>
    </Dialog>
  );
}
