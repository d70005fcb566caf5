/** What a test file of the tier `guest` begins with. */
import { afterAll, beforeAll, inject } from "vitest";
import { Guest } from "./guest.ts";
import "./guest-setup.ts"; // for the type of what it provides
import { resetGuest } from "./sriov.ts";

/** Connects to the tier's guest for this file, and leaves it as after the boot when the file begins. Use inside tests and hooks. */
export function useGuest(): () => Guest {
	let guest: Guest | undefined;
	beforeAll(async () => {
		guest = await Guest.connect(inject("guestFolder"));
		await resetGuest(guest);
	});
	afterAll(() => guest?.disconnect());
	return () => {
		if (guest === undefined) {
			throw new Error("the guest is there in tests and hooks only");
		}
		return guest;
	};
}
