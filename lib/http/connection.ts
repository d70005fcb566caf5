/**
 * A TLS connection to a server: TCP to the first of its addresses that takes it, then the handshake. No proxy is asked.
 *
 * A deadline is a time of `sys.monotonicMs()`.
 */
import { formatIp, type Ip } from "../ip/address.ts";
import * as sys from "../sys/sys.ts";
import { HttpError, type Reason } from "./error.ts";
import { resolve } from "./resolve.ts";
import { connectTcp, timeLeft } from "./tcp.ts";

export interface Endpoint {
	/** A DNS name or an IP address (IPv6 without brackets). The server's certificate must be for it. */
	readonly host: string;
	readonly port: number;
	/** PEM: one of these must have signed the server's certificate. */
	readonly ca: string;
	/** What the certificate must be for where that is not `host`: a kubeconfig's tls-server-name. */
	readonly serverName?: string;
	/** PEM: the client's own certificate. */
	readonly identity?: { readonly certificate: string; readonly key: string };
}

export class Connection {
	readonly #fd: number;
	readonly #session: number;
	readonly #server: string;
	/** Whether anything has come since the last request. */
	hasReply = false;

	private constructor(fd: number, session: number, server: string) {
		this.#fd = fd;
		this.#session = session;
		this.#server = server;
	}

	/** Throws HttpError. */
	static open(endpoint: Endpoint, deadline: number): Connection {
		const { fd, ip } = connect(endpoint, deadline);
		const host = formatHost(endpoint);
		const address = formatIp(ip);
		const server = host.startsWith(address) || host.startsWith("[") ? host : `${host} (${address})`;
		try {
			const name = (endpoint.serverName ?? endpoint.host).replace(/\.$/, "");
			const { certificate, key } = endpoint.identity ?? { certificate: "", key: "" };
			const session = attempt(server, "the TLS handshake", () =>
				sys.tlsOpen(fd, name, endpoint.ca, certificate, key, timeLeft(deadline)),
			);
			return new Connection(fd, session, server);
		} catch (error) {
			sys.discard(fd);
			throw error;
		}
	}

	write(data: Uint8Array, deadline: number): void {
		this.hasReply = false;
		attempt(this.#server, "the server to take the request", () =>
			sys.tlsWrite(this.#session, data, timeLeft(deadline)),
		);
	}

	/** At least one byte; none: the server has ended the session. */
	read(deadline: number): Uint8Array {
		const piece = attempt(this.#server, "the reply", () => sys.tlsRead(this.#session, READ_BYTES, timeLeft(deadline)));
		if (piece.length > 0) this.hasReply = true;
		return piece;
	}

	/** Whether something has come that nobody asked for: most often, the end. */
	isReadable(): boolean {
		return sys.poll([{ fd: this.#fd, events: sys.POLLIN }], 0)[0] !== 0;
	}

	error(reason: Reason, what: string): HttpError {
		return new HttpError(reason, `${this.#server}: ${what}`);
	}

	close(): void {
		sys.tlsClose(this.#session);
		sys.discard(this.#fd);
	}
}

const READ_BYTES = 64 * 1024;

/** As in a URL and in the header Host: without the port that is https' own. */
export function formatHost({ host, port }: Pick<Endpoint, "host" | "port">): string {
	const name = host.includes(":") ? `[${host}]` : host;
	return port === 443 ? name : `${name}:${port}`;
}

/**
 * A connected socket. Each address has its share of the time, so that one that does not answer leaves some for the
 * next.
 */
function connect(endpoint: Endpoint, deadline: number): { fd: number; ip: Ip } {
	const addresses = resolve(endpoint.host, deadline);
	const failures: string[] = [];
	let reason: Reason = "deadline";
	for (const [index, ip] of addresses.entries()) {
		try {
			const share = timeLeft(deadline) / (addresses.length - index);
			const fd = connectTcp(ip, endpoint.port, sys.monotonicMs() + share);
			if (fd !== undefined) return { fd, ip };
			failures.push(`${formatIp(ip)}: no answer`);
		} catch (error) {
			if (!sys.isSystemError(error)) throw error;
			reason = "connect";
			failures.push(`${formatIp(ip)}: ${error.message}`);
		}
	}
	throw new HttpError(reason, `${formatHost(endpoint)} takes no connection: ${failures.join("; ")}`);
}

/** By the codes of native.d.ts. */
const REASONS: Readonly<Record<string, Reason>> = {
	EKEYREJECTED: "certificate",
	EPROTO: "tls",
	EINVAL: "settings",
	ETIMEDOUT: "deadline",
};

function attempt<T>(server: string, awaited: string, work: () => T): T {
	try {
		return work();
	} catch (error) {
		if (!sys.isSystemError(error)) throw error;
		const what = error.code === "ETIMEDOUT" ? `timed out waiting for ${awaited}` : error.message;
		throw new HttpError(REASONS[error.code] ?? "closed early", `${server}: ${what}`);
	}
}
