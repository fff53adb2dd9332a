import { Component, type RefObject } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Candidate, CandidateAddress, Run } from "../conversation/run";
import { candidateLine, cellText, fedBy, isChosen, sourcesOf } from "./run_text";
import { dialog } from "./view";

type Mark = "" | "marked" | "source" | "fed";

interface CellProps {
  at: CandidateAddress;
  candidate: Candidate;
  limit: number | undefined;
  mark: Mark;
  chosen: boolean;
  agrees: boolean;
  tabbable: boolean;
  described: string;
  live: boolean;
}

const name = ({ slot }: CandidateAddress, candidate: Candidate): string =>
  `${slot + 1}: ${candidate.state} ${cellText(candidate)}`.trimEnd();

/** While a run goes on, only the cells that changed are drawn again. */
class Cell extends Component<CellProps> {
  override shouldComponentUpdate(next: CellProps): boolean {
    return (Object.keys(next) as (keyof CellProps)[]).some(
      (key) => key !== "at" && this.props[key] !== next[key],
    );
  }

  override render({ at, candidate, limit, mark, chosen, agrees, tabbable, described, live }: CellProps) {
    const { state, tokens } = candidate;
    const running = state === "running" && live;
    const part = running && limit ? Math.min(1, tokens / limit) : 0;
    return (
      <div role="gridcell">
        <button
          type="button"
          class={`cell ${running || state !== "running" ? state : "cancelled"} ${mark} ${chosen ? "chosen" : ""} ${agrees ? "agrees" : ""}`}
          data-stage={at.stage}
          data-slot={at.slot}
          tabIndex={tabbable ? 0 : -1}
          aria-label={name(at, candidate)}
          aria-describedby={mark === "marked" ? described : undefined}
        >
          <span>{cellText(candidate)}</span>
          {part > 0 && <i style={{ width: `${100 * part}%` }} />}
        </button>
      </div>
    );
  }
}

const same = (a: CandidateAddress | null, b: CandidateAddress): boolean => a?.stage === b.stage && a.slot === b.slot;

const addressOf = (target: EventTarget | null): CandidateAddress | null => {
  const cell = (target as Element | null)?.closest<HTMLElement>(".cell");
  return cell ? { stage: Number(cell.dataset.stage), slot: Number(cell.dataset.slot) } : null;
};

const cellAt = (grid: Element, { stage, slot }: CandidateAddress): HTMLElement | null =>
  grid.querySelector<HTMLElement>(`[data-stage="${stage}"][data-slot="${slot}"]`);

interface LinksProps {
  run: Run;
  at: CandidateAddress | null;
  grid: RefObject<HTMLDivElement | null>;
}

/** Lines from the candidates that fed one, and to those that it feeds; they follow the cells when these move. */
function Links({ run, at, grid }: LinksProps) {
  const svg = useRef<SVGSVGElement>(null);
  const draw = () => {
    const [into, outOf] = svg.current!.querySelectorAll("path");
    const frame = svg.current!.getBoundingClientRect();
    const line = (from: CandidateAddress, to: CandidateAddress): string => {
      const [a, b] = [cellAt(grid.current!, from), cellAt(grid.current!, to)].map((cell) => cell?.getBoundingClientRect());
      if (!a || !b) return "";
      const [x0, y0] = [a.left + a.width / 2 - frame.left, a.bottom - frame.top];
      const [x1, y1] = [b.left + b.width / 2 - frame.left, b.top - frame.top];
      const bend = (y1 - y0) / 2;
      return `M${x0} ${y0}C${x0} ${y0 + bend} ${x1} ${y1 - bend} ${x1} ${y1}`;
    };
    const join = (lines: string[]) => lines.join("");
    into!.setAttribute("d", at ? join(sourcesOf(run, at).map((slot) => line({ stage: at.stage - 1, slot }, at))) : "");
    outOf!.setAttribute("d", at ? join(fedBy(run, at).map((slot) => line(at, { stage: at.stage + 1, slot }))) : "");
  };
  useLayoutEffect(draw);
  const latest = useRef(draw);
  latest.current = draw;
  useLayoutEffect(() => {
    const observer = new ResizeObserver(() => latest.current());
    observer.observe(grid.current!);
    return () => observer.disconnect();
  }, []);
  return (
    <svg ref={svg} class="links" aria-hidden="true">
      <path class="into" />
      <path class="out-of" />
    </svg>
  );
}

/** Where a key leads from a cell; null: it is no key of the grid. */
function step({ stages }: Run, { stage, slot }: CandidateAddress, event: KeyboardEvent): CandidateAddress | null {
  const whole = event.ctrlKey || event.metaKey;
  const lastSlot = (of: number): number => stages[of]!.length - 1;
  const row = (to: number): CandidateAddress => ({ stage: to, slot: Math.min(slot, lastSlot(to)) });
  switch (event.key) {
    case "ArrowLeft":
      return slot > 0 ? { stage, slot: slot - 1 } : { stage, slot };
    case "ArrowRight":
      return { stage, slot: Math.min(slot + 1, lastSlot(stage)) };
    case "ArrowUp":
      return row(Math.max(0, stage - 1));
    case "ArrowDown":
      return row(Math.min(stages.length - 1, stage + 1));
    case "Home":
      return { stage: whole ? 0 : stage, slot: 0 };
    case "End": {
      const to = whole ? stages.length - 1 : stage;
      return { stage: to, slot: lastSlot(to) };
    }
    default:
      return null;
  }
}

/** A row for each stage and a cell for each candidate; a cell opens its candidate. */
export function RunGrid({ run, message, live }: { run: Run; message: string; live: boolean }) {
  const grid = useRef<HTMLDivElement>(null);
  const described = useId();
  const [pointed, setPointed] = useState<CandidateAddress | null>(null);
  const [focused, setFocused] = useState<CandidateAddress | null>(null);
  // Tab leads to the cell that was left last, and to the chosen one at first.
  const [home, setHome] = useState<CandidateAddress | null>(null);
  const { result } = run;
  const choice = result && result.chosen !== null ? { stage: result.stage, slot: result.chosen } : { stage: 0, slot: 0 };
  const entry = home && run.stages[home.stage]?.[home.slot] ? home : run.stages[choice.stage]?.[choice.slot] ? choice : { stage: 0, slot: 0 };
  const marked = pointed ?? focused;
  const sources = marked ? sourcesOf(run, marked) : [];
  const fed = marked ? fedBy(run, marked) : [];
  const chosenAnswer = result && run.stages[choice.stage]?.[choice.slot]?.answer;

  const markOf = (at: CandidateAddress): Mark => {
    if (!marked) return "";
    if (same(marked, at)) return "marked";
    if (at.stage === marked.stage - 1 && sources.includes(at.slot)) return "source";
    return at.stage === marked.stage + 1 && fed.includes(at.slot) ? "fed" : "";
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const at = addressOf(event.target);
    const to = at && !event.altKey && step(run, at, event);
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    setPointed(null);
    cellAt(grid.current!, to)?.focus();
  };

  return (
    <>
      <div class="run-frame">
        <div class="run-inner">
          <div
            ref={grid}
            class="run-grid"
            role="grid"
            aria-label="Candidates by stage"
            onKeyDown={onKeyDown}
            onPointerOver={(event) => {
              if (event.pointerType === "mouse") setPointed(addressOf(event.target));
            }}
            onPointerLeave={() => setPointed(null)}
            onFocusIn={(event) => {
              const at = addressOf(event.target);
              setFocused(at);
              setHome(at);
            }}
            onFocusOut={() => setFocused(null)}
            onClick={(event) => {
              const at = addressOf(event.target);
              if (at) dialog.value = { message, ...at };
            }}
          >
            {run.stages.map((stage, index) => (
              <div key={index} class="run-stage" role="row">
                <div class="run-head" role="rowheader">
                  Stage {index + 1}
                </div>
                <div class="cells" role="presentation">
                  {stage.map((candidate, slot) => {
                    const at = { stage: index, slot };
                    return (
                      <Cell
                        key={slot}
                        at={at}
                        candidate={candidate}
                        limit={index === run.stages.length - 1 ? run.finalTokens : run.beta}
                        mark={markOf(at)}
                        chosen={isChosen(run, at)}
                        agrees={chosenAnswer !== undefined && candidate.answer === chosenAnswer}
                        tabbable={same(entry, at)}
                        described={described}
                        live={live}
                      />
                    );
                  })}
                </div>
              </div>
            ))}
          </div>
          <Links run={run} at={marked} grid={grid} />
        </div>
      </div>
      <p class="run-detail" id={described}>
        {marked ? candidateLine(run, marked, live) : "Each row is a stage, each cell a candidate with its tokens or its answer. Open one to read it."}
      </p>
    </>
  );
}
