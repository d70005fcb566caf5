/** What a test file of the tier `guest` begins with. */
import { afterAll, beforeAll, inject } from "vitest";
import { Guest } from "./guest.ts";
import "./guest-setup.ts"; // for the type of what it provides
import { resetGuest } from "./sriov.ts";

interface GuestSession {
	(): Guest;
	/** After a `disconnect`. */
	reconnect(): Promise<void>;
}

/**
 * Connects to the tier's guest for this file, and puts it into the state after the boot when the file begins. For tests
 * and hooks.
 */
export function useGuest(): GuestSession {
	let guest: Guest | undefined;
	const session = () => {
		if (guest === undefined) {
			throw new Error("the guest is there in tests and hooks only");
		}
		return guest;
	};
	session.reconnect = async () => {
		guest = await Guest.connect(inject("guestDirectory"));
	};
	beforeAll(async () => {
		await session.reconnect();
		await resetGuest(session());
	});
	afterAll(() => guest?.disconnect());
	return session;
}
