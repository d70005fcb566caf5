/**
 * A DHCP server that answers each question with the right answer, and before and after it with damaged copies of it.
 *
 * `node dhcp-liar.ts LIES SEED`, in a namespace whose only interface is the clients': gives 10.7.1.x for 12 s,
 * renewals after 2 s. `node dhcp-liar.ts LIES SEED SERVER OWN`: it relays the questions from its address OWN to the
 * server SERVER, whose answers are the right ones. After LIES damaged answers it says "all told", and tells no more.
 * SIGTERM ends it.
 */
import { createSocket } from "node:dgram";
import { randomNumbers } from "./random.ts";

const [lies, seed] = process.argv.slice(2, 4).map(Number) as [number, number];
const [server, own] = process.argv.slice(4);
const below = randomNumbers(seed);
/** Of each right answer. */
const COPIES = server === undefined ? 40 : 200;

const SERVER = [10, 7, 0, 1];
const OPTIONS_AT = 240;
const [DISCOVER, OFFER, REQUEST, ACK, NAK] = [1, 2, 3, 5, 6];

const u32 = (value: number): number[] => [value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255];
const addresses = new Map<string, number[]>();

/** The same client has the same address for ever. */
function addressOf(mac: string): number[] {
	const known = addresses.get(mac) ?? [10, 7, 1, 10 + addresses.size];
	addresses.set(mac, known);
	return known;
}

function optionsOf(message: Buffer): Map<number, Buffer> {
	const options = new Map<number, Buffer>();
	for (let at = OPTIONS_AT; at < message.length && message[at] !== 255; at += 2 + message[at + 1]!) {
		if (message[at] === 0) at -= 1;
		else options.set(message[at]!, message.subarray(at + 2, at + 2 + message[at + 1]!));
	}
	return options;
}

/** The right answer; undefined: none. A client that asks for another address than its own is refused. */
function answer(question: Buffer): Buffer | undefined {
	const options = optionsOf(question);
	const type = options.get(53)?.[0];
	if (type !== DISCOVER && type !== REQUEST) return undefined;
	const address = addressOf(question.toString("hex", 28, 34));
	const bound = question.readUInt32BE(12) === 0 ? options.get(50) : question.subarray(12, 16);
	const refused = type === REQUEST && !bound?.equals(Buffer.from(address));
	const reply = Buffer.alloc(OPTIONS_AT);
	question.copy(reply, 0, 0, 44);
	reply[0] = 2;
	reply.set(refused ? [0, 0, 0, 0] : address, 16);
	reply.writeUInt32BE(0x63825363, 236);
	const [kind, rest] = refused
		? [NAK, []]
		: [
				type === DISCOVER ? OFFER : ACK,
				[
					...[51, 4, ...u32(12), 58, 4, ...u32(2), 59, 4, ...u32(6), 1, 4, 255, 255, 0, 0, 3, 4, ...SERVER],
					...[
						6,
						8,
						...SERVER,
						10,
						7,
						0,
						2,
						15,
						4,
						0x6c,
						0x61,
						0x6e,
						0x31,
						26,
						2,
						5,
						220,
						33,
						8,
						10,
						8,
						0,
						0,
						...SERVER,
					],
					...[
						119,
						9,
						3,
						0x61,
						0x62,
						0x63,
						0,
						1,
						0x64,
						0xc0,
						0,
						121,
						14,
						16,
						10,
						9,
						...SERVER,
						24,
						10,
						10,
						1,
						...SERVER.slice(1),
						0,
					],
				],
			];
	return Buffer.concat([reply, Buffer.from([53, 1, kind, 54, 4, ...SERVER, ...rest, 255])]);
}

/** What a broken or hostile server could have made of it. */
function damage(right: Buffer): Buffer {
	let lie = Buffer.from(right);
	for (let count = below(4); count >= 0; count--) {
		// Mostly in what is not zero: type, numbers, addresses, options.
		const at = below(4) === 0 ? below(lie.length) : OPTIONS_AT - 4 + below(Math.max(1, lie.length - OPTIONS_AT + 4));
		switch (below(6)) {
			case 0:
				lie[at] = below(256);
				break;
			case 1:
				lie[at]! ^= 1 << below(8);
				break;
			case 2:
				lie = lie.subarray(0, at);
				break;
			case 3:
				lie = Buffer.concat([lie.subarray(0, at), Buffer.from([below(256)]), lie.subarray(at)]);
				break;
			case 4:
				lie = Buffer.concat([lie.subarray(0, at), lie.subarray(at + 1 + below(8))]);
				break;
			default: {
				// A part of it once more, elsewhere: options twice.
				const from = below(lie.length);
				lie = Buffer.concat([lie.subarray(0, at), lie.subarray(from, from + below(40)), lie.subarray(at)]);
			}
		}
	}
	return lie;
}

let told = 0;
const socket = createSocket({ type: "udp4", reuseAddr: true });
function tell(right: Buffer): void {
	const send = (message: Buffer): void => socket.send(message, 68, "255.255.255.255");
	const lie = (): void => {
		for (let count = 0; count < COPIES / 2 && told < lies; count++) {
			send(damage(right));
			if (++told === lies) console.log("all told");
		}
	};
	lie();
	send(right);
	lie();
}

/** Where a relay agent's address is in a message: RFC 2131, section 2. */
const GIADDR_AT = 24;

/** A question goes to the server as a relay agent hands it on, an answer to the client as if it came from here. */
function relay(message: Buffer, from: string): void {
	if (from === server) {
		message.fill(0, GIADDR_AT, GIADDR_AT + 4);
		tell(message);
		return;
	}
	message.set(own!.split(".").map(Number), GIADDR_AT);
	socket.send(message, 67, server);
}

socket.on("message", (message, { address }) => {
	if (server !== undefined) {
		relay(message, address);
		return;
	}
	const right = answer(message);
	if (right !== undefined) tell(right);
});
socket.bind(67, () => {
	socket.setBroadcast(true);
	console.log("listening");
});
