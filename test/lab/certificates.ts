/**
 * Certificates of a test's own authority, made by openssl: P-256, as kubeadm's and k3s' may be. Its files are in one
 * directory: `ca.crt`, and NAME.crt and NAME.key of each certificate.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Both as PEM. */
export interface Identity {
	readonly certificate: string;
	readonly key: string;
}

/** Both as paths. */
export interface Certificate {
	readonly certificate: string;
	readonly key: string;
}

interface Wanted {
	/** To an API server: the user. */
	readonly commonName?: string;
	/** "serverAuth", "clientAuth" */
	readonly usage: string;
	/** To an API server: the user. */
	readonly commonName?: string;
	/** As openssl writes them: "DNS:localhost,IP:127.0.0.1". */
	readonly names?: string;
	/** YYYYMMDDHHMMSSZ; valid from 2020 to 2050 without it. */
	readonly from?: string;
	readonly until?: string;
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** `openssl x509` of version 3.0 knows no dates, `openssl ca` does. */
const CONFIG = `[ca]
default_ca=it
[it]
database=index
new_certs_dir=.
rand_serial=yes
default_md=sha256
unique_subject=no
policy=any
[any]
commonName=supplied
`;

/** Until it is disposed. */
export class Authority {
	readonly directory = mkdtempSync(join(tmpdir(), "berth-certificates-"));
	/** Of its own certificate. */
	readonly path = join(this.directory, "ca.crt");
	/** The same as PEM. */
	readonly ca: string;
	#count = 0;

	constructor(name = "test CA") {
		const extensions = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"];
		this.#signItself("ca", `/CN=${name}`, extensions);
		this.ca = this.#text("ca.crt");
		writeFileSync(join(this.directory, "index"), "");
		writeFileSync(join(this.directory, "ca.conf"), CONFIG);
	}

	make(wanted: Wanted): Identity {
		const { commonName = "test", usage, names, from = "20200101000000Z", until = "20500101000000Z" } = wanted;
		const name = `${this.#count++}`;
		const subject = ["-subj", `/CN=${commonName}`];
		this.#openssl("req", "-new", ...NEW_KEY, ...subject, "-keyout", `${name}.key`, "-out", `${name}.csr`);
		const lines = [`extendedKeyUsage=${usage}`, ...(names === undefined ? [] : [`subjectAltName=${names}`])];
		writeFileSync(join(this.directory, `${name}.ext`), `${lines.join("\n")}\n`);
		const dates = ["-startdate", from, "-enddate", until];
		const files = ["-cert", "ca.crt", "-keyfile", "ca.key", "-in", `${name}.csr`, "-out", `${name}.crt`];
		this.#openssl("ca", "-batch", "-notext", "-config", "ca.conf", "-extfile", `${name}.ext`, ...dates, ...files);
		return { certificate: join(this.directory, `${name}.crt`), key: join(this.directory, `${name}.key`) };
	}

	/** The same as PEM. */
	make(wanted: Wanted): Identity {
		const { certificate, key } = this.issue(wanted);
		return { certificate: readFileSync(certificate, "utf8"), key: readFileSync(key, "utf8") };
	}

	/** One that has signed itself and is no authority. */
	selfSigned(names: string): Identity {
		const extensions = ["-addext", `subjectAltName=${names}`, "-addext", "basicConstraints=critical,CA:FALSE"];
		this.#signItself("self", "/CN=self", extensions);
		return { certificate: this.#text("self.crt"), key: this.#text("self.key") };
	}

	#signItself(name: string, subject: string, extensions: readonly string[]): void {
		const files = ["-keyout", `${name}.key`, "-out", `${name}.crt`];
		this.#openssl("req", "-x509", ...NEW_KEY, "-subj", subject, "-days", "3650", ...files, ...extensions);
	}

	#openssl(...args: string[]): void {
		execFileSync("openssl", args, { cwd: this.directory, stdio: ["ignore", "ignore", "pipe"] });
	}

	#text(name: string): string {
		return readFileSync(join(this.directory, name), "utf8");
	}

	[Symbol.dispose](): void {
		rmSync(this.directory, { recursive: true, force: true });
	}
}
