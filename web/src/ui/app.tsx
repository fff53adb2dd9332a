import { announcement, dismiss, notices } from "../state/notices";
import { IconButton } from "./button";
import { CandidateDialog } from "./candidate_dialog";
import { HelpDialog } from "./help_dialog";
import { SettingsDialog } from "./settings_dialog";
import { Sidebar } from "./sidebar";
import { Thread } from "./thread";
import { dialog } from "./view";

function Notices() {
  return (
    <div class="notices" role="status">
      {notices.value.map(({ id, text, tone, action }) => (
        <div key={id} class={`notice ${tone}`}>
          <span>{text}</span>
          {action && (
            <button
              type="button"
              class="button"
              onClick={() => {
                action.run();
                dismiss(id);
              }}
            >
              {action.label}
            </button>
          )}
          <IconButton icon="close" label="Dismiss" onClick={() => dismiss(id)} />
        </div>
      ))}
    </div>
  );
}

export function App() {
  return (
    <>
      <a
        class="skip"
        href="#composer"
        onClick={(event) => {
          event.preventDefault();
          document.querySelector<HTMLElement>("#composer")?.focus();
        }}
      >
        To the message
      </a>
      <div class="app">
        <Sidebar />
        <Thread />
      </div>
      <Notices />
      {dialog.value === "settings" && <SettingsDialog />}
      {dialog.value === "help" && <HelpDialog />}
      {dialog.value !== null && typeof dialog.value === "object" && <CandidateDialog view={dialog.value} />}
      <div class="visually-hidden" role="status" aria-live="polite">
        {announcement.value}
      </div>
    </>
  );
}
