/* The program: `tracer count|changes|kill|kill-after|fail ... -- PROGRAM ARGS`, or `tracer run SCENARIO` (loop.c). */
#include "loop.h"
#include "tracer.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static int usage(void)
{
	fprintf(stderr, "usage: tracer count|changes|kill N|kill-after N|fail N ERRNO -- PROGRAM ARGS\n"
			"       tracer run SCENARIO\n");
	return 2;
}

int main(int argc, char **argv)
{
	extern char **environ;
	struct fault fault = { .mode = FAULT_NONE };
	struct outcome outcome;
	int at = 1;

	if (argc == 3 && !strcmp(argv[1], "run"))
		return run_scenario(argv[2]);
	if (argc < 4)
		return usage();
	if (!strcmp(argv[1], "count") || !strcmp(argv[1], "changes")) {
		fault.list = stderr;
		fault.changing_only = argv[1][1] == 'h';
	} else if (!strncmp(argv[1], "kill", 4)) {
		fault.mode = argv[1][4] ? FAULT_KILL_AFTER : FAULT_KILL;
		fault.at = atol(argv[++at]);
	} else if (!strcmp(argv[1], "fail") && argc > 5) {
		fault.mode = FAULT_FAIL;
		fault.at = atol(argv[++at]);
		fault.error = atoi(argv[++at]);
	} else {
		return usage();
	}
	if (++at >= argc - 1 || strcmp(argv[at], "--"))
		return usage();
	at++;
	outcome = trace(argv[at], argv + at, environ, (const int[]){ 0, 1, 2 }, fault);
	if (outcome.hit)
		fprintf(stderr, "tracer: call %ld: %s: %s\n", outcome.calls, outcome.call, signal_text(outcome.status));
	return WIFEXITED(outcome.status) ? WEXITSTATUS(outcome.status) : 128 + WTERMSIG(outcome.status);
}
