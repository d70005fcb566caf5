/**
 * What unit tests get for "native:sys", the native module of the executable's host: the parts that are pure, by Node's
 * means. The others throw; a test that needs them mocks this module (`vi.mock("native:sys", ...)`) or is no unit test.
 */
import { randomBytes } from "node:crypto";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export const encodeUtf8 = (text: string): Uint8Array => encoder.encode(text);
export const decodeUtf8 = (bytes: Uint8Array): string => decoder.decode(bytes);
/** In tests always looked at closely. */
export const mayRepeatKeys = (): boolean => true;
/** In tests lib/ip reads everything. */
export const isCanonicalIp = (): boolean => false;
export const isCanonicalCidr = (): boolean => false;
export const areCanonical = (): boolean => false;
/** Those that unit tests meet, as strerror(3) of glibc says them, in lower case. */
const ERRORS: Readonly<Record<number, [code: string, text: string]>> = {
	1: ["EPERM", "operation not permitted"],
	11: ["EAGAIN", "resource temporarily unavailable"],
	16: ["EBUSY", "device or resource busy"],
	17: ["EEXIST", "file exists"],
	19: ["ENODEV", "no such device"],
	22: ["EINVAL", "invalid argument"],
	90: ["EMSGSIZE", "message too long"],
	95: ["EOPNOTSUPP", "operation not supported"],
	105: ["ENOBUFS", "no buffer space available"],
	110: ["ETIMEDOUT", "connection timed out"],
};
export const describeErrno = (errno: number): [code: string, text: string] =>
	ERRORS[errno] ?? [`E${errno}`, `error ${errno}`];
export const random = (length: number): Uint8Array => randomBytes(length);
export const monotonicMs = (): number => performance.now();
export const realtimeMs = (): number => Date.now();
export const pid = (): number => process.pid;

function absent(name: string): () => never {
	return () => {
		throw new Error(`native:sys ${name} is not to be had on Node: mock it, or test the executable`);
	};
}

export const formatAddress = absent("formatAddress");
export const attributeValues = absent("attributeValues");
export const attributeRows = absent("attributeRows");
export const args = absent("args");
export const variable = absent("variable");
export const exit = absent("exit");
export const engine = absent("engine");
export const sleepMs = absent("sleepMs");
export const openat = absent("openat");
export const close = absent("close");
export const read = absent("read");
export const readAll = absent("readAll");
export const readFile = absent("readFile");
export const readFileIfPresent = absent("readFileIfPresent");
export const write = absent("write");
export const fsync = absent("fsync");
export const terminalColumns = absent("terminalColumns");
export const fchmod = absent("fchmod");
export const fstat = absent("fstat");
export const statat = absent("statat");
export const isSameFile = absent("isSameFile");
export const setModified = absent("setModified");
export const renameat = absent("renameat");
export const renameNew = absent("renameNew");
export const linkat = absent("linkat");
export const linkFd = absent("linkFd");
export const unlinkat = absent("unlinkat");
export const mkdirat = absent("mkdirat");
export const readlinkat = absent("readlinkat");
export const readlinkIfPresent = absent("readlinkIfPresent");
export const readDirectory = absent("readDirectory");
export const readDirectoryIfPresent = absent("readDirectoryIfPresent");
export const fileSystemType = absent("fileSystemType");
export const flock = absent("flock");
export const setns = absent("setns");
export const unshare = absent("unshare");
export const socket = absent("socket");
export const bind = absent("bind");
export const connect = absent("connect");
export const listen = absent("listen");
export const accept = absent("accept");
export const send = absent("send");
export const sendTo = absent("sendTo");
export const receive = absent("receive");
export const setSocketOption = absent("setSocketOption");
export const getSocketOption = absent("getSocketOption");
export const socketName = absent("socketName");
export const poll = absent("poll");
export const boottimeMs = (): number => performance.now();
export const attachFilter = absent("attachFilter");
export const signalFd = absent("signalFd");
export const spawn = absent("spawn");
export const detach = absent("detach");
export const tlsOpen = absent("tlsOpen");
export const tlsWrite = absent("tlsWrite");
export const tlsRead = absent("tlsRead");
export const tlsClose = absent("tlsClose");
