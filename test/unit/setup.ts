/** What every file of the tier runs first. */
import fc from "fast-check";
import { SEED } from "../lab/random.ts";

fc.configureGlobal({ seed: SEED });
