/* See scene.h. */
#define _GNU_SOURCE
#include "scene.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
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

struct scenario scenario;
bool violated;
long violations, place;
char place_text[64];
static char *baseline;

void violation(const char *format, ...)
{
	va_list arguments;

	if (!violated)
		violations++;
	violated = true;
	printf("violation %ld (%s): ", place, place_text);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	fflush(stdout);
}

void die(const char *what)
{
	fprintf(stderr, "tracer: %s: %s\n", what, strerror(errno));
	exit(2);
}

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

char *content(int fd)
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

/*
 * PROGRAM VERB CONFIG CONTAINER NETNS, as a container runtime calls a plugin; or PROGRAM COMMAND, as an operator calls
 * a command, which has small letters, with the flag that says where plugins are.
 */
void prepare_call(struct call *call, char *const *words)
{
	int count = 0;

	call->program = words[0];
	call->arguments[0] = words[0];
	call->arguments[1] = NULL;
	call->fds[1] = memory_file();
	call->fds[2] = memory_file();
	if (words[1][0] >= 'a' && words[1][0] <= 'z') {
		call->arguments[1] = words[1];
		call->arguments[2] = "-cni-path";
		call->arguments[3] = (char *)scenario.cni_path;
		call->arguments[4] = NULL;
		call->environment[0] = NULL;
		call->fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		return;
	}
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
}

void end_call(struct call *call)
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

void call_plugin(char *const *words)
{
	struct call call;
	int status;

	prepare_call(&call, words);
	status = run(call.program, call.arguments, call.environment, call.fds);
	if (status != 0)
		violation("%s %s of %s: %s: %s %s", call.program, words[1], words[2] ? words[3] : "the node", signal_text(status),
			  content(call.fds[1]), content(call.fds[2]));
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

/*
 * `ip -j`: the queueing discipline of a link that is down (that of when it was up) and igbvf's permaddr mean
 * nothing.
 */
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

double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

void pause_shortly(void)
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

/*
 * A carrier takes a while to come, and so does a device out of a namespace that ends: a difference counts if it
 * stays.
 */
void require_same(const char *what)
{
	double deadline = now() + 3;

	for (;;) {
		char *state = fingerprint();
		bool same = !strcmp(state, baseline);

		if (!same && now() > deadline)
			report_difference(what, baseline, state);
		free(state);
		if (same || violated)
			return;
		pause_shortly();
	}
}

void make_namespace(const char *name)
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

void remove_namespace(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	umount2(path, MNT_DETACH);
	unlink(path);
}

void reset(void)
{
	struct step *step = &scenario.reset;

	if (step->count > 1 && run(step->words[1], step->words + 1, (char *[]){ "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL },
				   (const int[]){ 0, 2, 2 }) != 0)
		die("the reset program failed");
	free(baseline);
	baseline = fingerprint();
}

static void put(struct step *steps, int *count, int most, const struct step *step)
{
	if (*count == most) {
		fprintf(stderr, "tracer: too many lines of %s\n", step->words[0]);
		exit(2);
	}
	steps[(*count)++] = *step;
}

void read_scenario(const char *path)
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
			put(scenario.configs, &scenario.config_count, MAX_CONFIGS, &step);
		else if (!strcmp(step.words[0], "reset"))
			scenario.reset = step;
		else if (!strcmp(step.words[0], "watch"))
			put(scenario.watched, &scenario.watched_count, MAX_STEPS, &step);
		else if (!strcmp(step.words[0], "before"))
			put(scenario.before, &scenario.before_count, MAX_STEPS, &step);
		else if (!strcmp(step.words[0], "after"))
			put(scenario.after, &scenario.after_count, MAX_STEPS, &step);
		else if (!strcmp(step.words[0], "target"))
			scenario.target = step;
		else if (!strcmp(step.words[0], "storm"))
			scenario.storm = step;
		else if (!strcmp(step.words[0], "vf"))
			put(scenario.vfs, &scenario.vf_count, MAX_CONFIGS, &step);
		else {
			fprintf(stderr, "tracer: %s: what is %s?\n", path, step.words[0]);
			exit(2);
		}
	}
	fclose(file);
}

