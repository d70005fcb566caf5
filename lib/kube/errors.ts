/**
 * What can be wrong with a question to the API server.
 */
import { HttpError } from "../http/error.ts";

/** A kubeconfig that cannot be used: the message names the file and what to do. */
export class KubeConfigError extends Error {}

/** No answer, or none that could be understood, before the deadline. */
export class NoAnswerError extends Error {}

/** An answer that is a refusal. Source: metav1.Status. */
export class KubeError extends Error {
	/** HTTP status. */
	readonly status: number;

	constructor(status: number, message: string) {
		super(message);
		this.status = status;
	}
}

export const isStatus = (error: unknown, ...statuses: number[]): error is KubeError =>
	error instanceof KubeError && statuses.includes(error.status);

/** Whether the API server, the way to it or the kubeconfig is what failed. */
export const isApiError = (error: unknown): error is Error =>
	error instanceof KubeError ||
	error instanceof NoAnswerError ||
	error instanceof KubeConfigError ||
	error instanceof HttpError;
