/** Validators, made by scripts/validators.ts from the zod schemas of the plugins. */
declare module "validator:*" {
	const validator: import("./config.ts").Validator;
	export default validator;
}
