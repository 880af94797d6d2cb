// What can wait until something is on the screen.

/** Calls back once a frame was painted; in a tab that paints none, soon. */
export function afterPaint(then: () => void): () => void {
  let done = false;
  const once = () => {
    if (done) return;
    done = true;
    then();
  };
  requestAnimationFrame(() => setTimeout(once));
  setTimeout(once, 250);
  return () => (done = true);
}
