// What the page shows, as HTML. The drawings themselves are made by picture.js and body.js.

const panel = (id, title, caption) => `
  <figure class="lifter-panel" data-panel="${id}">
    <svg></svg>
    <figcaption><b>${title}.</b> ${caption}</figcaption>
  </figure>`;

export const LAYOUT = `
  <div class="lifter-stage"><div class="lifter-top">
    ${panel("picture", "The picture", "What the networks get.")}
    <div class="lifter-side">
      <label>Example <select data-control="example"></select></label>
      <button type="button" data-control="reset">Back to the example</button>
      <label>Draw over <select data-control="over">
        <option value="">nothing</option>
        <option value="teacher">the teacher's picture</option>
        <option value="twin">the twin's picture</option>
      </select></label>
      <label><input type="checkbox" data-control="together"> move what hangs on a joint, too</label>
      <label><input type="checkbox" data-control="truth"> show the example's true pose</label>
      <p class="lifter-hint" id="lifter-hint">Drag a joint with mouse or finger. By keyboard: Tab to the picture; arrow
        keys move the joint, with Shift in big steps; Page Down and Page Up choose another.</p>
      <p class="lifter-depth"><output data-output="depth" aria-live="polite"></output></p>
    </div>
  </div>
  <div class="lifter-panels">
    ${panel("student", "Student", "A depth for every joint; its picture is yours, exactly.")}
    ${panel("teacher", "Teacher", "A pose from its dictionary; its picture is near yours.")}
    ${panel("twin", "Student's twin", "All depths with the other sign.")}
  </div></div>
  <div class="lifter-bar">
    <button type="button" data-control="turning"></button>
    <label class="lifter-wide">View from <input type="range" data-control="turn" min="0" max="359" step="1">
      <output data-output="turn"></output></label>
  </div>
  <p class="lifter-key">
    <span><svg viewBox="0 0 34 8" aria-hidden="true"><path d="M0 4H34" data-side="right"/></svg> right</span>
    <span><svg viewBox="0 0 34 8" aria-hidden="true"><path d="M0 4H34" data-side="left"/></svg> left</span>
    <span><svg viewBox="0 0 34 8" aria-hidden="true"><path d="M0 4H34" data-side="middle"/></svg> middle</span>
    <span>floor squares: 0.5 units; a unit is about hip to head</span>
  </p>
  <p class="lifter-speed"><output data-output="speed" aria-live="off"></output></p>
  <div class="lifter-bar">
    <button type="button" data-control="download">Download result (JSON)</button>
  </div>
  <details class="lifter-paste">
    <summary>Paste your own keypoints</summary>
    <p>17 joints of one person in pixels, as <code>x y</code> or <code>x y score</code>, in any layout; or a COCO
      annotation with <code>keypoints</code>. The person is brought to the size that people have in the training
      pictures. Nothing leaves your browser.</p>
    <label>Numbers <textarea data-control="text" rows="6" spellcheck="false" autocomplete="off"></textarea></label>
    <div class="lifter-bar">
      <label>Joint order <select data-control="order">
        <option value="coco17">COCO, 17 keypoints</option>
        <option value="h36m17">Human3.6M, 17 joints</option>
      </select></label>
      <label><input type="checkbox" data-control="upwards"> y points up</label>
      <button type="button" data-control="lift">Lift these</button>
    </div>
    <p role="status" data-output="paste"></p>
  </details>`;
