/**
 * `import load from "later:lib/cni/gc.ts"` (a path from the project's root): a module that is read when `load()` is first
 * called, not before. Reading bytecode is most of a start, so what only some calls need is imported so. Give the result its
 * type where it is used: `load() as typeof import("./gc.ts")`. See scripts/build/later.ts.
 */
declare module "later:*" {
	const load: () => unknown;
	export default load;
}
