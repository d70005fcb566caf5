/*
 * A fault at every call of a verb, one after the other, in one process: a program costs 30 to 100 ms to start in the guest,
 * and there are hundreds of calls.
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
 *   clear DIR                 removes what is in it
 *   netns NAME                makes a network namespace, as `ip netns add` does; one that is there is kept
 *   unnetns NAME              removes it, as `ip netns delete` does
 *   await PATTERN             waits until a file matches
 *   same                      all that is watched must be as after `reset`
 *   same-if-failed            the same where the target said that it failed: what it then leaves is a violation
 *
 * For each N from 1 on, until the target comes to its end without its Nth call: before-steps, target with the fault at N,
 * after-steps. Prints `violation N: ...` lines, `unanswered N: CALL: HOW` for a failed call that ended the target without an
 * answer, and at the end `points N violations N succeeded N failed N unanswered N`.
 */
#define _GNU_SOURCE
#include "loop.h"
#include "tracer.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_STEPS = 32, MAX_WORDS = 16, MAX_VIOLATIONS = 12, HANG_SECONDS = 100, AWAIT_SECONDS = 20 };

struct step {
	int count;
	char *words[MAX_WORDS + 1];
};

static struct {
	enum fault_mode mode;
	const char *cni_path;
	struct step configs[8], before[MAX_STEPS], after[MAX_STEPS], reset, target, watched[8];
	int config_count, before_count, after_count, watched_count;
} scenario;

static char *baseline;
static struct {
	long points, violations, succeeded, failed, unanswered;
} sum;
/* The point that is being looked at. */
static struct {
	long at;
	char call[64];
	bool violated, failed;
} point;

static void violation(const char *format, ...)
{
	va_list arguments;

	if (!point.violated)
		sum.violations++;
	point.violated = true;
	printf("violation %ld (%s): ", point.at, point.call);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	fflush(stdout);
}

static void die(const char *what)
{
	fprintf(stderr, "tracer: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* --- text that grows */

struct text {
	char *bytes;
	size_t length;
};

static void append(struct text *text, const void *bytes, size_t length)
{
	text->bytes = realloc(text->bytes, text->length + length + 1);
	memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
	text->bytes[text->length] = 0;
}

static void append_fd(struct text *text, int fd)
{
	char buffer[65536];
	ssize_t got;

	while ((got = read(fd, buffer, sizeof(buffer))) > 0)
		append(text, buffer, got);
}

static char *content(int fd)
{
	struct text text = { 0 };

	append(&text, "", 0);
	lseek(fd, 0, SEEK_SET);
	append_fd(&text, fd);
	return text.bytes;
}

/* --- programs */

static int memory_file(void)
{
	int fd = memfd_create("output", MFD_CLOEXEC);

	if (fd < 0)
		die("memfd_create");
	return fd;
}

static const char *config_path(const char *name)
{
	for (int i = 0; i < scenario.config_count; i++)
		if (!strcmp(scenario.configs[i].words[1], name))
			return scenario.configs[i].words[2];
	fprintf(stderr, "tracer: there is no config %s\n", name);
	exit(2);
}

struct call {
	char *program;
	char *environment[8];
	char storage[6][512];
	int fds[3];
};

/* PROGRAM VERB CONFIG CONTAINER NETNS, as a container runtime calls a plugin. */
static void prepare_call(struct call *call, char *const *words)
{
	int count = 0;

	call->program = words[0];
	snprintf(call->storage[0], sizeof(call->storage[0]), "CNI_COMMAND=%s", words[1]);
	snprintf(call->storage[1], sizeof(call->storage[1]), "CNI_CONTAINERID=%s", words[3]);
	snprintf(call->storage[2], sizeof(call->storage[2]), "CNI_PATH=%s", scenario.cni_path);
	strcpy(call->storage[3], "CNI_IFNAME=net1");
	snprintf(call->storage[4], sizeof(call->storage[4]), "CNI_NETNS=%s", words[4]);
	strcpy(call->storage[5], "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
	for (int i = 0; i < 6; i++)
		if (i != 4 || strcmp(words[4], "-"))
			call->environment[count++] = call->storage[i];
	call->environment[count] = NULL;
	call->fds[0] = open(config_path(words[2]), O_RDONLY | O_CLOEXEC);
	if (call->fds[0] < 0)
		die(config_path(words[2]));
	call->fds[1] = memory_file();
	call->fds[2] = memory_file();
}

static void end_call(struct call *call)
{
	for (int i = 0; i < 3; i++)
		close(call->fds[i]);
}

static int run(const char *program, char *const *arguments, char *const *environment, const int fds[3])
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		for (int i = 0; i < 3; i++)
			dup2(fds[i], i);
		execve(program, arguments, environment);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("cannot run a program");
	return status;
}

static void call_plugin(char *const *words)
{
	struct call call;
	int status;

	prepare_call(&call, words);
	status = run(call.program, (char *[]){ call.program, NULL }, call.environment, call.fds);
	if (status != 0)
		violation("%s %s of %s: %s: %s %s", call.program, words[1], words[3], signal_text(status), content(call.fds[1]),
			  content(call.fds[2]));
	end_call(&call);
}

/* --- what must not change */

/* Removes `"key":"value",` between two places of a text. Returns how much shorter it is. */
static size_t remove_member(char *from, const char *end, const char *key)
{
	char *member = strstr(from, key), *after;

	if (!member || member >= end)
		return 0;
	after = strchr(strchr(member, ':') + 2, '"') + 1;
	after += *after == ',';
	memmove(member, after, strlen(after) + 1);
	return after - member;
}

/* `ip -j`: the queueing discipline of a link that is down (that of when it was up) and igbvf's permaddr mean nothing. */
static void normalise(char *json)
{
	char *link = strstr(json, "{\"ifindex\"");

	while (link) {
		char *next = strstr(link + 1, "{\"ifindex\""), *end = next ? next : link + strlen(link);
		char *flags = strstr(link, "\"flags\":["), *flags_end = flags ? strchr(flags, ']') : NULL;
		char *up = flags ? strstr(flags, "\"UP\"") : NULL;

		end -= remove_member(link, end, "\"permaddr\"");
		if (!up || up > flags_end)
			end -= remove_member(link, end, "\"qdisc\"");
		link = next ? end : NULL;
	}
}

static struct text *walked;

static int walk(const char *path, const struct stat *status, int type, struct FTW *place)
{
	const char *name = path + place->base;
	size_t length = strlen(name);

	(void)status;
	/* Lock files stay for good, and so does the memory of whose turn it is. */
	if (type == FTW_D || !strcmp(name, "lock") || (length > 5 && !strcmp(name + length - 5, ".lock")) ||
	    !strncmp(name, "last_reserved_ip.", 17))
		return 0;
	append(walked, path, strlen(path));
	append(walked, "\n", 1);
	return 0;
}

static void append_foreign_namespaces(struct text *text)
{
	FILE *mounts = fopen("/proc/self/mounts", "r");
	char line[1024];

	/* Pods of the scenario come and go. */
	while (mounts && fgets(line, sizeof(line), mounts))
		if (strstr(line, " nsfs ") && !strstr(line, "/netns/pod"))
			append(text, line, strlen(line));
	if (mounts)
		fclose(mounts);
}

static void append_links(struct text *text)
{
	char *arguments[] = { "ip", "-j", "-d", "link", "show", NULL }, *environment[] = { NULL }, *json;
	int output = memory_file();

	if (run("/usr/sbin/ip", arguments, environment, (const int[]){ 0, output, 2 }) != 0)
		die("ip -j -d link show");
	json = content(output);
	normalise(json);
	append(text, json, strlen(json));
	free(json);
	close(output);
}

static char *fingerprint(void)
{
	struct text text = { 0 };

	append(&text, "", 0);
	for (int i = 0; i < scenario.watched_count; i++) {
		const struct step *what = &scenario.watched[i];
		char target[256];
		ssize_t length;

		if (!strcmp(what->words[1], "links")) {
			append_links(&text);
		} else if (!strcmp(what->words[1], "files")) {
			walked = &text;
			nftw(what->words[2], walk, 16, FTW_PHYS);
		} else {
			length = readlink(what->words[2], target, sizeof(target));
			append(&text, target, length < 0 ? 0 : length);
		}
		append(&text, "\n", 1);
	}
	append_foreign_namespaces(&text);
	return text.bytes;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void pause_shortly(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
}

/* Where two texts begin to differ, with what is before and after. */
static void report_difference(const char *what, const char *before, const char *after)
{
	size_t at = 0, from;

	while (before[at] && before[at] == after[at])
		at++;
	from = at > 150 ? at - 150 : 0;
	violation("%s: not as before:\n  was ...%.250s\n  is  ...%.250s", what, before + from, after + from);
}

/* A carrier takes a while to come, and so does a device out of a namespace that ends: a difference counts if it stays. */
static void require_same(const char *what)
{
	double deadline = now() + 3;

	for (;;) {
		char *state = fingerprint();
		bool same = !strcmp(state, baseline);

		if (!same && now() > deadline)
			report_difference(what, baseline, state);
		free(state);
		if (same || point.violated)
			return;
		pause_shortly();
	}
}

/* --- steps */

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status;
	return place->level == 0 ? 0 : type == FTW_DP ? rmdir(path) : unlink(path);
}

static void make_namespace(const char *name)
{
	char path[256];
	int fd, status;
	pid_t pid;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	if (access(path, F_OK) == 0)
		return;
	mkdir("/run/netns", 0755);
	fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
	if (fd < 0)
		die(path);
	close(fd);
	pid = fork();
	if (pid == 0)
		_exit(unshare(CLONE_NEWNET) || mount("/proc/self/ns/net", path, "none", MS_BIND, NULL));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		die("cannot make a network namespace");
}

static void remove_namespace(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	umount2(path, MNT_DETACH);
	unlink(path);
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
	else if (!strcmp(words[0], "same") || point.failed)
		require_same(words[0]);
}

/* --- the loop */

static void reset(void)
{
	struct step *step = &scenario.reset;

	if (step->count > 1 && run(step->words[1], step->words + 1, (char *[]){ "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL },
				   (const int[]){ 0, 2, 2 }) != 0)
		die("the reset program failed");
	free(baseline);
	baseline = fingerprint();
}

/* Whether the target said what it must say. */
static void judge_answer(const struct outcome *outcome, const struct call *call)
{
	char *answer = content(call->fds[1]);

	point.failed = false;
	if (outcome->hung) {
		violation("still running after %d s", HANG_SECONDS);
	} else if (scenario.mode == FAULT_FAIL && outcome->status == 0) {
		sum.succeeded++;
	} else if (scenario.mode == FAULT_FAIL && *answer == '{' && strstr(answer, "\"code\"") && strstr(answer, "\"msg\"")) {
		sum.failed++;
		point.failed = true;
		if (strstr(answer, "\"code\": 999"))
			violation("a bug, says its answer: %s", answer);
	} else if (scenario.mode == FAULT_FAIL) {
		sum.unanswered++;
		printf("unanswered %ld: %s: %s\n", point.at, point.call, signal_text(outcome->status));
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
	point.at = at;
	point.violated = point.failed = false;
	strcpy(point.call, "before");
	for (int i = 0; i < scenario.before_count; i++)
		do_step(&scenario.before[i]);
	prepare_call(&call, scenario.target.words + 1);
	outcome = trace(call.program, (char *[]){ call.program, NULL }, call.environment, call.fds, fault);
	strcpy(point.call, outcome.hit ? outcome.call : "none");
	if (outcome.hit)
		judge_answer(&outcome, &call);
	else if (outcome.status != 0)
		violation("without a fault: %s: %s", signal_text(outcome.status), content(call.fds[1]));
	end_call(&call);
	for (int i = 0; i < scenario.after_count; i++)
		do_step(&scenario.after[i]);
	if (point.violated)
		reset();
	return outcome.hit;
}

static void put(struct step *steps, int *count, int most, const struct step *step)
{
	if (*count == most) {
		fprintf(stderr, "tracer: too many lines of %s\n", step->words[0]);
		exit(2);
	}
	steps[(*count)++] = *step;
}

static void read_scenario(const char *path)
{
	FILE *file = fopen(path, "r");
	char line[4096];

	if (!file)
		die(path);
	while (fgets(line, sizeof(line), file)) {
		struct step step = { 0 };
		char *text = strdup(line), *rest = NULL;

		for (char *word = strtok_r(text, " \n", &rest); word && step.count < MAX_WORDS; word = strtok_r(NULL, " \n", &rest))
			step.words[step.count++] = word;
		if (step.count == 0)
			continue;
		if (!strcmp(step.words[0], "mode"))
			scenario.mode = !strcmp(step.words[1], "kill") ? FAULT_KILL : FAULT_FAIL;
		else if (!strcmp(step.words[0], "cni-path"))
			scenario.cni_path = step.words[1];
		else if (!strcmp(step.words[0], "config"))
			put(scenario.configs, &scenario.config_count, 8, &step);
		else if (!strcmp(step.words[0], "reset"))
			scenario.reset = step;
		else if (!strcmp(step.words[0], "watch"))
			put(scenario.watched, &scenario.watched_count, 8, &step);
		else if (!strcmp(step.words[0], "before"))
			put(scenario.before, &scenario.before_count, MAX_STEPS, &step);
		else if (!strcmp(step.words[0], "after"))
			put(scenario.after, &scenario.after_count, MAX_STEPS, &step);
		else if (!strcmp(step.words[0], "target"))
			scenario.target = step;
		else {
			fprintf(stderr, "tracer: %s: what is %s?\n", path, step.words[0]);
			exit(2);
		}
	}
	fclose(file);
}

int run_scenario(const char *path)
{
	read_scenario(path);
	reset();
	for (long at = 1; do_point(at); at++) {
		sum.points++;
		if (sum.violations >= MAX_VIOLATIONS) {
			printf("stopped after %d violations\n", MAX_VIOLATIONS);
			break;
		}
	}
	printf("points %ld violations %ld succeeded %ld failed %ld unanswered %ld\n", sum.points, sum.violations, sum.succeeded,
	       sum.failed, sum.unanswered);
	return sum.violations > 0;
}
