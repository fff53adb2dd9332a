import { Dialog } from "./dialog";
import { shortcuts } from "./shortcuts";
import { dialog } from "./view";

export function HelpDialog() {
  return (
    <Dialog title="Help" kind="box" onClose={() => (dialog.value = null)}>
      <h3>Keyboard</h3>
      <dl class="shortcuts">
        {shortcuts.map(([keys, does]) => (
          <div key={keys}>
            <dt>
              {keys.split(" + ").map((key, index) => (
                <span key={key}>
                  {index > 0 && " + "}
                  <kbd>{key}</kbd>
                </span>
              ))}
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <p class="faint">On a Mac, Ctrl is ⌘. On a phone, Enter makes a new line and the button sends.</p>
      <h3>Your data</h3>
      <p>
        Conversations are kept in this browser only. The page talks to the server that it came from and to nobody
        else; images in answers are not loaded, and links open only when you follow them.
      </p>
      <p class="faint">
        <a href="licenses.txt" target="_blank" rel="noopener noreferrer">
          Licences of the libraries in this page
        </a>
      </p>
    </Dialog>
  );
}
