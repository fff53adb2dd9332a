import { useState } from "preact/hooks";
import { type NumericSetting, parseNumber, ranges, type Settings } from "../conversation/settings";
import { changeConversation, open } from "../state/conversations";

/** Changes settings of the open conversation. */
export function change(part: Partial<Settings>): void {
  const { id, settings } = open.peek();
  changeConversation(id, { settings: { ...settings, ...part } });
}

export function NumberField({
  name,
  label,
  hint,
  placeholder = "default",
}: {
  name: NumericSetting;
  label: string;
  hint: string;
  placeholder?: string;
}) {
  const value = open.value.settings[name];
  const [wrong, setWrong] = useState(false);
  const { min, max, step, whole } = ranges[name];
  return (
    <div class="field">
      <label for={`set-${name}`}>{label}</label>
      <input
        id={`set-${name}`}
        type="number"
        inputMode={whole ? "numeric" : "decimal"}
        min={min}
        max={max}
        step={whole ? step : "any"}
        placeholder={placeholder}
        defaultValue={value === null ? "" : String(value)}
        aria-invalid={wrong}
        aria-describedby={`hint-${name}`}
        onInput={(event) => {
          const field = event.currentTarget;
          // A number field that holds something else reads as empty, and says so only here.
          const parsed = field.validity.badInput ? undefined : parseNumber(name, field.value);
          setWrong(parsed === undefined);
          if (parsed !== undefined) change({ [name]: parsed });
        }}
      />
      <small id={`hint-${name}`} class={wrong ? "wrong" : undefined}>
        {wrong ? `Between ${min} and ${max}${whole ? ", a whole number" : ""}.` : hint}
      </small>
    </div>
  );
}
