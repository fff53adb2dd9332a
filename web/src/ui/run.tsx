import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { chosenVote, type Run } from "../conversation/run";
import { Icon } from "./icons";
import { RunGrid } from "./run_grid";
import { inLine, runFacts, runLine } from "./run_text";
import { dialog } from "./view";

const mostVotes = 12;

function Votes({ run }: { run: Run }) {
  const votes = run.result?.votes ?? [];
  if (votes.length === 0) return null;
  const chosen = chosenVote(run);
  const most = Math.max(...votes.map(({ candidates }) => candidates.length));
  return (
    <ul class="votes" aria-label="Votes">
      {votes.slice(0, mostVotes).map((vote, index) => (
        <li key={index} class={vote === chosen ? "chosen" : undefined}>
          <bdi title={vote.answer}>{inLine(vote.answer)}</bdi>
          <span class="bar" aria-hidden="true">
            <i style={{ width: `${most ? (100 * vote.candidates.length) / most : 0}%` }} />
          </span>
          <span>
            {vote.candidates.length}
            {vote === chosen && (
              <>
                <Icon name="check" />
                <span class="visually-hidden">, chosen</span>
              </>
            )}
          </span>
        </li>
      ))}
      {votes.length > mostVotes && <li class="faint">and {votes.length - mostVotes} more answers</li>}
    </ul>
  );
}

/** Draws again every second, for a clock. */
function useTick(on: boolean): void {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!on) return;
    const timer = setInterval(() => tick((ticks) => ticks + 1), 1000);
    return () => clearInterval(timer);
  }, [on]);
}

/** A run of Markovian RSA: unfolded while it goes on, then a line that unfolds. */
export function RunView({ run, message, busy }: { run: Run; message: string; busy: boolean }) {
  const [unfolded, setUnfolded] = useState(busy);
  const frame = useRef<HTMLDetailsElement>(null);
  const was = useRef(busy);
  useTick(busy && !run.result);
  useLayoutEffect(() => {
    // Nothing is folded away under somebody who is at it.
    if (was.current && !busy && dialog.peek() === null && !frame.current!.contains(document.activeElement)) setUnfolded(false);
    was.current = busy;
  }, [busy]);
  const facts = runFacts(run, busy);
  const live = busy && !run.result;
  return (
    <details ref={frame} class={live ? "run busy" : "run"} open={unfolded}>
      <summary
        onClick={(event) => {
          // The toggle event comes later than the end of the run may, and the two would chase each other.
          event.preventDefault();
          setUnfolded(!unfolded);
        }}
      >
        <Icon name="grid" />
        <span>Markovian RSA: {runLine(run, busy)}</span>
        <Icon name="branchOn" />
      </summary>
      {unfolded && (
        <div class="run-body">
          <RunGrid run={run} message={message} live={live} />
          <Votes run={run} />
          {facts.length > 0 && <p class="run-facts">{facts.join(" · ")}</p>}
        </div>
      )}
    </details>
  );
}
