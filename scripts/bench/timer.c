/*
 * Runs the commands of a plan in turn, round after round, and prints what each run took.
 *
 *   timer ROUNDS < PLAN
 *
 * A plan is a list of commands, each of these lines:
 *
 *   run PATH          the program; argv[0] is PATH
 *   arg TEXT          its other arguments, one line each
 *   env NAME=VALUE    its whole environment, one line each
 *   stdin TEXT        what it reads from a pipe, one line of at most 1 MB; without this line: end of file
 *   end
 *
 * For each run one line on stdout: "INDEX WALL CPU MEMORY", the place in the plan, nanoseconds from before the start to
 * the end, microseconds of CPU time (user and system), and peak resident memory in KiB. A run that fails ends
 * everything.
 *
 * Why a program of its own: Node forks with all of its page tables, and hears of the end through its event loop. The
 * memory of whoever starts a program counts as the child's peak until exec (setmax_mm_hiwater_rss() in exec_mmap()), so
 * this one is static and small. CPU time is that of wait4(2): children that were waited for are in it, and the kernel
 * scales the sum of user and system to the scheduler's exact run time (cputime_adjust() in kernel/sched/cputime.c),
 * whatever the tick; only how it divides into the two is a guess, hence one number.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_COMMANDS = 64, MAX_ARGUMENTS = 16, MAX_VARIABLES = 32, USUAL_PIPE = 16 * 1024, PIPE_CAPACITY = 1024 * 1024 };

struct command {
	char *path;
	/* argv, with its end. */
	char *arguments[MAX_ARGUMENTS + 1];
	int argument_count;
	char *environment[MAX_VARIABLES + 1];
	int variables;
	char *input;
};

static struct command plan[MAX_COMMANDS];
static int commands;

static void __attribute__((noreturn)) fail(const char *what, const char *which)
{
	fprintf(stderr, "timer: %s %s: %s\n", what, which, strerror(errno));
	exit(1);
}

static void __attribute__((noreturn)) refuse(const char *line)
{
	fprintf(stderr, "timer: wrong line in the plan: %s\n", line);
	exit(2);
}

static char *rest_after(char *line, const char *word)
{
	size_t length = strlen(word);
	return strncmp(line, word, length) == 0 && line[length] == ' ' ? line + length + 1 : NULL;
}

static void read_plan(void)
{
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length;
	struct command *current = NULL;
	while ((length = getline(&line, &capacity, stdin)) > 0) {
		char *value;
		if (line[length - 1] == '\n') line[length - 1] = '\0';
		if ((value = rest_after(line, "run")) && !current && commands < MAX_COMMANDS) {
			current = &plan[commands++];
			current->path = current->arguments[current->argument_count++] = strdup(value);
		} else if (current && (value = rest_after(line, "arg")) && current->argument_count < MAX_ARGUMENTS) {
			current->arguments[current->argument_count++] = strdup(value);
		} else if (current && (value = rest_after(line, "env")) && current->variables < MAX_VARIABLES) {
			current->environment[current->variables++] = strdup(value);
		} else if (current && (value = rest_after(line, "stdin")) && strlen(value) <= PIPE_CAPACITY) {
			current->input = strdup(value);
		} else if (current && strcmp(line, "end") == 0) {
			current = NULL;
		} else {
			refuse(line);
		}
	}
	free(line);
	if (current || commands == 0) refuse("(it ends early)");
}

static long long nanoseconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static long microseconds(struct timeval time)
{
	return time.tv_sec * 1000000L + time.tv_usec;
}

static void run(int index)
{
	struct command *command = &plan[index];
	posix_spawn_file_actions_t actions;
	struct rusage usage;
	int input[2], output[2], status, error;
	pid_t pid;
	char answer[4096];

	if (pipe2(input, O_CLOEXEC) < 0 || pipe2(output, O_CLOEXEC) < 0) fail("pipe for", command->path);
	if (command->input) {
		size_t length = strlen(command->input);
		/* A large configuration has a large answer. */
		if (length > USUAL_PIPE && (fcntl(input[1], F_SETPIPE_SZ, PIPE_CAPACITY) < 0 || fcntl(output[1], F_SETPIPE_SZ, PIPE_CAPACITY) < 0)) {
			fail("large pipe for", command->path);
		}
		if (write(input[1], command->input, length) != (ssize_t)length) fail("write to", command->path);
	}
	close(input[1]);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input[0], 0);
	posix_spawn_file_actions_adddup2(&actions, output[1], 1);

	long long start = nanoseconds();
	error = posix_spawn(&pid, command->path, &actions, NULL, command->arguments, command->environment);
	if (error) {
		errno = error;
		fail("run", command->path);
	}
	/* The answers are smaller than the pipe, so nobody needs to read while the program runs. */
	while (wait4(pid, &status, 0, &usage) < 0) {
		if (errno != EINTR) fail("wait for", command->path);
	}
	long long wall = nanoseconds() - start;

	posix_spawn_file_actions_destroy(&actions);
	close(input[0]);
	close(output[1]);
	ssize_t length = read(output[0], answer, sizeof answer - 1);
	close(output[0]);
	if (status != 0) {
		answer[length > 0 ? length : 0] = '\0';
		fprintf(stderr, "timer: %s failed (wait status %#x): %s\n", command->path, status, answer);
		exit(1);
	}
	printf("%d %lld %ld %ld\n", index, wall, microseconds(usage.ru_utime) + microseconds(usage.ru_stime), usage.ru_maxrss);
}

int main(int argc, char **argv)
{
	int rounds = argc == 2 ? atoi(argv[1]) : 0;
	if (rounds < 1) {
		fprintf(stderr, "usage: timer ROUNDS < PLAN\n");
		return 2;
	}
	read_plan();
	for (int round = 0; round < rounds; round++) {
		for (int index = 0; index < commands; index++) run(index);
		fflush(stdout);
	}
	return 0;
}
