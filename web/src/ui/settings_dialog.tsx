import { useState } from "preact/hooks";
import { type Settings, serverDefaults } from "../conversation/settings";
import { stopAll } from "../state/answering";
import { open, removeEverything } from "../state/conversations";
import { loadModels, model, models } from "../state/models";
import { notify } from "../state/notices";
import { apiKey, defaults } from "../state/preferences";
import { Dialog } from "./dialog";
import { RsaFields } from "./rsa_fields";
import { change, NumberField } from "./settings_fields";
import { dialog } from "./view";

function ModelField() {
  return (
    <div class="field wide">
      <label for="set-model">Model</label>
      <select
        id="set-model"
        value={model.value?.id ?? ""}
        onChange={(event) => change({ model: event.currentTarget.value })}
      >
        {models.value.length === 0 && <option value="">none: the server did not answer</option>}
        {models.value.map(({ id }) => (
          <option key={id}>{id}</option>
        ))}
      </select>
      {model.value?.context !== undefined && (
        <small>{model.value.context.toLocaleString("en")} tokens of context</small>
      )}
    </div>
  );
}

function KeyField() {
  return (
    <div class="field wide">
      <label for="set-key">API key</label>
      <input
        id="set-key"
        type="password"
        autoComplete="off"
        spellcheck={false}
        defaultValue={apiKey.value}
        placeholder="none"
        onChange={(event) => {
          apiKey.value = event.currentTarget.value.trim();
          void loadModels();
        }}
      />
      <small>Only for servers that ask for one. It is kept in this browser and sent to this server alone.</small>
    </div>
  );
}

function Everything() {
  const [asked, setAsked] = useState(false);
  const clear = () => {
    stopAll();
    void removeEverything();
    dialog.value = null;
    notify("All conversations were deleted.");
  };
  return (
    <div class="row">
      {asked ? (
        <>
          <span>This cannot be undone.</span>
          <span class="spring" />
          <button type="button" class="button" onClick={() => setAsked(false)}>
            Cancel
          </button>
          <button type="button" class="button danger" onClick={clear}>
            Delete all
          </button>
        </>
      ) : (
        <button type="button" class="button danger" onClick={() => setAsked(true)}>
          Delete all conversations…
        </button>
      )}
    </div>
  );
}

export function SettingsDialog() {
  const { id, settings } = open.value;
  // Fields are filled when they are made; other settings make other fields.
  const [generation, setGeneration] = useState(0);
  const put = (all: Settings) => {
    change(all);
    setGeneration(generation + 1);
  };
  const same = JSON.stringify(settings) === JSON.stringify(defaults.value);
  return (
    <Dialog title="Settings" kind="drawer" onClose={() => (dialog.value = null)}>
      <form class="settings" onSubmit={(event) => event.preventDefault()} key={`${id} ${generation}`}>
        <fieldset>
          <legend>This conversation</legend>
          <p class="note">What is empty or “default” is left to the server.</p>
          <ModelField />
          <div class="field wide">
            <label for="set-system">System prompt</label>
            <textarea
              id="set-system"
              rows={4}
              placeholder="none"
              defaultValue={settings.system}
              onInput={(event) => change({ system: event.currentTarget.value })}
            />
          </div>
        </fieldset>
        <fieldset>
          <legend>Thinking</legend>
          <div class="field">
            <label for="set-thinking">Think first</label>
            <select
              id="set-thinking"
              value={settings.thinking}
              onChange={(event) => change({ thinking: event.currentTarget.value as Settings["thinking"] })}
            >
              <option value="default">default</option>
              <option value="on">on</option>
              <option value="off">off</option>
            </select>
          </div>
          <NumberField name="thinkingBudget" label="Thinking budget" hint="Tokens of thinking" />
        </fieldset>
        <RsaFields />
        <fieldset>
          <legend>Sampling</legend>
          <NumberField name="temperature" label="Temperature" hint="0: the likeliest token" />
          <NumberField name="topP" label="Top-p" hint="Share of probability kept" />
          <NumberField name="topK" label="Top-k" hint="Tokens kept; 0: all" />
          <NumberField name="minP" label="Min-p" hint="Share of the best token" />
          <NumberField name="maxTokens" label="Max tokens" hint="Thinking and answer" />
          <NumberField name="seed" label="Seed" hint="Same seed, same answer" />
        </fieldset>
        <div class="row">
          <button type="button" class="button" disabled={same} onClick={() => (defaults.value = { ...settings })}>
            Use for new conversations
          </button>
          <button type="button" class="button" onClick={() => put({ ...serverDefaults, model: settings.model })}>
            Reset
          </button>
        </div>
        <fieldset>
          <legend>This browser</legend>
          <KeyField />
          <Everything />
        </fieldset>
      </form>
    </Dialog>
  );
}
