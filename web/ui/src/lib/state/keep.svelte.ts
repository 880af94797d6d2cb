// Whether the dialog that keeps a session longer is asked for: the clock in the
// top bar, the banner before the end and the view that ends a session open it.
export const keep = $state({ asking: false });
