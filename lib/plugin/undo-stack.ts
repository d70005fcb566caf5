/**
 * What to do backwards when a verb fails half-way.
 */

/**
 * A stack of undo steps: `using undo = new UndoStack()`, push after each change, `undo.commit()` at the end. Without
 * the commit, leaving the scope runs the steps in reverse. A step that fails does not stop the others and never hides
 * the error that led here: it is told to `report`.
 */
export class UndoStack {
	readonly #steps: { what: string; run: () => void }[] = [];
	readonly #report: (what: string, error: unknown) => void;

	constructor(report: (what: string, error: unknown) => void) {
		this.#report = report;
	}

	/** `what` names the step for the report: `put VLAN of VF 3 back`. */
	push(what: string, run: () => void): void {
		this.#steps.push({ what, run });
	}

	commit(): void {
		this.#steps.length = 0;
	}

	[Symbol.dispose](): void {
		for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
			try {
				step.run();
			} catch (error) {
				this.#report(step.what, error);
			}
		}
	}
}
