import { type Carry, cost, type Mode, modes, planOf, planProblem, type Plan, type Prompt, presets, type Selection } from "../conversation/rsa";
import type { NumericSetting } from "../conversation/settings";
import { open } from "../state/conversations";
import { model } from "../state/models";
import { count } from "./format";
import { change, NumberField } from "./settings_fields";

const modeNames = Object.fromEntries(modes.map((mode) => [mode, mode])) as Record<Mode, string>;

const promptNames: Record<Prompt, string> = {
  mathematics: "mathematics",
  code: "code",
  choice: "multiple choice",
  open: "open question",
};

const carryNames: Record<Carry, string> = {
  reasoning_tail: "the end of its thinking",
  answer_or_tail: "its answer, else that end",
  full: "all it wrote",
  own_tail: "only its own end",
};

const selectionNames: Record<Selection, string> = {
  majority: "majority of answers",
  single: "one last generation",
  pick: "one by lot",
};

function Choice<K extends string>({
  id,
  label,
  names,
  value,
  disabled,
  onChange,
}: {
  id: string;
  label: string;
  names: Record<K, string>;
  value: K;
  disabled?: boolean;
  onChange: (value: K) => void;
}) {
  return (
    <div class="field">
      <label for={`set-${id}`}>{label}</label>
      <select id={`set-${id}`} value={value} disabled={disabled} onChange={(event) => onChange(event.currentTarget.value as K)}>
        {(Object.keys(names) as K[]).map((name) => (
          <option key={name} value={name}>
            {names[name]}
          </option>
        ))}
      </select>
    </div>
  );
}

const numbers = ["rounds", "population", "subset", "beta", "tau", "finalTokens"] as const satisfies readonly NumericSetting[];

/** A custom run begins as the preset that it was chosen after. */
function choose(rsa: Mode, plan: Plan | null): void {
  if (rsa !== "custom" || plan === null) return change({ rsa });
  const { carry, selection } = plan;
  change({ rsa, carry, selection, ...Object.fromEntries(numbers.map((name) => [name, plan[name]])) });
}

function costLine(plan: Plan): string {
  const { generations, tokens } = cost(plan);
  return `${count(generations, "generation")}, at most ${count(tokens, "token")}.`;
}

export function RsaFields() {
  const { settings } = open.value;
  const offered = model.value?.rsa === true;
  const plan = planOf(settings);
  const problem = plan && planProblem(plan);
  const standard = presets.recommended;
  return (
    <fieldset>
      <legend>Markovian RSA</legend>
      <p class="note">
        Many candidates answer; from the ends of their thinking others are written, and the last ones vote. It has its own
        limits of tokens, and every candidate thinks.
      </p>
      <Choice
        id="rsa"
        label="Run"
        names={modeNames}
        value={offered ? settings.rsa : "off"}
        disabled={!offered}
        onChange={(rsa) => choose(rsa, plan)}
      />
      {!offered && <p class="note">This server does not offer it for this model.</p>}
      {offered && plan && (
        <>
          <Choice id="prompt" label="Problem" names={promptNames} value={settings.prompt} onChange={(prompt) => change({ prompt })} />
          {settings.rsa === "custom" && (
            <>
              <NumberField name="rounds" label="Rounds" hint="T: stages after the first" placeholder={String(standard.rounds)} />
              <NumberField name="population" label="Population" hint="N: candidates of a stage" placeholder={String(standard.population)} />
              {settings.carry !== "own_tail" && (
                <NumberField name="subset" label="Subset" hint="C: how many feed one" placeholder={String(standard.subset)} />
              )}
              <NumberField name="beta" label="Beta" hint="Tokens of a candidate" placeholder={String(standard.beta)} />
              <NumberField name="tau" label="Tau" hint="Tokens that are passed on" placeholder={String(standard.tau)} />
              <NumberField name="finalTokens" label="Final tokens" hint="Tokens in the last stage" placeholder={String(standard.finalTokens)} />
              <Choice id="carry" label="Carry" names={carryNames} value={settings.carry} onChange={(carry) => change({ carry })} />
              <Choice
                id="selection"
                label="Selection"
                names={selectionNames}
                value={settings.selection}
                onChange={(selection) => change({ selection })}
              />
            </>
          )}
          <p class={problem ? "note bad" : "note"} role="status" id="rsa-cost">
            {problem ?? costLine(plan)}
          </p>
        </>
      )}
    </fieldset>
  );
}
