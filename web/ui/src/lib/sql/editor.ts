// CodeMirror, set up for PostgreSQL: its dialect, completion from the
// catalogue, our colours, and the mark under an error.
import { acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, completionStatus, moveCompletionSelection, selectedCompletion, startCompletion, type CompletionContext } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyField, historyKeymap, indentWithTab } from '@codemirror/commands';
import { PostgreSQL } from '@codemirror/lang-sql';
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from '@codemirror/language';
import { setDiagnostics } from '@codemirror/lint';
import { highlightSelectionMatches, searchKeymap } from '@codemirror/search';
import { Compartment, EditorState, Prec, type Extension } from '@codemirror/state';
import { drawSelection, EditorView, type KeyBinding, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers, placeholder } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import type { Completion } from '../api/client';
import { complete } from './complete';

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: 'var(--keyword)', fontWeight: '500' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--string)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--number)' },
  { tag: [tags.comment, tags.lineComment, tags.blockComment], color: 'var(--text-3)', fontStyle: 'italic' },
  { tag: [tags.typeName, tags.standard(tags.name)], color: 'var(--info)' },
  { tag: [tags.punctuation, tags.operator, tags.bracket], color: 'var(--text-2)' },
]);

const theme = EditorView.theme({
  '&': { height: '100%', backgroundColor: 'var(--surface)', color: 'var(--text)', fontSize: '13.5px' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.6' },
  '.cm-content': { caretColor: 'var(--accent)', padding: '10px 0' },
  '&.cm-focused': { outline: 'none' },
  '.cm-cursor': { borderLeftColor: 'var(--accent)', borderLeftWidth: '2px' },
  '.cm-gutters': { backgroundColor: 'var(--surface)', color: 'var(--text-3)', border: 'none', paddingLeft: '6px' },
  '.cm-activeLine': { backgroundColor: 'color-mix(in srgb, var(--hover) 60%, transparent)' },
  '.cm-activeLineGutter': { backgroundColor: 'transparent', color: 'var(--accent)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': { background: 'var(--select)' },
  '.cm-selectionMatch': { backgroundColor: 'var(--accent-soft)' },
  '&.cm-focused .cm-matchingBracket': { backgroundColor: 'var(--select)', outline: 'none' },
  '.cm-placeholder': { color: 'var(--text-3)' },
  '.cm-tooltip': { border: '1px solid var(--line-strong)', backgroundColor: 'var(--raised)', borderRadius: '8px', boxShadow: 'var(--shadow)', overflow: 'hidden' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--mono)', fontSize: '12.5px', maxHeight: '16em' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul > li': { display: 'flex', padding: '3px 10px', color: 'var(--text)' },
  '.cm-tooltip-autocomplete .cm-completionLabel': { overflow: 'hidden', textOverflow: 'ellipsis' },
  '.cm-tooltip-autocomplete ul li[aria-selected]': { backgroundColor: 'var(--accent-soft)', color: 'var(--text)' },
  '.cm-completionDetail': { marginLeft: 'auto', paddingLeft: '1.5em', flex: '0 1 auto', minWidth: '30%', textAlign: 'right', overflow: 'hidden', textOverflow: 'ellipsis', color: 'var(--text-3)', fontStyle: 'normal' },
  '.cm-diagnostic-error': { borderLeftColor: 'var(--danger)', fontFamily: 'var(--sans)' },
  '.cm-lintRange-error': { backgroundImage: 'none', textDecoration: 'underline wavy var(--danger)', textUnderlineOffset: '4px', textDecorationSkipInk: 'none' },
  '.cm-panels': { backgroundColor: 'var(--bg)', color: 'var(--text)', borderColor: 'var(--line)' },
  '.cm-panel input, .cm-panel button': { font: '12.5px var(--sans)' },
});

export interface EditorHooks {
  run: (all: boolean) => void;
  explain: () => void;
  save: () => void;
  /** Relations whose name begins so; asked where there are too many to send all. */
  relations: (prefix: string) => Promise<Completion['relations']>;
  change: (text: string) => void;
}

/** What the text of an editor begins with, and what is needed to go on with it. */
export interface Document {
  text: string;
  /** What `leave` returned for this text. */
  memory?: unknown;
}

const fields = { history: historyField };

// Enter always makes a new line unless an option was picked with the arrows;
// Tab takes the first.
const completionKeys: KeyBinding[] = [
  {
    key: 'Tab',
    run: (view) => {
      if (completionStatus(view.state) !== 'active') return false;
      if (!selectedCompletion(view.state)) moveCompletionSelection(true)(view);
      return acceptCompletion(view);
    },
  },
  { key: 'Enter', run: (view) => selectedCompletion(view.state) !== null && acceptCompletion(view) },
  { key: 'Ctrl-Space', run: startCompletion },
];

export class SqlEditor {
  #view: EditorView;
  #language = new Compartment();
  #completion = new Compartment();
  #names: Completion | undefined;
  #functions: string[] = [];
  #hooks: EditorHooks;
  #asYouType: boolean;
  #extensions: Extension;

  constructor(parent: HTMLElement, hooks: EditorHooks, asYouType: boolean) {
    this.#asYouType = asYouType;
    this.#hooks = hooks;
    const nonce = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? '';
    this.#extensions = [
      // Without it the policy refuses the editor's styles, and what is
      // typed comes out with blanks that PostgreSQL does not know.
      nonce ? EditorView.cspNonce.of(nonce) : [],
      Prec.highest(
        keymap.of([
          { key: 'Mod-Enter', run: () => (hooks.run(false), true) },
          { key: 'Mod-Shift-Enter', run: () => (hooks.run(true), true) },
          { key: 'Mod-e', run: () => (hooks.explain(), true) },
          { key: 'Mod-s', run: () => (hooks.save(), true) },
          ...completionKeys,
        ]),
      ),
      lineNumbers(),
      highlightActiveLine(),
      highlightActiveLineGutter(),
      history(),
      drawSelection(),
      indentOnInput(),
      bracketMatching(),
      closeBrackets(),
      highlightSelectionMatches(),
      keymap.of([...closeBracketsKeymap, ...completionKeymap.filter((k) => k.key !== 'Enter'), ...defaultKeymap, ...historyKeymap, ...searchKeymap, indentWithTab]),
      placeholder('select * from …      Ctrl+Enter runs the statement at the cursor'),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ 'aria-label': 'SQL', spellcheck: 'false', autocorrect: 'off', autocapitalize: 'off' }),
      syntaxHighlighting(colours),
      theme,
      EditorView.updateListener.of((update) => {
        if (update.docChanged) hooks.change(update.state.doc.toString());
      }),
    ];
    this.#view = new EditorView({ parent, state: this.#state({ text: '' }) });
  }

  #state(document: Document): EditorState {
    const extensions = [this.#extensions, this.#language.of(this.#sql()), this.#completion.of(this.#autocompletion())];
    if (document.memory) {
      try {
        const state = EditorState.fromJSON(document.memory, { extensions }, fields);
        if (state.doc.toString() === document.text) return state;
      } catch {
        // Of another version of the editor.
      }
    }
    return EditorState.create({ doc: document.text, extensions });
  }

  #autocompletion() {
    return autocompletion({ icons: false, defaultKeymap: false, selectOnOpen: false, activateOnTyping: this.#asYouType });
  }

  #sql(): Extension {
    return [
      PostgreSQL.extension, // without its list of keywords
      PostgreSQL.language.data.of({ autocomplete: (context: CompletionContext) => complete(context, this.#names, this.#functions, this.#hooks.relations) }),
    ];
  }

  /** Shows another text; nobody is told of a change. */
  show(document: Document) {
    this.#view.setState(this.#state(document));
  }

  /** What `show` needs to go on with this text later: its undo steps and the cursor. */
  leave(): unknown {
    return this.#view.state.toJSON(fields);
  }

  get text() {
    return this.#view.state.doc.toString();
  }

  set text(text: string) {
    this.#view.dispatch({ changes: { from: 0, to: this.#view.state.doc.length, insert: text }, selection: { anchor: 0 } });
  }

  get cursor() {
    return this.#view.state.selection.main.head;
  }

  /** Puts the cursor somewhere, and that into view. */
  place(offset: number) {
    const anchor = Math.min(offset, this.#view.state.doc.length);
    this.#view.dispatch({ selection: { anchor }, scrollIntoView: true });
  }

  /** The selected range, if it is not empty. */
  get selection(): { from: number; to: number; text: string } | undefined {
    const { from, to } = this.#view.state.selection.main;
    return from === to ? undefined : { from, to, text: this.#view.state.sliceDoc(from, to) };
  }

  /** Puts a text in the selection's place, as typing does. */
  insert(text: string) {
    this.#view.dispatch(this.#view.state.replaceSelection(text));
  }

  setCatalogue(names: Completion | undefined, functions: string[] = []) {
    this.#names = names;
    this.#functions = functions;
    this.#view.dispatch({ effects: this.#language.reconfigure(this.#sql()) });
  }

  /** Whether completion opens by itself; Ctrl+Space always opens it. */
  completeAsYouType(on: boolean) {
    this.#asYouType = on;
    this.#view.dispatch({ effects: this.#completion.reconfigure(this.#autocompletion()) });
  }

  /** Underlines from an offset to the end of the word there. */
  markError(at: number, message: string) {
    const doc = this.#view.state.doc;
    const from = Math.max(0, Math.min(at, doc.length));
    const rest = doc.sliceString(from, Math.min(doc.length, from + 200));
    const word = /^(?:"(?:[^"]|"")*"|[\p{L}\p{N}_$]+|\\\S*|\S)/u.exec(rest)?.[0] ?? '';
    const to = Math.min(doc.length, from + Math.max(1, word.length));
    this.#view.dispatch(setDiagnostics(this.#view.state, [{ from: Math.min(from, to - (to > 0 ? 1 : 0)), to, severity: 'error', message }]));
    this.#view.dispatch({ effects: EditorView.scrollIntoView(from) });
  }

  clearErrors() {
    this.#view.dispatch(setDiagnostics(this.#view.state, []));
  }

  focus() {
    this.#view.focus();
  }

  destroy() {
    this.#view.destroy();
  }
}
