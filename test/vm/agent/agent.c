// SPDX-License-Identifier: Apache-2.0
/*
 * The test guest's agent, and its process 1: runs commands for the host, several at once.
 *
 * It talks over a virtio-serial port called "berth.agent" (on the host: a unix socket of QEMU). One host at a time;
 * when the host goes away its commands are killed, and the next one may connect. All numbers are 32 bits,
 * little-endian; a "string" is its length and its bytes; a "list" is a count and that many strings.
 *
 * Greeting: the host sends the 16 bytes "berth-agent-host" and 8 bytes of its choice; the agent looks for the former,
 * whatever came before it, and answers "berth-agent-here" and the same 8 bytes. What the host sees before that is
 * of an earlier connection. Then both sides send frames:
 *
 *     length of what follows (4)   type (1)   id (4)   payload
 *
 *   host to agent                                                    id
 *     R  run: time limit in ms (0: none), list argv, list            chosen by the host, unused at the time
 *        environment (whole), string directory, string stdin
 *     G  get: string path                                            the same
 *     P  put: string path, string data (one write: sysfs)            the same
 *     K  kill: signal, sent to the process group                     that of a command; unknown ones are ignored
 *   agent to host                                                    that of the command
 *     O  bytes of standard output (or of the file)
 *     E  bytes of standard error
 *     X  ended: kind, value. Last frame of its id.
 *        0 exited: status   1 killed: signal   2 could not start, or get or put failed: errno   3 time limit: 0
 *
 * A command has ended when its process has: what is in its pipes then is sent, and a child of its that still holds them
 * is not waited for.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT_NAME "berth.agent"
#define GREETING "berth-agent-host"
#define ANSWER "berth-agent-here"
#define GREETING_SIZE 16
#define NONCE_SIZE 8
#define HEADER_SIZE 9			/* length, type, id */
#define MAX_FRAME (128u << 20)
#define OUTPUT_HIGH (4u << 20)		/* with more than this unsent, commands' pipes are left to fill */
#define RECONNECT_MS 20			/* how often to look for a host while there is none */

enum end { EXITED = 0, KILLED = 1, FAILED = 2, TIMED_OUT = 3 };

struct buffer {
	uint8_t *data;
	size_t length, capacity;
};

struct command {
	struct command *next;
	uint32_t id;
	pid_t pid;
	bool forgotten;			/* its host went away: nobody to tell */
	bool timed_out;
	int64_t deadline;		/* ms of the monotonic clock; 0: none */
	int in, out, err, failure;	/* our ends of its pipes; -1: closed */
	uint8_t *frame;			/* the request, which `input` points into */
	const uint8_t *input;
	size_t input_left;
};

static struct command *commands;
static struct buffer received, unsent;
static bool greeted;
static int port = -1;
static int signals;

static void die(const char *what)
{
	fprintf(stderr, "agent: %s: %s\n", what, strerror(errno));
	exit(1); /* of process 1: the kernel panics and QEMU ends */
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- buffers --- */

static uint8_t *reserve(struct buffer *buffer, size_t more)
{
	if (buffer->capacity - buffer->length < more) {
		buffer->capacity = (buffer->length + more) * 2;
		buffer->data = realloc(buffer->data, buffer->capacity);
		if (!buffer->data)
			die("realloc");
	}
	return buffer->data + buffer->length;
}

static void append(struct buffer *buffer, const void *data, size_t length)
{
	memcpy(reserve(buffer, length), data, length);
	buffer->length += length;
}

static void drop(struct buffer *buffer, size_t length)
{
	buffer->length -= length;
	memmove(buffer->data, buffer->data + length, buffer->length);
}

static void append_frame(char type, uint32_t id, const void *data, uint32_t length)
{
	uint32_t size = 5 + length;

	append(&unsent, &size, 4);
	append(&unsent, &type, 1);
	append(&unsent, &id, 4);
	append(&unsent, data, length);
}

/* --- requests --- */

struct reader {
	const uint8_t *at, *end;
	bool broken;
};

static uint32_t read_number(struct reader *reader)
{
	uint32_t value;

	if (reader->end - reader->at < 4) {
		reader->broken = true;
		return 0;
	}
	memcpy(&value, reader->at, 4);
	reader->at += 4;
	return value;
}

static const uint8_t *read_bytes(struct reader *reader, uint32_t *length)
{
	const uint8_t *at;

	*length = read_number(reader);
	if (reader->broken || reader->end - reader->at < (ptrdiff_t)*length) {
		reader->broken = true;
		*length = 0;
		return reader->at;
	}
	at = reader->at;
	reader->at += *length;
	return at;
}

static char *read_string(struct reader *reader)
{
	uint32_t length;
	const uint8_t *bytes = read_bytes(reader, &length);

	return strndup((const char *)bytes, length);
}

/* NULL-terminated. Never freed: only read in the child, which execs. */
static char **read_list(struct reader *reader)
{
	uint32_t count = read_number(reader), i;
	char **list;

	if (count > (uint32_t)(reader->end - reader->at) / 4) {
		reader->broken = true;
		count = 0;
	}
	list = calloc(count + 1, sizeof(*list));
	for (i = 0; i < count; i++)
		list[i] = read_string(reader);
	return list;
}

/* --- in the child --- */

static void fail_child(int failure)
{
	int error = errno;

	if (write(failure, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

static void child_run(struct reader *reader, int failure)
{
	char **argv = read_list(reader), **environment = read_list(reader);
	char *directory = read_string(reader);

	if (chdir(directory) < 0)
		fail_child(failure);
	environ = environment;
	execvp(argv[0], argv);
	fail_child(failure);
}

static void child_get(struct reader *reader, int failure)
{
	static uint8_t chunk[65536];
	int file = open(read_string(reader), O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (file < 0)
		fail_child(failure);
	while ((length = read(file, chunk, sizeof(chunk))) > 0)
		if (write(STDOUT_FILENO, chunk, length) != length)
			fail_child(failure);
	if (length < 0)
		fail_child(failure);
	_exit(0);
}

static void child_put(struct reader *reader, int failure)
{
	int file = open(read_string(reader), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	uint32_t length;
	const uint8_t *data = read_bytes(reader, &length);
	ssize_t written;

	if (file < 0)
		fail_child(failure);
	do {
		written = write(file, data, length);
		if (written < 0)
			fail_child(failure);
		data += written;
		length -= written;
	} while (length > 0);
	if (close(file) < 0)
		fail_child(failure);
	_exit(0);
}

static void child(char type, struct reader *reader, const int in[2], const int out[2], const int err[2], int failure)
{
	sigset_t none;

	setsid();
	if (dup2(in[0], STDIN_FILENO) < 0 || dup2(out[1], STDOUT_FILENO) < 0 || dup2(err[1], STDERR_FILENO) < 0)
		fail_child(failure);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (type == 'R')
		child_run(reader, failure);
	else if (type == 'G')
		child_get(reader, failure);
	else
		child_put(reader, failure);
}

/* --- commands --- */

/* To the process and its group: just after the fork the group does not exist yet. */
static void signal_command(const struct command *command, int number)
{
	kill(command->pid, number);
	kill(-command->pid, number);
}

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void make_pipe(int ends[2], int ours)
{
	if (pipe2(ends, O_CLOEXEC) < 0)
		die("pipe");
	fcntl(ends[ours], F_SETFL, O_NONBLOCK);
}

/* True if the payload is what the type says. Finds the standard input of a run; does nothing else. */
static bool is_whole(char type, struct reader reader, uint32_t *limit, const uint8_t **input, size_t *input_length)
{
	uint32_t length, count, i, lists;

	*input_length = 0;
	if (type == 'R') {
		*limit = read_number(&reader);
		for (lists = 0; lists < 2; lists++) {
			count = read_number(&reader);
			if (lists == 0 && count == 0)
				return false;
			for (i = 0; i < count && !reader.broken; i++)
				read_bytes(&reader, &length);
		}
	}
	read_bytes(&reader, &length); /* directory or path */
	if (type == 'R' || type == 'P') {
		*input = read_bytes(&reader, &length);
		if (type == 'R')
			*input_length = length;
	}
	return !reader.broken;
}

static bool start(char type, uint32_t id, const uint8_t *payload, size_t length)
{
	struct command *command = calloc(1, sizeof(*command));
	int in[2], out[2], err[2], failure[2];
	struct reader reader;
	uint32_t limit = 0;

	command->id = id;
	command->frame = malloc(length + 1);
	memcpy(command->frame, payload, length);
	reader = (struct reader){ command->frame, command->frame + length, false };
	if (!is_whole(type, reader, &limit, &command->input, &command->input_left)) {
		free(command->frame);
		free(command);
		return false;
	}
	if (type == 'R')
		read_number(&reader);
	command->deadline = limit ? now_ms() + limit : 0;
	make_pipe(in, 1);
	make_pipe(out, 0);
	make_pipe(err, 0);
	make_pipe(failure, 0);
	command->pid = fork();
	if (command->pid < 0)
		die("fork");
	if (command->pid == 0)
		child(type, &reader, in, out, err, failure[1]);
	close(in[0]);
	close(out[1]);
	close(err[1]);
	close(failure[1]);
	command->in = in[1];
	command->out = out[0];
	command->err = err[0];
	command->failure = failure[0];
	if (command->input_left == 0)
		close_end(&command->in);
	command->next = commands;
	commands = command;
	return true;
}

static void feed(struct command *command)
{
	ssize_t written = write(command->in, command->input, command->input_left);

	if (written > 0) {
		command->input += written;
		command->input_left -= written;
	}
	/* Ended or closed its stdin without reading it all: its own business. */
	if ((written < 0 && errno != EAGAIN) || command->input_left == 0)
		close_end(&command->in);
}

/* Sends on what is in the pipe, at most one chunk. False: nothing was there. */
static bool collect(struct command *command, int *end, char type)
{
	static uint8_t chunk[65536];
	ssize_t length = *end < 0 ? 0 : read(*end, chunk, sizeof(chunk));

	if (length > 0 && !command->forgotten)
		append_frame(type, command->id, chunk, length);
	if (length == 0 || (length < 0 && errno != EAGAIN))
		close_end(end);
	return length > 0;
}

static void finish(struct command *command, int status)
{
	uint32_t ending[2];
	int error;

	while (collect(command, &command->out, 'O'))
		;
	while (collect(command, &command->err, 'E'))
		;
	if (command->timed_out) {
		ending[0] = TIMED_OUT;
		ending[1] = 0;
	} else if (read(command->failure, &error, sizeof(error)) == sizeof(error)) {
		ending[0] = FAILED;
		ending[1] = error;
	} else if (WIFSIGNALED(status)) {
		ending[0] = KILLED;
		ending[1] = WTERMSIG(status);
	} else {
		ending[0] = EXITED;
		ending[1] = WEXITSTATUS(status);
	}
	if (!command->forgotten)
		append_frame('X', command->id, ending, sizeof(ending));
	close_end(&command->in);
	close_end(&command->out);
	close_end(&command->err);
	close_end(&command->failure);
	free(command->frame);
	free(command);
}

/* Children of the commands, too: process 1 inherits the orphans. */
static void reap(void)
{
	struct command **link, *command;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (link = &commands; *link && (*link)->pid != pid; link = &(*link)->next)
			;
		command = *link;
		if (command) {
			*link = command->next;
			finish(command, status);
		}
	}
}

/* --- the port --- */

static void open_port(void)
{
	char path[300], name[64];
	struct dirent *entry;
	DIR *directory = opendir("/sys/class/virtio-ports");
	FILE *file;

	while (directory && port < 0 && (entry = readdir(directory))) {
		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fgets(name, sizeof(name), file) && !strcmp(name, PORT_NAME "\n")) {
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
			port = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		}
		fclose(file);
	}
	if (port < 0)
		die("no port " PORT_NAME);
	closedir(directory);
}

static void forget_host(void)
{
	struct command *command;

	for (command = commands; command; command = command->next) {
		command->forgotten = true;
		signal_command(command, SIGKILL);
	}
	greeted = false;
	received.length = 0;
	unsent.length = 0;
}

/* False: the frame is not to be understood, so that what follows it is not either. */
static bool handle_frame(char type, uint32_t id, const uint8_t *payload, size_t length)
{
	struct command *command;
	uint32_t number;

	if (type == 'R' || type == 'G' || type == 'P')
		return start(type, id, payload, length);
	if (type != 'K' || length != 4)
		return false;
	memcpy(&number, payload, 4);
	for (command = commands; command; command = command->next)
		if (command->id == id && !command->forgotten)
			signal_command(command, number);
	return true;
}

static void greet(void)
{
	uint8_t *found = memmem(received.data, received.length, GREETING, GREETING_SIZE);
	size_t keep = GREETING_SIZE + NONCE_SIZE - 1;

	if (!found) {
		if (received.length > keep)
			drop(&received, received.length - keep);
		return;
	}
	drop(&received, found - received.data);
	if (received.length < GREETING_SIZE + NONCE_SIZE)
		return;
	append(&unsent, ANSWER, GREETING_SIZE);
	append(&unsent, received.data + GREETING_SIZE, NONCE_SIZE);
	drop(&received, GREETING_SIZE + NONCE_SIZE);
	greeted = true;
}

static void handle_input(void)
{
	size_t done = 0;
	uint32_t size, id;

	if (!greeted)
		greet();
	while (greeted && received.length - done >= 4) {
		memcpy(&size, received.data + done, 4);
		if (size < 5 || size > MAX_FRAME) {
			forget_host();
			return;
		}
		if (received.length - done < 4 + (size_t)size)
			break;
		memcpy(&id, received.data + done + 5, 4);
		if (!handle_frame(received.data[done + 4], id, received.data + done + HEADER_SIZE, size - 5)) {
			forget_host();
			return;
		}
		done += 4 + size;
	}
	drop(&received, done);
}

static void read_port(void)
{
	ssize_t length = read(port, reserve(&received, 1 << 18), 1 << 18);

	if (length > 0) {
		received.length += length;
		handle_input();
	} else if (length == 0) {
		forget_host();
	}
}

static void write_port(void)
{
	size_t done = 0;
	ssize_t length = 0;

	while (done < unsent.length && (length = write(port, unsent.data + done, unsent.length - done)) > 0)
		done += length;
	if (length < 0 && errno != EAGAIN)
		forget_host();
	else
		drop(&unsent, done);
}

/* --- the loop --- */

static bool host_is_there(void)
{
	struct pollfd probe = { .fd = port };

	return poll(&probe, 1, 0) == 0 || !(probe.revents & POLLHUP);
}

/* Kills what is over its time. Returns the time until the next deadline, -1 if there is none. */
static int enforce_deadlines(void)
{
	struct command *command;
	int64_t now = now_ms(), next = -1;

	for (command = commands; command; command = command->next) {
		if (!command->deadline || command->timed_out)
			continue;
		if (command->deadline <= now) {
			command->timed_out = true;
			signal_command(command, SIGKILL);
		} else if (next < 0 || command->deadline - now < next) {
			next = command->deadline - now;
		}
	}
	return (int)next;
}

static void turn(bool connected)
{
	static struct pollfd *set;
	static size_t capacity;
	struct command *command;
	struct signalfd_siginfo drained[16];
	size_t count = 2, at;
	int timeout = enforce_deadlines();
	bool full = unsent.length > OUTPUT_HIGH;

	for (command = commands; command; command = command->next)
		count += 3;
	if (count > capacity) {
		capacity = count * 2;
		set = realloc(set, capacity * sizeof(*set));
		if (!set)
			die("realloc");
	}
	set[0] = (struct pollfd){ .fd = signals, .events = POLLIN };
	/* A port without a host is always "hung up": polling it would spin. */
	set[1] = (struct pollfd){ .fd = connected ? port : -1, .events = POLLIN | (unsent.length ? POLLOUT : 0) };
	for (command = commands, at = 2; command; command = command->next, at += 3) {
		set[at] = (struct pollfd){ .fd = command->in, .events = POLLOUT };
		set[at + 1] = (struct pollfd){ .fd = full ? -1 : command->out, .events = POLLIN };
		set[at + 2] = (struct pollfd){ .fd = full ? -1 : command->err, .events = POLLIN };
	}
	if (!connected && (timeout < 0 || timeout > RECONNECT_MS))
		timeout = RECONNECT_MS;
	if (poll(set, count, timeout) < 0 && errno != EINTR)
		die("poll");
	for (command = commands, at = 2; command; command = command->next, at += 3) {
		if (set[at].revents)
			feed(command);
		if (set[at + 1].revents)
			collect(command, &command->out, 'O');
		if (set[at + 2].revents)
			collect(command, &command->err, 'E');
	}
	if (set[0].revents) {
		while (read(signals, drained, sizeof(drained)) > 0)
			;
		reap();
	}
	if (set[1].revents & POLLIN)
		read_port();
	if (connected && unsent.length)
		write_port();
}

int main(void)
{
	bool connected = false, there;
	sigset_t blocked;
	int null = open("/dev/null", O_RDONLY);

	dup2(null, STDIN_FILENO);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	signals = signalfd(-1, &blocked, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signals < 0)
		die("signalfd");
	open_port();
	printf("agent: ready\n");
	fflush(stdout);
	for (;;) {
		there = host_is_there();
		if (connected && !there)
			forget_host();
		connected = there;
		turn(connected);
	}
}
