/**
 * Certificates of a test's own authority, made by openssl: P-256, as kubeadm's and k3s' may be, unless another kind of
 * key is asked for.
 */
import { execFileSync } from "node:child_process";
import { mkdtempDisposableSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Identity {
	readonly certificate: string;
	readonly key: string;
}

interface Wanted {
	/** To an API server: the user. */
	readonly commonName?: string;
	/** "serverAuth", "clientAuth" */
	readonly usage: string;
	/** As openssl writes them: "DNS:localhost,IP:127.0.0.1". */
	readonly names?: string;
	/** YYYYMMDDHHMMSSZ; valid from 2020 to 2050 without it. */
	readonly from?: string;
	readonly until?: string;
	/** P-256 without it. */
	readonly key?: KeyKind;
}

const EC = ["-newkey", "ec", "-pkeyopt"];
const NEW_KEYS = {
	"P-256": [...EC, "ec_paramgen_curve:P-256"],
	"P-384": [...EC, "ec_paramgen_curve:P-384"],
	RSA: ["-newkey", "rsa:2048"],
	Ed25519: ["-newkey", "ed25519"],
};
export type KeyKind = keyof typeof NEW_KEYS;
const newKey = (kind: KeyKind = "P-256"): string[] => [...NEW_KEYS[kind], "-nodes"];

/** A directory with the authority's files, until it is disposed. */
export class Authority {
	readonly #directory = mkdtempDisposableSync(join(tmpdir(), "berth-certificates-"));
	#count = 0;
	/** The authority's own certificate, PEM. */
	readonly ca: string;

	constructor(name = "test CA") {
		const extensions = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"];
		this.#openssl(
			"req",
			"-x509",
			...newKey(),
			"-subj",
			`/CN=${name}`,
			"-days",
			"3650",
			"-keyout",
			"ca.key",
			"-out",
			"ca.crt",
			...extensions,
		);
		this.ca = this.#text("ca.crt");
		writeFileSync(this.#path("index"), "");
		// `openssl x509` of version 3.0 knows no dates, `openssl ca` does.
		const config = `[ca]\ndefault_ca=it\n[it]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\nunique_subject=no\npolicy=any\n[any]\ncommonName=supplied\n`;
		writeFileSync(this.#path("ca.conf"), config);
	}

	make(wanted: Wanted): Identity {
		const { commonName = "test", usage, names, key, from = "20200101000000Z", until = "20500101000000Z" } = wanted;
		const name = `${this.#count++}`;
		const subject = ["-subj", `/CN=${commonName}`];
		this.#openssl("req", "-new", ...newKey(key), ...subject, "-keyout", `${name}.key`, "-out", `${name}.csr`);
		const lines = [`extendedKeyUsage=${usage}`, ...(names === undefined ? [] : [`subjectAltName=${names}`])];
		writeFileSync(this.#path(`${name}.ext`), `${lines.join("\n")}\n`);
		const dates = ["-startdate", from, "-enddate", until];
		const files = ["-cert", "ca.crt", "-keyfile", "ca.key", "-in", `${name}.csr`, "-out", `${name}.crt`];
		this.#openssl("ca", "-batch", "-notext", "-config", "ca.conf", "-extfile", `${name}.ext`, ...dates, ...files);
		return { certificate: this.#text(`${name}.crt`), key: this.#text(`${name}.key`) };
	}

	/** One that has signed itself and is no authority. */
	selfSigned(names: string): Identity {
		const extensions = ["-addext", `subjectAltName=${names}`, "-addext", "basicConstraints=critical,CA:FALSE"];
		this.#openssl(
			"req",
			"-x509",
			...newKey(),
			"-subj",
			"/CN=self",
			"-days",
			"3650",
			"-keyout",
			"self.key",
			"-out",
			"self.crt",
			...extensions,
		);
		return { certificate: this.#text("self.crt"), key: this.#text("self.key") };
	}

	#openssl(...args: string[]): void {
		execFileSync("openssl", args, { cwd: this.#directory.path, stdio: ["ignore", "ignore", "pipe"] });
	}

	#path(name: string): string {
		return join(this.#directory.path, name);
	}

	#text(name: string): string {
		return readFileSync(this.#path(name), "utf8");
	}

	[Symbol.dispose](): void {
		this.#directory[Symbol.dispose]();
	}
}
