/*
 * A fault at every call of a verb, one after the other, in one process: a program costs 30 to 100 ms to start in the
 * guest, and there are hundreds of calls.
 *
 * A scenario is a text file, one word-separated line each:
 *
 *   mode kill|fail            kill: at every call that can change something, and at the end. fail: every call.
 *   cni-path DIR              CNI_PATH of all calls
 *   config NAME FILE          a configuration, to be called NAME below
 *   reset PROGRAM ARGS        makes everything as it should be, at the beginning and after a violation
 *   watch links               what must be as after `reset`: all links of the host (ip -j -d link show),
 *   watch files DIR           the names of the files below DIR,
 *   watch symlink PATH        where this leads
 *   before STEP               done before each fault
 *   target PROGRAM VERB CONFIG CONTAINER NETNS|-
 *   after STEP                done after each fault
 *
 * Steps:
 *   call PROGRAM VERB CONFIG CONTAINER NETNS|-    must succeed
 *   call PROGRAM COMMAND      likewise, an operator's: so may the target be
 *   clear DIR                 removes what is in it
 *   netns NAME                makes a network namespace, as `ip netns add` does; one that is there is kept
 *   unnetns NAME              removes it, as `ip netns delete` does
 *   await PATTERN             waits until a file matches
 *   same                      all that is watched must be as after `reset`
 *   same-if-failed            the same where the target said that it failed: what it then leaves is a violation
 *   same-if-succeeded         the same where it succeeded in spite of the fault
 *
 * For each N from 1 on, until the target comes to its end without its Nth call: before-steps, target with the fault at
 * N, after-steps. Prints `violation N: ...` lines, `unanswered N: CALL: HOW` for a failed call that ended the target
 * without an answer, and at the end `points N violations N succeeded N failed N unanswered N`.
 */
#define _GNU_SOURCE
#include "loop.h"
#include "scene.h"
#include "storm.h"
#include <ftw.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_VIOLATIONS = 12, HANG_SECONDS = 100, AWAIT_SECONDS = 20 };

static struct {
	long points, succeeded, failed, unanswered;
} sum;
/* At the point that is being looked at: what the target said. */
static bool target_failed, target_succeeded;

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status;
	return place->level == 0 ? 0 : type == FTW_DP ? rmdir(path) : unlink(path);
}

static void await_file(const char *pattern)
{
	double deadline = now() + AWAIT_SECONDS;

	for (;;) {
		glob_t found = { 0 };
		int status = glob(pattern, 0, NULL, &found);

		globfree(&found);
		if (status == 0)
			return;
		if (now() > deadline) {
			violation("waited %d s in vain for %s", AWAIT_SECONDS, pattern);
			return;
		}
		pause_shortly();
	}
}

static void do_step(const struct step *step)
{
	char *const *words = step->words + 1; /* after "before" or "after" */

	if (!strcmp(words[0], "call"))
		call_plugin(words + 1);
	else if (!strcmp(words[0], "clear"))
		nftw(words[1], remove_entry, 16, FTW_PHYS | FTW_DEPTH);
	else if (!strcmp(words[0], "netns"))
		make_namespace(words[1]);
	else if (!strcmp(words[0], "unnetns"))
		remove_namespace(words[1]);
	else if (!strcmp(words[0], "await"))
		await_file(words[1]);
	else if (!strcmp(words[0], "same") || (!strcmp(words[0], "same-if-failed") && target_failed) ||
		 (!strcmp(words[0], "same-if-succeeded") && target_succeeded))
		require_same(words[0]);
}

/* Whether the target said what it must say. */
static void judge_answer(const struct outcome *outcome, const struct call *call)
{
	char *answer = content(call->fds[1]);

	target_failed = target_succeeded = false;
	if (outcome->hung) {
		violation("still running after %d s", HANG_SECONDS);
	} else if (scenario.mode == FAULT_FAIL && outcome->status == 0) {
		sum.succeeded++;
		target_succeeded = true;
	} else if (scenario.mode == FAULT_FAIL && *answer == '{' && strstr(answer, "\"code\"") && strstr(answer, "\"msg\"")) {
		sum.failed++;
		target_failed = true;
		if (strstr(answer, "\"code\": 999"))
			violation("a bug, says its answer: %s", answer);
	} else if (scenario.mode == FAULT_FAIL) {
		sum.unanswered++;
		printf("unanswered %ld: %s: %s\n", place, place_text, signal_text(outcome->status));
	}
	free(answer);
}

/* False: the target came to its end before its Nth call. */
static bool do_point(long at)
{
	struct fault fault = { .mode = scenario.mode, .at = at, .seconds = HANG_SECONDS };
	struct outcome outcome;
	struct call call = { 0 };

	fault.changing_only = scenario.mode != FAULT_FAIL;
	place = at;
	violated = target_failed = target_succeeded = false;
	strcpy(place_text, "before");
	for (int i = 0; i < scenario.before_count; i++)
		do_step(&scenario.before[i]);
	prepare_call(&call, scenario.target.words + 1);
	outcome = trace(call.program, call.arguments, call.environment, call.fds, fault);
	strcpy(place_text, outcome.hit ? outcome.call : "none");
	if (outcome.hit)
		judge_answer(&outcome, &call);
	else if (outcome.status != 0)
		violation("without a fault: %s: %s", signal_text(outcome.status), content(call.fds[1]));
	end_call(&call);
	for (int i = 0; i < scenario.after_count; i++)
		do_step(&scenario.after[i]);
	if (violated)
		reset();
	return outcome.hit;
}

int run_scenario(const char *path)
{
	read_scenario(path);
	reset();
	if (scenario.storm.count)
		return run_storm();
	for (long at = 1; do_point(at); at++) {
		sum.points++;
		if (violations >= MAX_VIOLATIONS) {
			printf("stopped after %d violations\n", MAX_VIOLATIONS);
			break;
		}
	}
	printf("points %ld violations %ld succeeded %ld failed %ld unanswered %ld\n", sum.points, violations, sum.succeeded,
	       sum.failed, sum.unanswered);
	return violations > 0;
}
