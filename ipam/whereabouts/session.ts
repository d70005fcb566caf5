/**
 * A call's way to the API server, with errors of the protocol.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { sentence } from "../../lib/cni/failures.ts";
import { KubeClient } from "../../lib/kube/client.ts";
import { isApiError, KubeConfigError } from "../../lib/kube/errors.ts";
import { type Cluster, readKubeconfig } from "../../lib/kube/kubeconfig.ts";
import { isSystemError, sleepMs } from "../../lib/sys/sys.ts";

/** A refusal comes within this. */
const ANSWER_MS = 9000;
/** STATUS answers sooner. */
const STATUS_MS = 1800;
/** Commands go through all that a cluster has. */
export const COMMAND_MS = 120_000;
/** Where the Go project's installer puts the objects. */
export const DEFAULT_NAMESPACE = "kube-system";

export interface Session {
	readonly client: KubeClient;
	readonly namespace: string;
	/** Path, for a process that goes on later. */
	readonly kubeconfig: string;
}

/** Of what the API server is the reason for: STATUS says that the plugin is not available, other verbs "try again". */
export type Trouble = typeof Code.tryAgain | typeof Code.notAvailable;

/**
 * Runs `work` with the API server that `kubeconfig` names. What the server says, or that it says nothing, is a
 * CniError `code`; so is a kubeconfig that cannot be used. `notAvailable` is for STATUS alone, which waits less.
 */
export function withApiServer<T>(kubeconfig: string, work: (session: Session) => T, code: Trouble = Code.tryAgain): T {
	const cluster = readCluster(kubeconfig, code);
	try {
		using client = new KubeClient(cluster, code === Code.notAvailable ? STATUS_MS : ANSWER_MS);
		return work({ client, namespace: cluster.namespace ?? DEFAULT_NAMESPACE, kubeconfig });
	} catch (error) {
		if (isApiError(error))
			throw new CniError(code, `error at storage engine: ${sentence(error)}`, `kubeconfig ${kubeconfig}`);
		if (isSystemError(error)) throw new CniError(code === Code.tryAgain ? Code.io : code, sentence(error));
		throw error;
	}
}

/** The Go project's installer writes it in place: one that is cut is read once more. */
const REWRITTEN_MS = 100;

function readCluster(kubeconfig: string, code: Trouble): Cluster {
	try {
		try {
			return readKubeconfig(kubeconfig);
		} catch (error) {
			if (!(error instanceof KubeConfigError)) throw error;
			sleepMs(REWRITTEN_MS);
			return readKubeconfig(kubeconfig);
		}
	} catch (error) {
		if (error instanceof KubeConfigError)
			throw new CniError(code === Code.tryAgain ? Code.invalidConfig : code, error.message);
		if (isSystemError(error)) throw new CniError(code, `error at storage engine: ${sentence(error)}`);
		throw error;
	}
}
